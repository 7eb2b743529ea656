import asyncio
import os
import signal

import pytest

from sfu_core.errors import SfuError, WorkerClosedError

from .room import CODECS, LOOPBACK, Events, Room, eventually
from .stacks import processes


@pytest.fixture
def own_worker(runner, mediasoup):
    """A worker that the test may kill."""
    worker = runner.run(mediasoup.create_worker())
    yield worker
    runner.run(worker.__aexit__(None, None, None))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_creating(mediasoup):
    seen = []
    mediasoup.observer.once("newworker", seen.append)
    worker = await mediasoup.create_worker(
        log_level="debug",
        log_tags=["info", "ice", "nonsense"],
        rtc_min_port=20000,
        rtc_max_port=20999,
        app_data={"bar": 456},
    )
    assert seen == [worker]
    pids = await processes(worker)
    assert pids and all(map(alive, pids)) and worker.app_data == {"bar": 456}
    assert not (worker.closed or worker.died or worker.subprocess_closed)
    router = await worker.create_router()
    transport = await router.create_plain_transport(listen_info=LOOPBACK)
    assert 20000 <= transport.tuple["localPort"] <= 20999
    worker.close()
    assert worker.closed and not worker.died
    await worker.wait_subprocess_closed()
    assert worker.subprocess_closed and not any(map(alive, pids))


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"log_level": "chicken"}, "log_level"),
        ({"rtc_min_port": 1000, "rtc_max_port": 999}, "rtc_max_port"),
        ({"rtc_min_port": 1000, "rtc_max_port": 65536}, "rtc_max_port"),
        ({"dtls_certificate_file": "/notfound/cert.pem"}, "wrong settings"),
        (
            {"dtls_certificate_file": "/notfound/cert.pem", "dtls_private_key_file": "/notfound/key.pem"},
            "wrong settings",
        ),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
        ({"engine": {"no such setting": 1}}, "wrong settings"),
    ],
)
async def test_wrong_settings(mediasoup, settings, argument):
    with pytest.raises(TypeError, match=argument):
        await mediasoup.create_worker(**settings)


async def test_update_settings(worker):
    await worker.update_settings(log_level="debug", log_tags=["ice"])
    await worker.update_settings(log_level="error", log_tags=[])
    await worker.update_settings()
    for wrong in ({"log_level": "chicken"}, {"log_tags": "ice"}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            await worker.update_settings(**wrong)


async def test_dump(worker):
    empty = {"channelRequestHandlers": [], "channelNotificationHandlers": []}
    assert await worker.dump() == {
        "pid": worker.pid,
        "webRtcServerIds": [],
        "routerIds": [],
        "channelMessageHandlers": empty,
    }
    router = await worker.create_router(media_codecs=CODECS)
    server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
    dump = await worker.dump()
    assert dump["routerIds"] == [router.id] and dump["webRtcServerIds"] == [server.id]
    handlers = dump["channelMessageHandlers"]
    assert sorted(handlers["channelRequestHandlers"]) == sorted([router.id, server.id])
    assert handlers["channelNotificationHandlers"] == []
    server.close()
    router.close()


async def test_resource_usage(worker):
    usage = await worker.get_resource_usage()
    names = (
        "utime stime maxrss ixrss idrss isrss minflt majflt nswap inblock oublock msgsnd msgrcv nsignals nvcsw nivcsw"
    )
    assert list(usage) == [f"ru_{name}" for name in names.split()]
    assert all(isinstance(value, int) for value in usage.values())
    assert 5_000 < usage["ru_maxrss"] < 500_000  # kB


async def test_closing(own_worker):
    worker = own_worker
    events = Events(worker=worker)
    worker.close()
    assert events.log == ["worker observer close"]
    worker.close()
    for call in (worker.dump, worker.get_resource_usage, worker.update_settings, worker.create_router):
        with pytest.raises(WorkerClosedError):
            await call()
    await worker.wait_subprocess_closed()
    assert events.log == ["worker observer close", "worker subprocessclose"]
    assert not worker.died


async def test_closing_rejects_what_is_under_way(own_worker):
    asked = asyncio.ensure_future(own_worker.dump())
    await asyncio.sleep(0)
    own_worker.close()
    with pytest.raises(WorkerClosedError):
        await asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
async def test_dying(own_process, number):
    worker, pid = own_process
    router = await worker.create_router(media_codecs=CODECS)
    transport = await router.create_plain_transport(listen_info=LOOPBACK)
    events = Events(worker=worker, router=router, transport=transport)
    errors = []
    worker.on("died", lambda error: errors.append((error, worker.closed, worker.died, worker.subprocess_closed)))
    os.kill(pid, number)
    await worker.wait_subprocess_closed()
    assert events.log == [
        "transport routerclose",
        "transport observer close",
        "router workerclose",
        "router observer close",
        "worker died",
        "worker observer close",
        "worker subprocessclose",
    ]
    ((error, *flags),) = errors
    assert isinstance(error, SfuError) and str(pid) in str(error)
    assert flags == [True, True, True]
    assert router.closed and transport.closed and not alive(pid)
    with pytest.raises(WorkerClosedError):
        await worker.dump()


async def test_dying_rejects_what_is_under_way(own_process):
    worker, pid = own_process
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.ensure_future(worker.dump())
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerClosedError):
        await asked


async def test_signals_that_change_nothing(own_worker):
    """Among them SIGINT: a Ctrl-C is for the application, which then decides about its workers."""
    for name in ("SIGINT", "SIGPIPE", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2"):
        for pid in await processes(own_worker):
            os.kill(pid, getattr(signal, name))
    await asyncio.sleep(0.1)
    assert (await own_worker.dump())["pid"] == own_worker.pid
    assert not own_worker.died


async def test_two_workers_are_independent(mediasoup, worker):
    async with await mediasoup.create_worker() as other:
        assert other.pid != worker.pid
        router = await other.create_router(media_codecs=CODECS)
        assert (await worker.dump())["routerIds"] == []
        assert (await other.dump())["routerIds"] == [router.id]
    assert router.closed and not worker.closed


async def test_log_lines_come_through(mediasoup, own_worker):
    lines = []
    mediasoup.set_log_event_listeners(onwarn=lambda *args: lines.append(args))
    try:
        room = Room(await own_worker.create_router(media_codecs=CODECS))
        producer = await room.audio(await room.plain())
        producer.send(b"no packet")
        await own_worker.update_settings(log_level="warn", log_tags=["rtp"])
        producer.send(b"no packet either")
        await eventually(lambda: lines)
    finally:
        mediasoup.set_log_event_listeners()
    ((namespace, line),) = set(lines)  # a server in this process logs them, too
    assert namespace == "mediasoup:WARN:Channel" and producer.id in line
