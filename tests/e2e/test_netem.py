"""The emulated link does to real packets what it is told: UDP probes and TCP between two namespaces.

The exact behaviour is the unit tests' in virtual time; here bounds are wide, since other programs run beside.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import statistics
import sys
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.support.netem import DEADLINE_S, EmulatedLink, emulated_link, end, router_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.netns, pytest.mark.alone]

LATE_S = 0.03
"""How much later than it should a packet may be in the median, on a machine with other work."""


@pytest_asyncio.fixture(loop_scope="session")
async def link() -> AsyncIterator[EmulatedLink]:
    async with emulated_link("--seed", "7") as running:
        yield running


async def test_each_direction_has_its_own_delay(link: EmulatedLink) -> None:
    await link.tell(up={"delay_ms": 40}, down={"delay_ms": 90, "jitter_ms": 30})
    up = await link.probe("up", 200, 0.005)
    down = await link.probe("down", 200, 0.005)
    assert [a.number for a in up] == list(range(200))
    assert [a.number for a in down] == list(range(200)), "jitter keeps the order"
    assert min(a.transit_s for a in up) >= 0.04
    assert statistics.median(a.transit_s for a in up) < 0.04 + LATE_S
    assert min(a.transit_s for a in down) >= 0.09
    assert 0.105 < statistics.median(a.transit_s for a in down) < 0.12 + LATE_S


async def test_a_share_is_lost_in_bursts_if_so_asked(link: EmulatedLink) -> None:
    await link.tell(up={"loss_percent": 20}, down={"loss_percent": 20, "loss_burst_packets": 6})
    single = await link.probe("up", 2000, 0.001)
    bursts = await link.probe("down", 2000, 0.001)
    assert 0.15 < 1 - len(single) / 2000 < 0.25
    assert 0.1 < 1 - len(bursts) / 2000 < 0.3
    lengths = {
        name: statistics.mean(gaps)
        for name, arrived in (("single", single), ("bursts", bursts))
        if (gaps := [b.number - a.number - 1 for a, b in itertools.pairwise(arrived) if b.number - a.number > 1])
    }
    assert lengths["single"] < 2, lengths
    assert 4 < lengths["bursts"] < 9, lengths


async def test_a_rate_fills_its_queue_and_drops_the_rest(link: EmulatedLink) -> None:
    await link.tell(up={"rate_bps": 1_000_000, "queue_ms": 200})
    arrived = await link.probe("up", 500, 0.004, size=972)  # 1,000 bytes with their headers: 2 Mbit/s
    sent_at = [a.sent_s + a.transit_s for a in arrived]
    rate_bps = (len(arrived) - 1) * 8000 / (sent_at[-1] - sent_at[0])
    assert 700_000 < rate_bps < 1_100_000
    assert max(a.transit_s for a in arrived) >= 0.19, "the queue was filled"
    up = (await link.counters())["up"]
    assert up["queue_full"] == 500 - len(arrived) > 100
    assert 20_000 <= up["queue_peak_bytes"] <= 27_000


async def test_nothing_passes_in_a_blackout(link: EmulatedLink) -> None:
    probing = asyncio.create_task(link.probe("up", 600, 0.005))
    await link.have_entered("up", 100)
    await link.tell(both={"blackout_ms": 800})
    arrived = await probing
    breaks = [(a, b) for a, b in itertools.pairwise(arrived) if b.number != a.number + 1]
    assert len(breaks) == 1, "before and after everything passes"
    (last, first) = breaks[0]
    assert 0.5 < first.sent_s - last.sent_s < 1.5
    assert arrived[0].number == 0
    assert arrived[-1].number == 599


async def test_packets_overtake_others_and_come_twice(link: EmulatedLink) -> None:
    await link.tell(
        up={"reorder_percent": 10, "reorder_packets": 3, "reorder_wait_ms": 1000}, down={"duplicate_percent": 10}
    )
    order = [a.number for a in await link.probe("up", 1000, 0.001)]
    assert sorted(order) == list(range(1000))
    newest = itertools.accumulate(order, max)
    late = [number for number, most in zip(order, newest, strict=True) if number < most]
    assert 50 < len(late) < 200
    twice = [a.number for a in await link.probe("down", 1000, 0.001)]
    assert 1050 < len(twice) < 1150
    assert set(twice) == set(range(1000))


async def test_ipv6_and_full_size_packets_pass() -> None:
    async with emulated_link(mtu=9000) as link:
        small = await link.probe("down", 20, 0.002, ipv6=True)
        large = await link.probe("up", 20, 0.002, size=9000 - 28)
    assert [a.number for a in small] == [a.number for a in large] == list(range(20))
    assert {a.bytes for a in large} == {9000 - 28}


_TCP_SERVER = """
import hashlib, socket, sys
listening = socket.create_server((sys.argv[1], 5001))
print("ready", flush=True)
connection, _ = listening.accept()
digest, count = hashlib.sha256(), 0
while data := connection.recv(65536):
    digest.update(data)
    count += len(data)
print(count, digest.hexdigest(), flush=True)
"""
_TCP_CLIENT = """
import hashlib, random, socket, sys
data = random.Random(1).randbytes(2_000_000)
with socket.create_connection((sys.argv[1], 5001)) as s:
    s.sendall(data)
print(len(data), hashlib.sha256(data).hexdigest(), flush=True)
"""


async def test_tcp_gets_through_whole_in_spite_of_loss_and_damage(link: EmulatedLink) -> None:
    """The kernel's offloading is off on these devices: checksums are complete, packets no larger than the MTU."""
    await link.tell(both={"delay_ms": 5, "loss_percent": 1, "damage_percent": 0.5})
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        *link.far.enter_command, sys.executable, "-c", _TCP_SERVER, link.far_address, stdout=pipe
    )
    try:
        assert server.stdout is not None
        assert await asyncio.wait_for(server.stdout.readline(), DEADLINE_S) == b"ready\n"
        client = await asyncio.create_subprocess_exec(
            *link.near.enter_command, sys.executable, "-c", _TCP_CLIENT, link.far_address, stdout=pipe
        )
        sent, _ = await asyncio.wait_for(client.communicate(), 60)
        got, _ = await asyncio.wait_for(server.communicate(), 60)
        assert sent == got
        assert got.startswith(b"2000000 ")
    finally:
        await end(server)
    up = (await link.counters())["up"]
    assert up["lost"] > 0
    assert up["damaged"] > 0
    assert up["entered_bytes"] / up["entered"] <= 1500


async def test_steps_come_at_their_times_and_bad_lines_are_refused_by_name(link: EmulatedLink) -> None:
    await link.tell_line('{"up": {"los_percent": 3}}')
    refused = await link.told("refused")
    assert "los_percent" in refused["reason"]
    await link.tell(at_ms=10**9, both={"loss_percent": 100})
    probing = asyncio.create_task(link.probe("up", 500, 0.005))
    begun_ms = (await link.have_entered("up", 50))["elapsed_ms"]
    await link.tell(at_ms=begun_ms + 500, up={"delay_ms": 200})
    arrived = await probing
    assert [a.number for a in arrived] == list(range(500)), "a step far away has not come"
    assert arrived[0].transit_s < 0.2 <= arrived[-1].transit_s


@pytest.mark.parametrize("by_signal", [True, False], ids=["signal", "end of input"])
async def test_it_ends_with_its_counters(link: EmulatedLink, by_signal: bool) -> None:
    await link.tell(both={"loss_percent": 50})
    await link.probe("up", 50, 0.001)
    if by_signal:
        link.router.send_signal(signal.SIGTERM)
    else:
        assert link.router.stdin is not None
        link.router.stdin.close()
    up = (await link.told("end"))["up"]
    assert up["entered"] == up["delivered"] + up["lost"] + up["inside"] >= 50
    assert await asyncio.wait_for(link.router.wait(), DEADLINE_S) == 0


async def test_it_says_so_when_a_namespace_goes(link: EmulatedLink) -> None:
    link.far.remove()
    _, errors = await asyncio.wait_for(link.router.communicate(), DEADLINE_S)
    assert b"far device is gone" in errors
    assert link.router.returncode == 1


async def test_it_says_what_is_wrong_with_its_arguments() -> None:
    for arguments, named in [
        (["--near", "a"], b"--far"),
        (["--near", "a", "--far", "b", "--up", '{"loss_percent": 200}'], b"loss_percent"),
        (["--near", "no/name", "--far", "b"], b"no/name"),
    ]:
        child = await asyncio.create_subprocess_exec(
            router_program(), *arguments, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(child.communicate(), DEADLINE_S)
        assert named in errors
        assert child.returncode == 1
