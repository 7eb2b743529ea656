"""A worker can be started from wherever Python runs, also where there is no main module that could be imported."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .processes import ask, create_worker, is_alive

SCRIPT = """
import asyncio
import os
open(os.environ["STARTS"], "a").write("started ")
from sfu_core import mediasoup

async def main():
    async with await mediasoup.create_worker() as worker:
        print("answered by", (await worker.dump())["pid"])

asyncio.run(main())
"""

LINES = """
import asyncio
from sfu_core import mediasoup
runner = asyncio.Runner()
worker = runner.run(mediasoup.create_worker())
print("answered " + "by", runner.run(worker.dump())["pid"])
runner.run(worker.__aexit__(None, None, None))
exit()
"""

AWAITING_LINES = """
from sfu_core import mediasoup
worker = await mediasoup.create_worker()
print("answered " + "by", (await worker.dump())["pid"])
worker.close()
await worker.wait_subprocess_closed()
exit()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, sys.path))
    return os.environ | {"PYTHONPATH": paths, "STARTS": str(tmp_path / "starts"), "PYTHON_BASIC_REPL": "1"}


def started_once(environment: dict[str, str]) -> bool:
    return Path(environment["STARTS"]).read_text() == "started "


def assert_answered(output: str) -> None:
    answers = [line for line in output.splitlines() if line.startswith("answered by ")]
    assert len(answers) == 1, output
    assert not is_alive(int(answers[0].split()[2]))


def run(arguments: list[str], environment: dict[str, str], text: str = "") -> None:
    done = subprocess.run(
        [sys.executable, *arguments], input=text, env=environment, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_answered(done.stdout)
    assert started_once(environment)


def test_script_without_guard(tmp_path: Path, environment: dict[str, str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run([str(script)], environment)


def test_module_without_guard(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "__main__.py").write_text(SCRIPT)
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    run(["-m", "package"], environment)


def test_command_line(environment: dict[str, str]) -> None:
    run(["-c", SCRIPT], environment)


def test_standard_input(environment: dict[str, str]) -> None:
    run(["-"], environment, SCRIPT)


@pytest.mark.parametrize(("arguments", "lines"), [(["-i"], LINES), (["-m", "asyncio"], AWAITING_LINES)])
def test_at_a_prompt(arguments: list[str], lines: str, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-q", *arguments]
        shell = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        os.write(ours, lines.encode())
        assert_answered(read_all(ours))
        assert shell.wait(10) == 0
    finally:
        os.close(ours)


def read_all(fd: int) -> str:
    """What a terminal shows until its last process has gone."""
    shown, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            shown += os.read(fd, 4096)
        except OSError:  # EIO: nobody has the other end any more
            break
    return shown.decode().replace("\r\n", "\n")


async def test_pytest_is_not_imported() -> None:
    async with await create_worker() as worker:
        main, *modules = await ask(worker, "modules")
        assert main is None or "pytest" not in main
        assert "sfu_core.worker.main" in modules
        assert not {name for name in modules if name.startswith(("pytest", "_pytest", "sfu_core.mediasoup"))}


def test_in_a_thread() -> None:
    """As in a notebook, where the main thread belongs to somebody else."""
    from threading import Thread

    from sfu_core import mediasoup

    async def main() -> None:
        async with await mediasoup.create_worker() as worker:
            answered.append((await worker.dump())["pid"] == worker.pid)

    answered: list[bool] = []
    thread = Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(30)
    assert answered == [True]
