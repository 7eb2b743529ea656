"""DTLS with other people's code: the openssl command (OpenSSL 3) over a socket, aiortc's transport in memory."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sfu_core import _srtp
from sfu_core.channel.messages import DtlsRole, DtlsState, FingerprintAlgorithm, SrtpCryptoSuite
from sfu_core.worker.certificate import Certificate, fingerprint
from sfu_core.worker.dtls import DtlsEndpoint

from .plain import free_port

SHA256 = FingerprintAlgorithm.SHA256
OURS, THEIRS = Certificate.generate(), Certificate.generate()
TIME_LIMIT = 20.0
both_roles = pytest.mark.parametrize("role", [DtlsRole.CLIENT, DtlsRole.SERVER])


def endpoint_for(certificate: str) -> DtlsEndpoint:
    endpoint = DtlsEndpoint(OURS)
    endpoint.set_remote_fingerprint(SHA256, certificate)
    return endpoint


# ----------------------------------------------------------------------------------------------------- openssl


class OpenSsl:
    """`openssl s_client` or `s_server` against our endpoint on a loopback socket."""

    def __init__(self, directory: Path, role: DtlsRole, profile: str, length: int) -> None:
        files = directory / "certificate.pem", directory / "key.pem"
        files[0].write_bytes(THEIRS.certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(
            THEIRS.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.02)
        self.endpoint = endpoint_for(fingerprint(THEIRS.certificate, SHA256))
        if role == DtlsRole.CLIENT:
            self.socket.connect(("127.0.0.1", free_port()))
            mode = ["s_server", "-accept", f"127.0.0.1:{self.socket.getpeername()[1]}", "-Verify", "1"]
        else:
            self.socket.bind(("127.0.0.1", 0))
            mode = ["s_client", "-connect", f"127.0.0.1:{self.socket.getsockname()[1]}"]
        self.output = directory / "out"
        command = [
            "openssl",
            *mode,
            "-dtls1_2",
            "-mtu",
            "1200",
            "-cert",
            str(files[0]),
            "-key",
            str(files[1]),
        ]
        command += [
            "-use_srtp",
            profile,
            "-keymatexport",
            "EXTRACTOR-dtls_srtp",
            "-keymatexportlen",
            str(length),
        ]
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT
            )
        if role == DtlsRole.CLIENT:
            self.wait_for(lambda: "ACCEPT" in self.text())
        self.endpoint.start(role, time.monotonic_ns())

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIME_LIMIT
        while not done():
            assert time.monotonic() < deadline, self.text()
            self.turn()

    def turn(self) -> None:
        now = time.monotonic_ns()
        if self.endpoint.next_timeout(now) == 0:
            self.endpoint.on_timeout(now)
        for datagram in self.endpoint.send():
            self.socket.send(datagram)
        try:
            datagram, address = self.socket.recvfrom(4096)
        except (TimeoutError, ConnectionRefusedError):
            return
        self.socket.connect(address)
        self.endpoint.receive(datagram, time.monotonic_ns())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.socket.close()


@pytest.fixture(params=[DtlsRole.CLIENT, DtlsRole.SERVER], ids=["we-client", "we-server"])
def openssl(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenSsl]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    peer = OpenSsl(tmp_path, request.param, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80", 56)
    yield peer
    peer.close()


def test_openssl_command(openssl: OpenSsl) -> None:
    endpoint = openssl.endpoint
    openssl.wait_for(lambda: endpoint.state != DtlsState.CONNECTING)
    assert endpoint.state == DtlsState.CONNECTED, endpoint.reason
    openssl.wait_for(lambda: "Keying material: " in openssl.text())
    found = re.search(r"Keying material: ([0-9A-F]+)", openssl.text())
    assert found and endpoint.keying
    assert endpoint.keying.suite == SrtpCryptoSuite.AEAD_AES_128_GCM
    material = bytes.fromhex(found[1])
    client, server = material[:16] + material[32:44], material[16:32] + material[44:56]
    keys = (client, server) if endpoint.role == DtlsRole.CLIENT else (server, client)
    assert (endpoint.keying.local_key, endpoint.keying.remote_key) == keys

    assert openssl.process.stdin
    openssl.process.stdin.write(b"hello from the command line\n")
    openssl.process.stdin.flush()
    received: list[bytes] = []
    openssl.wait_for(lambda: received.extend(endpoint.receive_data()) or received)
    assert received == [b"hello from the command line\n"]
    assert endpoint.send_data(b"hello from Python\n")
    openssl.wait_for(lambda: "hello from Python" in openssl.text())
    endpoint.close()
    openssl.turn()
    if endpoint.role == DtlsRole.SERVER:
        assert openssl.process.wait(TIME_LIMIT) == 0  # the client ends with close_notify


# -------------------------------------------------------------------------------------------------------- aiortc


class MemoryIce:
    """What aiortc's DTLS transport needs of its ICE transport; the other end is our endpoint."""

    def __init__(self, endpoint: DtlsEndpoint, role: str) -> None:
        self.endpoint = endpoint
        self.role = role
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def _send(self, data: bytes) -> None:
        if 20 <= data[0] <= 63:
            self.endpoint.receive(data, time.monotonic_ns())
            self.flush()

    async def _recv(self) -> bytes:
        return await self._inbox.get()

    def flush(self) -> None:
        for datagram in self.endpoint.send():
            self._inbox.put_nowait(datagram)

    def put(self, datagram: bytes) -> None:
        self._inbox.put_nowait(datagram)


@both_roles
async def test_aiortc_transport(role: DtlsRole) -> None:
    certificate = RTCCertificate.generateCertificate()
    prints = {f.algorithm: f.value for f in certificate.getFingerprints()}
    endpoint = endpoint_for(prints["sha-256"])
    ice = MemoryIce(endpoint, "controlled" if role == DtlsRole.SERVER else "controlling")
    peer = RTCDtlsTransport(ice, [certificate])  # type: ignore[arg-type]
    endpoint.start(role, time.monotonic_ns())
    ice.flush()
    ours = RTCDtlsFingerprint("sha-256", fingerprint(OURS.certificate, SHA256))
    await asyncio.wait_for(peer.start(RTCDtlsParameters(fingerprints=[ours])), TIME_LIMIT)
    assert peer.state == "connected"
    assert endpoint.state == DtlsState.CONNECTED and endpoint.keying

    numbers = {"AEAD_AES_128_GCM": 7, "AEAD_AES_256_GCM": 8, "AES_CM_128_HMAC_SHA1_80": 1}
    number = numbers[endpoint.keying.suite.name]
    header, payload = bytes.fromhex("806000010000000000001234"), b"the same keys on both sides"
    sender = _srtp.Context(number, endpoint.keying.local_key, True)
    status, sealed = sender.protect(header, payload, 1, 0x1234, False)
    assert status == 0 and peer._rx_srtp.unprotect(header + sealed) == header + payload
    receiver = _srtp.Context(number, endpoint.keying.remote_key, False)
    sealed = peer._tx_srtp.protect(header + payload)[12:]
    assert receiver.unprotect(header, sealed, 1, 0x1234, False) == (0, payload, 1)

    await peer._send_data(b"over DTLS")
    assert endpoint.receive_data() == [b"over DTLS"]
    await peer.stop()
    assert endpoint.state == DtlsState.CLOSED


@both_roles
async def test_aiortc_with_another_fingerprint(role: DtlsRole) -> None:
    certificate = RTCCertificate.generateCertificate()
    endpoint = endpoint_for(fingerprint(OURS.certificate, SHA256))  # not the peer's
    ice = MemoryIce(endpoint, "controlled" if role == DtlsRole.SERVER else "controlling")
    peer = RTCDtlsTransport(ice, [certificate])  # type: ignore[arg-type]
    endpoint.start(role, time.monotonic_ns())
    ice.flush()
    ours = RTCDtlsFingerprint("sha-256", fingerprint(OURS.certificate, SHA256))
    await asyncio.wait_for(peer.start(RTCDtlsParameters(fingerprints=[ours])), TIME_LIMIT)
    assert (endpoint.state, endpoint.keying) == (DtlsState.FAILED, None)
    ice.flush()
    await asyncio.sleep(0.05)
    assert peer.state == "closed"
    await peer.stop()
