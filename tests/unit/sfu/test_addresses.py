"""Media addresses: filters, loopback, public addresses, and what is said when nothing is left."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from sfu.addresses import AddressError, LocalAddress, MediaAddresses, host_port, media_addresses
from sfu.config import load

LOCAL = [
    LocalAddress(interface, ipaddress.ip_address(ip))
    for interface, ip in (
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("eth0", "2001:db8::5"),
        ("eth0", "fe80::1"),
        ("eth0", "10.0.0.5"),
        ("docker0", "172.17.0.1"),
        ("wlan0", "169.254.3.4"),
    )
]


def chosen(public: dict[str, str] | None = None, local: list[LocalAddress] | None = None, **rtc: Any) -> MediaAddresses:
    settings = load("", flags={f"rtc.{name}": value for name, value in rtc.items()}).rtc
    mapping = {ipaddress.ip_address(ip): ipaddress.ip_address(to) for ip, to in (public or {}).items()}
    return media_addresses(LOCAL if local is None else local, settings, mapping)


def ips(addresses: MediaAddresses) -> list[str]:
    return [address.rpartition(":")[0].strip("[]") for address in addresses.udp]


def test_every_address_but_loopback_and_link_local() -> None:
    addresses = chosen()
    assert addresses.udp == ("10.0.0.5:7882", "172.17.0.1:7882", "[2001:db8::5]:7882")
    assert addresses.tcp == ("10.0.0.5:7881", "172.17.0.1:7881", "[2001:db8::5]:7881")
    assert addresses.advertised == ()


def test_loopback_comes_last_when_asked_for_or_alone() -> None:
    assert ips(chosen(enable_loopback_candidate=True))[-2:] == ["127.0.0.1", "::1"]
    assert ips(chosen(local=LOCAL[:2])) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("rtc", "expected"),
    [
        ({"interfaces": {"includes": ["eth*"]}}, ["10.0.0.5", "2001:db8::5"]),
        ({"interfaces": {"excludes": ["docker*"]}}, ["10.0.0.5", "2001:db8::5"]),
        ({"ips": {"includes": ["10.0.0.0/8"]}}, ["10.0.0.5"]),
        ({"ips": {"includes": ["10.0.0.0/8", "172.16.0.0/12"], "excludes": ["172.17.0.1"]}}, ["10.0.0.5"]),
        ({"ips": {"excludes": ["::/0"]}}, ["10.0.0.5", "172.17.0.1"]),
        ({"ips": {"includes": ["10.0.0.0/8"]}, "enable_loopback_candidate": True}, ["10.0.0.5", "127.0.0.1", "::1"]),
    ],
)
def test_filters(rtc: dict[str, Any], expected: list[str]) -> None:
    assert ips(chosen(**rtc)) == expected


def test_an_address_twice_counts_once() -> None:
    assert ips(chosen(local=[LOCAL[4], LOCAL[4]])) == ["10.0.0.5"]


def test_node_ip_is_advertised_for_each_local_address_of_its_family() -> None:
    addresses = chosen(node_ip="203.0.113.9", enable_loopback_candidate=True)
    assert addresses.advertised == (("10.0.0.5", "203.0.113.9"), ("172.17.0.1", "203.0.113.9"))
    assert "127.0.0.1:7882" in addresses.udp


def test_node_ip_of_both_families() -> None:
    addresses = chosen(node_ip="203.0.113.9,2001:db8::99")
    assert ("2001:db8::5", "2001:db8::99") in addresses.advertised
    assert len(addresses.advertised) == 3


def test_node_ip_of_this_machine_stands_alone_in_its_family() -> None:
    addresses = chosen(node_ip="10.0.0.5")
    assert ips(addresses) == ["10.0.0.5", "2001:db8::5"]
    assert addresses.advertised == ()


def test_public_addresses_found_by_stun() -> None:
    found = {"10.0.0.5": "203.0.113.9"}
    addresses = chosen(found, use_external_ip=True)
    assert addresses.advertised == (("10.0.0.5", "203.0.113.9"),)
    assert ips(addresses) == ["10.0.0.5", "172.17.0.1", "2001:db8::5"]
    assert ips(chosen(found, use_external_ip=True, external_ip_only=True)) == ["10.0.0.5"]


def test_an_address_that_is_public_itself_needs_no_pair() -> None:
    addresses = chosen({"10.0.0.5": "10.0.0.5"}, use_external_ip=True, external_ip_only=True)
    assert ips(addresses) == ["10.0.0.5"]
    assert addresses.advertised == ()


def test_node_ip_wins_over_stun() -> None:
    addresses = chosen({"10.0.0.5": "203.0.113.9"}, use_external_ip=True, node_ip="198.51.100.1")
    assert ("10.0.0.5", "198.51.100.1") in addresses.advertised


def test_tcp_alone_and_udp_alone() -> None:
    assert chosen(force_tcp=True).udp == ()
    assert chosen(tcp_port=0).tcp == ()


@pytest.mark.parametrize(
    ("rtc", "message"),
    [
        ({"ips": {"includes": ["192.0.2.0/24"]}, "interfaces": {"excludes": ["lo"]}}, "no address is left"),
        ({"use_external_ip": True, "external_ip_only": True}, "no address is left"),
        ({"force_tcp": True, "tcp_port": 0}, "force_tcp needs rtc.tcp_port"),
    ],
)
def test_nothing_left_is_an_error_that_names_the_keys(rtc: dict[str, Any], message: str) -> None:
    with pytest.raises(AddressError, match=message):
        chosen(**rtc)


def test_ipv6_stands_in_brackets() -> None:
    assert (host_port("::1", 80), host_port("127.0.0.1", 80)) == ("[::1]:80", "127.0.0.1:80")
