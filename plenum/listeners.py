"""Listening sockets of the HTTP side, bound before anything else starts.

Owns what the bind addresses mean and the one-line error for a port that is taken. Never accepts a connection.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from plenum.startup import StartupError
from sfu.addresses import host_port

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["listen", "port_of"]

_BACKLOG = 1024
_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(addresses: Sequence[str], port: int, *, key: str, flag: str = "") -> list[socket.socket]:
    """Binds `port` on every address; on all of the machine when there is none.

    Args:
        addresses: IP addresses or names. One that this machine lacks is left out as long as another works:
            `::1` where IPv6 is off.
        port: 0 takes a free one, the same on all addresses.
        key: The configuration key that set the port, for the error.
        flag: The flag that sets it, if there is one.

    Raises:
        StartupError: The port is taken or not allowed, or no address exists here.
    """
    sockets: list[socket.socket] = []
    missing: list[str] = []
    for address in addresses or [""]:
        bound = port_of(sockets) if sockets else port
        try:
            sockets.append(_bind(address, bound))
        except OSError as error:
            if error.errno not in _MISSING and not isinstance(error, socket.gaierror):
                for open_socket in sockets:
                    open_socket.close()
                raise StartupError(_sentence(error, address, bound, key, flag)) from None
            missing.append(address)
    if not sockets:
        raise StartupError(f"bind_addresses: this machine has no address {', '.join(missing)}")
    return sockets


def port_of(sockets: Sequence[socket.socket]) -> int:
    """The port that they are bound to."""
    port = sockets[0].getsockname()[1]
    assert isinstance(port, int)  # noqa: S101 - AF_INET and AF_INET6 only
    return port


def _bind(address: str, port: int) -> socket.socket:
    if not address:
        if socket.has_dualstack_ipv6():
            # The kernel may have IPv6 switched off all the same.
            with contextlib.suppress(OSError):
                return _bind_any_family(port)
        address = "0.0.0.0"  # noqa: S104 - no bind address means all of them
    family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((address, port), family=family, backlog=_BACKLOG)


def _bind_any_family(port: int) -> socket.socket:
    return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)


def _sentence(error: OSError, address: str, port: int, key: str, flag: str) -> str:
    where = host_port(address or "*", port)
    choose = f"{flag} or {key}" if flag else key
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program; stop it or choose another port with {choose}"
    if error.errno == errno.EACCES:
        return (
            f"{where} is not allowed: ports below 1024 need CAP_NET_BIND_SERVICE or root; choose another with {choose}"
        )
    return f"{where} cannot be bound: {error.strerror or error}"
