"""Certificate and key: what is wrong is said of the file that it is wrong with."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plenum.startup import StartupError
from plenum.tls import tls_context

if TYPE_CHECKING:
    from pathlib import Path

_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def make_pair(folder: Path, name: str, passphrase: bytes = b"") -> tuple[str, str]:
    """Paths of a certificate and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
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
    assert refusal(cert, key) == f'plenum.tls_key: "{key}" is not the key of the certificate "{cert}"'


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    assert "is encrypted" in refusal(*make_pair(tmp_path, "a", b"word"))
