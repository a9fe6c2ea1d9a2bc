"""Media addresses with the network asked: local interfaces and, when configured, STUN servers.

Owns the questions and the errors in the operator's words. Never decides: `sfu.addresses` does.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

import structlog

from plenum.startup import StartupError
from sfu.addresses import AddressError, local_addresses, media_addresses, usable_addresses
from sfu.stun import DEFAULT_SERVERS, StunError, public_address

if TYPE_CHECKING:
    from sfu.addresses import LocalAddress, MediaAddresses
    from sfu.config.reference import Rtc

__all__ = ["choose_media_addresses", "lan_addresses"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_log = structlog.stdlib.get_logger(__name__)


async def choose_media_addresses(rtc: Rtc) -> MediaAddresses:
    """What the engine binds and advertises.

    Raises:
        StartupError: No address is left, or no STUN server answered.
    """
    local = local_addresses()
    public = await _ask_outside(local, rtc) if rtc.use_external_ip and not rtc.node_ip else {}
    try:
        return media_addresses(local, rtc, public)
    except AddressError as error:
        raise StartupError(str(error)) from None


def lan_addresses() -> tuple[str, ...]:
    """This machine's addresses that others can reach, IPv4 first."""
    ips = [address.ip for address in local_addresses() if not (address.ip.is_loopback or address.ip.is_link_local)]
    return tuple(str(ip) for ip in sorted(ips, key=lambda ip: ip.version))


async def _ask_outside(local: list[LocalAddress], rtc: Rtc) -> dict[IpAddress, IpAddress]:
    """What the outside sees of each local IPv4 address (IPv6 is hardly ever translated)."""
    servers = tuple(rtc.stun_servers) or DEFAULT_SERVERS
    asked = [ip for ip in usable_addresses(local, rtc) if ip.version == 4 and not ip.is_loopback]
    answers = await asyncio.gather(*(public_address(ip, servers) for ip in asked), return_exceptions=True)
    public: dict[IpAddress, IpAddress] = {}
    failures: list[str] = []
    for ip, answer in zip(asked, answers, strict=True):
        if isinstance(answer, StunError):
            failures.append(str(answer))
            _log.warning("no public address found", local=str(ip), reason=str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            public[ip] = answer
            _log.info("public address found", local=str(ip), public=str(answer))
    if not public:
        reason = failures[0] if failures else "this machine has no IPv4 address to ask from"
        raise StartupError(f"rtc.use_external_ip: {reason}; set rtc.node_ip to the public address instead")
    return public
