"""A STUN client that asks one question: what does the outside see of this address? (RFC 8489)

Owns the Binding request, its retransmission and the reading of XOR-MAPPED-ADDRESS. Never keeps a socket open and
never decides what the answer means: that is `sfu.addresses`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct

__all__ = ["DEFAULT_SERVERS", "StunError", "binding_request", "mapped_address", "public_address"]

DEFAULT_SERVERS = ("stun.l.google.com:19302", "stun1.l.google.com:19302", "global.stun.twilio.com:3478")

_MAGIC_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_MAPPED_ADDRESS = 0x0001
_XOR_MAPPED_ADDRESS = 0x0020
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_DEFAULT_PORT = 3478
_FAMILY_LENGTHS = {1: 4, 2: 16}
# RFC 8489 §6.2.1 starts at 500 ms and doubles; three tries bound the start of a server.
_WAITS_S = (0.5, 1.0, 1.5)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class StunError(Exception):
    """No server answered; the text names each with its reason."""


def binding_request(transaction: bytes) -> bytes:
    """A Binding request without attributes; `transaction` has 12 bytes."""
    return _HEADER.pack(_BINDING_REQUEST, 0, _MAGIC_COOKIE, transaction)


def mapped_address(datagram: bytes, transaction: bytes) -> IpAddress | None:
    """The address in a Binding success response to `transaction`; `None` when it is something else."""
    if len(datagram) < _HEADER.size:
        return None
    kind, length, cookie, echoed = _HEADER.unpack_from(datagram)
    if (kind, cookie, echoed) != (_BINDING_SUCCESS, _MAGIC_COOKIE, transaction) or len(
        datagram
    ) < _HEADER.size + length:
        return None
    found: dict[int, IpAddress] = {}
    offset, end = _HEADER.size, _HEADER.size + length
    while offset + _ATTRIBUTE.size <= end:
        name, size = _ATTRIBUTE.unpack_from(datagram, offset)
        offset += _ATTRIBUTE.size
        value = datagram[offset : min(offset + size, end)]
        offset += (size + 3) & ~3
        if name in (_MAPPED_ADDRESS, _XOR_MAPPED_ADDRESS):
            address = _address(value, transaction, xored=name == _XOR_MAPPED_ADDRESS)
            if address is not None:
                found[name] = address
    # RFC 8489 §14.2: XOR-MAPPED-ADDRESS is what counts; the plain one comes from RFC 3489 servers.
    return found.get(_XOR_MAPPED_ADDRESS, found.get(_MAPPED_ADDRESS))


def _address(value: bytes, transaction: bytes, *, xored: bool) -> IpAddress | None:
    if len(value) < _ATTRIBUTE.size:
        return None
    length = _FAMILY_LENGTHS.get(value[1])
    raw = value[4:]
    if length is None or len(raw) != length:
        return None
    if xored:
        mask = _MAGIC_COOKIE.to_bytes(4, "big") + transaction
        raw = bytes(byte ^ key for byte, key in zip(raw, mask, strict=False))
    return ipaddress.ip_address(raw)


async def public_address(
    local: IpAddress, servers: tuple[str, ...], *, waits_s: tuple[float, ...] = _WAITS_S
) -> IpAddress:
    """What the first answering server sees of `local`.

    Args:
        local: Address to send from.
        servers: `host:port` each, asked one after the other.
        waits_s: How long each try waits for its answer.

    Raises:
        StunError: None answered.
    """
    reasons: list[str] = []
    for server in servers:
        try:
            return await _ask(local, server, waits_s)
        except TimeoutError:
            reasons.append(f"{server}: no answer")
        except OSError as error:
            reasons.append(f"{server}: {error.strerror or error}")
    raise StunError("; ".join(reasons) or "no STUN server is configured")


async def _ask(local: IpAddress, server: str, waits_s: tuple[float, ...]) -> IpAddress:
    loop = asyncio.get_running_loop()
    host, port = _split(server)
    family = socket.AF_INET if local.version == 4 else socket.AF_INET6
    async with asyncio.timeout(sum(waits_s) + 1):
        infos = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        transaction = secrets.token_bytes(12)
        transport, listener = await loop.create_datagram_endpoint(
            lambda: _Listener(transaction),
            local_addr=(str(local), 0),
            remote_addr=(str(infos[0][4][0]), port),
            family=family,
        )
        try:
            for wait_s in waits_s:
                transport.sendto(binding_request(transaction))
                done, _ = await asyncio.wait([listener.answer], timeout=wait_s)
                if done:
                    return listener.answer.result()
        finally:
            transport.close()
            listener.answer.cancel()
    raise TimeoutError


def _split(server: str) -> tuple[str, int]:
    host, colon, port = server.removeprefix("stun:").rpartition(":")
    if not colon:
        return port, _DEFAULT_PORT
    if not port.isdecimal():
        raise OSError(f"{server!r} is not host:port")
    return host.strip("[]"), int(port)


class _Listener(asyncio.DatagramProtocol):
    """Waits for the one answer."""

    def __init__(self, transaction: bytes) -> None:
        self._transaction = transaction
        self.answer: asyncio.Future[IpAddress] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        address = mapped_address(data, self._transaction)
        if address is not None and not self.answer.done():
            self.answer.set_result(address)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)
