"""The driver of a DTLS endpoint: repeats by timer, bounds, and silence after the end."""

import asyncio

from sfu_core.channel import messages as m
from sfu_core.worker import dtls_session
from sfu_core.worker.dtls_session import DtlsSession

from .conftest import World

Told = list[tuple[m.DtlsState, str | None]]


def session(world: World) -> tuple[DtlsSession, Told]:
    told: Told = []
    handle = world.engine.add_direct_transport()
    return DtlsSession(world.context, handle, lambda state, cert: told.append((state, cert))), told


def finish(world: World, each: DtlsSession) -> None:
    each.close()
    world.turn(2)
    for handle in world.engine.handles("transport"):
        world.engine.close_transport(handle)


def wait(world: World, seconds: float) -> None:
    world.loop.run_until_complete(asyncio.sleep(seconds))


def test_nothing_is_made_before_it_runs(world: World) -> None:
    each, told = session(world)
    each.receive(b"\x16\xfe\xfd")
    assert (each.state, each.role, told, len(world.context.handshakes)) == (0, m.DtlsRole.AUTO, [], 0)
    finish(world, each)


def test_hello_is_repeated_until_it_is_closed(world: World) -> None:
    each, told = session(world)
    each.run(m.DtlsRole.CLIENT)
    first = len(world.engine.datagrams)
    wait(world, 0.15)
    repeated = len(world.engine.datagrams)
    assert first >= 1 and repeated > first
    assert told == [(m.DtlsState.CONNECTING, None)]
    each.close()
    wait(world, 0.25)
    assert len(world.engine.datagrams) == repeated and len(told) == 1
    finish(world, each)


def test_a_flood_waits_in_a_bounded_queue(world: World) -> None:
    each, _ = session(world)
    each.run(m.DtlsRole.SERVER)
    for _ in range(1000):
        each.receive(b"\x16\xfe\xfd" + bytes(50))
    assert len(world.context.handshakes) == dtls_session.MAX_PENDING
    world.turn(dtls_session.MAX_PENDING)
    each.receive(b"\x16\xfe\xfd")
    assert len(world.context.handshakes) == 1
    finish(world, each)
    assert len(world.context.handshakes) == 0


def test_steps_that_come_after_the_end_do_nothing(world: World) -> None:
    each, told = session(world)
    each.run(m.DtlsRole.SERVER)
    each.receive(b"\x16\xfe\xfd")
    told.clear()
    finish(world, each)
    assert told == [] and world.engine.is_empty()
