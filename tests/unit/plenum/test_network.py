"""Public addresses: who is asked, what is done with silence, and when nobody is asked."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from plenum import network
from plenum.network import choose_media_addresses, lan_addresses
from plenum.startup import StartupError
from sfu.addresses import LocalAddress
from sfu.config import load
from sfu.stun import DEFAULT_SERVERS, StunError

LOCAL = [
    LocalAddress("lo", ipaddress.ip_address("127.0.0.1")),
    LocalAddress("eth0", ipaddress.ip_address("2001:db8::5")),
    LocalAddress("eth0", ipaddress.ip_address("10.0.0.5")),
    LocalAddress("eth1", ipaddress.ip_address("10.1.0.5")),
]


class Outside:
    """Stands in for STUN servers: local address -> public one; silent about the rest."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def __call__(self, local: object, servers: tuple[str, ...]) -> object:
        self.asked.append((str(local), servers))
        if str(local) not in self.answers:
            raise StunError("stun.example.com:3478: no answer")
        return ipaddress.ip_address(self.answers[str(local)])


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    stand_in = Outside({"10.0.0.5": "203.0.113.9"})
    monkeypatch.setattr(network, "local_addresses", lambda: LOCAL)
    monkeypatch.setattr(network, "public_address", stand_in)
    return stand_in


def rtc(**values: Any) -> Any:
    return load("", flags={f"rtc.{name}": value for name, value in values.items()}).rtc


async def test_nobody_is_asked_unless_wanted(outside: Outside) -> None:
    assert (await choose_media_addresses(rtc())).advertised == ()
    named = await choose_media_addresses(rtc(use_external_ip=True, node_ip="198.51.100.1"))
    assert ("10.0.0.5", "198.51.100.1") in named.advertised
    assert outside.asked == []


async def test_each_ipv4_address_is_asked_about(outside: Outside) -> None:
    chosen = await choose_media_addresses(rtc(use_external_ip=True, stun_servers=["stun.example.com:3478"]))
    assert outside.asked == [(ip, ("stun.example.com:3478",)) for ip in ("10.0.0.5", "10.1.0.5")]
    assert chosen.advertised == (("10.0.0.5", "203.0.113.9"),)
    assert len(chosen.udp) == 3


async def test_well_known_servers_are_the_default(outside: Outside) -> None:
    await choose_media_addresses(rtc(use_external_ip=True))
    assert outside.asked[0][1] == DEFAULT_SERVERS


async def test_silence_of_all_ends_the_start_with_the_way_out(outside: Outside) -> None:
    outside.answers.clear()
    with pytest.raises(StartupError, match=r"stun.example.com:3478: no answer; set rtc.node_ip"):
        await choose_media_addresses(rtc(use_external_ip=True))


async def test_nothing_left_ends_the_start(outside: Outside) -> None:
    assert outside.asked == []
    with pytest.raises(StartupError, match="no address is left for media"):
        await choose_media_addresses(rtc(interfaces={"includes": ["wlan0"]}))


def test_lan_addresses_leave_out_loopback(outside: Outside) -> None:
    assert outside.asked == []
    assert lan_addresses() == ("10.0.0.5", "10.1.0.5", "2001:db8::5")
