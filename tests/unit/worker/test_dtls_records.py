"""DTLS after the handshake: our record layer against OpenSSL's, and against what nobody should send."""

from contextlib import suppress

import pytest
from OpenSSL import SSL

from sfu_core.channel.messages import DtlsRole, DtlsState
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.dtls import MAX_QUEUED, DtlsEndpoint
from sfu_core.worker.dtls_records import CIPHERS, OVERHEAD, WINDOW, ends_association, prf
from tests.models.dtls_peer import ALL_PROFILES, MS, Network, Plain, introduce

CLIENT, SERVER = DtlsRole.CLIENT, DtlsRole.SERVER
CONNECTED, CLOSED = DtlsState.CONNECTED, DtlsState.CLOSED
OURS, THEIRS = Certificate.generate(), Certificate.generate()

both_roles = pytest.mark.parametrize("role", [CLIENT, SERVER])


def with_plain(role: DtlsRole, ciphers: bytes = b"ALL") -> tuple[DtlsEndpoint, Plain]:
    endpoint = DtlsEndpoint(OURS)
    plain = Plain(THEIRS, SERVER if role == CLIENT else CLIENT, ALL_PROFILES, ciphers)
    introduce(endpoint, THEIRS.certificate)
    endpoint.start(role, 0)
    plain.shake(endpoint)
    assert endpoint.state == CONNECTED and plain.finished
    return endpoint, plain


def connected() -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client, server = DtlsEndpoint(OURS), DtlsEndpoint(THEIRS)
    introduce(client, THEIRS.certificate)
    introduce(server, OURS.certificate)
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert client.state == server.state == CONNECTED
    return client, server


def deliver(plain: Plain, endpoint: DtlsEndpoint) -> None:
    for datagram in plain.written():
        endpoint.receive(datagram, 0)


def received(plain: Plain, datagrams: list[bytes]) -> list[bytes]:
    data = []
    for datagram in datagrams:
        plain.connection.bio_write(datagram)
        with suppress(SSL.WantReadError):
            data.append(plain.connection.recv(4096))
    return data


def test_prf_vector() -> None:
    """The customary test vector of the TLS 1.2 function with SHA-256."""
    out = prf(
        "sha256",
        bytes.fromhex("9bbe436ba940f017b17652849a71db35"),
        b"test label",
        bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c"),
        100,
    )
    assert out.hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7"
        "077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
    )


@both_roles
@pytest.mark.parametrize("cipher", [name for name in CIPHERS if "ECDSA" in name])
def test_application_data_with_openssl(role: DtlsRole, cipher: str) -> None:
    endpoint, plain = with_plain(role, cipher.encode())
    assert plain.connection.get_cipher_name() == cipher
    messages = [bytes([i]) * size for i, size in enumerate((0, 1, 16, 100, endpoint.max_data))]
    for message in messages[1:]:
        plain.connection.send(message)
        deliver(plain, endpoint)
    assert endpoint.receive_data() == messages[1:]
    for message in messages:
        assert endpoint.send_data(message)
    sent = endpoint.send()
    assert max(len(datagram) for datagram in sent) == 1200
    assert received(plain, sent) == messages[1:]


@both_roles
def test_the_peer_says_goodbye(role: DtlsRole) -> None:
    endpoint, plain = with_plain(role)
    plain.connection.shutdown()
    deliver(plain, endpoint)
    assert endpoint.state == CLOSED and endpoint.keying is None
    plain.connection.bio_write(endpoint.send()[0])
    assert plain.connection.shutdown()  # both said goodbye
    assert not endpoint.send_data(b"x")


@both_roles
def test_we_say_goodbye(role: DtlsRole) -> None:
    endpoint, plain = with_plain(role)
    endpoint.close()
    assert endpoint.state == CLOSED
    (goodbye,) = endpoint.send()
    plain.connection.bio_write(goodbye)
    with pytest.raises(SSL.ZeroReturnError):
        plain.connection.recv(100)
    endpoint.close()
    assert endpoint.send() == []


def test_closing_before_it_began_is_silent() -> None:
    endpoint = DtlsEndpoint(OURS)
    endpoint.close()
    assert (endpoint.state, endpoint.send(), endpoint.next_timeout(0)) == (CLOSED, [], None)
    endpoint.receive(b"\x16\xfe\xfd" + bytes(30), 0)
    assert endpoint.state == CLOSED


def test_data_that_overtakes_the_last_flight() -> None:
    """OpenSSL keeps it until it has the keys; it must not get lost when we take over."""
    client, server = DtlsEndpoint(OURS), DtlsEndpoint(THEIRS)
    introduce(client, THEIRS.certificate)
    introduce(server, OURS.certificate)
    client.start(CLIENT, 0)
    for datagram in client.send():
        server.receive(datagram, 0)
    for datagram in server.send():
        client.receive(datagram, 0)
    for datagram in client.send():
        server.receive(datagram, 0)
    last = server.send()
    assert server.state == CONNECTED and server.send_data(b"first")
    for datagram in server.send() + last:
        client.receive(datagram, 0)
    assert client.state == CONNECTED
    assert client.receive_data() == [b"first"]


def test_replays_are_dropped() -> None:
    client, server = connected()
    sent: list[bytes] = []
    for i in range(WINDOW + 10):
        client.send_data(b"%d" % i)
        sent += client.send()
    for datagram in (sent[5], sent[3], sent[5], sent[3]):
        server.receive(datagram, 0)
    assert server.receive_data() == [b"5", b"3"]
    server.receive(sent[WINDOW + 9], 0)
    for i in (9, 10, WINDOW + 9):  # too old; the oldest that counts; seen
        server.receive(sent[i], 0)
    assert server.receive_data() == [b"%d" % (WINDOW + 9), b"10"]


def test_every_forged_byte_is_noticed() -> None:
    client, server = connected()
    assert client.send_data(b"a message")
    (record,) = client.send()
    assert len(record) == OVERHEAD + 9
    for position in range(len(record)):
        forged = bytearray(record)
        forged[position] ^= 1
        server.receive(bytes(forged), 0)
    for length in range(len(record)):
        server.receive(record[:length], 0)
    assert server.state == CONNECTED and server.receive_data() == []
    server.receive(record, 0)
    assert server.receive_data() == [b"a message"]


def test_several_records_in_a_datagram() -> None:
    client, server = connected()
    for text in (b"one", b"two", b"three"):
        client.send_data(text)
    server.receive(b"".join(client.send()), 0)
    assert server.receive_data() == [b"one", b"two", b"three"]


def test_a_clear_alert_does_not_close() -> None:
    _, server = connected()
    server.receive(b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", 0)
    server.receive(b"\x15\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x02\x01\x00", 0)
    assert server.state == CONNECTED


def test_which_alerts_end_it() -> None:
    assert ends_association(b"\x01\x00") and ends_association(b"\x02\x00") and ends_association(b"\x02\x28")
    assert not ends_association(b"\x01\x5a") and not ends_association(b"\x02") and not ends_association(b"")


def test_too_much_data() -> None:
    client, server = connected()
    with pytest.raises(ValueError):
        client.send_data(bytes(client.max_data + 1))
    accepted = 0
    while client.send_data(bytes(client.max_data)):
        accepted += 1
    assert accepted * 1200 <= MAX_QUEUED + 1200
    client.send()
    for _ in range(2 * MAX_QUEUED // 1000):  # nobody fetches
        client.send_data(bytes(1000))
        for datagram in client.send():
            server.receive(datagram, 0)
    assert sum(len(data) for data in server.receive_data()) <= MAX_QUEUED
    client.send_data(b"again")
    for datagram in client.send():
        server.receive(datagram, 50 * MS)
    assert server.receive_data() == [b"again"]
