"""Which addresses media binds and advertises.

Owns the choice: interface and network filters, loopback, the public address of a 1:1 NAT (protocol.md §11.4). The
choice itself is a pure function; `local_addresses` reads the machine's interfaces. Never opens a socket: asking a
STUN server is `sfu.stun`.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ifaddr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sfu.config.reference import Rtc

__all__ = ["AddressError", "LocalAddress", "MediaAddresses", "host_port", "local_addresses", "media_addresses"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressError(ValueError):
    """No address is left to offer; the text names the keys that left it out."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of this machine."""

    interface: str
    ip: IpAddress


@dataclass(frozen=True, slots=True)
class MediaAddresses:
    """Arguments of the engine (`_engine.EngineConfig`)."""

    udp: tuple[str, ...]
    tcp: tuple[str, ...]
    advertised: tuple[tuple[str, str], ...]
    """`(local ip, public ip)`."""


def local_addresses() -> list[LocalAddress]:
    """All addresses of all interfaces, in the system's order."""
    found: list[LocalAddress] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            # IPv6 entries are (address, flow, scope).
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            found.append(LocalAddress(adapter.nice_name, ipaddress.ip_address(text)))
    return found


def usable_addresses(local: Iterable[LocalAddress], rtc: Rtc) -> list[IpAddress]:
    """The addresses of `local` that the filters leave, IPv4 first, loopback last.

    Link-local addresses never count (engine.md §7). Loopback counts with `enable_loopback_candidate`, or when nothing
    else is left, as in the reference.
    """
    kept = [
        address.ip
        for address in local
        if not address.ip.is_link_local
        and _passes_names(address.interface, rtc.interfaces.includes, rtc.interfaces.excludes)
        and _passes_networks(address.ip, rtc.ips.includes, rtc.ips.excludes)
    ]
    unique = sorted(dict.fromkeys(kept), key=lambda ip: ip.version)
    others = [ip for ip in unique if not ip.is_loopback]
    loopback = [ip for ip in unique if ip.is_loopback]
    if rtc.enable_loopback_candidate:
        return others + loopback
    return others or loopback


def media_addresses(
    local: Iterable[LocalAddress], rtc: Rtc, public: Mapping[IpAddress, IpAddress] | None = None
) -> MediaAddresses:
    """What the engine binds and advertises.

    Args:
        local: This machine's addresses.
        rtc: Configuration; `node_ip` wins over `public`.
        public: What a STUN server saw, per local address; empty without `use_external_ip`.

    Raises:
        AddressError: Nothing is left.
    """
    usable = usable_addresses(local, rtc)
    mapping = _node_ip_mapping(usable, rtc.node_ip) if rtc.node_ip else dict(public or {})
    if rtc.node_ip:
        usable = _without_alternatives(usable, mapping, rtc.node_ip)
    elif rtc.use_external_ip and rtc.external_ip_only:
        usable = [ip for ip in usable if ip in mapping]
    if not usable:
        raise AddressError("no address is left for media: see rtc.interfaces, rtc.ips and rtc.external_ip_only")
    udp = [] if rtc.force_tcp else usable
    tcp = usable if rtc.tcp_port else []
    if not udp and not tcp:
        raise AddressError("rtc.force_tcp needs rtc.tcp_port")
    return MediaAddresses(
        udp=tuple(host_port(ip, rtc.udp_port[0]) for ip in udp),
        tcp=tuple(host_port(ip, rtc.tcp_port) for ip in tcp),
        advertised=tuple((str(ip), str(mapping[ip])) for ip in usable if ip in mapping and mapping[ip] != ip),
    )


def host_port(ip: IpAddress | str, port: int) -> str:
    """`ip:port`, or `[ip]:port` for IPv6."""
    text = str(ip)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _node_ip_mapping(usable: Sequence[IpAddress], node_ip: str) -> dict[IpAddress, IpAddress]:
    wanted = {ip.version: ip for ip in map(ipaddress.ip_address, node_ip.split(","))}
    return {ip: wanted[ip.version] for ip in usable if ip.version in wanted and not ip.is_loopback}


def _without_alternatives(
    usable: Sequence[IpAddress], mapping: Mapping[IpAddress, IpAddress], node_ip: str
) -> list[IpAddress]:
    """When a node IP is an address of this machine, it alone is meant in its family; loopback stays."""
    own = {ip.version for ip in map(ipaddress.ip_address, node_ip.split(",")) if ip in usable}
    return [ip for ip in usable if ip.version not in own or ip.is_loopback or mapping.get(ip) == ip]


def _passes_names(name: str, includes: Sequence[str], excludes: Sequence[str]) -> bool:
    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    return (not includes or matches(includes)) and not matches(excludes)


def _passes_networks(ip: IpAddress, includes: Sequence[str], excludes: Sequence[str]) -> bool:
    def within(networks: Sequence[str]) -> bool:
        # An address is never in a network of the other family.
        return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)

    if within(excludes):
        return False
    # Loopback is asked for by its own key; an include list is about the others.
    return not includes or ip.is_loopback or within(includes)
