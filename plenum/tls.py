"""Certificate and key of the HTTP side.

Owns the one-line errors that say which of the two files is at fault. Never binds a port.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from plenum.startup import StartupError

__all__ = ["tls_context"]


def tls_context(cert: str, key: str) -> ssl.SSLContext | None:
    """What HTTPS and WSS are served with; `None` without any files.

    Args:
        cert: Path of `plenum.tls_cert`; empty: none.
        key: Path of `plenum.tls_key`; empty: none.

    Raises:
        StartupError: One is missing, cannot be read or used, or they do not belong together.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        missing, given = ("plenum.tls_cert", "key") if key else ("plenum.tls_key", "certificate")
        raise StartupError(f"{missing} is missing: the {given} alone is of no use")
    _check_readable("plenum.tls_cert", cert)
    _check_readable("plenum.tls_key", key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert)
    except ssl.SSLError:
        raise StartupError(f'plenum.tls_cert: "{cert}" holds no certificate in PEM form') from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without the last one OpenSSL would ask whoever sits at the terminal.
        context.load_cert_chain(cert, key, password=_refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartupError(f'plenum.tls_key: "{key}" is not the key of the certificate "{cert}"') from None
        raise StartupError(f'plenum.tls_key: "{key}" holds no private key in PEM form') from None
    return context


def _check_readable(name: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise StartupError(f'{name}: "{path}" cannot be read: {error.strerror or error}') from None


def _refuse() -> str:
    raise StartupError(
        "plenum.tls_key: the key is encrypted; store it without a passphrase, readable by the server only"
    )
