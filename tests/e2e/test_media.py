"""What is heard and seen: content, not counters."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, dominant_hz, hear, publish_bars, publish_tone, see
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.sdk_client import SdkClient, sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import RTCSessionDescription

    from tests.e2e.support.browser import Browser

CONSTRAINED_BASELINE = re.compile("profile-level-id=42[ce]0")


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
    """VID06: from the subscription to the first picture less than a second, for each late joiner."""
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
        assert max(waits_s) < 1.0, waits_s


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


async def _rms(track: rtc.Track) -> float:
    """Loudness of the second second of a track, 1 is full scale. The first may hold the rise of the jitter buffer."""
    heard = (await hear(track, seconds=2.0))[48_000:].astype(float) / 2**15
    return float((heard**2).mean() ** 0.5)


async def test_opus_keeps_its_loudness(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD01: a sine arrives with the loudness it was sent with, between Python and browser both ways."""
    room, amplitude = unique("rms"), 0.25
    sent = amplitude / 2**0.5
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path) as web,
        publish_tone(alice.room, 440, amplitude=amplitude * 2**15),
    ):
        publish = "await e2e.room.localParticipant.publishTrack(e2e.toneTrack(550, gain), { source: 'microphone' })"
        await web.run(publish, gain=amplitude)
        await web.hear("alice", 440)
        heard = {
            "browser to Python": await _rms(await bob.subscribed("web")),
            "Python to Python": await _rms(await bob.subscribed("alice")),
            "Python to browser": await web.run("return e2e.loudness('alice')"),
        }
        assert all(0.8 < rms / sent < 1.25 for rms in heard.values()), (sent, heard)


async def test_any_sample_rate_arrives_at_its_pitch(endpoint: Endpoint, path: JoinPath) -> None:
    room, screen_audio = unique("rates"), rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        publish_tone(alice.room, 440, rate_hz=16_000) as (narrow, _),
        publish_tone(alice.room, 660, rate_hz=44_100, source=screen_audio) as (odd, _),
    ):
        for publication, hz in ((narrow, 440), (odd, 660)):
            await assert_tone(await bob.subscribed("alice", publication.source), hz)


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
            assert entry.at_s - silenced < 1.0


async def test_who_falls_silent_is_no_speaker_within_a_second(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """AUD06 without mute: the packets go on, the sound in them stops."""
    room = unique("silence")
    async with (
        chromium.client(endpoint, "speaker", room, path) as speaker,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await speaker.run(
            """e2e.mic = e2e.toneTrack(440);
            await e2e.room.localParticipant.publishTrack(e2e.mic, { source: 'microphone' });"""
        )
        waits_s = []
        for _ in range(3):
            since = web.journal.mark()
            await speaker.run("e2e.mic.e2eVolume.gain.value = 0.4")
            await web.journal.wait("activeSpeakersChanged", lambda who: len(who) == 1, since=since)
            since = web.journal.mark()
            await speaker.run("e2e.mic.e2eVolume.gain.value = 0")
            silenced_s = time.monotonic()
            entry = await web.journal.wait("activeSpeakersChanged", lambda who: not who, since=since)
            waits_s.append(entry.at_s - silenced_s)
        assert max(waits_s) < 1.0, waits_s


async def _sent(client: SdkClient) -> list[Any]:
    stats = await client.room.get_rtc_stats()
    return [r for r in (*stats.publisher_stats, *stats.subscriber_stats) if r.HasField("outbound_rtp")]


def _own_sections(client: PeerClient) -> list[str]:
    """The sections of what a peer described to the server."""
    described: list[RTCSessionDescription | None] = [
        connection.localDescription for connection in (client.publisher, client.subscriber)
    ]
    return [section for d in described if d is not None for section in d.sdp.split("m=")[1:]]


async def test_h264_vp9_and_av1_of_the_browser_pass_whole(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("codecs")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "py", room, path) as py,
    ):
        for codec, mime in (("h264", "video/H264"), ("vp9", "video/VP9"), ("av1", "video/AV1")):
            sid = await alice.publish_bars(videoCodec=codec, backupCodec=False)
            seen = await bob.see("alice", sid=sid)
            assert seen["moved"]
            assert_bars(seen["bars"])
            entry = await py.journal.wait("track_subscribed", lambda t, *_, sid=sid: t.sid == sid)
            picture = await see(entry.args[0])
            assert picture.moved
            assert_bars(picture.bars)
            used = dict(await bob.run("return e2e.codecs('inbound-rtp', 'video')"))
            assert mime in used
            assert codec != "h264" or CONSTRAINED_BASELINE.search(used[mime]), used
            unpublish = "[...e2e.room.localParticipant.videoTrackPublications.values()][0].track"
            await alice.run(f"await e2e.room.localParticipant.unpublishTrack({unpublish})")


@pytest.mark.parametrize("simulcast", [False, True], ids=["single", "simulcast"])
async def test_h264_from_the_sdk(endpoint: Endpoint, path: JoinPath, chromium: Browser, simulcast: bool) -> None:
    room, (width, height) = unique("h264"), (640, 480)
    async with (
        sdk(endpoint, "py", room, path) as py,
        chromium.client(endpoint, "web", room, path) as web,
        publish_bars(py.room, width=width, height=height, video_codec=rtc.VideoCodec.H264, simulcast=simulcast),
    ):
        seen = await web.see("py", minWidth=width - 1)
        assert (seen["width"], seen["height"]) == (width, height)
        assert seen["moved"]
        assert_bars(seen["bars"])
        [[mime, how]] = await web.run("return e2e.codecs('inbound-rtp', 'video')")
        assert mime == "video/H264"
        assert CONSTRAINED_BASELINE.search(how), how
        layers = [s.outbound_rtp.outbound.rid for s in await _sent(py) if s.outbound_rtp.stream.kind == "video"]
        assert len(layers) == (2 if simulcast else 1), layers


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


# Statistics name the codec within RED; a transform sees the payload types of the packets themselves.
NOTE_PAYLOAD_TYPES = """
    const body = `onrtctransform = ({ transformer: { readable, writable } }) => {
        const look = (frame, to) => { postMessage(frame.getMetadata().payloadType); to.enqueue(frame); };
        readable.pipeThrough(new TransformStream({ transform: look })).pipeTo(writable);
    };`;
    const worker = new Worker(URL.createObjectURL(new Blob([body])));
    e2e.payloadTypes = [];
    worker.onmessage = (event) => e2e.payloadTypes.push(event.data);
    const note = ({ receiver }) => {
        if (receiver.track.kind === 'audio') receiver.transform ??= new RTCRtpScriptTransform(worker);
    };
    window.RTCPeerConnection = class extends window.RTCPeerConnection {
        constructor(...args) {
            super(...args);
            this.addEventListener('track', note);
        }
        addTransceiver(...args) {
            const made = super.addTransceiver(...args);
            note(made);
            return made;
        }
    };"""


async def test_red_reaches_those_who_have_it(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("red")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.page("bob") as bob,
        peer(endpoint, "plain", room, path) as plain,
    ):
        await bob.run(NOTE_PAYLOAD_TYPES)
        await bob.join(endpoint, endpoint.token("bob", room), path)
        await alice.publish_tone(440, red=True)
        await bob.hear("alice", 440)
        wanted = "e2e.remoteTrack('alice', 'audio').receiver.getParameters().codecs"
        codecs = {c["payloadType"]: c["mimeType"] for c in await bob.run(f"return {wanted}")}
        types = await bob.run("return e2e.until(() => e2e.payloadTypes.length > 20 && e2e.payloadTypes, '20 packets')")
        assert {codecs[payload_type] for payload_type in types} == {"audio/red"}
        # aiortc knows no RED: it gets the primary block as plain Opus.
        track = (await plain.journal.wait("track", lambda t: t.kind == "audio")).args[0]
        assert not any("red/48000" in section for section in _own_sections(plain))
        wave: list[np.ndarray] = []
        async with asyncio.timeout(10):
            while len(wave) < 100 or abs(dominant_hz(np.concatenate(wave[-50:])) - 440) > 5:
                wave.append((await track.recv()).to_ndarray().reshape(-1)[::2])  # stereo


async def test_a_device_that_beeps_is_a_speaker(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD05 with the browser's own microphone: short beeps with silence between them."""
    room = unique("beeps")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(true)")
        await py.journal.wait("active_speakers_changed", lambda who: [p.identity for p in who] == ["web"], timeout_s=20)
