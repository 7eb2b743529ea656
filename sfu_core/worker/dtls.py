"""One DTLS 1.2 association of a transport: bytes in, bytes out, time given.

Control thread. Runs OpenSSL (pyOpenSSL) over memory BIOs for the handshake, and `dtls_records` afterwards; knows
nothing of sockets, ICE or RTP. Nothing is reported and no key leaves before the remote certificate has matched the
fingerprint that signalling brought (RFC 5763 §5); the handshake itself may run earlier. After each verb the owner
looks at `state`, and sends what `send()` gives.
"""

import hmac
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from sfu_core.channel.messages import DtlsRole, DtlsState, FingerprintAlgorithm, SrtpCryptoSuite
from sfu_core.worker.certificate import Certificate, fingerprint
from sfu_core.worker.dtls_flight import CLIENT_HELLO, Flight, clear_message, looks_like_dtls, split_records
from sfu_core.worker.dtls_records import (
    ALERT,
    APPLICATION_DATA,
    CIPHERS,
    OVERHEAD,
    Records,
    close_notify,
    ends_association,
)

MTU = 1200  # UDP payload
GIVE_UP = 30_000_000_000  # ns from the first flight or hello: then the handshake has failed
MAX_DATAGRAM = 1 << 14
MAX_QUEUED = 1 << 18  # bytes of application data not yet fetched, each way

DTLS_1_2 = 0xFEFD

# In our order of preference: the server's order decides (RFC 5764 §4.1.1). (name, master key bytes, master salt bytes)
PROFILES: dict[SrtpCryptoSuite, tuple[bytes, int, int]] = {
    SrtpCryptoSuite.AEAD_AES_128_GCM: (b"SRTP_AEAD_AES_128_GCM", 16, 12),
    SrtpCryptoSuite.AEAD_AES_256_GCM: (b"SRTP_AEAD_AES_256_GCM", 32, 12),
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80: (b"SRTP_AES128_CM_SHA1_80", 16, 14),
    SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_32: (b"SRTP_AES128_CM_SHA1_32", 16, 14),
}
_SUITE_OF = {name: suite for suite, (name, _, _) in PROFILES.items()}

Suites = tuple[SrtpCryptoSuite, ...]
_contexts: WeakKeyDictionary[Certificate, dict[Suites, SSL.Context]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class SrtpKeying:
    """What the handshake agreed on for SRTP: master key and master salt of each direction (RFC 5764 §4.2)."""

    suite: SrtpCryptoSuite
    local_key: bytes
    remote_key: bytes


@dataclass(frozen=True, slots=True)
class _Result:
    """What a finished handshake leaves; nobody sees it before the fingerprint has matched."""

    records: Records
    certificate: x509.Certificate
    keying: SrtpKeying


def _context_of(certificate: Certificate, suites: Suites) -> SSL.Context:
    """One SSL.Context for all associations: making it costs as much as a handshake."""
    contexts = _contexts.setdefault(certificate, {})
    if suites not in contexts:
        contexts[suites] = _new_context(certificate, suites)
    return contexts[suites]


def _new_context(certificate: Certificate, suites: Suites) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(
        SSL.OP_NO_QUERY_MTU  # or OpenSSL asks the BIO, and makes records of 256 bytes
        | SSL.OP_NO_TICKET  # the last flight in 75 bytes, not 620
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(":".join(CIPHERS).encode())
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.private_key)
    for issuer in certificate.chain:
        context.add_extra_chain_cert(issuer)
    # Any certificate will do for the handshake; the fingerprint decides.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.set_tlsext_use_srtp(b":".join(PROFILES[suite][0] for suite in suites))
    return context


class DtlsEndpoint:
    """One end. `now` is in ns of any monotonic clock. No verb raises for what a peer sends."""

    def __init__(self, certificate: Certificate, *, mtu: int = MTU, suites: Suites = tuple(PROFILES)) -> None:
        """`suites`: what to offer or accept for SRTP, the best first."""
        self.state = DtlsState.NEW
        self.role = DtlsRole.AUTO
        self.keying: SrtpKeying | None = None  # set when `state` is CONNECTED
        self.remote_certificate: str | None = None  # PEM; likewise
        self.reason = ""  # why the state is FAILED
        self._certificate = certificate
        self._mtu = mtu
        self._suites = suites
        self._flight = Flight(mtu)
        self._connection: SSL.Connection | None = None  # while the handshake runs
        self._result: _Result | None = None  # when it is over
        self._expected: tuple[FingerprintAlgorithm, str] | None = None
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
        self._result = None
        self._give_up = None
        self._connection = None
        self._flight = Flight(self._mtu)
        if role == DtlsRole.CLIENT:
            self._give_up = now + GIVE_UP
            self._connection = self._new_connection()
            self._shake(self._connection, now)

    def set_remote_fingerprint(self, algorithm: FingerprintAlgorithm, value: str) -> None:
        """Hex with colons, from signalling. It decides at once if the handshake is already over."""
        self._expected = (algorithm, value.upper())
        if self.state == DtlsState.CONNECTING and self._result:
            self._identify(self._result)

    def receive(self, datagram: bytes, now: int) -> None:
        """A datagram that looked like DTLS; anything else is ignored."""
        if not looks_like_dtls(datagram) or len(datagram) > MAX_DATAGRAM:
            return
        if self.state == DtlsState.NEW:
            self.start(DtlsRole.SERVER, now)
        if self.state not in (DtlsState.CONNECTING, DtlsState.CONNECTED):
            return
        written = len(self._outgoing)
        if self._result is not None:
            self._open(self._result.records, datagram)
        else:
            self._feed(datagram, now)
        if len(self._outgoing) == written and self._is_repeat(datagram):
            self._outgoing += self._flight.answer(now)

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
        if self._give_up is not None and now >= self._give_up:
            self._fail("timed out")
        elif self._connection is not None and self._flight.is_due(now):
            self._outgoing += self._flight.repeat(now, self._openssl_repeat(self._connection))

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
        return self._mtu - OVERHEAD

    def send_data(self, data: bytes) -> bool:
        """One record of application data; False: not connected, or nobody fetches what is to be sent."""
        if len(data) > self.max_data:
            raise ValueError(f"more than {self.max_data} bytes")
        if self.state != DtlsState.CONNECTED or self._result is None:
            return False
        if len(self._outgoing) * self._mtu > MAX_QUEUED:
            return False
        self._outgoing.append(self._result.records.seal(APPLICATION_DATA, data))
        return True

    def receive_data(self) -> list[bytes]:
        """Application data that arrived, one item a record."""
        incoming, self._incoming, self._incoming_bytes = self._incoming, [], 0
        return incoming

    # ---------------------------------------------------------------------------------------------- handshake

    def _feed(self, datagram: bytes, now: int) -> None:
        """A datagram of the handshake. A server begins with the first: one that only waits costs next to nothing."""
        if self._connection is None:
            self._connection = self._new_connection()
        if self._give_up is None:
            self._give_up = now + GIVE_UP
        self._connection.bio_write(datagram)
        self._shake(self._connection, now)

    def _is_repeat(self, datagram: bytes) -> bool:
        """Whether a client says again what we have answered: it did not get the answer."""
        message = clear_message(datagram)
        if self.role != DtlsRole.SERVER or message is None:
            return False
        return self._result is not None or message == CLIENT_HELLO

    def _new_connection(self) -> SSL.Connection:
        connection = SSL.Connection(_context_of(self._certificate, self._suites), None)
        connection.set_ciphertext_mtu(self._mtu)
        if self.role == DtlsRole.CLIENT:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return connection

    def _shake(self, connection: SSL.Connection, now: int) -> None:
        """Let OpenSSL go on with what has arrived."""
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._outgoing += self._flight.send(_written(connection), now)
        except SSL.Error as error:
            self._on_handshake_error(connection, error, now)
        else:
            self._outgoing += self._flight.send(_written(connection), now)
            self._on_handshake_over(connection)

    def _on_handshake_error(self, connection: SSL.Connection, error: SSL.Error, now: int) -> None:
        """Before our first flight a server knows nothing yet, and loses nothing by forgetting a bad hello, without an
        alert that might hit the real peer. Later the handshake is broken."""
        if self.role == DtlsRole.SERVER and not self._flight.sent:
            self._connection = None
            return
        self._outgoing += self._flight.send(_written(connection), now)
        self._fail(f"handshake: {error}")

    def _on_handshake_over(self, connection: SSL.Connection) -> None:
        """Take what is needed, and let OpenSSL's connection go."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        is_client = self.role == DtlsRole.CLIENT
        keying = _export(connection, is_client)
        if certificate is None or keying is None:
            self._fail("no certificate" if certificate is None else "no SRTP profile in common")
            return
        self._result = _Result(Records(connection, is_client, self._flight.next_number), certificate, keying)
        self._connection = None
        self._give_up = None
        self._flight.stop()
        if self._expected is not None:
            self._identify(self._result)
        for data in _early_data(connection):
            self._keep(data)

    def _identify(self, result: _Result) -> None:
        """The handshake is over and the fingerprint is known: they match, or it has failed."""
        algorithm, expected = self._expected or (FingerprintAlgorithm.SHA256, "")
        if not hmac.compare_digest(fingerprint(result.certificate, algorithm).encode(), expected.encode()):
            self._say_goodbye()
            self._fail("fingerprint mismatch")
            return
        self.keying = result.keying
        self.remote_certificate = result.certificate.public_bytes(Encoding.PEM).decode()
        self.state = DtlsState.CONNECTED

    def _openssl_repeat(self, connection: SSL.Connection) -> bytes:
        """What OpenSSL's own timer, by its own clock, sends again: the only way to number a Finished anew."""
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error:
            return b""
        return _written(connection)

    # -------------------------------------------------------------------------------------------- after that

    def _open(self, records: Records, datagram: bytes) -> None:
        """Application data and alerts; repeats of the handshake and forgeries are ignored."""
        for record in split_records(datagram):
            opened = records.open(record)
            if opened is None:
                continue
            kind, data = opened
            if kind == APPLICATION_DATA:
                self._keep(data)
            elif kind == ALERT and ends_association(data):
                self.close()
                return

    def _keep(self, data: bytes) -> None:
        """Nothing counts as received before we know from whom."""
        if self.state == DtlsState.CONNECTED and self._incoming_bytes + len(data) <= MAX_QUEUED:
            self._incoming.append(data)
            self._incoming_bytes += len(data)

    def _say_goodbye(self) -> None:
        if self._result is not None:
            self._outgoing.append(self._result.records.seal(ALERT, close_notify()))

    def _fail(self, reason: str) -> None:
        self.reason = reason
        self._end(DtlsState.FAILED)

    def _end(self, state: DtlsState) -> None:
        self.state = state
        self.keying = None
        self._connection = None
        self._result = None
        self._give_up = None
        self._flight.stop()


def _written(connection: SSL.Connection) -> bytes:
    """What OpenSSL wants to be sent."""
    try:
        return connection.bio_read(1 << 17)
    except SSL.WantReadError:
        return b""


def _early_data(connection: SSL.Connection) -> list[bytes]:
    """Application data that came with, or even before, the last message of the handshake."""
    data = []
    try:
        while True:
            data.append(connection.recv(MAX_DATAGRAM))
    except SSL.Error:
        return data


def _export(connection: SSL.Connection, is_client: bool) -> SrtpKeying | None:
    """The keys of the agreed profile, or None if there is no such profile: OpenSSL would go on without."""
    suite = _SUITE_OF.get(connection.get_selected_srtp_profile())
    if suite is None:
        return None
    _, key, salt = PROFILES[suite]
    material = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
    client = material[:key] + material[2 * key : 2 * key + salt]
    server = material[key : 2 * key] + material[2 * key + salt :]
    return SrtpKeying(suite, client, server) if is_client else SrtpKeying(suite, server, client)
