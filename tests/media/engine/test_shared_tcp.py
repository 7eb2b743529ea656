"""TCP connections on ports that cores share: they go to the core that their first request names, once."""

from __future__ import annotations

import os
import socket

import pytest
from aioice import stun

from tests.media.engine.ice import COMPLETED, CONNECTED, DATAGRAM, HELLO, ICE_TUPLE, PASSWORD, binding
from tests.media.engine.rig import MS
from tests.media.engine.shared import GROUP, SHARE, TCP, Core, Host, Peer, name

CONNECTION = 16


class Stream(Peer):
    """A client of ICE over TCP (RFC 4571, RFC 6544)."""

    def __init__(self, host: Host, core: Core) -> None:
        super().__init__(host)
        self.sock.close()
        self.sock = socket.create_connection(core.tcp_address)
        self.sock.setblocking(False)
        self.address = self.sock.getsockname()[:2]
        host.run(1)

    def send(self, data: bytes, to: object = None) -> None:
        self.sock.send(len(data).to_bytes(2, "big") + data)

    def frames(self) -> list[bytes]:
        try:
            data, found = self.sock.recv(65536), []
        except BlockingIOError:
            return []
        while data:
            length = int.from_bytes(data[:2], "big")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        return found

    def is_closed(self) -> bool:
        try:
            return self.sock.recv(4096, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


def handovers(core: Core) -> list[tuple[int, ...]]:
    found = [event for event in core.events if event[0] == CONNECTION]
    core.events = [event for event in core.events if event[0] != CONNECTION]
    return found


def bring(host: Host, core: Core) -> None:
    """What the control threads do."""
    for _, _, share, listener, owner, fd, data in handovers(core):
        assert (share, listener) == (SHARE, 1)
        there = host.cores[owner]
        there.engine.add_connection(there.tcp_socket, os.dup(fd), data)
        os.close(fd)
        core.engine.connection_left()


def test_a_connection_goes_to_the_core_that_its_request_names(host: Host) -> None:
    a, b, _ = host.cores
    transport, peer = b.transport(), Stream(host, a)
    peer.check(name(1), a)
    assert a.engine.slots_used()["connections"] == 0
    peer.send(HELLO)  # while it is on its way
    bring(host, a)
    host.run(3)
    (answer,) = peer.frames()
    stun.parse_message(answer).check_message_integrity(PASSWORD.encode())
    assert b.states(transport)[-1] == COMPLETED
    assert [event[2] for event in b.events if event[0] == DATAGRAM] == [HELLO]
    (chosen,) = (event for event in b.events if event[0] == ICE_TUPLE)
    assert chosen[2] == TCP and chosen[5:] == peer.address
    assert (a.count("tcpHandedOut"), b.count("tcpHandedIn")) == (1, 1)
    assert [core.engine.slots_used()["connections"] for core in host.cores] == [0, 1, 0]
    assert host.owner(peer) is None, "a connection needs no table"


def test_what_was_read_before_goes_along(host: Host) -> None:
    """Garbage before the request, and half a frame behind it."""
    a, b, _ = host.cores
    transport, peer = b.transport(), Stream(host, a)
    request = binding(name(1))
    whole = b"".join(len(each).to_bytes(2, "big") + each for each in (HELLO, bytes(request), HELLO))
    peer.sock.send(whole[:-30])
    host.run(1)
    bring(host, a)
    host.run(1)
    peer.sock.send(whole[-30:])
    host.run(2)
    assert b.states(transport) == [CONNECTED]
    assert [event[2] for event in b.events if event[0] == DATAGRAM] == [HELLO]
    assert a.count("drop.unknownTuple") == 1


def test_a_connection_is_handed_over_once(host: Host) -> None:
    a, b, _ = host.cores
    peer = Stream(host, a)
    peer.check(name(1, "nobody"), a)
    bring(host, a)
    host.run(1)
    assert b.count("drop.stunUnknownUser") == 1
    peer.check(name(0, "nobody"), a)
    assert handovers(b) == [] and b.count("drop.stunUnknownUser") == 2


def test_a_verified_connection_stays(host: Host) -> None:
    a, _, _ = host.cores
    transport, peer = a.transport(), Stream(host, a)
    peer.check(name(0), a)
    peer.check(name(1), a)
    assert handovers(a) == [] and a.states(transport)[-1] == COMPLETED


def test_only_so_many_are_under_way(host: Host) -> None:
    a, b, _ = host.cores
    b.transport()
    peers = [Stream(host, a) for _ in range(70)]
    for peer in peers:
        peer.check(name(1), a)
    under_way = handovers(a)
    assert len(under_way) == 64
    for event in under_way:
        os.close(event[5])
        a.engine.connection_left()
    host.run(1)
    peers[-1].check(name(1), a)
    (event,) = handovers(a)
    os.close(event[5])


def test_who_brings_to_a_socket_that_is_gone_brings_nothing(host: Host) -> None:
    a, b, _ = host.cores
    peer = Stream(host, a)
    peer.check(name(1), a)
    ((*_, fd, data),) = handovers(a)
    with pytest.raises(TypeError):
        b.engine.add_connection(b.socket, fd, data)
    with pytest.raises(TypeError):
        b.engine.add_connection(b.tcp_socket, fd, bytes(5000))
    b.engine.add_connection(b.tcp_socket, fd, data)
    b.engine.close_socket(b.tcp_socket)
    host.run(2)
    assert peer.is_closed() and b.engine.slots_used()["connections"] == 0
    with pytest.raises(LookupError):
        b.engine.add_connection(b.tcp_socket, 0, b"")


def test_what_nobody_took_is_closed_with_the_engine(host: Host) -> None:
    a, _, _ = host.cores
    peer = Stream(host, a)
    peer.send(bytes(binding(name(1), "")))
    a.engine.step(a.now + MS)
    a.engine.close()
    assert peer.is_closed()
    host.cores.remove(a)


def test_one_that_was_brought_is_closed_before_anybody_looked_at_it(host: Host) -> None:
    """The next one gets its slot, and its place in the list of those to look at, in the same turn."""
    core = host.cores[0]
    other = socket.create_server(("127.0.0.1", 0))
    second = core.engine.add_socket(other.detach(), TCP, GROUP, core.share, 2)
    host.run(1)
    pairs = [socket.socketpair() for _ in range(2)]
    core.engine.add_connection(core.tcp_socket, pairs[0][0].detach(), b"\0")
    core.engine.close_socket(core.tcp_socket)
    core.engine.add_connection(second, pairs[1][0].detach(), b"\0")
    host.run(1)
    assert core.engine.slots_used()["connections"] == 1 and pairs[0][1].recv(1) == b""
    for _, peer in pairs:
        peer.close()
