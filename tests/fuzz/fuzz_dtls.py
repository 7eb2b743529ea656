"""Datagrams for a DTLS endpoint: waiting, in the middle of a handshake, connected. The first byte says which.

Nothing may raise, what is sent fits the MTU, nothing unauthentic is received, and a connected endpoint stays connected.
"""

from __future__ import annotations

from sfu_core.channel.messages import DtlsRole, DtlsState
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.dtls import MTU, DtlsEndpoint
from tests.models.captures import WIRE, wire
from tests.models.dtls_peer import Network, introduce

OURS, THEIRS = Certificate.generate(), Certificate.generate()
WAITING, CLIENT_BEGAN, SERVER_ANSWERED, CONNECTED = range(4)


def pair() -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client, server = DtlsEndpoint(OURS), DtlsEndpoint(THEIRS)
    introduce(client, THEIRS.certificate)
    introduce(server, OURS.certificate)
    return client, server


def connected() -> tuple[DtlsEndpoint, DtlsEndpoint, list[bytes]]:
    client, server = pair()
    network = Network(client, server)
    client.start(DtlsRole.CLIENT, network.now)
    network.run()
    return client, server, [datagram for _, datagram in network.sent]


CLIENT, SERVER, HANDSHAKE = connected()
HELLOS = [data for name in WIRE for _, from_browser, data in wire(name)[1] if from_browser and 20 <= data[0] < 24]
SEEDS = [bytes([state]) + datagram for state in range(4) for datagram in [*HANDSHAKE, *HELLOS[:4]]]


def in_state(state: int) -> DtlsEndpoint:
    if state == CONNECTED:
        return SERVER
    client, server = pair()
    if state == WAITING:
        return server
    client.start(DtlsRole.CLIENT, 0)
    if state == CLIENT_BEGAN:
        return client
    for datagram in client.send():
        server.receive(datagram, 0)
    server.send()
    return server


def fuzz_one(data: bytes) -> None:
    if not data:
        return
    state = data[0] % 4
    endpoint = in_state(state)
    endpoint.receive(data[1:], 50_000_000)
    assert all(len(datagram) <= MTU for datagram in endpoint.send())
    assert endpoint.receive_data() == []
    assert endpoint.next_timeout(50_000_000) is None or endpoint.state == DtlsState.CONNECTING
    if state == CONNECTED:
        assert endpoint.state == DtlsState.CONNECTED
        assert CLIENT.send_data(data[1:100])
        for datagram in CLIENT.send():
            endpoint.receive(datagram, 50_000_000)
        assert endpoint.receive_data() == [data[1:100]]
    else:
        assert endpoint.state in (DtlsState.NEW, DtlsState.CONNECTING, DtlsState.FAILED)
