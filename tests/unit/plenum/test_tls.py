"""Certificate and key: what is wrong is said of the file that it is wrong with."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from plenum.startup import StartupError
from plenum.tls import tls_context

_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def make_pair(folder: Path, name: str, passphrase: bytes = b"", *, rsa_bits: int = 0) -> tuple[str, str]:
    """Paths of a certificate and its key; of an elliptic curve, or RSA of `rsa_bits`."""
    curve = ec.SECP256R1()
    private = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(curve)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=private.public_key(),
        serial_number=1,
        not_valid_before=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        not_valid_after=datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC),
    )
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(_PEM))
    key.write_bytes(private.private_bytes(_PEM, _PKCS8, lock))
    return str(cert), str(key)


def refusal(cert: str, key: str) -> str:
    with pytest.raises(StartupError) as refused:
        tls_context(cert, key)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_pair_is_taken_and_nothing_is_nothing(tmp_path: Path) -> None:
    assert tls_context(*make_pair(tmp_path, "a")) is not None
    assert tls_context("", "") is None


def test_the_file_at_fault_is_named(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "a")
    absent, text = str(tmp_path / "absent"), tmp_path / "text"
    text.write_text("no PEM")
    assert refusal("", key) == "plenum.tls_cert is missing: the key alone is of no use"
    assert refusal(cert, "") == "plenum.tls_key is missing: the certificate alone is of no use"
    assert refusal(absent, key) == f'plenum.tls_cert: "{absent}" cannot be read: No such file or directory'
    assert refusal(cert, absent) == f'plenum.tls_key: "{absent}" cannot be read: No such file or directory'
    assert refusal(str(tmp_path), key).endswith("cannot be read: Is a directory")
    assert refusal(str(text), key) == f'plenum.tls_cert: "{text}" holds no certificate in PEM form'
    assert refusal(cert, str(text)) == f'plenum.tls_key: "{text}" holds no private key in PEM form'
    assert refusal(key, cert) == f'plenum.tls_cert: "{key}" holds no certificate in PEM form'


def test_files_that_do_not_belong_together_are_both_named(tmp_path: Path) -> None:
    cert, _ = make_pair(tmp_path, "a")
    _, key = make_pair(tmp_path, "b")
    _, of_another_kind = make_pair(tmp_path, "c", rsa_bits=2048)
    for wrong in (key, of_another_kind):
        assert refusal(cert, wrong) == f'plenum.tls_key: "{wrong}" is not the key of the certificate "{cert}"'


def test_the_certificate_is_blamed_for_what_is_too_weak_in_it(tmp_path: Path) -> None:
    weak, key = make_pair(tmp_path, "weak", rsa_bits=1024)
    assert refusal(weak, key) == f'plenum.tls_cert: "{weak}" is too weak (EE_KEY_TOO_SMALL)'
    strong, its_key = make_pair(tmp_path, "strong")
    chain = tmp_path / "chain"
    chain.write_bytes(Path(strong).read_bytes() + Path(weak).read_bytes())
    assert refusal(str(chain), its_key) == f'plenum.tls_cert: "{chain}" is too weak (CA_KEY_TOO_SMALL)'


def test_of_what_nobody_thought_of_both_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        error = ssl.SSLError(1, "[X509] odd thing (_ssl.c:1)")
        error.library, error.reason = "X509", "ODD_THING"
        raise error

    cert, key = make_pair(tmp_path, "a")
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", fail)
    assert refusal(cert, key) == f'plenum.tls_cert: "{cert}" and plenum.tls_key: "{key}" cannot be used: ODD_THING'


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    assert "is encrypted" in refusal(*make_pair(tmp_path, "a", b"word"))
