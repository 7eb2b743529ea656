"""The certificate of a core process."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sfu_core.channel.messages import FingerprintAlgorithm
from sfu_core.worker.certificate import Certificate, PrivateKey, fingerprint


def write(
    directory: Path, certificate: x509.Certificate, key: PrivateKey | ed25519.Ed25519PrivateKey
) -> tuple[str, str]:
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(paths[0]), str(paths[1])


def self_signed(key: PrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def test_generated() -> None:
    made = Certificate.generate()
    certificate = made.certificate
    assert isinstance(made.private_key, ec.EllipticCurvePrivateKey)
    assert made.private_key.curve.name == "secp256r1"
    assert certificate.public_key() == made.private_key.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_before_utc < datetime.now(UTC) - timedelta(days=3000)
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3000)


def test_every_one_is_another() -> None:
    one, other = Certificate.generate(), Certificate.generate()
    assert one.certificate.subject != other.certificate.subject
    assert one.fingerprints() != other.fingerprints()


def test_fingerprints_as_openssl_prints_them(tmp_path: Path) -> None:
    made = Certificate.generate()
    path, _ = write(tmp_path, made.certificate, made.private_key)
    for algorithm, value in made.fingerprints():
        command = ["openssl", "x509", "-in", path, "-noout", "-fingerprint", f"-{algorithm.name.lower()}"]
        try:
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except FileNotFoundError:
            pytest.skip("no openssl command")
        assert printed.strip().split("=")[1] == value
    assert [algorithm for algorithm, _ in made.fingerprints()] == list(FingerprintAlgorithm)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_from_files(tmp_path: Path, key: PrivateKey) -> None:
    certificate = self_signed(key)
    loaded = Certificate.load(*write(tmp_path, certificate, key))
    assert loaded.certificate == certificate and loaded.chain == ()
    assert loaded.private_key.private_numbers() == key.private_numbers()
    assert fingerprint(loaded.certificate, FingerprintAlgorithm.SHA1).count(":") == 19


def test_a_chain(tmp_path: Path) -> None:
    leaf, issuer = Certificate.generate(), Certificate.generate()
    path, key = write(tmp_path, leaf.certificate, leaf.private_key)
    pem = issuer.certificate.public_bytes(serialization.Encoding.PEM)
    Path(path).write_bytes(Path(path).read_bytes() + pem)
    loaded = Certificate.load(path, key)
    assert (loaded.certificate, loaded.chain) == (leaf.certificate, (issuer.certificate,))


def test_files_that_will_not_do(tmp_path: Path) -> None:
    good, other = Certificate.generate(), Certificate.generate()
    certificate, key = write(tmp_path, good.certificate, good.private_key)
    (tmp_path / "other").mkdir()
    _, other_key = write(tmp_path / "other", other.certificate, other.private_key)
    (tmp_path / "ed").mkdir()
    _, ed_key = write(tmp_path / "ed", good.certificate, ed25519.Ed25519PrivateKey.generate())
    for pair, named in [
        (("/nowhere", key), "dtlsCertificateFile"),
        ((key, key), "dtlsCertificateFile"),
        ((certificate, "/nowhere"), "dtlsPrivateKeyFile"),
        ((certificate, certificate), "dtlsPrivateKeyFile"),
        ((certificate, other_key), "dtlsPrivateKeyFile"),
        ((certificate, ed_key), "dtlsPrivateKeyFile"),
    ]:
        with pytest.raises(TypeError, match=named):
            Certificate.load(*pair)
