"""The STUN client: RFC 5769's vectors, hostile answers, silence."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.stun import StunError, binding_request, mapped_address, public_address

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769 §2.2 (IPv4) and §2.3 (IPv6).
IPV4_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
IPV6_RESPONSE = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa"
    "a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
LOOPBACK = ipaddress.ip_address("127.0.0.1")


def test_rfc_5769_vectors() -> None:
    assert mapped_address(IPV4_RESPONSE, TRANSACTION) == ipaddress.ip_address("192.0.2.1")
    assert mapped_address(IPV6_RESPONSE, TRANSACTION) == ipaddress.ip_address("2001:db8:1234:5678:11:2233:4455:6677")


def test_the_plain_address_of_old_servers_counts_when_it_is_alone() -> None:
    attribute = struct.pack("!HHBBH4s", 1, 8, 0, 1, 1000, bytes([192, 0, 2, 9]))
    response = struct.pack("!HHI12s", 0x0101, len(attribute), 0x2112A442, TRANSACTION) + attribute
    assert mapped_address(response, TRANSACTION) == ipaddress.ip_address("192.0.2.9")


def test_answers_to_others_do_not_count() -> None:
    assert mapped_address(IPV4_RESPONSE, bytes(12)) is None
    assert mapped_address(binding_request(TRANSACTION), TRANSACTION) is None


@given(st.binary(max_size=80))
def test_any_datagram_is_read_or_ignored(tail: bytes) -> None:
    mapped_address(tail, TRANSACTION)
    framed = struct.pack("!HHI12s", 0x0101, len(tail), 0x2112A442, TRANSACTION) + tail
    found = mapped_address(framed, TRANSACTION)
    assert found is None or found.version in (4, 6)


@given(st.integers(0, len(IPV4_RESPONSE) - 1))
def test_cut_answers_are_ignored(length: int) -> None:
    assert mapped_address(IPV4_RESPONSE[:length], TRANSACTION) is None


async def test_servers_that_cannot_be_reached_are_named() -> None:
    with pytest.raises(StunError, match=r"nonsense:port:.*is not host:port; 127.0.0.1:1: "):
        await public_address(LOOPBACK, ("nonsense:port", "127.0.0.1:1"), waits_s=(0.01,))


async def test_without_servers_there_is_no_answer() -> None:
    with pytest.raises(StunError, match="no STUN server is configured"):
        await public_address(LOOPBACK, ())
