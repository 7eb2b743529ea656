"""Signs certificates for servers and clients of tests."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)


class Authority:
    """One that those who trust it know by `file`; all it writes is in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.folder = folder
        self.file = self._write(f"{name}.pem", self._sign(self.name, self.key.public_key(), HOUR, True))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta, authority: bool = False
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * HOUR)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(authority, None), True)
        )
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def issue(self, name: str, life: datetime.timedelta = HOUR) -> str:
        """A file with a certificate, which is valid for `life` from now on, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signed = self._sign(subject, key.public_key(), life)
        return self._write(f"{name}-of-{Path(self.file).name}", signed + private)

    def server(self, trusted: Authority | None = None) -> ssl.SSLContext:
        """For a server, which asks for certificates of `trusted`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue("server"))
        if trusted is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(trusted.file)
        return context

    def client(self, shown: str | None = None) -> ssl.SSLContext:
        """For a client that trusts this one, and shows that certificate."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown)
        return context
