"""The DTLS endpoint: handshakes in both roles, identity, bad networks, bad peers."""

import itertools
import random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from sfu_core.channel.messages import DtlsRole, DtlsState, FingerprintAlgorithm, SrtpCryptoSuite
from sfu_core.worker.certificate import Certificate, fingerprint
from sfu_core.worker.dtls import GIVE_UP, MTU, DtlsEndpoint
from tests.models.captures import WIRE, wire
from tests.models.dtls_peer import ALL_PROFILES, MS, SHA256, Network, Plain, introduce

CLIENT, SERVER = DtlsRole.CLIENT, DtlsRole.SERVER
CONNECTING, CONNECTED = DtlsState.CONNECTING, DtlsState.CONNECTED
FAILED, CLOSED = DtlsState.FAILED, DtlsState.CLOSED

SUITES = {
    b"SRTP_AES128_CM_SHA1_80": SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80,
    b"SRTP_AES128_CM_SHA1_32": SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32,
    b"SRTP_AEAD_AES_128_GCM": SrtpCryptoSuite.AEAD_AES_128_GCM,
    b"SRTP_AEAD_AES_256_GCM": SrtpCryptoSuite.AEAD_AES_256_GCM,
}

OURS, THEIRS = Certificate.generate(), Certificate.generate()


def pair(mtu: int = MTU) -> tuple[DtlsEndpoint, DtlsEndpoint]:
    """Client and server that know each other's fingerprints."""
    client, server = DtlsEndpoint(OURS, mtu=mtu), DtlsEndpoint(THEIRS, mtu=mtu)
    introduce(client, THEIRS.certificate)
    introduce(server, OURS.certificate)
    return client, server


def connected(seed: int = 0, bad: float = 0.0) -> tuple[DtlsEndpoint, DtlsEndpoint, Network]:
    client, server = pair()
    network = Network(client, server, seed, bad)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, server)
    return client, server, network


def assert_connected(client: DtlsEndpoint, server: DtlsEndpoint) -> None:
    assert (client.state, server.state) == (CONNECTED, CONNECTED), (client.reason, server.reason)
    assert client.keying is not None and server.keying is not None
    assert client.keying.suite == server.keying.suite
    assert client.keying.local_key == server.keying.remote_key
    assert client.keying.remote_key == server.keying.local_key


def with_plain(role: DtlsRole, profiles: bytes = ALL_PROFILES, ciphers: bytes = b"ALL") -> tuple[DtlsEndpoint, Plain]:
    """Our endpoint in `role`, after a handshake with OpenSSL itself in the other."""
    endpoint, plain = DtlsEndpoint(OURS), Plain(THEIRS, SERVER if role == CLIENT else CLIENT, profiles, ciphers)
    introduce(endpoint, THEIRS.certificate)
    endpoint.start(role, 0)
    plain.shake(endpoint)
    return endpoint, plain


# ----------------------------------------------------------------------------------------------------- handshake


def test_handshake() -> None:
    client, server = pair()
    network = Network(client, server)
    assert (client.state, client.role) == (DtlsState.NEW, DtlsRole.AUTO)
    server.start(SERVER, network.now)
    client.start(CLIENT, network.now)
    assert (client.state, server.state) == (CONNECTING, CONNECTING)
    network.run()
    assert_connected(client, server)
    assert client.keying and client.keying.suite == SrtpCryptoSuite.AEAD_AES_128_GCM
    assert len(network.sent) == 4  # a datagram a flight
    for end, other in ((client, THEIRS), (server, OURS)):
        assert end.remote_certificate and end.remote_certificate.startswith("-----BEGIN CERTIFICATE-----")
        assert end.remote_certificate.encode() == other.certificate.public_bytes(Encoding.PEM)
        assert end.next_timeout(network.now) is None


def test_a_hello_makes_a_server_of_an_endpoint_without_role() -> None:
    client, server, _ = connected()
    assert (client.role, server.role) == (CLIENT, SERVER)


def test_a_small_mtu() -> None:
    client, server = pair(mtu=300)
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, server)
    assert len(network.sent) > 6
    assert max(len(datagram) for _, datagram in network.sent) <= 300


@pytest.mark.parametrize("role", [CLIENT, SERVER])
@pytest.mark.parametrize(
    "profiles, suite",
    [
        (ALL_PROFILES, SrtpCryptoSuite.AEAD_AES_128_GCM),
        (b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM", SrtpCryptoSuite.AEAD_AES_256_GCM),
        (b"SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80),
        (b"SRTP_AES128_CM_SHA1_32", SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32),
    ],
)
def test_profiles_and_keys(role: DtlsRole, profiles: bytes, suite: SrtpCryptoSuite) -> None:
    """As server we decide; as client the other's order does."""
    endpoint, plain = with_plain(role, profiles)
    if role == CLIENT:
        first = profiles.split(b":")[0]
        assert plain.connection.get_selected_srtp_profile() == first
        suite = SUITES[first]
    assert endpoint.keying and endpoint.keying.suite == suite
    key, salt = {SrtpCryptoSuite.AEAD_AES_256_GCM: (32, 12), SrtpCryptoSuite.AEAD_AES_128_GCM: (16, 12)}.get(
        suite, (16, 14)
    )
    of_client, of_server = plain.keys(key, salt)
    expected = (of_client, of_server) if role == CLIENT else (of_server, of_client)
    assert (endpoint.keying.local_key, endpoint.keying.remote_key) == expected


@pytest.mark.parametrize("suite", SUITES.values())
def test_a_choice_of_suites(suite: SrtpCryptoSuite) -> None:
    client, server = DtlsEndpoint(OURS, suites=(suite,)), DtlsEndpoint(THEIRS)
    introduce(client, THEIRS.certificate)
    introduce(server, OURS.certificate)
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, server)
    assert server.keying and server.keying.suite == suite


@pytest.mark.parametrize("role", [CLIENT, SERVER])
def test_no_profile_in_common_is_refused(role: DtlsRole) -> None:
    endpoint, plain = with_plain(role, b"")
    assert plain.finished
    assert (endpoint.state, endpoint.reason) == (FAILED, "no SRTP profile in common")
    assert endpoint.keying is None


def test_a_peer_without_certificate_is_refused() -> None:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_tlsext_use_srtp(ALL_PROFILES)
    plain = Plain(THEIRS, CLIENT, ALL_PROFILES)
    plain.connection = SSL.Connection(context, None)
    plain.connection.set_connect_state()
    server = DtlsEndpoint(OURS)
    introduce(server, THEIRS.certificate)
    with pytest.raises(SSL.Error):
        plain.shake(server)
    assert server.state == FAILED and server.keying is None


def test_dtls_1_0_is_refused() -> None:
    """A hello of the old version leaves the server waiting for a better one."""
    first, second = browser_hello()
    client, server = pair()
    assert first[13 + 12 : 13 + 14] == b"\xfe\xfd"
    server.receive(first[: 13 + 12] + b"\xfe\xff" + first[13 + 14 :], 0)
    server.receive(second, 0)
    assert (server.state, server.send()) == (CONNECTING, [])
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, server)


@pytest.mark.parametrize("name", WIRE)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0, 0)])
def test_the_hello_of_a_browser_in_two_fragments(name: str, order: tuple[int, ...]) -> None:
    server = DtlsEndpoint(OURS)
    fragments = browser_hello(name)
    assert len(fragments) == 2
    for i in order[: order.index(1 - order[0])]:
        server.receive(fragments[i], 0)
        assert server.send() == []
    for i in order[order.index(1 - order[0]) :]:
        server.receive(fragments[i], 0)
    flight = b"".join(server.send())
    assert (flight[0], flight[13]) == (22, 2)  # ServerHello
    assert flight[13 + 12 : 13 + 14] == b"\xfe\xfd"
    assert (server.role, server.state) == (SERVER, CONNECTING)


def browser_hello(name: str = "cm80") -> list[bytes]:
    return [data for _, from_browser, data in wire(name)[1] if from_browser and data[0] == 22][:2]


# ------------------------------------------------------------------------------------------------------ identity


@pytest.mark.parametrize("algorithm", list(FingerprintAlgorithm))
def test_every_fingerprint(algorithm: FingerprintAlgorithm) -> None:
    client, server = pair()
    server.set_remote_fingerprint(algorithm, fingerprint(OURS.certificate, algorithm))
    client.set_remote_fingerprint(algorithm, fingerprint(THEIRS.certificate, algorithm).lower())
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, server)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "value",
    [fingerprint(OURS.certificate, SHA256), "", "00", "é" * 95, fingerprint(THEIRS.certificate, SHA256)[:-1]],
)
def test_wrong_fingerprint(value: str, late: bool) -> None:
    client, server = pair()
    client = DtlsEndpoint(OURS)
    if not late:
        client.set_remote_fingerprint(SHA256, value)
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    if late:
        client.set_remote_fingerprint(SHA256, value)
    assert (client.state, client.reason) == (FAILED, "fingerprint mismatch")
    assert client.keying is None and client.remote_certificate is None
    network.run()
    assert server.state == CLOSED  # it was told


@pytest.mark.parametrize("role", [CLIENT, SERVER])
def test_a_handshake_before_the_fingerprint_is_held_back(role: DtlsRole) -> None:
    client, server = pair()
    early = DtlsEndpoint(OURS if role == CLIENT else THEIRS)
    client, server = (early, server) if role == CLIENT else (client, early)
    other = server if role == CLIENT else client
    network = Network(client, server)
    client.start(CLIENT, network.now)
    network.run()
    assert (early.state, early.keying, early.remote_certificate) == (CONNECTING, None, None)
    assert other.state == CONNECTED
    assert other.send_data(b"too early") and not early.send_data(b"nor this")
    network.run()
    introduce(early, (THEIRS if role == CLIENT else OURS).certificate)
    assert_connected(client, server)
    assert early.receive_data() == []
    assert other.send_data(b"now")
    network.run()
    assert early.receive_data() == [b"now"]


# ------------------------------------------------------------------------------------------------- bad networks


@pytest.mark.parametrize("seed", range(60))
def test_loss_reorder_and_repeats(seed: int) -> None:
    """A third of all datagrams is lost, some come twice, all may overtake each other."""
    client, server, network = connected(seed, bad=0.33)
    numbers = [
        (sender, record[3:11])
        for sender, datagram in network.sent
        for record in records(datagram)
        if record[3:5] == b"\0\0"
    ]
    assert len(numbers) == len(set(numbers))  # no record of epoch 0 looks like a replay
    for end, other in ((client, server), (server, client)):
        for i in range(20):
            assert end.send_data(bytes([i]) * 50)
        network.run()
        arrived = other.receive_data()
        assert arrived and len(arrived) == len(set(arrived))


def records(datagram: bytes) -> list[bytes]:
    found = []
    while datagram:
        size = 13 + int.from_bytes(datagram[11:13], "big")
        found.append(datagram[:size])
        datagram = datagram[size:]
    return found


def test_every_single_loss_is_repaired_soon() -> None:
    for lost in range(4):
        client, server = pair()
        network = Network(client, server)
        counter = itertools.count()
        network._copies = lambda n=counter, lost=lost: 0 if next(n) == lost else 1  # type: ignore[method-assign]
        client.start(CLIENT, network.now)
        start = network.now
        network.run(until=1000 * MS)
        assert_connected(client, server)
        assert network.now - start < 200 * MS, lost


def test_a_client_repeats_its_hello_and_gives_up() -> None:
    client, _ = pair()
    client.start(CLIENT, 0)
    now, times = 0, [0]
    assert len(client.send()) == 1
    while client.state == CONNECTING:
        wait = client.next_timeout(now)
        assert wait is not None
        now += wait
        client.on_timeout(now)
        if client.send():
            times.append(now)
    assert [time // MS for time in times[:7]] == [0, 100, 300, 700, 1500, 3100, 6300]
    assert (client.state, client.reason, now) == (FAILED, "timed out", GIVE_UP)
    assert client.next_timeout(now) is None


def test_a_timeout_too_early_does_nothing() -> None:
    client, _ = pair()
    client.start(CLIENT, 0)
    client.send()
    client.on_timeout(99 * MS)
    assert client.send() == []


def test_a_server_whose_client_vanishes() -> None:
    client, server = pair()
    server.start(SERVER, 0)
    assert server.next_timeout(0) is None  # it may wait for ever for the first hello
    client.start(CLIENT, 0)
    for datagram in client.send():
        server.receive(datagram, 0)
    network = Network(DtlsEndpoint(OURS), server)
    network.now = 0
    network.ends[0].state = CLOSED
    network.run()
    assert (server.state, network.now) == (FAILED, GIVE_UP)


def test_a_repeated_last_flight_gets_the_answer_again() -> None:
    """The server's last flight was lost, and its OpenSSL is gone already."""
    endpoint, plain = DtlsEndpoint(OURS), Plain(THEIRS, CLIENT, ALL_PROFILES)
    introduce(endpoint, THEIRS.certificate)
    for datagram in plain.step([]):
        endpoint.receive(datagram, 0)
    flight = plain.step(endpoint.send())
    for datagram in flight:
        endpoint.receive(datagram, 0)
    assert endpoint.state == CONNECTED and endpoint.send()
    for datagram in flight:
        endpoint.receive(datagram, 1)
    assert endpoint.send() == []  # not for every copy
    for datagram in flight:
        endpoint.receive(datagram, 50 * MS)
    assert not plain.finished
    plain.step(endpoint.send())
    assert plain.finished


# ------------------------------------------------------------------------------------------------------ bad peers


def test_a_bad_hello_harms_nobody() -> None:
    rng = random.Random(1)
    good = browser_hello()
    server = DtlsEndpoint(OURS)
    introduce(server, THEIRS.certificate)
    for _ in range(300):
        bad = bytearray(good[0] if rng.random() < 0.5 else good[1])
        for _ in range(rng.randrange(1, 8)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        server.receive(bytes(bad[: rng.randrange(1, len(bad) + 1)]), 0)
        if server.send():
            break  # a hello good enough for an answer
        assert server.state in (DtlsState.NEW, CONNECTING)
    fresh = DtlsEndpoint(OURS)
    fresh.receive(good[0][:40], 0)
    fresh.receive(b"\x16\xfe\xff" + bytes(8) + b"\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0)
    introduce(fresh, OURS.certificate)
    client, _ = pair()
    client.set_remote_fingerprint(SHA256, fingerprint(OURS.certificate, SHA256))
    network = Network(client, fresh)
    client.start(CLIENT, network.now)
    network.run()
    assert_connected(client, fresh)


def test_noise_is_ignored() -> None:
    rng = random.Random(2)
    client, server, network = connected()
    for end in (client, server, DtlsEndpoint(OURS)):
        before = end.state
        for _ in range(500):
            noise = bytearray(rng.randbytes(rng.randrange(0, 200)))
            if rng.random() < 0.7:
                noise[:3] = bytes([rng.randrange(20, 24)]) + b"\xfe\xfd"
            end.receive(bytes(noise), network.now)
        end.receive(b"\x17\xfe\xfd" + bytes(20000), network.now)
        assert end.state in (before, CONNECTING) and end.receive_data() == []
        end.send()
    assert client.send_data(b"still here")
    network.run()
    assert server.receive_data() == [b"still here"]
