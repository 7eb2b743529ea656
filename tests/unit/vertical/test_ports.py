"""One port for all cores: bound once, handed to each, held while a core is dead, closed everywhere."""

import asyncio
import os
import socket
from functools import partial

import pytest
from fake_core import CODECS, LOOPBACK, House, certificate
from msgspec.structs import replace

from sfu_core._flows import new_table
from sfu_core.channel import messages as m
from sfu_core.channel.place import local_place
from sfu_core.errors import SfuError
from sfu_core.worker.door import Door
from vertical.ports import Port

UDP_AND_TCP = [LOOPBACK, {"protocol": "tcp", "ip": "127.0.0.1"}]


async def make_server(house, infos=UDP_AND_TCP):
    for core in house.cores:
        core.context.certificate = certificate
    return await house.worker.create_webrtc_server(listen_infos=infos)


async def settled(house, condition):
    while not condition():
        await asyncio.sleep(0.001)
    await house.quiet()


def sockets_of(core):
    return [socket.socket(fileno=os.dup(each["fd"])) for each in core.engine.live["socket"].values()]


def ports_of(core):
    sockets = sockets_of(core)
    try:
        return [(sock.type, sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def adopted(core):
    (server,) = core.worker.servers.values()
    return sorted(server.port._adopted)


@pytest.mark.parametrize(
    "info", [{}, {"portRange": {"min": 45000, "max": 45050}}, {"port": 45110}], ids=["any port", "range", "one port"]
)
async def test_all_cores_listen_on_one_port(house, info):
    server = await make_server(house, [each | info for each in UDP_AND_TCP])
    first, second = (ports_of(core) for core in house.cores)
    assert first == second and len(first) == 2
    dump = await server.dump()
    assert [dump["udpSockets"], dump["tcpServers"]] == [[{"ip": "127.0.0.1", "port": port}] for _, port in first]
    transports = [await house.router.create_webrtc_transport(webrtc_server=server) for _ in range(4)]
    assert {house.core_of(each) for each in transports} == set(house.cores)
    assert {each.ice_candidates[0]["port"] for each in transports} == {first[0][1]}
    assert (await server.dump())["webRtcTransportIds"] == [each.id for each in transports]
    server.close()
    assert all(each.closed for each in transports)
    await house.quiet()
    assert not any(core.worker.servers or core.engine.live["share"] for core in house.cores)


async def test_user_names_tell_the_core_also_after_a_restart(house):
    server = await make_server(house)
    for _ in range(2):
        transport = await house.router.create_webrtc_transport(webrtc_server=server)
        number = house.cores.index(house.core_of(transport))
        for parameters in (transport.ice_parameters, await transport.restart_ice()):
            assert parameters["usernameFragment"].startswith(f"0{number}")
            assert len(parameters["usernameFragment"]) == 32


async def test_cores_know_each_other(house):
    await make_server(house)
    for index, core in enumerate(house.cores):
        for number, link in core.engine.called("set_neighbour"):
            assert number == 1 - index and link in core.engine.live["link"]
        assert core.worker.handovers.neighbours == {1 - index: house.cores[1 - index].worker.door.address}
    await make_server(house)
    assert [len(core.engine.live["link"]) for core in house.cores] == [1, 1], "one ring for all"


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_a_port_in_use_is_an_error_also_if_its_user_would_share_it(house, kind, reuse):
    with socket.socket(socket.AF_INET, kind) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        before = len(os.listdir("/proc/self/fd"))
        protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        info = {"protocol": protocol, "ip": "127.0.0.1", "port": other.getsockname()[1]}
        with pytest.raises(SfuError, match="bind failed: address already in use"):
            await make_server(house, [LOOPBACK, info])
        assert len(os.listdir("/proc/self/fd")) == before
        assert (await house.worker.dump())["webRtcServerIds"] == []


async def test_a_port_is_free_as_soon_as_its_server_is_closed(house):
    for _ in range(20):
        server = await make_server(house, [each | {"port": 45111} for each in UDP_AND_TCP])
        server.close()


async def test_a_port_that_cores_are_late_to_close_is_waited_for_without_holding_them_up(house, monkeypatch):
    infos = [each | {"port": 45112} for each in UDP_AND_TCP]
    server = await make_server(house, infos)
    loop = asyncio.get_running_loop()
    for engine in (core.engine for core in house.cores):
        for name in ("close_socket", "close_share"):
            late = partial(loop.call_later, 0.1, getattr(engine, name))
            monkeypatch.setattr(engine, name, late)
    server.close()
    await house.quiet()
    monkeypatch.undo()
    await make_server(house, infos)


async def test_no_descriptor_is_left(house):
    (await make_server(house)).close()
    await house.quiet()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        server = await make_server(house)
        await house.router.create_webrtc_transport(webrtc_server=server)
        server.close()
        await house.quiet()
    assert len(os.listdir("/proc/self/fd")) == before


def test_when_descriptors_run_out_those_there_are_are_given_back(monkeypatch):
    infos = [m.ListenInfo(ip="127.0.0.1", expose_internal_ip=False, port_range=m.PortRange(), flags=m.SocketFlags())]
    port = Port("s", infos * 3, {}, 1)
    port.bind((40000, 49999), [0])
    before, dup = sorted(os.listdir("/proc/self/fd")), os.dup
    copies = []

    def third_fails(descriptor):
        if len(copies) == 2:
            raise OSError("too many open files")
        copies.append(dup(descriptor))
        return copies[-1]

    with monkeypatch.context() as patch, pytest.raises(OSError, match="too many"):
        patch.setattr(os, "dup", third_fails)
        port.descriptors(0)
    assert len(copies) == 2 and sorted(os.listdir("/proc/self/fd")) == before
    port.close()


async def test_an_error_of_one_core_leaves_nothing(house):
    second = house.cores[1]

    def refuse(*_):
        raise BufferError("no room")

    add_share, second.engine.add_share = second.engine.add_share, refuse
    with pytest.raises(SfuError, match="no room"):
        await make_server(house)
    await house.quiet()
    assert not any(core.worker.servers or core.engine.live["socket"] for core in house.cores)
    second.engine.add_share = add_share
    await make_server(house)


async def test_a_dead_cores_sockets_are_read_by_its_neighbour_until_its_successor_does(house):
    server = await make_server(house)
    first, second = house.cores
    house.source.failure = SfuError("no successor yet")
    second.kill()
    await settled(house, lambda: adopted(first))
    assert adopted(first) == [1] and len(first.engine.live["socket"]) == 4
    assert len(set(ports_of(first))) == 2
    assert len((await server.dump())["udpSockets"]) == 1
    house.source.failure = None
    await settled(house, lambda: len(house.cores) == 2 and not adopted(first))
    assert ports_of(house.cores[1]) == ports_of(first)
    assert house.cores[1].worker.handovers.neighbours.keys() == {0}
    house.cores[1].context.certificate = certificate
    transports = [await house.router.create_webrtc_transport(webrtc_server=server) for _ in range(2)]
    assert {house.core_of(each) for each in transports} == set(house.cores)
    server.close()
    await house.quiet()
    assert not any(core.engine.live["socket"] for core in house.cores)


@pytest.fixture
def three(runner):
    house = runner.run(House.open(3))
    yield house
    runner.run(house.close())


async def test_a_core_that_is_added_has_the_port_too(three):
    house = three
    house.cluster.resize(2)
    house.cores[2].kill()  # there are enough
    await house.quiet()
    server = await make_server(house)
    assert len(house.cores) == 2
    house.cluster.resize(3)
    await settled(house, lambda: len(house.cores) == 3 and house.cores[2].worker.servers)
    third = house.cores[2]
    assert ports_of(third) == ports_of(house.cores[0])
    assert third.worker.handovers.neighbours.keys() == {0, 1}
    assert [sorted(core.worker.handovers.neighbours) for core in house.cores[:2]] == [[1, 2], [0, 2]]
    third.context.certificate = certificate
    transports = [await house.router.create_webrtc_transport(webrtc_server=server) for _ in range(3)]
    assert {house.core_of(each) for each in transports} == set(house.cores)


async def test_cores_of_another_host_that_come_later_have_no_part(three):
    """Neither transports of the server, nor what a core that died has left behind."""
    ours, theirs = local_place(), replace(local_place(), host_id="elsewhere", announced_addresses=("192.0.2.1",))
    house = three
    house.cluster.resize(2)
    house.cores[2].kill()
    await house.quiet()
    server = await make_server(house)
    house.source.places = [ours, ours, theirs]
    house.cluster.resize(3)
    await settled(house, lambda: len(house.cores) == 3)
    first, second, stranger = house.cores
    transports = [await house.router.create_webrtc_transport(webrtc_server=server) for _ in range(4)]
    assert {house.core_of(each) for each in transports} == {first, second}
    second.kill()
    await settled(house, lambda: len(house.cores) == 3 and house.cores[-1].worker.servers)
    assert ports_of(house.cores[-1]) == ports_of(first)
    house.source.places = [ours, theirs, theirs]
    house.cores[-1].kill()
    await settled(house, lambda: len(house.cores) == 3)
    assert adopted(first) == [1]
    assert not stranger.worker.servers
    house.source.places = [theirs] * 3
    first.kill()
    await settled(house, lambda: len(house.cores) == 3)
    with pytest.raises(SfuError, match="none of the cores"):
        await house.router.create_webrtc_transport(webrtc_server=server)


async def test_who_read_for_a_dead_core_dies_as_well(three):
    await make_server(three)
    first, second, third = three.cores
    three.source.failure = SfuError("no successor yet")
    second.kill()
    await settled(three, lambda: adopted(third))
    assert adopted(first) == []
    third.kill()
    await settled(three, lambda: len(adopted(first)) == 2)
    three.source.failure = None
    await settled(three, lambda: len(three.cores) == 3 and not adopted(first))
    assert all(ports_of(core) == ports_of(first) for core in three.cores)


@pytest.mark.parametrize("turns", range(0, 60, 2))
async def test_two_cores_die_one_after_the_other(three, turns, caplog):
    """Also while the successor of the first one meets the second one: it has its part all the same."""
    await make_server(three)
    first, second, _ = three.cores
    first.kill()
    for _ in range(turns):
        await asyncio.sleep(0)
    second.kill()
    await settled(three, lambda: len(three.cores) == 3 and all(core.worker.servers for core in three.cores))
    assert [adopted(core) for core in three.cores] == [[], [], []]
    assert caplog.messages == []


async def test_the_server_ends_while_a_core_is_dead(house):
    infos = [each | {"port": 45112} for each in UDP_AND_TCP]
    server = await make_server(house, infos)
    house.source.failure = SfuError("no successor yet")
    house.cores[1].kill()
    server.close()
    house.source.failure = None
    await settled(house, lambda: len(house.cores) == 2)
    assert not any(core.worker.servers or core.engine.live["socket"] for core in house.cores)
    await make_server(house, infos)


async def test_a_core_that_dies_before_it_has_fetched_its_sockets_keeps_no_port(house):
    infos = [each | {"port": 45113} for each in UDP_AND_TCP]
    house.source.failure = SfuError("no successor yet")
    second = house.cores[1]
    put = second._put

    def hold_it(item):
        if isinstance(item[0], m.WorkerShareWebRtcServer):
            second.hold()
        put(item)

    second._put = hold_it
    making = asyncio.ensure_future(make_server(house, infos))
    await settled(house, lambda: second._held)
    second.kill()
    server = await making
    assert len(house.cores) == 1
    server.close()
    await make_server(house, infos)


async def test_two_logical_workers_have_a_port_each(house):
    await make_server(house)
    other = await house.mediasoup.create_worker()
    server = await other.create_webrtc_server(listen_infos=UDP_AND_TCP)
    router = await other.create_router(media_codecs=CODECS)
    transport = await router.create_webrtc_transport(webrtc_server=server)
    numbers = {each["number"] for core in house.cores for each in core.engine.live["share"].values()}
    assert len(numbers) == 2
    other.close()
    await house.quiet()
    assert transport.closed and [len(core.worker.servers) for core in house.cores] == [1, 1]


async def test_a_door_that_stays_shut_is_an_error(house):
    key = m.DoorKey(address="sfu-core-nobody", token=b"x" * 32)
    message = m.WorkerShareWebRtcServer(
        web_rtc_server_id="s", listen_infos=[], door=key, number=1, secret=b"y" * 32, core=0
    )
    with pytest.raises(SfuError, match="could not be fetched"):
        await house.cores[0].request(message)
    assert house.cores[0].engine.is_empty()


@pytest.mark.parametrize("wrong", [1, 2])
async def test_a_descriptor_that_is_no_socket_is_an_error_and_leaves_none(house, wrong):
    core, door = house.cores[0], Door(asyncio.get_running_loop())
    before = len(os.listdir("/proc/self/fd"))
    offered = [new_table(2), *(socket.socket(type=socket.SOCK_DGRAM).detach() for _ in range(2))]
    os.close(offered[wrong])
    offered[wrong] = os.eventfd(0)
    address, token = door.offer(offered)
    message = m.WorkerShareWebRtcServer(
        web_rtc_server_id="s",
        listen_infos=[],
        door=m.DoorKey(address=address, token=token),
        number=1,
        secret=b"y" * 32,
        core=0,
    )
    with pytest.raises(SfuError, match="could not be fetched"):
        await core.request(message)
    door.close()
    await house.quiet()
    assert core.engine.is_empty() and len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("turns", range(12))
async def test_a_server_is_closed_while_a_core_is_replaced(house, turns):
    server = await make_server(house)
    house.cores[0].kill()
    for _ in range(turns):
        await asyncio.sleep(0)
    server.close()
    await settled(house, lambda: len(house.cores) == 2)
    assert not any(core.worker.servers or core.engine.live["share"] for core in house.cores)


@pytest.mark.parametrize("turns", range(0, 60, 2))
async def test_the_successor_dies_as_well(house, turns):
    await make_server(house)
    victim, other = house.cores
    victim.kill()
    while len(house.cores) < 2:
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    house.source.failure = SfuError("no successor yet")
    house.source.cores[-1].kill()
    await house.quiet()
    assert adopted(other) == [0]
    house.source.failure = None
    await settled(house, lambda: len(house.cores) == 2 and not adopted(other))
    assert ports_of(house.source.cores[-1]) == ports_of(other)
