import asyncio
import logging
import sys

import pytest

from sfu_core import mediasoup as module
from sfu_core.channel import messages as m
from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.mediasoup import Mediasoup

from .fakes import LOOPBACK, FakeChannel, FakeSpawner, record


@pytest.fixture
def spawner(channel):
    return FakeSpawner(channel)


async def test_create_worker(runner, spawner, channel):
    mediasoup = Mediasoup(spawner)
    seen = []
    mediasoup.observer.on("newworker", seen.append)
    worker = await mediasoup.create_worker(
        log_level="debug",
        log_tags=["ice", "rtp"],
        rtc_min_port=1000,
        rtc_max_port=2000,
        dtls_certificate_file="c.pem",
        dtls_private_key_file="k.pem",
        engine={"latency": "low"},
        app_data={"w": 1},
    )
    assert seen == [worker]
    (settings,) = spawner.settings
    assert (settings.log_level, settings.log_tags) == ("debug", ("ice", "rtp"))
    assert (settings.rtc_min_port, settings.rtc_max_port) == (1000, 2000)
    assert (settings.dtls_certificate_file, settings.dtls_private_key_file) == ("c.pem", "k.pem")
    assert settings.engine == {"latency": "low"}
    assert worker.pid == 4242 and worker.app_data == {"w": 1}
    assert not (worker.closed or worker.died or worker.subprocess_closed)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"log_level": "chicken"}, "log_level"),
        ({"log_tags": "rtp"}, "log_tags"),
        ({"log_tags": [1]}, "log_tags"),
        ({"rtc_min_port": 1000, "rtc_max_port": 999}, "rtc_max_port"),
        ({"rtc_max_port": 65536}, "rtc_max_port"),
        ({"dtls_certificate_file": 1}, "dtls_certificate_file"),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
    ],
)
async def test_wrong_settings(spawner, options, argument):
    with pytest.raises(TypeError, match=argument):
        await Mediasoup(spawner).create_worker(**options)
    assert not spawner.settings


async def test_a_worker_that_cannot_be_started():
    with pytest.raises(TypeError, match="wrong settings"):
        await Mediasoup(FakeSpawner(TypeError("wrong settings"))).create_worker()


async def test_a_worker_that_dies_at_once(runner, spawner, channel):
    channel.answers[m.WorkerDump] = WorkerClosedError("dead")
    with pytest.raises(WorkerClosedError):
        await Mediasoup(spawner).create_worker()
    assert channel.closed


async def test_requests(room, channel):
    handlers = m.ChannelMessageHandlers(channel_request_handlers=["r"], channel_notification_handlers=[])
    channel.answers[m.WorkerDump] = m.WorkerDumpResponse(
        pid=1, web_rtc_server_ids=["s"], router_ids=["r"], channel_message_handlers=handlers
    )
    assert await room.worker.dump() == {
        "pid": 1,
        "webRtcServerIds": ["s"],
        "routerIds": ["r"],
        "channelMessageHandlers": {"channelRequestHandlers": ["r"], "channelNotificationHandlers": []},
    }
    names = m.WorkerGetResourceUsageResponse.__struct_fields__
    usage = m.WorkerGetResourceUsageResponse(**{name: index for index, name in enumerate(names)})
    channel.answers[m.WorkerGetResourceUsage] = usage
    assert await room.worker.get_resource_usage() == {name: index for index, name in enumerate(names)}
    assert names[0] == "ru_utime" and len(names) == 16
    await room.worker.update_settings(log_level="warn", log_tags=["ice"])
    assert channel.last(m.WorkerUpdateSettings) == m.WorkerUpdateSettings(log_level="warn", log_tags=["ice"])
    await room.worker.update_settings()
    assert channel.last(m.WorkerUpdateSettings) == m.WorkerUpdateSettings()
    for wrong in ({"log_level": "chicken"}, {"log_tags": "ice"}, {"log_tags": [1]}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            await room.worker.update_settings(**wrong)


async def everything(room, log):
    server = await room.worker.create_webrtc_server(listen_infos=[LOOPBACK])
    transport = await room.webrtc(webrtc_server=server)
    producer = await room.audio(transport)
    record(log, worker=room.worker, router=room.router, server=server, transport=transport, producer=producer)


CHILDREN_END = [
    "producer transportclose",
    "producer observer close",
    "server observer webrtctransportunhandled",
    "transport routerclose",
    "transport observer close",
    "router workerclose",
    "router observer close",
    "server workerclose",
    "server observer close",
]


async def test_closing(room, channel):
    await everything(room, channel.log)
    room.worker.close()
    room.worker.close()
    assert channel.log == [*CHILDREN_END, "close", "worker observer close"]
    assert room.worker.closed and not room.worker.died and not room.worker.subprocess_closed
    channel.end()
    assert channel.log[-1] == "worker subprocessclose"
    assert room.worker.subprocess_closed and not room.worker.died
    assert not channel.posted


async def test_dying(room, channel):
    await everything(room, channel.log)
    seen = []
    room.worker.on("died", lambda error: seen.append((error, room.worker.died, room.worker.subprocess_closed)))
    error = SfuError("killed")
    channel.end(error)
    assert channel.log == [*CHILDREN_END, "worker died", "worker observer close", "worker subprocessclose"]
    assert seen == [(error, True, True)]
    assert room.worker.closed


async def test_another_owner_closes_the_channel(room, channel):
    await everything(room, channel.log)
    channel.end()
    assert channel.log == [*CHILDREN_END, "worker observer close", "worker subprocessclose"]
    assert room.worker.closed and not room.worker.died


async def test_async_with(runner, spawner, channel):
    loop = asyncio.get_running_loop()
    async with await Mediasoup(spawner).create_worker() as worker:
        loop.call_later(0.01, channel.end)
        waiting = asyncio.ensure_future(worker.wait_subprocess_closed())
        await asyncio.sleep(0)
        waiting.cancel()  # does not disturb who else waits
    assert channel.closed and worker.subprocess_closed


async def test_log_lines_of_the_worker(room, channel, caplog):
    caplog.set_level(logging.DEBUG, "mediasoup")
    for line in ("Dsome 100 %s", "Wodd", "Ebad", "Xdump"):
        channel.log_listeners[0](line)
    records = [(r.levelname, r.message) for r in caplog.records if r.name == "mediasoup.Channel"]
    assert records == [("DEBUG", "some 100 %s"), ("WARNING", "odd"), ("ERROR", "bad"), ("DEBUG", "dump")]


async def test_nothing_is_left_after_closing(room, channel):
    await everything(room, channel.log)
    room.worker.close()
    assert not room.worker._routers and not room.worker._webrtc_servers
    assert not room.router._transports and not room.router._context.producers
    assert not channel.listeners


def test_the_module():
    import sfu_core

    assert module.version == sfu_core.__version__
    assert module.worker_bin == sys.executable
    assert module.errors.UnsupportedError and module.ortc.can_consume and module.types.RtpParameters
    assert module.parse_scalability_mode("L3T2_KEY") == {"spatialLayers": 3, "temporalLayers": 2, "ksvc": True}
    assert module.extras.enhanced_once and module.extras.EnhancedEventEmitter is module.Emitter
    for name in module.__all__:
        assert hasattr(module, name), name


async def test_an_instance_offers_what_the_module_does(runner):
    instance = Mediasoup(FakeSpawner(FakeChannel(asyncio.get_running_loop())))
    names = (
        "create_worker errors extras get_supported_rtp_capabilities observer ortc parse_scalability_mode "
        "set_log_event_listeners types version worker_bin"
    )
    for name in names.split():
        assert hasattr(instance, name) and hasattr(module, name), name
    assert instance.get_supported_rtp_capabilities() == module.get_supported_rtp_capabilities()
    assert instance.parse_scalability_mode("L1T2") == module.parse_scalability_mode("L1T2")
    lines = []
    instance.set_log_event_listeners(onwarn=lambda *args: lines.append(args))
    module.log.Logger("X").warn("y")
    instance.set_log_event_listeners()
    assert lines == [("mediasoup:WARN:X", "y")]
