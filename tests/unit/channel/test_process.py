"""Core processes: started without the main module, watched, closed, and nothing left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel import process as process_module
from sfu_core.channel.process import ProcessChannel, ProcessSpawner, WorkerExitError
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import SfuError, WorkerClosedError

HERE = Path(__file__).resolve()
PATHS = os.pathsep.join([str(HERE.parents[3]), str(HERE.parents[1])])


async def spawn(function: str = "run", settings: WorkerSettings | None = None) -> ProcessChannel:
    spawner = ProcessSpawner(target=f"{__package__}.standin:{function}", start_timeout=10)
    return await spawner.spawn(settings or WorkerSettings())


def descriptors() -> set[str]:
    links = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            links.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return links


def children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in text.split()}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = descriptors(), children()
    yield
    assert (descriptors(), children()) == before


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


async def test_a_core_answers_and_closes() -> None:
    channel = await spawn(settings=WorkerSettings(log_level="warn", log_tags=("rtp",)))
    dump = await channel.request(m.WorkerDump())
    assert dump.pid == channel.pid != os.getpid()
    assert dump.web_rtc_server_ids == ["warn", "rtp"]
    assert Path(f"/proc/{channel.pid}/comm").read_text() == "sfu-core\n"
    channel.close()
    with pytest.raises(WorkerClosedError):
        await channel.request(m.WorkerDump())
    assert await asyncio.wait_for(channel.ended(), 5) is None
    assert not alive(channel.pid)


async def test_the_child_has_only_its_own_descriptors() -> None:
    first = await spawn()
    second = await spawn()
    for channel in (first, second):
        dump = await channel.request(m.WorkerDump())
        # 0-2, the channel, two of the start-up pipe, epoll, the loop's own pair, and this listing.
        assert len(dump.channel_message_handlers.channel_request_handlers) <= 10
    for channel in (first, second):
        channel.close()
        await channel.ended()


async def test_the_child_does_not_import_the_applications_modules() -> None:
    channel = await spawn()
    modules = set((await channel.request(m.WorkerDump())).router_ids)
    assert "sfu_core.channel.messages" in modules
    assert not {name for name in modules if name.startswith(("pytest", "_pytest", "sfu_core.mediasoup"))}
    channel.close()
    await channel.ended()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_death_by_signal_is_reported_once(number: signal.Signals) -> None:
    channel = await spawn()
    ends: list[Exception | None] = []
    channel.on_end(ends.append)
    asking = asyncio.create_task(channel.request(m.WorkerCloseRouter(router_id="sleeps")))
    await asyncio.sleep(0.02)
    os.kill(channel.pid, number)
    with pytest.raises(WorkerClosedError, match="the worker is gone"):
        await asking
    reason = await asyncio.wait_for(channel.ended(), 5)
    assert isinstance(reason, WorkerExitError)
    assert reason.exit_code == -number and number.name in str(reason)
    assert channel.closed
    channel.close()
    await asyncio.sleep(0)
    assert ends == [reason]


async def test_an_exit_nobody_asked_for_is_reported_with_its_code() -> None:
    channel = await spawn()
    with pytest.raises(WorkerClosedError):
        await channel.request(m.WorkerCreateRouter(router_id="9"))
    reason = await channel.ended()
    assert isinstance(reason, WorkerExitError) and reason.exit_code == 9
    assert str(reason) == f"worker process {channel.pid} exited with code 9"


async def test_wrong_settings_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^wrong settings$"):
        await spawn("refuse")


@pytest.mark.parametrize(("function", "code"), [("leave", 7), ("crash", -signal.SIGKILL)])
async def test_an_end_before_it_was_ready_is_explained(function: str, code: int) -> None:
    with pytest.raises(WorkerExitError, match="before it was ready") as caught:
        await spawn(function)
    assert caught.value.exit_code == code


async def test_a_worker_module_that_is_missing_is_an_error() -> None:
    with pytest.raises(SfuError, match="exited with code 1 before it was ready"):
        await ProcessSpawner(target="nowhere:run").spawn(WorkerSettings())


async def test_a_core_that_does_not_get_ready_is_killed() -> None:
    before = children()
    with pytest.raises(SfuError, match=r"not ready after 0\.3 s"):
        await ProcessSpawner(target=f"{__package__}.standin:hang", start_timeout=0.3).spawn(WorkerSettings())
    while children() != before:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_a_core_that_does_not_close_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "CLOSE_TIMEOUT", 0.2)

    channel = await spawn()
    channel.post(m.WorkerCloseRouter(router_id="sleeps"))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    channel.close()
    assert await asyncio.wait_for(channel.ended(), 5) is None
    assert 0.15 < time.monotonic() - started < 2


async def test_a_core_that_leaves_the_channel_but_stays_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "CLOSE_TIMEOUT", 0.2)

    channel = await spawn("deaf")
    reason = await asyncio.wait_for(channel.ended(), 5)
    assert isinstance(reason, WorkerExitError) and reason.exit_code == -signal.SIGKILL


async def test_cancelling_a_start_leaves_nothing() -> None:
    before = children()
    starting = asyncio.create_task(spawn("hang"))
    await asyncio.sleep(0.1)
    assert len(children()) == len(before) + 1
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    while children() != before:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_a_child_somebody_else_has_reaped_is_still_noticed() -> None:
    channel = await spawn()
    os.kill(channel.pid, signal.SIGKILL)
    os.waitpid(channel.pid, 0)
    reason = await asyncio.wait_for(channel.ended(), 5)
    assert isinstance(reason, WorkerExitError) and reason.exit_code is None


async def test_an_interrupt_does_not_reach_the_core() -> None:
    channel = await spawn()
    os.kill(channel.pid, signal.SIGINT)
    await channel.request(m.ConsumerPause(), "c")
    channel.close()
    assert await channel.ended() is None


# How applications are started. None of them guards its main module; each would loop or fail if it were imported.

APPLICATION = textwrap.dedent(
    """
    import asyncio, os, sys
    APPLICATION = "imported"
    print("started", flush=True)
    from sfu_core.channel.process import ProcessSpawner
    from sfu_core.channel.settings import WorkerSettings
    from sfu_core.channel import messages as m

    async def main():
        channel = await ProcessSpawner(target="channel.standin:run").spawn(WorkerSettings())
        dump = await channel.request(m.WorkerDump())
        print("child", dump.router_ids[0], dump.pid != os.getpid(), flush=True)
        ENDING

    asyncio.run(main())
    """
)
CLEANLY = "channel.close(); await channel.ended()"


def run_application(
    arguments: list[str], stdin: str | None = None, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": PATHS},
    )


@pytest.mark.parametrize("how", ["script", "module", "command", "stdin", "interactive"])
def test_any_way_of_starting_an_application_works(how: str, tmp_path: Path) -> None:
    source = APPLICATION.replace("ENDING", CLEANLY)
    (tmp_path / "application.py").write_text(source)
    if how == "script":
        result = run_application([str(tmp_path / "application.py")])
    elif how == "module":
        result = run_application(["-m", "application"], directory=tmp_path)
    elif how == "command":
        result = run_application(["-c", source])
    elif how == "stdin":
        result = run_application(["-"], stdin=source)
    else:
        result = run_application(["-i", "-q"], stdin=source.replace("\n\n", "\n", 1))
    assert result.stdout == "started\nchild None True\n", result.stderr
    assert result.returncode == 0


def test_the_core_of_an_application_that_just_ends_is_ended() -> None:
    ending = "print(channel.pid, flush=True)"
    result = run_application(["-W", "ignore::ResourceWarning", "-c", APPLICATION.replace("ENDING", ending)])
    assert result.returncode == 0, result.stderr
    assert wait_until_gone(int(result.stdout.split()[-1]))


def test_the_core_of_a_killed_application_is_ended() -> None:
    ending = "print(channel.pid, flush=True); os.kill(os.getpid(), 9)"
    result = run_application(["-c", APPLICATION.replace("ENDING", ending)])
    assert result.returncode == -signal.SIGKILL
    assert wait_until_gone(int(result.stdout.split()[-1]))


def test_ctrl_c_lets_the_application_close_its_core() -> None:
    """The whole process group gets the interrupt; the core ends by its channel, not by the signal."""
    ending = textwrap.indent(
        textwrap.dedent(
            """
            print(channel.pid, flush=True)
            try:
                await asyncio.sleep(60)
            finally:
                dump = await channel.request(m.WorkerDump())
                print("still", dump.pid == channel.pid, flush=True)
                channel.close()
                print("ended", await channel.ended(), flush=True)
            """
        ),
        "    ",
    ).strip()
    application = subprocess.Popen(
        [sys.executable, "-c", APPLICATION.replace("ENDING", ending)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATHS},
        start_new_session=True,
    )
    with application:
        assert application.stdout is not None
        for line in application.stdout:
            if line.strip().isdigit():
                break
        os.killpg(application.pid, signal.SIGINT)
        output, errors = application.communicate(timeout=30)
    assert output == "still True\nended None\n", errors
    assert "KeyboardInterrupt" in errors and "sfu_core/channel/child" not in errors
