"""The root of the tree: dump, resource usage, settings, and closing everything."""

import gc
import os
import weakref

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError
from sfu_core.worker.events import EngineEvent

from .conftest import World, listen_info
from .test_webrtc_transport import on_server, server


def test_empty_dump(world: World) -> None:
    handlers = m.ChannelMessageHandlers(channel_request_handlers=[], channel_notification_handlers=[])
    assert world.ask(m.WorkerDump()) == m.WorkerDumpResponse(
        pid=os.getpid(), web_rtc_server_ids=[], router_ids=[], channel_message_handlers=handlers
    )


def test_dump_lists_who_takes_messages(world: World) -> None:
    world.router(), world.direct(), world.produce(), world.consume()
    server(world, listen_info())
    dump = world.ask(m.WorkerDump())
    assert (dump.router_ids, dump.web_rtc_server_ids) == (["r"], ["s"])
    handlers = dump.channel_message_handlers
    assert handlers.channel_request_handlers == ["r", "d", "prod", "cons", "s"]
    assert handlers.channel_notification_handlers == ["d", "prod"]


def test_resource_usage(world: World) -> None:
    usage = world.ask(m.WorkerGetResourceUsage())
    assert usage.ru_maxrss > 1000 and usage.ru_utime > 0
    times = os.times()
    assert abs(usage.ru_utime / 1000 - times.user) < 1


def test_log_settings(world: World) -> None:
    world.ask(m.WorkerUpdateSettings(log_level="error"))
    world.context.logs.warn("rtp", "no")
    world.ask(m.WorkerUpdateSettings(log_level="warn"))
    world.context.logs.warn("rtp", "yes")
    world.ask(m.WorkerUpdateSettings(log_tags=["ice"]))
    world.context.logs.warn("rtp", "no")
    assert world.log == ["Wyes"]
    with pytest.raises(TypeError, match="logLevel"):
        world.ask(m.WorkerUpdateSettings(log_level="chatty"))


def test_unknown_router(world: World) -> None:
    with pytest.raises(NotFoundError, match="'x'"):
        world.ask(m.WorkerCloseRouter(router_id="x"))


def test_close_leaves_nothing(world: World) -> None:
    world.router(), world.plain(), world.direct()
    server(world, listen_info())
    on_server(world)
    world.produce("prod", "w")
    world.consume("c1", "p"), world.consume("c2", "d")
    world.worker.close()
    world.assert_empty()


def test_closed_objects_are_freed_at_once(world: World) -> None:
    """By their reference counts: the collector is tamed in a core process and would come much later."""
    world.router(), world.plain(), world.direct()
    server(world, listen_info())
    on_server(world)
    world.produce("prod", "w")
    world.consume("cons", "p")
    (handle,) = [h for h, e in world.engine.live["transport"].items() if e["kind"] == "webrtc"]
    world.emit(EngineEvent.ICE_STATE, handle, 1)
    alive = [weakref.ref(target) for _, target in world.context.registry.items()]
    assert len(alive) == 7
    gc.collect()
    gc.disable()
    try:
        world.worker.close()
        assert [ref() for ref in alive if ref() is not None] == []
    finally:
        gc.enable()
