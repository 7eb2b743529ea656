"""TCP connections on the wrong core: out through a neighbour's door, in through ours, closed where they cannot go."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from sfu_core._flows import new_table
from sfu_core.channel import messages as m
from sfu_core.worker.binding import bind
from sfu_core.worker.door import Door, deposit
from sfu_core.worker.events import EngineEvent

from .conftest import World, listen_info

SECRET = b"s" * 32
INFOS = [listen_info(), listen_info(protocol=m.TransportProtocol.TCP)]
NUMBER, LISTENER, THEIRS = 7, 1, 1


def share(world: World) -> None:
    """A shared server on this core, which is number 0."""

    async def make() -> None:
        door = Door(world.loop)
        sockets = [bind(info, (40000, 49999), shared=True)[1].detach() for info in INFOS]
        address, token = door.offer([new_table(2), *sockets])
        key = m.DoorKey(address=address, token=token)
        await world.ask(
            m.WorkerShareWebRtcServer(
                web_rtc_server_id="s", listen_infos=INFOS, door=key, number=NUMBER, secret=SECRET, core=0
            )
        )
        door.close()

    world.loop.run_until_complete(make())


def until(world: World, condition: Callable[[], Any]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    world.loop.run_until_complete(wait())


def connection() -> tuple[socket.socket, int]:
    """A client, and the descriptor of its connection on our side."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    client.settimeout(5)
    return client, accepted.detach()


@pytest.fixture(autouse=True)
def nothing_left(world: World) -> Any:
    before = len(os.listdir("/proc/self/fd"))
    yield
    world.worker.close()
    world.turn(5)
    assert len(os.listdir("/proc/self/fd")) == before


def report(world: World, fd: int, number: int = NUMBER, owner: int = THEIRS) -> None:
    world.emit(EngineEvent.CONNECTION, 0, number, LISTENER, owner, fd, b"said")


def test_it_is_left_at_the_owners_door(world: World) -> None:
    share(world)
    theirs, got = Door(world.loop), []
    theirs.expect(SECRET, lambda data, fd: got.append((data, fd)))
    world.worker.handovers.neighbours[THEIRS] = theirs.address
    client, fd = connection()
    report(world, fd)
    until(world, lambda: got and world.engine.called("connection_left"))
    ((data, copy),) = got
    assert data == LISTENER.to_bytes(4, "little") + b"said"
    os.write(copy, b"hello")
    assert client.recv(5) == b"hello"
    os.close(copy), client.close(), theirs.close()


@pytest.mark.parametrize("number", [NUMBER, NUMBER + 1], ids=["no such core", "no such port"])
def test_where_it_cannot_go_it_ends(world: World, number: int) -> None:
    share(world)
    client, fd = connection()
    report(world, fd, number)
    assert client.recv(1) == b"" and len(world.engine.called("connection_left")) == 1
    client.close()


def test_a_door_that_is_gone_ends_it(world: World) -> None:
    share(world)
    world.worker.handovers.neighbours[THEIRS] = "sfu-core-nobody"
    client, fd = connection()
    report(world, fd)
    until(world, lambda: world.engine.called("connection_left"))
    assert client.recv(1) == b""
    client.close()


def test_closing_ends_what_is_under_way(world: World) -> None:
    share(world)
    world.worker.handovers.neighbours[THEIRS] = "sfu-core-nobody"
    client, fd = connection()
    report(world, fd)
    world.worker.close()
    world.turn(5)
    assert client.recv(1) == b""
    client.close()


def leave(world: World, data: bytes, fd: int) -> None:
    world.loop.run_until_complete(deposit(world.loop, world.worker.door.address, SECRET, data, fd))
    os.close(fd)
    until(world, lambda: not world.worker.door._visits)


def test_what_is_left_with_us_goes_to_the_engine(world: World) -> None:
    share(world)
    client, fd = connection()
    leave(world, LISTENER.to_bytes(4, "little") + b"said", fd)
    ((handle, taken, data),) = world.engine.called("add_connection")
    assert (world.engine.live["socket"][handle]["protocol"], data) == (2, b"said")
    os.close(taken), client.close()


@pytest.mark.parametrize("data", [b"", b"\1\0\0", bytes(4), b"\2\0\0\0", b"\xff" * 40], ids=str)
def test_what_names_no_tcp_port_of_ours_ends(world: World, data: bytes) -> None:
    share(world)
    client, fd = connection()
    leave(world, data, fd)
    assert client.recv(1) == b"" and world.engine.called("add_connection") == []
    client.close()


def test_what_is_no_connection_ends(world: World) -> None:
    share(world)
    for fd in (os.eventfd(0), socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()):
        leave(world, LISTENER.to_bytes(4, "little"), fd)
    assert world.engine.called("add_connection") == []


def test_a_server_that_is_closed_takes_nothing(world: World) -> None:
    share(world)
    world.ask(m.WorkerWebRtcServerClose(web_rtc_server_id="s"))
    client, fd = connection()
    leave(world, LISTENER.to_bytes(4, "little"), fd)
    assert client.recv(1) == b"" and world.engine.is_empty()
    client.close()
