"""Certificate and key of the HTTP side.

Owns the one-line errors that say which of the two files is at fault. Never binds a port.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from plenum.startup import StartupError

__all__ = ["tls_context"]

# OpenSSL's reasons. A key of another kind than the certificate's has none assigned; Python does not know PEM_LIB yet.
_OF_ANOTHER = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
_NO_PEM = (None, "PEM_LIB")


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
        raise StartupError(_fault(error, cert, key)) from None
    return context


def _fault(error: ssl.SSLError, cert: str, key: str) -> str:
    """What OpenSSL does not like, in words; the certificate could be read on its own."""
    if error.reason in _OF_ANOTHER:
        return f'plenum.tls_key: "{key}" is not the key of the certificate "{cert}"'
    if error.reason in _TOO_WEAK:
        return f'plenum.tls_cert: "{cert}" is too weak ({error.reason})'
    if error.library == "SSL" and error.reason in _NO_PEM:
        return f'plenum.tls_key: "{key}" holds no private key in PEM form'
    return f'plenum.tls_cert: "{cert}" and plenum.tls_key: "{key}" cannot be used: {error.reason or error}'


def _check_readable(name: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise StartupError(f'{name}: "{path}" cannot be read: {error.strerror or error}') from None


def _refuse() -> str:
    raise StartupError(
        "plenum.tls_key: the key is encrypted; store it without a passphrase, readable by the server only"
    )
