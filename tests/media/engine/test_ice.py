"""ICE-lite as a browser or a stranger sees it; the STUN of the peers is aioice's."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from aioice import stun

from tests.media.engine.ice import (
    COMPLETED,
    CONNECTED,
    DATAGRAM,
    DISCONNECTED,
    HELLO,
    ICE_STATE,
    ICE_TUPLE,
    PASSWORD,
    binding,
    drain,
)
from tests.media.engine.rig import MS, Rig, bound_socket

GROUP = 7


class Server:
    """A shared UDP port with transports behind it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        sock = bound_socket()
        self.address = sock.getsockname()
        rig.engine.add_socket(sock.detach(), 1, GROUP)
        rig.run(1)

    def transport(self, name: str = "abcd", consent_ms: int = 30000, group: int = GROUP) -> int:
        return self.rig.engine.add_webrtc_transport(group, name, PASSWORD, consent_ms)


class Peer:
    """One address of a client."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sock = bound_socket()
        server.rig.sockets.append(self.sock)

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.server.address)

    def check(self, name: str = "abcd", password: str = PASSWORD, **options: bool) -> bytes:
        request = binding(name, password, **options)
        self.send(bytes(request))
        self.server.rig.run(1)
        self.id = request.transaction_id
        return bytes(request)

    def answers(self) -> list[bytes]:
        return [data for data, _ in drain(self.sock)]


def verified(answer: bytes, password: bytes) -> stun.Message:
    message = stun.parse_message(answer)
    message.check_message_integrity(password)
    return message


@pytest.fixture
def server(rig: Rig) -> Iterator[Server]:
    yield Server(rig)


def states(rig: Rig, transport: int) -> list[int]:
    return [event[2] for event in rig.events if event[0] == ICE_STATE and event[1] == transport]


def test_a_check_is_answered_and_connects(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check()
    (answer,) = peer.answers()
    message = verified(answer, PASSWORD.encode())
    assert message.message_class == stun.Class.RESPONSE
    assert message.transaction_id == peer.id
    assert message.attributes["XOR-MAPPED-ADDRESS"] == peer.sock.getsockname()
    assert states(rig, transport) == [CONNECTED]
    peer.check(nominate=True)
    assert states(rig, transport) == [CONNECTED, COMPLETED]
    tuples = [event for event in rig.events if event[0] == ICE_TUPLE]
    assert len(tuples) == 1 and tuples[0][5:7] == peer.sock.getsockname()


def test_a_wrong_password_gets_401_and_leaves_nothing(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check(password="q" * 32)
    (answer,) = peer.answers()
    assert stun.parse_message(answer).attributes["ERROR-CODE"][0] == 401
    assert states(rig, transport) == []
    assert rig.engine.slots_used()["tuples"] == 0


def test_an_unknown_user_is_not_even_answered(rig: Rig, server: Server) -> None:
    server.transport()
    peer = Peer(server)
    peer.check(name="efgh")
    assert peer.answers() == []
    assert rig.engine.core_stats()["drop.stunUnknownUser"] == 1


def test_a_transport_of_another_port_is_not_reached_through_this_one(rig: Rig, server: Server) -> None:
    server.transport(group=GROUP + 1)
    peer = Peer(server)
    peer.check()
    assert peer.answers() == []


def test_a_controlled_peer_is_told_of_the_conflict(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check(controlled=True)
    (answer,) = peer.answers()
    assert stun.parse_message(answer).attributes["ERROR-CODE"][0] == 487
    assert states(rig, transport) == []


def test_at_most_eight_addresses_the_oldest_goes(rig: Rig, server: Server) -> None:
    transport = server.transport()
    peers = [Peer(server) for _ in range(12)]
    for peer in peers:
        peer.check()
    assert rig.engine.slots_used()["tuples"] == 8
    known = {entry[3] for entry in rig.engine.transport_tuples(transport)}
    assert peers[0].sock.getsockname()[1] in known, "the selected one stays"
    assert {peer.sock.getsockname()[1] for peer in peers[-7:]} <= known


def test_nomination_moves_the_selected_address(rig: Rig, server: Server) -> None:
    transport, one, two = server.transport(), Peer(server), Peer(server)
    one.check(nominate=True)
    two.check()
    assert rig.engine.transport_stats(transport)["remote"] == one.sock.getsockname()
    two.check(nominate=True)
    assert rig.engine.transport_stats(transport)["remote"] == two.sock.getsockname()


def test_dtls_is_taken_from_verified_addresses_only(rig: Rig, server: Server) -> None:
    transport, peer, stranger = server.transport(), Peer(server), Peer(server)
    peer.send(HELLO)
    rig.run(1)
    peer.check()
    peer.send(HELLO)
    stranger.send(HELLO)
    rig.run(1)
    assert [event for event in rig.events if event[0] == DATAGRAM] == [(DATAGRAM, transport, HELLO)]
    assert rig.engine.core_stats()["drop.unknownTuple"] == 2


def test_dtls_goes_back_to_the_selected_address(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check(nominate=True)
    peer.answers()
    assert rig.engine.send_datagram(transport, HELLO)
    rig.run(1)
    assert peer.answers() == [HELLO]


def test_consent_expires_without_checks(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(consent_ms=10000), Peer(server)
    peer.check(nominate=True)
    for _ in range(3):
        rig.now += 9000 * MS
        peer.check()
    assert states(rig, transport) == [CONNECTED, COMPLETED] or states(rig, transport) == [COMPLETED]
    rig.now += 10001 * MS
    rig.run(2)
    assert states(rig, transport)[-1] == DISCONNECTED
    assert rig.engine.slots_used()["tuples"] == 0
    peer.check(nominate=True)
    assert states(rig, transport)[-1] == COMPLETED, "a later valid request reconnects"


def test_a_restart_keeps_the_old_names_until_the_new_ones_are_used(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check(nominate=True)
    peer.answers()
    rig.engine.restart_ice(transport, "wxyz", "r" * 32)
    peer.check()
    (answer,) = peer.answers()
    assert verified(answer, PASSWORD.encode()).message_class == stun.Class.RESPONSE
    peer.check(name="wxyz", password="r" * 32)
    (answer,) = peer.answers()
    assert verified(answer, b"r" * 32).message_class == stun.Class.RESPONSE
    peer.check()
    assert peer.answers() == [], "the old name is gone"


def test_replies_and_indications_are_ignored(rig: Rig, server: Server) -> None:
    server.transport()
    peer = Peer(server)
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.RESPONSE)
    message.attributes["USERNAME"] = "abcd:peer"
    message.add_message_integrity(PASSWORD.encode())
    peer.send(bytes(message))
    rig.run(1)
    assert peer.answers() == []
    assert rig.engine.core_stats()["drop.stunIgnored"] == 1


def test_a_hundred_transports_share_the_port(rig: Rig, server: Server) -> None:
    transports = [server.transport(f"user{number:04}") for number in range(100)]
    peers = [Peer(server) for _ in transports]
    for number, peer in enumerate(peers):
        peer.check(f"user{number:04}", nominate=True)
    for transport, peer in zip(transports, peers, strict=True):
        assert rig.engine.transport_stats(transport)["remote"] == peer.sock.getsockname()
    for transport in transports:
        rig.engine.close_transport(transport)
    rig.run(2)
    used = rig.engine.slots_used()
    assert used["tuples"] == used["transports"] == 0


def test_an_address_serves_one_transport(rig: Rig, server: Server) -> None:
    one, two, peer = server.transport("aaaa"), server.transport("bbbb"), Peer(server)
    peer.check("aaaa", nominate=True)
    peer.check("bbbb", nominate=True)
    assert states(rig, one) == [COMPLETED]
    assert states(rig, two) == []


def test_an_address_changes_hands_when_its_owner_is_silent(rig: Rig, server: Server) -> None:
    one, two, peer = server.transport("aaaa"), server.transport("bbbb"), Peer(server)
    peer.check("aaaa", nominate=True)
    rig.now += 7000 * MS
    peer.check("bbbb", nominate=True)
    assert states(rig, two) == [COMPLETED]
    assert states(rig, one) == [COMPLETED, DISCONNECTED]
    assert rig.engine.slots_used()["tuples"] == 1


def test_noise_from_ten_thousand_addresses_leaves_nothing_behind(rig: Rig, server: Server) -> None:
    transport, peer = server.transport(), Peer(server)
    peer.check(nominate=True)
    dice = random.Random(1)
    strangers = [bound_socket() for _ in range(50)]
    for round_ in range(200):
        for sock in strangers:
            sock.sendto(dice.randbytes(dice.randint(0, 1800)), server.address)
        rig.run(1)
        assert round_ < 3 or rig.engine.slots_used()["tuples"] == 1
    close_all(strangers)
    peer.answers()
    peer.check()
    assert len(peer.answers()) == 1
    assert states(rig, transport) == [COMPLETED]
    drops = {name: n for name, n in rig.engine.core_stats().items() if name.startswith("drop.")}
    assert sum(drops.values()) >= 9500


def close_all(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()
