"""Peers for the DTLS endpoint: a bad network in virtual time, and OpenSSL without anything of ours around it."""

import random

from cryptography import x509
from OpenSSL import SSL

from sfu_core.channel.messages import DtlsRole, FingerprintAlgorithm
from sfu_core.worker.certificate import Certificate, fingerprint
from sfu_core.worker.dtls import DtlsEndpoint

SHA256 = FingerprintAlgorithm.SHA256
MS = 1_000_000
DTLS_1_2 = 0xFEFD
ALL_PROFILES = b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_32"


def introduce(endpoint: DtlsEndpoint, other: x509.Certificate) -> None:
    endpoint.set_remote_fingerprint(SHA256, fingerprint(other, SHA256))


class Network:
    """Two endpoints and a clock; each datagram may be lost, doubled or overtaken."""

    def __init__(self, client: DtlsEndpoint, server: DtlsEndpoint, seed: int = 0, bad: float = 0.0) -> None:
        self.ends = (client, server)
        self.now = 1_000_000_000
        self.sent: list[tuple[int, bytes]] = []  # (sender, datagram), lost ones too
        self._random = random.Random(seed)
        self._bad = bad
        self._on_the_way: list[tuple[int, int, int, bytes]] = []  # arrival, tie-break, receiver, datagram

    def run(self, until: int = 0) -> None:
        """Until nothing is on the way, no timer is set, or the time is over (ns from now; 0: 60 s)."""
        end = self.now + (until or 60_000 * MS)
        while True:
            self._collect()
            timers = [(wait + self.now, i) for i in (0, 1) if (wait := self.ends[i].next_timeout(self.now)) is not None]
            arrivals = [arrival for arrival, *_ in self._on_the_way]
            next_time = min([time for time, _ in timers] + arrivals, default=end + 1)
            if next_time > end:
                return
            self.now = max(self.now, next_time)
            self._deliver()
            for time, i in timers:
                if time <= self.now:
                    self.ends[i].on_timeout(self.now)

    def _collect(self) -> None:
        for i in (0, 1):
            for datagram in self.ends[i].send():
                self.sent.append((i, datagram))
                for _ in range(self._copies()):
                    delay = 10 * MS + int(self._random.random() * 60 * MS * (self._bad > 0))
                    self._on_the_way.append((self.now + delay, len(self.sent), 1 - i, datagram))

    def _copies(self) -> int:
        draw = self._random.random()
        return 0 if draw < self._bad else 2 if draw > 1 - self._bad / 2 else 1

    def _deliver(self) -> None:
        due = sorted(item for item in self._on_the_way if item[0] <= self.now)
        self._on_the_way = [item for item in self._on_the_way if item[0] > self.now]
        for _, _, receiver, datagram in due:
            self.ends[receiver].receive(datagram, self.now)


class Plain:
    """OpenSSL itself. `profiles`: what it offers or accepts for SRTP, b"" for no use_srtp at all."""

    def __init__(self, certificate: Certificate, role: DtlsRole, profiles: bytes, ciphers: bytes = b"ALL") -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_cipher_list(ciphers)
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.private_key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(1200)
        if role == DtlsRole.CLIENT:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()
        self.finished = False

    def step(self, datagrams: list[bytes]) -> list[bytes]:
        for datagram in datagrams or [b""]:
            if datagram:
                self.connection.bio_write(datagram)
            if not self.finished:
                try:
                    self.connection.do_handshake()
                    self.finished = True
                except SSL.WantReadError:
                    pass
        return self.written()

    def written(self) -> list[bytes]:
        try:
            return [self.connection.bio_read(65536)]
        except SSL.WantReadError:
            return []

    def shake(self, endpoint: DtlsEndpoint) -> None:
        """Until both are silent."""
        for _ in range(10):
            for datagram in self.step(endpoint.send()):
                endpoint.receive(datagram, 0)

    def keys(self, key: int, salt: int) -> tuple[bytes, bytes]:
        """Master key and salt of the client and of the server (RFC 5764 §4.2)."""
        material = self.connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client_key, server_key, rest = material[:key], material[key : 2 * key], material[2 * key :]
        return client_key + rest[:salt], server_key + rest[salt:]
