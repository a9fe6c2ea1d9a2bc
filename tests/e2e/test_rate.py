"""Clients behind a narrow link: the rate towards a subscriber, what its description promises and what comes of it; and
what a publisher makes of the server's feedback.

The server, one browser and the emulated link's far end share a namespace; another browser is at the near end.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.netem import EmulatedLink, emulated_link
from tests.e2e.support.netns import namespace
from tests.e2e.support.server import ServerSpec, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.netns

METRICS_PORT = 6789
"""In a namespace of its own a server has all ports to itself."""
TRANSPORT_WIDE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


@dataclass(frozen=True)
class Stage:
    """A server for each kind of estimation, and the browsers at both ends of one link."""

    link: EmulatedLink
    endpoints: dict[str, Endpoint]
    publishing: Browser
    watching: Browser

    async def engine(self, kind: str) -> dict[str, float]:
        """The engine's own totals, as the server exports them."""
        url = f"http://{self.endpoints[kind].host}:{METRICS_PORT + (kind == 'transport')}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            text = await answer.text()
        found = re.findall(r'^plenum_engine\{[^}]*value="(\w+)"[^}]*\} (\S+)$', text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    async def engine_until(self, kind: str, reached: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """The first totals that are as wanted."""
        last: dict[str, float] = {}
        try:
            async with asyncio.timeout(60):
                while not reached(last := await self.engine(kind)):
                    await self.link.counters_until(lambda _: True)
        except TimeoutError as error:
            raise AssertionError(f"last {last}") from error
        return last

    async def pass_whole(self, rate_bps: int) -> None:
        """Wait for five seconds in which this rate has room for what is sent to the subscriber."""
        names = ("entered", "entered_bytes", "delivered", "queue_full")
        seen: list[dict[str, int]] = []
        now = await self.link.counters()
        for _ in range(8):
            before, now = now, await self.link.counters(now["elapsed_ms"] + 5_000)
            grown: dict[str, int] = {name: now["down"][name] - before["down"][name] for name in names}
            grown["elapsed_ms"] = now["elapsed_ms"] - before["elapsed_ms"]
            seen.append(grown)
            has_room = grown["entered_bytes"] * 8_000 <= rate_bps * grown["elapsed_ms"]
            if has_room and grown["queue_full"] < 0.02 * grown["entered"] and grown["delivered"] >= 25:
                return
        raise AssertionError(f"never five seconds within {rate_bps} bit/s: {seen}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    with namespace() as far:
        async with emulated_link(far_space=far) as link:
            link.near.run("ip", "route", "add", "default", "dev", link.near_device)

            def spec(wide: bool) -> ServerSpec:
                config = {
                    "rtc": {"congestion_control": {"use_send_side_bwe": wide}},
                    "prometheus": {"port": METRICS_PORT + wide},
                }
                return ServerSpec(config=config, host=far.there, enter_command=far.enter_command)

            async with (
                started(spec(False)) as receiver,
                started(spec(True)) as transport,
                launched("chromium", enter_command=far.enter_command) as publishing,
                launched("chromium", enter_command=link.near.enter_command) as watching,
            ):
                endpoints = {"receiver": receiver.endpoint, "transport": transport.endpoint}
                yield Stage(link, endpoints, publishing, watching)


@pytest.mark.parametrize("kind", ["transport", "receiver"])
async def test_a_subscriber_is_asked_for_what_its_rate_is_estimated_by(stage: Stage, path: JoinPath, kind: str) -> None:
    """ADA09, ADA10: by option transport-cc or REMB; of either comes an estimate, on a narrow link bursts wait, and no
    more is sent than it bears."""
    endpoint, room = stage.endpoints[kind], unique("rate")
    before = await stage.engine(kind)

    def grown(name: str) -> Callable[[dict[str, float]], bool]:
        return lambda now: now.get(name, 0) > before.get(name, 0)

    async with (
        stage.publishing.client(endpoint, "alice", room, path) as alice,
        stage.watching.client(endpoint, "bob", room, path) as bob,
    ):
        # Plain bars take less than a packet a picture in their lowest layer: nothing would ever wait.
        await alice.publish_bars(width=1280, height=720, fps=20, snow=True, videoCodec="vp8", simulcast=True)
        await bob.see("alice")
        sections = await bob.run(
            """const all = e2e.connections.map((c) => c.remoteDescription?.sdp ?? '').join('');
            return all.split('\\r\\nm=').filter((s) => s.startsWith('video') && s.includes('TR_'));"""
        )
        assert sections
        for section in sections:
            assert (TRANSPORT_WIDE in section) == (kind == "transport"), section
            assert bool(re.search(r"rtcp-fb:\d+ transport-cc", section)) == (kind == "transport"), section
            # Our offer leaves peers without transport-cc their own estimate; our answer says what is gone by.
            has_remb = bool(re.search(r"rtcp-fb:\d+ goog-remb", section))
            assert has_remb == (kind == "receiver" or "setup:actpass" in section), section
        await stage.engine_until(kind, grown("rate_changes"))
        if kind == "transport":
            await stage.engine_until(kind, grown("probes"))
        # Less than the pictures take.
        await stage.link.tell(down={"rate_bps": 100_000, "queue_ms": 300})
        try:
            await stage.engine_until(kind, grown("congestions"))
            await stage.engine_until(kind, grown("paced"))
            # More than the lowest layer takes, and less than the next.
            await stage.link.tell(down={"rate_bps": 300_000, "queue_ms": 300})
            await stage.pass_whole(300_000)
            await bob.see("alice")
        finally:
            await stage.link.tell(down={"rate_bps": 0})


_HEARD_WHOLE = """const read = async () => (await e2e.stats('inbound-rtp', (s) => s.kind === 'audio'))[0];
    let last = await read();
    await e2e.until(async () => {
        const now = await read();
        if (now.timestamp - last.timestamp < 3000) return false;
        const [came, lost] = [now.packetsReceived - last.packetsReceived, now.packetsLost - last.packetsLost];
        last = now;
        return came > 100 && lost <= 0.02 * came;
    }, 'three seconds of whole sound', 60000);"""


async def test_a_publisher_behind_a_narrow_link_leaves_its_sound_room(stage: Stage, path: JoinPath) -> None:
    """300 kbit/s: pictures and their padding give way. Were sound part of the publisher's estimate, what RED adds would
    come on top of that, the link's queue would stay full, and half of the sound would be lost there."""
    room, endpoint = unique("uplink"), stage.endpoints["transport"]
    async with (
        stage.watching.client(endpoint, "alice", room, path) as alice,
        stage.publishing.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_tone(440)
        await alice.publish_bars(width=1280, height=720, fps=20, videoCodec="vp8", simulcast=True)
        await bob.hear("alice", 440)
        await bob.see("alice", minWidth=1000)
        await stage.link.tell(up={"rate_bps": 300_000, "queue_ms": 300, "delay_ms": 20})
        try:
            await stage.link.counters_until(lambda told: told["up"]["queue_full"] > 0)
            await bob.run(_HEARD_WHOLE, timeout_s=65)
            await bob.see("alice")
        finally:
            await stage.link.tell(up={"rate_bps": 0, "delay_ms": 0})
