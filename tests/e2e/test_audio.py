"""Redundancy, silence, loss and codecs of audio, by what clients hear and count."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from aiortc import RTCRtpSender

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.peer_client import peer
from tests.e2e.support.peer_media import Ear, ToneTrack, listening
from tests.e2e.support.server import ServerSpec

if TYPE_CHECKING:
    from aiortc import RTCRtpCodecCapability
    from livekit.protocol import models

    from tests.e2e.support.browser import Browser
    from tests.e2e.support.peer_client import PeerClient

SERVER = ServerSpec(config={"audio": {"active_red_encoding": True}})

_ATTACH = """const track = await e2e.until(() => e2e.remoteTrack(who, 'audio'), `audio of ${who}`);
    const element = track.attach();
    element.muted = true;
    document.body.append(element);"""
# Chromium's statistics name Opus where RED is sent or received; the size of packets tells.
_BYTES_PER_PACKET = """return e2e.until(async () => {
        const [s] = await e2e.stats(type, (s) => s.kind === 'audio' && (s.packetsSent ?? s.packetsReceived) > 150);
        return s && (s.bytesSent ?? s.bytesReceived) / (s.packetsSent ?? s.packetsReceived);
    }, '150 packets')"""
# Once so many samples have been played, by the count of them all: time as the listener has it.
_INBOUND = """return e2e.until(async () => {
        const [s] = await e2e.stats('inbound-rtp', (s) => s.kind === 'audio' && s.packetsReceived > 0);
        return s && s.totalSamplesReceived >= played && { packets: s.packetsReceived, lost: s.packetsLost,
            played: s.totalSamplesReceived, madeUp: s.concealedSamples - s.silentConcealedSamples };
    }, `${played} samples`)"""


def _steps(ear: Ear) -> list[int]:
    """Timestamps from packet to packet, in the order of their sequence numbers."""
    packets = sorted({p.sequence_number: p for p in ear.packets}.values(), key=lambda p: p.sequence_number)
    return [(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(packets)]


def _lasts(ear: Ear, *, seconds: int) -> bool:
    """Whether so much has come after the first five packets, by its timestamps."""
    return sum(_steps(ear)[5:]) > seconds * 48_000


def _only(mime_type: str) -> list[RTCRtpCodecCapability]:
    return [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType == mime_type]


def _participant(client: PeerClient, identity: str) -> models.ParticipantInfo:
    seen = client.participant(identity)
    assert seen is not None
    return seen


async def test_red_is_published_and_heard_without_red(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD02, PUB13, AUD07: a browser sends RED, who knows only Opus hears it, and its losses reach the browser.

    Chromium's statistics name Opus where it sends RED; TrackInfo names the payload type of the first packet that came.
    """
    room = unique("red")
    async with peer(endpoint, "old", room, path) as old, chromium.client(endpoint, "web", room, path) as web:
        await web.publish_tone(440)
        async with listening(old) as ear:
            await ear.hear(440)
            assert ear.codec == "audio/opus"
            assert set(_steps(ear)) == {960}
            assert [t.mime_type for t in _participant(old, "web").tracks] == ["audio/red"]
            ear.lose = lambda packet: packet.sequence_number % 4 == 0
            lost = """const told = () => e2e.stats('remote-inbound-rtp', (s) => s.kind === 'audio');
                return e2e.until(async () => (await told()).find((s) => s.fractionLost > 0.1)?.fractionLost, 'loss')"""
            assert 0.1 < await web.run(lost) < 0.5


async def test_opus_becomes_red_for_who_takes_it(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD03: with `audio.active_red_encoding` a browser gets redundancy that the publisher did not send."""
    room = unique("made")
    async with peer(endpoint, "old", room, path) as old, chromium.client(endpoint, "web", room, path) as web:
        await old.publish_audio(ToneTrack(550), codecs=_only("audio/opus"))
        await web.hear("old", 550)
        received = await web.run(_BYTES_PER_PACKET, type="inbound-rtp")
        stats = [s for s in (await old.publisher.getStats()).values() if s.type == "outbound-rtp"]
        sent = next(s.bytesSent / s.packetsSent for s in stats if s.packetsSent > 50)
        assert received > 2.5 * sent, "each arrives with the two before it"


async def test_a_mute_is_silence_and_no_hole(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """AUD04: fifty packets of silence after a mute; nothing is made up for the ear to stumble over."""
    room = unique("hush")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        peer(endpoint, "old", room, path) as old,
        chromium.client(endpoint, "far", room, path) as far,
    ):
        await web.publish_tone(440)
        await far.hear("web", 440)
        await far.run(_ATTACH, who="web")
        async with listening(old) as ear:
            await ear.hear(440)
            spoken_first = len(ear.packets)
            before = await far.run(_INBOUND, played=0)
            spoken_last = len(ear.packets)
            await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(false)")

            def silent() -> list[bytes]:
                return [p.payload for p in ear.packets if p.payload.startswith(b"\xf8\xff\xfe")]

            await ear.until(lambda: len(silent()) == 50, "fifty packets of silence")
            at_end = await far.run(_INBOUND, played=0)
            after = await far.run(_INBOUND, played=at_end["played"] + 48_000)
            assert ear.packets[-1].payload == silent()[-1], "silence comes last"
            assert after["lost"] == before["lost"]
            # The other subscriber got as many: those of the tone since its counters were read, and the silence.
            grown = after["packets"] - before["packets"]
            spoken = range(len(ear.packets) - 50 - spoken_last, len(ear.packets) - 50 - spoken_first + 1)
            seen = (before, at_end, after, spoken)
            assert grown - spoken[0] >= 45, seen
            assert grown - spoken[-1] <= 60, seen
            assert after["madeUp"] - before["madeUp"] < 4_800, f"a tenth of a second or more is made up: {seen}"
            await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(true)")
            await ear.hear(440)
            assert min(_steps(ear)) == 960, "time goes on where silence ended"
        await far.hear("web", 440)


_PUBLISH_TWO_CHANNELS = """const context = e2e.stereo = new AudioContext({ sampleRate: 48000 });
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    [440, 880].forEach((frequency, side) => {
        const oscillator = new OscillatorNode(context, { frequency });
        oscillator.connect(new GainNode(context, { gain: 0.4 })).connect(merger, 0, side);
        oscillator.start();
    });
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    merger.connect(destination);
    const [track] = destination.stream.getAudioTracks();
    await e2e.room.localParticipant.publishTrack(track, { source: 'microphone', forceStereo: true, red: false });"""
_HEAR_BOTH_SIDES = (
    _ATTACH
    + """const context = new AudioContext({ sampleRate: 48000 });
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(splitter);
    const sides = [0, 1].map((side) => {
        const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
        splitter.connect(analyser, side);
        return analyser;
    });
    let last;
    const peak = (analyser) => {
        const bins = new Float32Array(analyser.frequencyBinCount);
        analyser.getFloatFrequencyData(bins);
        const loudest = bins.reduce((best, v, i) => (v > bins[best] ? i : best), 0);
        return bins[loudest] > -70 ? (loudest * context.sampleRate) / analyser.fftSize : 0;
    };
    try {
        return await e2e.until(() => {
            last = sides.map(peak);
            return last.every((hz, side) => Math.abs(hz - wanted[side]) < 6) && last;
        }, 'a tone of its own on each side');
    } catch (error) {
        throw new Error(`${error.message}; last heard ${last} Hz`);
    } finally {
        await context.close();
    }"""
)


def _opus_parameters(section: str) -> set[str]:
    """What a section says of Opus, parameter by parameter."""
    lines = section.splitlines()
    format_ = next(line for line in lines if line.startswith("a=rtpmap:") and " opus/" in line).split()[0]
    start = format_.replace("rtpmap", "fmtp") + " "
    return set(next(line for line in lines if line.startswith(start)).removeprefix(start).split(";"))


async def test_two_channels_stay_two(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """Opus in stereo, with in-band FEC: each ear hears its own tone, and both sides are told that there are two."""
    room = unique("stereo")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.run(_PUBLISH_TWO_CHANNELS)
        await bob.run(_HEAR_BOTH_SIDES, who="alice", wanted=[440, 880])
        read = "return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '')"
        for client, direction, told in ((alice, "recvonly", "stereo=1"), (bob, "sendonly", "sprop-stereo=1")):
            sections = [s for text in await client.run(read) for s in text.split("m=") if s.startswith("audio")]
            used = [_opus_parameters(section) for section in sections if f"a={direction}" in section]
            assert used, sections
            for parameters in used:
                assert {told, "useinbandfec=1"} <= parameters, (client.identity, parameters)


def _repeated(section: str) -> dict[str, bool]:
    """Whether lost packets are asked for again, by name of the codec."""
    lines = section.splitlines()
    maps = [line.removeprefix("a=rtpmap:").split() for line in lines if line.startswith("a=rtpmap:")]
    return {name.split("/")[0].lower(): f"a=rtcp-fb:{format_} nack" in lines for format_, name in maps}


async def test_lost_opus_may_be_asked_for_again_and_red_may_not(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """What a browser is told: it may ask for Opus and G.711; what it sends itself has RED and FEC."""
    room = unique("again")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_tone(440)
        await bob.hear("alice", 440)
        read = "return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '')"
        for client, direction, has_nack in ((alice, "recvonly", False), (bob, "sendonly", True)):
            sections = [s for text in await client.run(read) for s in text.split("m=") if s.startswith("audio")]
            used = [_repeated(section) for section in sections if f"a={direction}" in section]
            assert used
            for codecs in used:
                assert codecs["opus"] is has_nack
                assert codecs["red"] is False


async def test_dtx_is_as_the_publisher_asks(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """PUB12: silence costs nearly no packets, unless the track is published without DTX."""
    room = unique("dtx")
    publish = """await e2e.room.localParticipant.publishTrack(e2e.toneTrack(440, 0), { source: 'microphone', dtx });
        return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '')
            .flatMap((sdp) => sdp.split('m=')).filter((m) => m.startsWith('audio') && m.includes('a=recvonly'));"""
    for dtx in (False, True):
        async with peer(endpoint, "old", room, path) as old, chromium.client(endpoint, "web", room, path) as web:
            sections = await web.run(publish, dtx=dtx)
            assert sections
            assert all(("usedtx=1" in section) is dtx for section in sections)
            async with listening(old) as ear:
                await ear.until(partial(_lasts, ear, seconds=2), "two seconds of silence")
                per_s = 48_000 * len(_steps(ear)[5:]) / sum(_steps(ear)[5:])
                assert (per_s > 45) is not dtx, f"{per_s:.1f} packets a second"
                assert per_s < 20 or not dtx


async def test_g711_is_published_and_heard(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """PCMU and PCMA pass as they are, are named as such, and whoever talks in them is a speaker."""
    for codec in ("audio/PCMU", "audio/PCMA"):
        room = unique("g711")
        async with (
            peer(endpoint, "phone", room, path) as phone,
            peer(endpoint, "other", room, path) as other,
            chromium.client(endpoint, "web", room, path) as web,
        ):
            await phone.publish_audio(ToneTrack(660), codecs=_only(codec))
            await web.hear("phone", 660)
            ((mime, _),) = await web.run("return e2e.codecs('inbound-rtp', 'audio')")
            assert mime == codec
            async with listening(other) as ear:
                await ear.hear(660)
                assert ear.codec == codec
            await web.journal.wait("activeSpeakersChanged", lambda speakers: "phone" in str(speakers))

            assert [t.mime_type for t in _participant(other, "phone").tracks] == [codec]
