"""The DTLS certificate of a core process: made at its start or read from files; fingerprints.

Control thread. Knows nothing of connections.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sfu_core.channel.messages import FingerprintAlgorithm

VALIDITY = timedelta(days=3650)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_HASHES: dict[FingerprintAlgorithm, type[hashes.HashAlgorithm]] = {
    FingerprintAlgorithm.SHA1: hashes.SHA1,
    FingerprintAlgorithm.SHA224: hashes.SHA224,
    FingerprintAlgorithm.SHA256: hashes.SHA256,
    FingerprintAlgorithm.SHA384: hashes.SHA384,
    FingerprintAlgorithm.SHA512: hashes.SHA512,
}


def fingerprint(certificate: x509.Certificate, algorithm: FingerprintAlgorithm) -> str:
    """Upper-case hex bytes joined by colons (RFC 8122 §5)."""
    return certificate.fingerprint(_HASHES[algorithm]()).hex(":").upper()


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certificate, its chain up to a root if there is one, and the private key."""

    certificate: x509.Certificate
    private_key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def generate(cls) -> "Certificate":
        """A new ECDSA P-256 key, self-signed with SHA-256; a random name, so that it tells nothing."""
        key = ec.generate_private_key(ec.SECP256R1())
        label = f"sfu{secrets.randbelow(10**8)}"
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, label),
                x509.NameAttribute(NameOID.COMMON_NAME, label),
            ]
        )
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - VALIDITY)
            .not_valid_after(now + VALIDITY)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate_file: str, private_key_file: str) -> "Certificate":
        """From PEM files; the first certificate is ours. TypeError names the file that will not do."""
        chain = _read_chain(certificate_file)
        key = _read_key(private_key_file)
        if chain[0].public_key() != key.public_key():
            raise TypeError("dtlsPrivateKeyFile does not belong to dtlsCertificateFile")
        return cls(chain[0], key, tuple(chain[1:]))

    def fingerprints(self) -> list[tuple[FingerprintAlgorithm, str]]:
        """Of every algorithm, shortest first."""
        return [(algorithm, fingerprint(self.certificate, algorithm)) for algorithm in _HASHES]


def _read_chain(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise TypeError(f"dtlsCertificateFile: {error}") from None


def _read_key(path: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise TypeError(f"dtlsPrivateKeyFile: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("dtlsPrivateKeyFile: neither an EC nor an RSA key")
    return key
