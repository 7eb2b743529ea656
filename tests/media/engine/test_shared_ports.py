"""Ports that cores share: what comes to the wrong core finds its owner, and nothing else finds anything."""

from __future__ import annotations

import os
import random
import struct

import pytest
from aioice import stun
from pylibsrtp import Policy, Session

from tests.media.engine.ice import COMPLETED, CONNECTED, DATAGRAM, HELLO, ICE_TUPLE, PASSWORD, binding
from tests.media.engine.rig import PROFILES, Rtp, Subscriber, add_opus_producer, bound_socket
from tests.media.engine.shared import CAPACITY, SHARE, Core, Host, Peer, name

STALE_MS = 6000
INGRESS = 3
RTP, RTCP_ISH = bytes([0x80, 111]) + bytes(50), bytes([0x80, 200]) + bytes(50)


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
        self.producer, self.streams = add_opus_producer(home.engine, self.transport, mid="0")
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
    spoofed = binding(name(1, "caller"), "q" * 32)
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
    spoofed = binding(name(1), "")
    spoofed.attributes["USERNAME"] += "x" * 400
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
