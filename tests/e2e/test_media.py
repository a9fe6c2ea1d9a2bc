"""What is heard and seen: content, not counters."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from livekit import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, hear, publish_bars, publish_tone, see
from tests.e2e.support.peer_client import peer
from tests.e2e.support.sdk_client import sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.support.browser import Browser


async def test_two_browsers_see_and_hear_each_other(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("two")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_tone(440)
        await alice.publish_bars()
        await bob.publish_tone(660)
        await bob.publish_bars()
        await bob.hear("alice", 440)
        await alice.hear("bob", 660)
        for seen in (await bob.see("alice"), await alice.see("bob")):
            assert_bars(seen["bars"])
            assert seen["moved"]


async def test_browser_and_sdk_see_and_hear_each_other(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("mix")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.publish_tone(440)
        await web.publish_bars()
        async with publish_tone(py.room, 550), publish_bars(py.room):
            await assert_tone(await py.subscribed("web", 2), 440)
            await web.hear("py", 550)
            picture = await see(await py.subscribed("web", 1))
            assert picture.moved
            assert_bars(picture.bars)
            seen = await web.see("py")
            assert seen["moved"]
            assert_bars(seen["bars"])


async def test_a_late_joiner_sees_within_a_second(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID06: from the subscription to the first picture less than a second, for two of three late joiners."""
    room = unique("late")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "early", room, path) as early,
    ):
        await alice.publish_bars(width=640, height=480)
        await early.see("alice")
        waits_s = []
        for number in range(3):
            async with chromium.page(f"late{number}") as late:
                await late.run(
                    """window.first = new Promise((resolve) => {
                        e2e.onTrack = (track) => {
                            const begun = performance.now();
                            const element = track.attach();
                            element.muted = true;
                            document.body.append(element);
                            element.requestVideoFrameCallback(() => resolve((performance.now() - begun) / 1000));
                        };
                    });"""
                )
                await late.join(endpoint, endpoint.token(late.identity, room), path)
                waits_s.append(await late.run("return window.first", timeout_s=10))
        assert sorted(waits_s)[1] < 1.0, waits_s


async def test_retransmission_has_its_own_ssrc(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID09 in the descriptions: RTX is negotiated and grouped with the stream it repairs (RFC 4588, 5576)."""
    room = unique("rtx")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_bars()
        await bob.see("alice")
        texts = await bob.run("return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '')")
        sending = [s for t in texts for s in t.split("m=") if s.startswith("video") and "a=ssrc-group:FID" in s]
        assert sending, "a video section of the server has an FID group"
        assert all("rtx/90000" in s for s in sending)


async def test_opus_keeps_its_loudness(endpoint: Endpoint, path: JoinPath) -> None:
    """AUD01: the sine arrives with the amplitude it was sent with."""
    room = unique("rms")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        publish_tone(alice.room, 440, amplitude=8000),
    ):
        track = await bob.subscribed("alice")
        heard = (await hear(track, seconds=2.0))[48_000:].astype(float)
        rms = float((heard**2).mean() ** 0.5)
        assert 0.7 < rms / (8000 / 2**0.5) < 1.3, rms


async def test_speakers_are_told_loudest_first_and_when_they_stop(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """AUD05, AUD06."""
    room = unique("speak")
    async with (
        sdk(endpoint, "loud", room, path) as loud,
        sdk(endpoint, "quiet", room, path) as quiet,
        chromium.client(endpoint, "web", room, path) as web,
        publish_tone(quiet.room, 550, amplitude=3000),
    ):
        await web.remote_here("loud")

        def speaking(*identities: str) -> Callable[[list[dict[str, str]]], bool]:
            return lambda speakers: [s["identity"] for s in speakers] == list(identities)

        await web.journal.wait("activeSpeakersChanged", speaking("quiet"))
        async with publish_tone(loud.room, 440, amplitude=16_000) as (_, track):
            await web.journal.wait("activeSpeakersChanged", speaking("loud", "quiet"))
            levels = await web.run(
                "return ['loud', 'quiet'].map((who) => e2e.room.remoteParticipants.get(who).audioLevel)"
            )
            assert 1 >= levels[0] > levels[1] > 0, levels
            since = web.journal.mark()
            silenced = time.monotonic()
            track.mute()
            entry = await web.journal.wait("activeSpeakersChanged", speaking("quiet"), since=since)
            assert entry.at_s - silenced < 2.0, "row AUD06 says one second; a busy machine gets two"


async def test_h264_and_vp9_pass_whole(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("codecs")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        for codec, source in (("vp9", "camera"), ("av1", "screen_share")):
            await alice.publish_bars(videoCodec=codec, source=source, backupCodec=False)
            seen = await bob.see("alice", source=source)
            assert seen["moved"]
            assert_bars(seen["bars"])
        used = await bob.run(
            """const rtp = await e2e.stats('inbound-rtp', (s) => s.kind === 'video');
            const codecs = await e2e.stats('codec');
            return rtp.map((r) => codecs.find((c) => c.id === r.codecId)?.mimeType).sort();"""
        )
        assert used == ["video/AV1", "video/VP9"]


async def test_h264_from_the_sdk(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("h264")
    async with (
        sdk(endpoint, "py", room, path) as py,
        chromium.client(endpoint, "web", room, path) as web,
        publish_bars(py.room, video_codec=rtc.VideoCodec.H264, simulcast=False),
    ):
        seen = await web.see("py")
        assert seen["moved"]
        assert_bars(seen["bars"])
        mimes = await web.run("return (await e2e.stats('codec')).map((c) => c.mimeType)")
        assert "video/H264" in mimes


async def test_a_simulcast_publication_arrives_in_its_best_layer(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("simulcast")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "py", room, path) as py,
    ):
        await alice.publish_bars(simulcast=True, width=1280, height=720)
        # With working transport-cc feedback the top layer is there in 3 s, without it after 25.
        seen = await bob.see("alice", minWidth=1000, timeout_s=12)
        assert (seen["width"], seen["height"]) == (1280, 720)
        assert_bars(seen["bars"])
        picture = await see(await py.subscribed("alice"))
        assert_bars(picture.bars)
        layers = await alice.run(
            "return (await e2e.stats('outbound-rtp', (s) => s.kind === 'video')).map((s) => s.rid).sort()"
        )
        assert layers == ["f", "h", "q"]


async def test_red_reaches_those_who_have_it(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("red")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        peer(endpoint, "plain", room, path) as plain,
    ):
        await alice.publish_tone(440, red=True)
        await bob.hear("alice", 440)
        first = await alice.run(
            """return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '')
                .flatMap((sdp) => sdp.split(/(?=^m=)/m))
                .filter((s) => s.startsWith('m=audio') && s.includes('a=recvonly'))
                .map((s) => s.match(new RegExp(`a=rtpmap:${s.split(/[ ]/)[3]} (.*)/48000`))?.[1]);"""
        )
        assert "red" in first, f"the answer prefers RED for what is published: {first}"
        # aiortc knows no RED: it gets the primary block as plain Opus.
        track = (await plain.journal.wait("track", lambda t: t.kind == "audio")).args[0]
        peak = 0
        async with asyncio.timeout(10):
            while peak < 2000:
                frame = await track.recv()
                peak = max(peak, int(abs(frame.to_ndarray()).max()))


async def test_a_device_that_beeps_is_a_speaker(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD05 with the browser's own microphone: short beeps with silence between them."""
    room = unique("beeps")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(true)")
        await py.journal.wait("active_speakers_changed", lambda who: [p.identity for p in who] == ["web"], timeout_s=20)
