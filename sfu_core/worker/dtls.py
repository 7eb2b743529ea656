"""One DTLS 1.2 association of a transport: bytes in, bytes out, time given.

Control thread. Runs OpenSSL (pyOpenSSL) over memory BIOs; knows nothing of sockets, ICE or RTP. Nothing is reported
and no key leaves before the remote certificate has matched the fingerprint that signalling brought (RFC 5763 §5);
the handshake itself may run earlier. After each verb the owner looks at `state`, and sends what `send()` gives.
"""

import hmac
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from sfu_core.channel.messages import DtlsRole, DtlsState, FingerprintAlgorithm, SrtpCryptoSuite
from sfu_core.worker.certificate import Certificate, fingerprint
from sfu_core.worker.dtls_flight import Flight, is_clear_handshake, looks_like_dtls

MTU = 1200  # UDP payload
RECORD_OVERHEAD = 65  # header, nonce or IV, tag or MAC and padding: the most of all cipher suites below
GIVE_UP = 30_000_000_000  # ns from the first flight or hello: then the handshake has failed
MAX_DATAGRAM = 1 << 14
MAX_QUEUED = 1 << 18  # bytes of application data not yet fetched, each way

DTLS_1_2 = 0xFEFD
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES128"

# In our order of preference: the server's order decides (RFC 5764 §4.1.1). (name, master key bytes, master salt bytes)
PROFILES: dict[SrtpCryptoSuite, tuple[bytes, int, int]] = {
    SrtpCryptoSuite.AEAD_AES_128_GCM: (b"SRTP_AEAD_AES_128_GCM", 16, 12),
    SrtpCryptoSuite.AEAD_AES_256_GCM: (b"SRTP_AEAD_AES_256_GCM", 32, 12),
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80: (b"SRTP_AES128_CM_SHA1_80", 16, 14),
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32: (b"SRTP_AES128_CM_SHA1_32", 16, 14),
}
_SUITE_OF = {name: suite for suite, (name, _, _) in PROFILES.items()}

_contexts: WeakKeyDictionary[Certificate, SSL.Context] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class SrtpKeying:
    """What the handshake agreed on for SRTP: master key and master salt of each direction (RFC 5764 §4.2)."""

    suite: SrtpCryptoSuite
    local_key: bytes
    remote_key: bytes


def _context_of(certificate: Certificate) -> SSL.Context:
    """One SSL.Context a certificate: it costs 30 associations' time and memory."""
    if context := _contexts.get(certificate):
        return context
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(
        SSL.OP_NO_QUERY_MTU  # or OpenSSL asks the BIO, and makes records of 256 bytes
        | SSL.OP_NO_TICKET  # the last flight in 75 bytes, not 620
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(CIPHERS)
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.private_key)
    for issuer in certificate.chain:
        context.add_extra_chain_cert(issuer)
    # Any certificate will do for the handshake; the fingerprint decides.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.set_tlsext_use_srtp(b":".join(name for name, _, _ in PROFILES.values()))
    _contexts[certificate] = context
    return context


class DtlsEndpoint:
    """One end. `now` is in ns of any monotonic clock. No verb raises for what a peer sends."""

    def __init__(self, certificate: Certificate, *, mtu: int = MTU) -> None:
        self.state = DtlsState.NEW
        self.role = DtlsRole.AUTO
        self.keying: SrtpKeying | None = None  # set when `state` is CONNECTED
        self.remote_certificate: str | None = None  # PEM; likewise
        self.reason = ""  # why the state is FAILED
        self._certificate = certificate
        self._mtu = mtu
        self._connection: SSL.Connection | None = None
        self._expected: tuple[FingerprintAlgorithm, str] | None = None
        self._peer: x509.Certificate | None = None  # of a finished handshake
        self._flight = Flight(mtu)
        self._give_up: int | None = None
        self._outgoing: list[bytes] = []
        self._incoming: list[bytes] = []
        self._incoming_bytes = 0

    # ------------------------------------------------------------------------------------------------- verbs

    def start(self, role: DtlsRole, now: int) -> None:
        """Begin, as CLIENT or SERVER. A server may be started by the first datagram instead. A change of role while
        connecting begins again; once connected, and in the same role, nothing happens."""
        if role not in (DtlsRole.CLIENT, DtlsRole.SERVER):
            raise ValueError("role is neither client nor server")
        if role == self.role or self.state not in (DtlsState.NEW, DtlsState.CONNECTING):
            return
        self.role = role
        self.state = DtlsState.CONNECTING
        self._peer = None
        self._give_up = None
        self._flight = Flight(self._mtu)
        self._renew()
        if role == DtlsRole.CLIENT:
            self._give_up = now + GIVE_UP
            self._advance(now)

    def set_remote_fingerprint(self, algorithm: FingerprintAlgorithm, value: str) -> None:
        """Upper-case hex with colons, from signalling. It decides at once if the handshake is already over."""
        self._expected = (algorithm, value.upper())
        if self.state == DtlsState.CONNECTING and self._peer:
            self._identify()

    def receive(self, datagram: bytes, now: int) -> None:
        """A datagram that looked like DTLS; anything else is ignored."""
        if not looks_like_dtls(datagram) or len(datagram) > MAX_DATAGRAM:
            return
        if self.state == DtlsState.NEW:
            self.start(DtlsRole.SERVER, now)
        if self._connection is None:
            return
        if self._give_up is None and self._peer is None:
            self._give_up = now + GIVE_UP
        repeated = self._flight.sent and self.role == DtlsRole.SERVER and is_clear_handshake(datagram)
        flight = self._flight
        written = len(self._outgoing)
        self._connection.bio_write(datagram)
        self._advance(now)
        if repeated and len(self._outgoing) == written and self._connection is not None:
            self._outgoing += flight.answer(now)

    def send(self) -> list[bytes]:
        """The datagrams to be sent, each at most `mtu` bytes."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_timeout(self, now: int) -> int | None:
        """ns until `on_timeout` is due (0: at once); None: nothing to wait for."""
        deadlines = [time for time in (self._flight.deadline, self._give_up) if time is not None]
        return max(0, min(deadlines) - now) if deadlines else None

    def on_timeout(self, now: int) -> None:
        """Repeat the last flight, or give up. Nothing happens if it is not time yet."""
        if self._connection is None or self._peer is not None:
            return
        if self._give_up is not None and now >= self._give_up:
            self._fail("timed out")
        elif self._flight.deadline is not None and now >= self._flight.deadline:
            self._outgoing += self._flight.repeat(now, self._openssl_repeat())

    def close(self) -> None:
        """Say goodbye (close_notify) if connected."""
        if self.state == DtlsState.CONNECTED:
            self._say_goodbye()
        if self.state != DtlsState.FAILED:
            self._end(DtlsState.CLOSED)

    # -------------------------------------------------------------------------------------- application data

    @property
    def max_data(self) -> int:
        """The most bytes that `send_data` takes."""
        return self._mtu - RECORD_OVERHEAD

    def send_data(self, data: bytes) -> bool:
        """One record of application data; False: not connected, or nobody fetches what is to be sent."""
        if len(data) > self.max_data:
            raise ValueError(f"more than {self.max_data} bytes")
        if self.state != DtlsState.CONNECTED or self._connection is None:
            return False
        if len(self._outgoing) * self._mtu > MAX_QUEUED:
            return False
        try:
            self._connection.send(data)
        except SSL.Error:
            return False
        self._outgoing += self._flight.send(self._written(), 0)
        return True

    def receive_data(self) -> list[bytes]:
        """Application data that arrived, one item a record."""
        incoming, self._incoming, self._incoming_bytes = self._incoming, [], 0
        return incoming

    # ---------------------------------------------------------------------------------------------- handshake

    def _renew(self) -> None:
        connection = SSL.Connection(_context_of(self._certificate), None)
        connection.set_ciphertext_mtu(self._mtu)
        if self.role == DtlsRole.CLIENT:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        self._connection = connection

    def _advance(self, now: int) -> None:
        assert self._connection is not None
        if self._peer is None:
            self._shake(now)
        else:
            self._read()
        if self._connection is not None:
            self._outgoing += self._flight.send(self._written(), now)
            if self._peer is not None:
                self._flight.stop()

    def _shake(self, now: int) -> None:
        assert self._connection is not None
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            self._on_handshake_error(error, now)
            return
        self._give_up = None
        self._peer = self._connection.get_peer_certificate(as_cryptography=True)
        if self._peer is None:
            self._fail("no certificate")
        elif self._expected is not None:
            self._identify()
        if self._connection is not None:
            self._read()

    def _on_handshake_error(self, error: SSL.Error, now: int) -> None:
        """Before our first flight a server knows nothing yet, and loses nothing by forgetting a bad hello, without an
        alert that might hit the real peer. Later the handshake is broken."""
        if self.role == DtlsRole.SERVER and not self._flight.sent:
            self._renew()
            return
        self._outgoing += self._flight.send(self._written(), now)
        self._fail(f"handshake: {error}")

    def _identify(self) -> None:
        """The handshake is over and the fingerprint is known: they match, or it has failed."""
        assert self._peer is not None and self._expected is not None
        algorithm, expected = self._expected
        if not hmac.compare_digest(fingerprint(self._peer, algorithm).encode(), expected.encode()):
            self._say_goodbye()
            self._fail("fingerprint mismatch")
            return
        keying = self._export()
        if keying is None:
            self._say_goodbye()
            self._fail("no SRTP profile in common")
            return
        self.keying = keying
        self.remote_certificate = self._peer.public_bytes(Encoding.PEM).decode()
        self.state = DtlsState.CONNECTED

    def _export(self) -> SrtpKeying | None:
        """The keys of the agreed profile, or None if there is no such profile."""
        assert self._connection is not None
        suite = _SUITE_OF.get(self._connection.get_selected_srtp_profile())
        if suite is None:
            return None
        _, key, salt = PROFILES[suite]
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        if self.role == DtlsRole.CLIENT:
            return SrtpKeying(suite, client, server)
        return SrtpKeying(suite, server, client)

    def _openssl_repeat(self) -> bytes:
        """What OpenSSL's own timer, by its own clock, sends again: the only way to number a Finished anew."""
        assert self._connection is not None
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            return b""
        return self._written()

    # ------------------------------------------------------------------------------------------- after that

    def _read(self) -> None:
        """All application data, and the alerts between. What comes before the peer is known is dropped unseen."""
        while self._connection is not None:
            try:
                data = self._connection.recv(MAX_DATAGRAM)
            except SSL.WantReadError:
                return
            except SSL.Error:
                if self._connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                    self._on_closed_by_peer()
                return
            if self.state == DtlsState.CONNECTED and self._incoming_bytes + len(data) <= MAX_QUEUED:
                self._incoming.append(data)
                self._incoming_bytes += len(data)

    def _on_closed_by_peer(self) -> None:
        """close_notify, or an alert that ends everything."""
        self._say_goodbye()
        self._end(DtlsState.CLOSED)

    def _say_goodbye(self) -> None:
        assert self._connection is not None
        try:
            self._connection.shutdown()
        except SSL.Error:
            return
        self._outgoing += self._flight.send(self._written(), 0)

    def _written(self) -> bytes:
        assert self._connection is not None
        try:
            return self._connection.bio_read(1 << 17)
        except SSL.WantReadError:
            return b""

    def _fail(self, reason: str) -> None:
        self.reason = reason
        self._end(DtlsState.FAILED)

    def _end(self, state: DtlsState) -> None:
        self.state = state
        self.keying = None
        self._connection = None
        self._give_up = None
        self._flight.stop()
