"""Which layers of a picture arrive, and what publishers send when nobody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from livekit import rtc

from tests.e2e.support.browser import stalls
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN, ServerSpec

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser, BrowserClient

pytestmark = pytest.mark.alone

SERVER = ServerSpec(config={"video": {"dynacast_pause_delay": "1s"}})

_CODECS = ["vp8", "h264", "vp9", "av1"]
_WIDTH, _HEIGHT = 960, 540
"""livekit-client makes three layers of this size."""
_QUALITIES = {"LOW": 0, "MEDIUM": 1, "HIGH": 2}

_WATCH = """
    const inbound = async () => {
        const found = await e2e.stats('inbound-rtp', (r) => r.kind === 'video' && r.framesDecoded > 0);
        return found.sort((a, b) => b.framesDecoded - a.framesDecoded)[0];
    };
"""
"""Defines `inbound()`: statistics of the one video that a page receives."""

_LOST_TIME = """
    const lost = [];
    const every = 20;
    let due = performance.now() + every;
    setInterval(() => {
        const late = performance.now() - due;
        if (late > 100) lost.push({ until: Date.now(), late });
        due = performance.now() + every;
    }, every);
    e2e.lostSince = (time) => lost.reduce((sum, { until, late }) => sum + (until > time ? late : 0), 0);"""
"""Defines `e2e.lostSince(time)`: milliseconds in which the page was not run, in stalls of over a tenth of a second."""

_RATE = (
    _WATCH
    + """
    const publication = [...e2e.room.remoteParticipants.get('alice').videoTrackPublications.values()][0];
    publication.setVideoFPS(fps);
    let last;
    return e2e.until(async () => {
        const now = await inbound();
        const enough = last && now.timestamp - last.timestamp > 1900;
        if (last && !enough) return false;
        const rate = last && (now.framesDecoded - last.framesDecoded) * 1000 / (now.timestamp - last.timestamp);
        last = now;
        return rate >= low && rate <= high && { rate, height: now.frameHeight };
    }, `${low} to ${high} pictures a second`, 25000);"""
)
"""Asks for `fps` pictures a second of alice's video and waits for two seconds with `low` to `high` of them."""


async def _publish(client: BrowserClient, codec: str, **options: Any) -> str:
    options = {"videoCodec": codec, "simulcast": True, "backupCodec": False} | options
    return await client.publish_bars(width=_WIDTH, height=_HEIGHT, fps=15, **options)


async def _ask(client: BrowserClient, who: str, quality: str) -> None:
    await client.run(
        "[...e2e.room.remoteParticipants.get(who).videoTrackPublications.values()][0].setVideoQuality(quality)",
        who=who,
        quality=_QUALITIES[quality],
    )


async def _decodes(client: BrowserClient, heights: list[int], *, timeout_s: float = 20.0) -> dict[str, Any]:
    """Wait until pictures of one of these heights are decoded, ten in a row; the statistics then."""
    report: dict[str, Any] = await client.run(
        _WATCH
        + """
        let last;
        let since;
        try {
            return await e2e.until(async () => {
                last = await inbound();
                if (!last || !heights.includes(last.frameHeight)) { since = undefined; return false; }
                since ??= last.framesDecoded;
                return last.framesDecoded >= since + 10 && last;
            }, `pictures of ${heights} lines`, ms);
        } catch (error) {
            const brief = ({ frameHeight, framesDecoded, keyFramesDecoded, pliCount, packetsLost, freezeCount }) =>
                ({ frameHeight, framesDecoded, keyFramesDecoded, pliCount, packetsLost, freezeCount });
            throw new Error(`${error.message}; last ${JSON.stringify(last && brief(last))}`);
        }""",
        heights=heights,
        ms=timeout_s * 1000,
        timeout_s=timeout_s + 5,
    )
    return report


async def _heights(client: BrowserClient) -> dict[str, list[int]]:
    """Heights that each quality may have: announced ones, but for the encoder's alignment."""
    layers = await client.run(
        """const info = [...e2e.room.localParticipant.videoTrackPublications.values()][0].trackInfo;
        return info.layers.map((layer) => [layer.quality, layer.height]);"""
    )
    names = {number: name for name, number in _QUALITIES.items()}
    return {names[quality]: list(range(height - 4, height + 5)) for quality, height in layers}


async def _sees_the_best(watching: BrowserClient, publishing: BrowserClient) -> dict[str, list[int]]:
    """Wait until the one has the other's picture in HIGH; the heights of all qualities."""
    await watching.see(publishing.identity)
    heights = await _heights(publishing)
    await _decodes(watching, heights["HIGH"], timeout_s=30)
    return heights


async def _switch_qualities(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str, **options: Any
) -> list[list[str | None]]:
    """Publish in three layers and ask for one after the other; restriction id and mode of each stream sent."""
    room = unique(codec)
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await _publish(alice, codec, **options)
        seen = await bob.see("alice")
        assert_bars(seen["bars"])
        heights = await _heights(alice)
        assert set(heights) == set(_QUALITIES), heights
        report = before = await _decodes(bob, heights["HIGH"], timeout_s=30)
        stalled = await stalls(alice, bob)
        for quality in ("LOW", "MEDIUM", "LOW", "HIGH"):
            asked = report["pliCount"]
            await _ask(bob, "alice", quality)
            report = await _decodes(bob, heights[quality])
            assert report["codecId"] == before["codecId"]
            # Who can decode what it gets asks for nothing: the server has the key frame of the other layer made.
            assert report["pliCount"] - asked <= 1, f"to {quality}: {report}"
        assert report["freezeCount"] - before["freezeCount"] <= 1 + await stalls(alice, bob) - stalled, report
        assert report["keyFramesDecoded"] - before["keyFramesDecoded"] <= 10, report
        assert report.get("framesDropped", 0) - before.get("framesDropped", 0) <= 15, report
        seen = await bob.see("alice")
        assert_bars(seen["bars"])
        streams: list[list[str | None]] = await alice.run(
            """const sent = await e2e.stats('outbound-rtp', (r) => r.kind === 'video');
            return sent.map(({ rid, scalabilityMode }) => [rid, scalabilityMode]);"""
        )
        return sorted(streams, key=str)


@pytest.mark.parametrize("codec", _CODECS)
async def test_qualities_switch_without_a_freeze(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """VID01 to VID04, VID10, ADA04: each quality has its size, pictures go on, few key frames."""
    await _switch_qualities(endpoint, path, chromium, codec)


@pytest.mark.skipif(not OWN, reason="clients do not try it with the reference's version")
@pytest.mark.parametrize(("codec", "path"), [("vp9", JoinPath.V0), ("av1", JoinPath.V1)])
async def test_scalable_codecs_in_simulcast_switch_too(
    endpoint: Endpoint, chromium: Browser, codec: str, path: JoinPath
) -> None:
    """VID03, VID04: the same where the publisher wants streams in place of layers inside one."""
    streams = await _switch_qualities(endpoint, path, chromium, codec, scalabilityMode="L1T3")
    assert streams == [["f", "L1T3"], ["h", "L1T3"], ["q", "L1T3"]]


@pytest.mark.parametrize(("codec", "path"), [("vp9", JoinPath.V1), ("av1", JoinPath.V0)])
async def test_layers_that_always_need_those_below_switch_too(
    endpoint: Endpoint, chromium: Browser, codec: str, path: JoinPath
) -> None:
    """VID03, VID04: the same in L3T3, where not only key frames need the layers below."""
    streams = await _switch_qualities(endpoint, path, chromium, codec, scalabilityMode="L3T3")
    assert streams == [[None, "L3T3"]]


_WITHOUT_DESCRIPTORS = """
    const uri = 'dependency-descriptor';
    const without = (sdp) => sdp.split('\\r\\n').filter((line) => !line.includes(uri)).join('\\r\\n');
    for (const name of ['createOffer', 'createAnswer']) {
        const original = RTCPeerConnection.prototype[name];
        RTCPeerConnection.prototype[name] = async function (...args) {
            const { type, sdp } = await original.apply(this, args);
            return { type, sdp: without(sdp) };
        };
    }
    // livekit-client writes it into offers with VP9 and AV1, and sends what it has set here.
    const set = RTCPeerConnection.prototype.setLocalDescription;
    RTCPeerConnection.prototype.setLocalDescription = function (description) {
        if (description?.sdp) description.sdp = without(description.sdp);
        return set.call(this, description);
    };"""
"""A page that knows no dependency descriptor, as Firefox and Safari."""


@pytest.mark.parametrize(("codec", "plain"), [("av1", "bob"), ("vp9", "bob"), ("vp9", "alice")])
async def test_a_client_without_descriptors_still_sees(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str, plain: str
) -> None:
    """VID03, VID04 with a client that negotiates no dependency descriptor: it sees AV1 in one layer, VP9 in each it
    asks for; when the publisher of VP9 is such a client, the others do."""
    room = unique("plain")
    async with chromium.page("alice") as alice, chromium.page("bob") as bob:
        clients = {"alice": alice, "bob": bob}
        await clients[plain].run(_WITHOUT_DESCRIPTORS)
        for client in clients.values():
            await client.join(endpoint, endpoint.token(client.identity, room), path)
        await _publish(alice, codec)
        assert_bars((await bob.see("alice"))["bars"])
        heights = await _heights(alice)
        report = await _decodes(bob, heights["LOW" if codec == "av1" else "HIGH"], timeout_s=30)
        if codec == "vp9":
            for quality in ("LOW", "HIGH"):
                await _ask(bob, "alice", quality)
                report = await _decodes(bob, heights[quality])
        assert report["pliCount"] <= 5, report
        describe = "return e2e.connections.map((c) => c.localDescription?.sdp ?? '').join()"
        sections = await clients[plain].run(describe)
        assert "m=video" in sections
        assert "dependency-descriptor" not in sections


@pytest.mark.parametrize(
    ("codec", "path"), [("vp8", JoinPath.V0), ("vp8", JoinPath.V1), ("vp9", JoinPath.V1), ("av1", JoinPath.V0)]
)
async def test_a_rate_drops_temporal_layers(endpoint: Endpoint, chromium: Browser, codec: str, path: JoinPath) -> None:
    """VID05: `fps` of the track settings; pictures keep their size, fewer come, and all come again."""
    room = unique("fps")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_bars(
            width=_WIDTH, height=_HEIGHT, fps=30, videoCodec=codec, simulcast=True, backupCodec=False
        )
        heights = await _sees_the_best(bob, alice)
        full = await bob.run(_RATE, fps=30, low=16, high=32, timeout_s=30)
        few = await bob.run(_RATE, fps=5, low=3, high=min(12, full["rate"] * 0.6), timeout_s=30)
        assert few["height"] in heights["HIGH"]
        await bob.run(_RATE, fps=30, low=full["rate"] * 0.7, high=32, timeout_s=30)


async def test_a_rate_that_the_publisher_just_has_drops_nothing(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """VID05: 15 pictures a second of a camera that has no more are all of its temporal layers."""
    room = unique("fps")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await _publish(alice, "vp8")
        await _sees_the_best(bob, alice)
        # The server knows the rate after some seconds; half of the pictures would be 7.5 a second.
        for _ in range(5):
            await bob.run(_RATE, fps=15, low=12.01, high=17, timeout_s=30)


@pytest.mark.parametrize("codec", ["vp8", "vp9"])
async def test_publishers_pause_what_nobody_watches(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """ADA01, ADA02: with `dynacast` layers stop when all subscribers look away, and come back within two seconds; who
    joins meanwhile sees the best one within three."""
    room = unique("dyn")
    sent = """
        const active = async () => {
            const publication = [...e2e.room.localParticipant.videoTrackPublications.values()][0];
            return publication.track.sender.getParameters().encodings.filter((e) => e.active !== false).length;
        };
        const begun = performance.now();
        await e2e.until(async () => (await active()) === count, `${count} active encodings`, ms);
        return (performance.now() - begun) / 1000;"""
    all_layers = 3 if codec == "vp8" else 1
    async with (
        chromium.client(endpoint, "alice", room, path, room_options={"dynacast": True}) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await _publish(alice, codec)
        heights = await _sees_the_best(bob, alice)
        if codec == "vp8":
            await _ask(bob, "alice", "LOW")
            await alice.run(sent, count=1, ms=12_000)
            await _decodes(bob, heights["LOW"])
            await _ask(bob, "alice", "HIGH")
            assert await alice.run(sent, count=3, ms=5_000) < 2
            await _decodes(bob, heights["HIGH"])
        enable = """const [publication] = e2e.room.remoteParticipants.get('alice').videoTrackPublications.values();
            publication.setEnabled(on);"""
        await bob.run(enable, on=False)
        await alice.run(sent, count=0, ms=12_000)
        await bob.run(enable, on=True)
        assert await alice.run(sent, count=all_layers, ms=5_000) < 2
        await _decodes(bob, heights["HIGH"])
        await bob.run(enable, on=False)
        await alice.run(sent, count=0, ms=12_000)
        async with chromium.page("carol") as carol:
            for client in (alice, carol):
                await client.run(_LOST_TIME)
            began = await carol.run("return Date.now()")
            await carol.join(endpoint, endpoint.token(carol.identity, room), path)
            took_ms, lost_ms = await carol.run(
                _WATCH
                + """
                const isBest = async () => heights.includes((await inbound())?.frameHeight);
                await e2e.until(isBest, `pictures of ${heights} lines`, 20000);
                return [Date.now() - began, e2e.lostSince(began)];""",
                heights=heights["HIGH"],
                began=began,
            )
            lost_ms += await alice.run("return e2e.lostSince(began)", began=began)
            assert took_ms < 3_000 + lost_ms, f"HIGH after {took_ms} ms; for {lost_ms} ms pages were not run"


async def test_what_was_asked_for_outlives_renegotiation_and_resume(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """SUB07: LOW stays LOW while a track comes and while signalling breaks; what is disabled stays silent then."""
    room = unique("keep")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await _publish(alice, "vp8")
        heights = await _sees_the_best(bob, alice)
        await _ask(bob, "alice", "LOW")
        await _decodes(bob, heights["LOW"])
        await bob.run(
            _WATCH
            + """
            e2e.heights = [];
            e2e.looking = setInterval(async () => {
                const height = (await inbound())?.frameHeight;
                if (height && e2e.heights.at(-1) !== height) e2e.heights.push(height);
            }, 50);"""
        )
        await alice.publish_tone(440)
        await bob.hear("alice", 440)
        await _decodes(bob, heights["LOW"])
        enable = """const [publication] = e2e.room.remoteParticipants.get('alice').audioTrackPublications.values();
            publication.setEnabled(on);"""
        count = """const count = async () => {
                const heard = await e2e.stats('inbound-rtp', (r) => r.kind === 'audio');
                return heard.reduce((sum, r) => sum + r.packetsReceived, 0);
            };"""
        await bob.run(enable, on=False)
        before = await bob.run(
            count
            + """
            let [last, since] = [-1, 0];
            await e2e.until(async () => {
                const now = await count();
                if (now !== last) [last, since] = [now, performance.now()];
                return performance.now() - since > 700;
            }, 'end of the tone');
            return last;"""
        )
        since = bob.journal.mark()
        await bob.run("await e2e.room.simulateScenario('signal-reconnect')")
        await bob.journal.wait("reconnected", since=since, timeout_s=20)
        await _decodes(bob, heights["LOW"])
        after = await bob.run(f"{count} return count();")
        assert after <= before + 2, f"{after - before} packets of what is disabled"
        seen = await bob.run("clearInterval(e2e.looking); return e2e.heights")
        assert seen, "nothing was looked at"
        assert set(seen) <= set(heights["LOW"]), f"heights in turn: {seen}"
        await bob.run(enable, on=True)
        await bob.hear("alice", 440)


async def test_a_hidden_picture_costs_nothing_and_a_small_one_little(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """ADA03: with `adaptiveStream` the size of the element chooses the layer; hidden, no packet comes."""
    room = unique("adapt")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path, room_options={"adaptiveStream": {"pixelDensity": 1}}) as bob,
    ):
        await _publish(alice, "vp8")
        heights = await _heights(alice)
        await bob.run(
            """const track = await e2e.until(() => e2e.remoteTrack('alice', 'video'), 'the track', 10000);
            e2e.element = document.body.appendChild(document.createElement('video'));
            Object.assign(e2e.element.style, { position: 'fixed', top: 0, left: 0 });
            e2e.size = (width, height) => Object.assign(e2e.element.style, { width, height });
            e2e.size('240px', '135px');
            track.attach(e2e.element);"""
        )
        await _decodes(bob, heights["LOW"], timeout_s=30)
        await bob.run("e2e.size('960px', '540px')")
        await _decodes(bob, heights["HIGH"])
        await bob.run("e2e.element.style.display = 'none'")
        silent = (
            _WATCH
            + """
            let last = -1;
            let since = 0;
            await e2e.until(async () => {
                const { packetsReceived, timestamp } = await inbound();
                if (packetsReceived !== last) { last = packetsReceived; since = timestamp; }
                return timestamp - since > 1500;
            }, 'silence', 15000);"""
        )
        await bob.run(silent)
        await bob.run("e2e.element.style.display = 'block'")
        await _decodes(bob, heights["HIGH"])


async def test_sdk_subscriber_chooses_its_layer(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """ADA04 with the Python SDK: what it is sent changes its size."""
    room = unique("py")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await _publish(web, "vp8")
        track = await py.subscribed("web")
        heights = await _heights(web)
        (publication,) = py.room.remote_participants["web"].track_publications.values()
        stream = rtc.VideoStream(track)
        try:
            wishes = {"LOW": rtc.VideoQuality.VIDEO_QUALITY_LOW, "HIGH": rtc.VideoQuality.VIDEO_QUALITY_HIGH}
            for quality, number in wishes.items():
                publication.set_video_quality(number)
                frames = 0
                async for event in stream:
                    frames += 1
                    if event.frame.height in heights[quality]:
                        break
                    assert frames < 300, f"still {event.frame.height} lines, not {heights[quality]}"
        finally:
            await stream.aclose()
