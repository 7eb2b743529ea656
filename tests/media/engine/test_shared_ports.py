"""Ports that cores share: what comes to the wrong core finds its owner, and nothing else finds anything.

Each core has a port of its own here, so that a test decides which core a datagram comes to.
"""

from __future__ import annotations

import mmap
import os
import random
import socket
import struct
from collections.abc import Iterator
from itertools import combinations

import pytest
from aioice import stun
from pylibsrtp import Policy, Session

from sfu_core._flows import Flows, new_table
from tests.media.engine.rig import MS, OPUS, PROFILES, Rig, Rtp, Subscriber, bound_socket
from tests.media.engine.test_ice import COMPLETED, CONNECTED, DATAGRAM, HELLO, ICE_STATE, ICE_TUPLE

CAPACITY = 65536
GROUP, SHARE, UDP, TCP = 9, 5, 1, 2
PASSWORD = "p" * 32
STALE_MS = 6000
INGRESS = 3
RTP, RTCP_ISH = bytes([0x80, 111]) + bytes(50), bytes([0x80, 200]) + bytes(50)


def name(core: int, rest: str = "abcdef") -> str:
    """A user name fragment of that core."""
    return f"0{core}{rest}"


class Core(Rig):
    """One of several, with a socket of its own on the shared listener."""

    def __init__(self, table: int, number: int, ip: str) -> None:
        super().__init__()
        self.number = number
        self.ip = ip
        self.share = self.engine.add_share(table, SHARE, number)
        sock = bound_socket(ip)
        self.address = sock.getsockname()[:2]
        self.socket = self.engine.add_socket(sock.detach(), UDP, GROUP, self.share, 0)
        listening = socket.create_server((ip, 0), family=socket.AF_INET6 if ":" in ip else socket.AF_INET)
        listening.setblocking(False)
        self.tcp_address = listening.getsockname()[:2]
        self.tcp_socket = self.engine.add_socket(listening.detach(), TCP, GROUP, self.share, 1)
        self.links: dict[int, int] = {}

    def transport(self, rest: str = "abcdef", consent_ms: int = 30000) -> int:
        return self.engine.add_webrtc_transport(GROUP, name(self.number, rest), PASSWORD, consent_ms)

    def adopt(self) -> tuple[str, int]:
        """A socket of a core that died; its address."""
        sock = bound_socket(self.ip)
        address = sock.getsockname()[:2]
        self.engine.add_socket(sock.detach(), UDP, GROUP, self.share, 0)
        return address

    def states(self, transport: int) -> list[int]:
        return [event[2] for event in self.events if event[0] == ICE_STATE and event[1] == transport]

    def count(self, counter: str) -> int:
        return self.engine.core_stats().get(counter, 0)


class Host:
    """Cores that share a port, on one clock."""

    def __init__(self, count: int = 3, ip: str = "127.0.0.1") -> None:
        self.ip = ip
        self.table = new_table(count + 1)
        self.cores = [Core(self.table, number, ip) for number in range(count)]
        self.view = Flows(self.table, count)  # of a core that has nothing
        self.memories: dict[tuple[int, int], mmap.mmap] = {}
        for pair in combinations(range(count), 2):
            self.join(*pair)
        self.peers: list[Peer] = []
        self.run(1)

    def join(self, first: int, second: int) -> None:
        memfd = os.memfd_create("link")
        os.ftruncate(memfd, 2 * (CAPACITY + 4096))
        self.memories[first, second] = mmap.mmap(memfd, 2 * CAPACITY)
        bells = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        ends = [(bells[0], bells[1]), (os.dup(bells[1]), os.dup(bells[0]))]
        for side, (here, there) in enumerate(((first, second), (second, first))):
            core = self.cores[here]
            core.links[there] = core.engine.add_link(memfd, CAPACITY, side, *ends[side])
            core.engine.set_neighbour(there, core.links[there])
        os.close(memfd)

    def run(self, milliseconds: int) -> None:
        now = max(core.now for core in self.cores)
        for _ in range(milliseconds):
            for core in self.cores:
                core.now = now
                core.run(1)
            now += MS

    def pass_time(self, milliseconds: int) -> None:
        for core in self.cores:
            core.now += milliseconds * MS
        self.run(1)

    def owner(self, peer: Peer) -> int | None:
        found = self.view.owner(0, *peer.address)
        return None if found is None else found[0]

    def close(self) -> None:
        for peer in self.peers:
            peer.sock.close()
        for core in self.cores:
            core.close()
        for memory in self.memories.values():
            memory.close()
        os.close(self.table)


class Peer:
    """One address of a client."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sock = bound_socket(host.ip)
        self.address = self.sock.getsockname()[:2]
        host.peers.append(self)

    def send(self, data: bytes, to: Core | tuple[str, int]) -> None:
        self.sock.sendto(data, to.address if isinstance(to, Core) else to)

    def check(
        self, user: str, to: Core | tuple[str, int], password: str = PASSWORD, nominate: bool = True
    ) -> stun.Message:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{user}:peer"
        request.attributes["PRIORITY"] = 1845501695
        request.attributes["ICE-CONTROLLING"] = 1234
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(password.encode())
        self.send(bytes(request), to)
        self.host.run(2)
        return request

    def answers(self) -> list[tuple[bytes, tuple[str, int]]]:
        found = []
        while True:
            try:
                data, sender = self.sock.recvfrom(2048)
                found.append((data, sender[:2]))
            except BlockingIOError:
                return found


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    host = Host(ip=request.param)
    yield host
    host.close()


class Caller(Peer):
    """Speaks Opus over SRTP to a transport, and is heard by a subscriber on the same core."""

    def __init__(self, host: Host, home: Core) -> None:
        super().__init__(host)
        self.home, self.seq = home, 1
        self.transport = home.transport("caller")
        profile, length = PROFILES[1]
        ours, theirs = os.urandom(length), os.urandom(length)
        home.engine.set_srtp(self.transport, 1, theirs, ours)
        self.protect = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.video = False
        self.producer, self.streams = home.engine.add_producer(
            self.transport,
            0,
            [(111, 100, OPUS, 48000, -1)],
            [(1111, 0, "", 111)],
            mid="0",
            extensions={},
            nack=False,
            pli=False,
            fir=False,
            feedback=0,
            paused=False,
            key_frame_request_delay_ms=0,
            packet_id=False,
        )
        self.heard = Subscriber(home, self)  # type: ignore[arg-type]
        host.run(1)

    def say(self, to: Core | tuple[str, int], size: int = 60) -> None:
        packet = Rtp(111, self.seq, self.seq * 960, 1111, b"\x78" + self.seq.to_bytes(4, "big") + bytes(size))
        self.seq += 1
        self.send(self.protect.protect(packet.pack()), to)


def test_a_request_on_the_wrong_core_is_answered_by_the_one_it_names(host: Host) -> None:
    a, b, _ = host.cores
    transport, peer = b.transport(), Peer(host)
    request = peer.check(name(1), a)
    ((answer, sender),) = peer.answers()
    message = stun.parse_message(answer)
    message.check_message_integrity(PASSWORD.encode())
    assert message.transaction_id == request.transaction_id
    assert message.attributes["XOR-MAPPED-ADDRESS"] == peer.address
    assert sender == b.address, "all that leaves leaves from the owner's own socket"
    assert b.states(transport) == [COMPLETED] or b.states(transport) == [CONNECTED, COMPLETED]
    (chosen,) = (event for event in b.events if event[0] == ICE_TUPLE)
    assert chosen[3:] == (*b.address, *peer.address)
    assert (a.count("handedOut"), b.count("handedIn"), a.count("handedIn")) == (1, 1, 0)
    assert host.owner(peer) == 1


def test_dtls_and_media_follow_the_verified_address(host: Host) -> None:
    a, b, c = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    caller.send(HELLO, c)
    host.run(2)
    assert [event[2] for event in b.events if event[0] == DATAGRAM] == [HELLO]
    for number in range(300):
        caller.say((a, c, b)[number % 3])
        if number % 20 == 19:
            host.run(2)
    host.run(2)
    assert len(caller.heard.media) == 300
    assert [int.from_bytes(packet.payload[1:5], "big") for packet in caller.heard.media[:1]] == [1]
    assert b.count("handedIn") == 1 + 1 + 200


def test_before_it_is_verified_an_address_is_nobodys(host: Host) -> None:
    a, b, _ = host.cores
    b.transport()
    peer = Peer(host)
    for data in (HELLO, RTP, RTCP_ISH):
        peer.send(data, a)
    host.run(2)
    assert a.count("drop.unknownTuple") == 3 and a.count("handedOut") == 0


@pytest.mark.parametrize("user", [name(0), name(3), name(9), "zzabcdef", "AAabcdef", "1", "..abcdef"])
def test_a_request_that_names_no_other_core_stays_and_is_dropped(host: Host, user: str) -> None:
    peer = Peer(host)
    peer.check(user, host.cores[0])
    dropped = host.cores[0].count("drop.stunUnknownUser") + host.cores[0].count("drop.linkFull")
    assert (host.cores[0].count("handedOut"), dropped, peer.answers()) == (0, 1, [])


def test_ten_thousand_spoofed_addresses_leave_nothing(host: Host) -> None:
    """Valid user, wrong integrity; and garbage. A running call loses nothing meanwhile."""
    a, b, c = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    host.run(1)
    spoofed = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    spoofed.attributes["USERNAME"] = f"{name(1, 'caller')}:peer"
    spoofed.attributes["PRIORITY"] = 1
    spoofed.attributes["ICE-CONTROLLING"] = 1
    spoofed.add_message_integrity(b"q" * 32)
    peers = [Peer(host) for _ in range(200)]
    for turn in range(50):
        for number, peer in enumerate(peers):
            garbage = (RTP, HELLO, b"\x00", b"\xff" * 900)[number // 2 % 4]
            peer.send(bytes(spoofed) if number % 2 else garbage, (a, c)[turn % 2])
        caller.say((c, a)[turn % 2])
        host.run(2)
        for peer in peers:
            peer.answers()
    host.run(2)
    assert [core.engine.slots_used()["tuples"] for core in host.cores] == [0, 1, 0]
    assert b.count("drop.stunUnauthorized") > 4000
    assert len(caller.heard.media) == 50
    assert not any(host.owner(peer) is not None for peer in peers)


def test_strangers_do_not_fill_the_ring_that_calls_need(host: Host) -> None:
    a, b, _ = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    stranger = Peer(host)
    spoofed = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    spoofed.attributes["USERNAME"] = f"{name(1)}:{'x' * 400}"
    for _ in range(30):  # b does not read
        for _ in range(20):
            stranger.send(bytes(spoofed), a)
        a.run(1)
    assert a.count("drop.linkFull") > 0
    before = a.count("handedOut")
    for _ in range(100):
        caller.say(a)
        a.run(1)
    assert a.count("handedOut") - before == 100
    host.run(3)
    assert len(caller.heard.media) == 100


def test_a_full_ring_drops_and_counts(host: Host) -> None:
    a, b, _ = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    for _ in range(100):
        caller.say(a, 1000)
        a.run(1)
    dropped = a.count("drop.linkFull")
    assert 30 < dropped < 50
    host.run(10)
    assert len(caller.heard.media) == 100 - dropped
    caller.say(a)
    host.run(3)
    assert len(caller.heard.media) == 101 - dropped


def test_a_new_address_and_an_ice_restart_on_any_core(host: Host) -> None:
    a, b, c = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    caller.say(c)
    host.run(2)
    moved = bound_socket(host.ip)  # the same client behind another port
    caller.sock.close()
    caller.sock, caller.address = moved, moved.getsockname()[:2]
    caller.check(name(1, "caller"), c)
    caller.say(a)
    host.run(2)
    b.engine.restart_ice(caller.transport, name(1, "second"), "r" * 32)
    host.run(1)
    caller.check(name(1, "second"), a, "r" * 32)
    caller.say(c)
    host.run(2)
    assert [int.from_bytes(packet.payload[1:5], "big") for packet in caller.heard.media] == [1, 2, 3]
    assert b.engine.slots_used()["tuples"] == 2 and host.owner(caller) == 1


def test_an_address_of_another_core_changes_hands_only_when_it_is_silent(host: Host) -> None:
    a, b, c = host.cores
    first, second, peer = a.transport(), b.transport(), Peer(host)
    peer.check(name(0), c)
    host.run(1)
    peer.answers()
    peer.check(name(1), c)
    assert peer.answers() == [] and b.states(second) == [], "it is somebody else's"
    assert host.owner(peer) == 0
    host.pass_time(STALE_MS + 100)
    peer.check(name(1), a)
    assert b.states(second)[-1] == COMPLETED and host.owner(peer) == 1
    peer.send(HELLO, a)  # the core of the former owner
    host.run(2)
    assert [event[1] for event in b.events if event[0] == DATAGRAM] == [second]
    assert [event[1] for event in a.events if event[0] == DATAGRAM] == []
    assert a.engine.slots_used()["tuples"] == 0 and a.states(first)[-1] == 3


def test_what_is_forgotten_leaves_the_table(host: Host) -> None:
    a, b, _ = host.cores
    transport, peer = b.transport(), Peer(host)
    peer.check(name(1), a)
    assert host.owner(peer) == 1
    b.engine.close_transport(transport)
    host.run(2)
    assert host.owner(peer) is None
    peer.send(HELLO, a)
    host.run(2)
    assert a.count("drop.unknownTuple") == 1


def test_consent_expires_and_the_address_is_free(host: Host) -> None:
    a, b, _ = host.cores
    transport, peer = b.transport(consent_ms=10000), Peer(host)
    peer.check(name(1), a)
    host.pass_time(11000)
    assert b.states(transport)[-1] == 3 and host.owner(peer) is None


def test_adopted_sockets_are_read_and_never_written(host: Host) -> None:
    a, b, _ = host.cores
    orphaned = a.adopt()
    host.run(1)
    own, others, peer, second = a.transport(), b.transport(), Peer(host), Peer(host)
    peer.check(name(0), orphaned)
    ((_, sender),) = peer.answers()
    assert sender == a.address and a.states(own)[-1] == COMPLETED
    second.check(name(1), orphaned)
    ((_, sender),) = second.answers()
    assert sender == b.address and b.states(others)[-1] == COMPLETED


def test_a_core_that_is_gone_costs_only_what_is_for_it(host: Host) -> None:
    a, b, c = host.cores
    caller = Caller(host, c)
    b.transport()
    lost = Peer(host)
    lost.check(name(1), a)
    caller.check(name(2, "caller"), a)
    a.engine.close_link(a.links[1])
    host.run(1)
    lost.send(HELLO, a)
    lost.check(name(1), a)
    caller.say(a)
    host.run(2)
    assert a.count("drop.linkFull") == 2
    assert len(caller.heard.media) == 1
    # Its addresses are free at once for transports elsewhere.
    c.engine.close_link(c.links[1])
    host.run(1)
    transport = c.transport("again")
    lost.check(name(2, "again"), a)
    assert c.states(transport)[-1] == COMPLETED


def test_nonsense_from_a_neighbour_only_counts(host: Host) -> None:
    a, b, _ = host.cores
    caller = Caller(host, b)
    caller.check(name(1, "caller"), a)
    memory, noise = host.memories[0, 1], random.Random(1)
    link = struct.Struct("<II")
    for number in range(3000):
        tail = struct.unpack_from("<Q", memory, 0)[0]
        address = noise.choice((struct.pack("<I", 16), struct.pack("<I", 28), noise.randbytes(4))) + noise.randbytes(28)
        share = noise.choice((SHARE, 0, noise.getrandbits(32)))
        head = struct.pack("<II", share, noise.choice((0, 1, 2, 31, 32, 2**32 - 1)))
        record = (head + address + noise.randbytes(noise.randrange(300)))[: noise.choice((8, 39, 40, 41, 400))]
        if number % 50 == 0:
            record = head + address + bytes(2100)
        offset = tail % CAPACITY
        room = 8 + (len(record) + 7) // 8 * 8
        if offset + room > CAPACITY:
            memory[192 + offset : 192 + offset + 8] = link.pack(0xFFFFFFFF, 0)[:8]
            struct.pack_into("<Q", memory, 0, tail + CAPACITY - offset)
            continue
        memory[192 + offset : 192 + offset + 8] = link.pack(len(record), INGRESS)
        memory[200 + offset : 200 + offset + len(record)] = record
        struct.pack_into("<Q", memory, 0, tail + room)
        b.run(1)
    assert b.engine.slots_used()["tuples"] == 1
    assert b.count("drop.unknownTuple") > 1000
    caller.say(host.cores[2])
    host.run(2)
    assert len(caller.heard.media) == 1


def test_closing_in_order_leaves_nothing(host: Host) -> None:
    b = host.cores[1]
    transport, peer = b.transport(), Peer(host)
    peer.check(name(1), host.cores[0])
    peer.answers()
    b.engine.close_transport(transport)
    b.engine.close_socket(b.socket)
    b.engine.close_socket(b.tcp_socket)
    b.engine.close_share(b.share)
    host.run(2)
    assert b.engine.slots_used() == dict.fromkeys(b.engine.slots_used(), 0)
    with pytest.raises(LookupError):
        b.engine.close_share(b.share)
    peer.check(name(1), host.cores[0])
    assert peer.answers() == [] and b.count("drop.unknownTuple") == 1, "handed over, and refused there"
