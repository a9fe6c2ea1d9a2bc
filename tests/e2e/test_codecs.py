"""Which codec each client gets, when publishers send more than one, and what happens when none fits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from livekit import rtc as sdk_rtc
from livekit.protocol import models, rtc
from livekit.rtc.participant import PublishTrackError

from tests.e2e.support.browser import stalls
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.media import assert_bars, assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import ServerSpec, started
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.e2e.support.browser import Browser, BrowserClient

SERVER = ServerSpec(config={"video": {"dynacast_pause_delay": "1s"}})

_PREFER_REGRESSION, _SIMULCAST = 0, 1
"""`BackupCodecPolicy`."""

_LIMIT = """
    const wanted = RTCRtpReceiver.getCapabilities('video').codecs
        .filter(({ mimeType, sdpFmtpLine }) => mimeType === 'video/rtx'
            || (codecs.includes(mimeType) && (sdpFmtpLine ?? '').includes(formats)));
    for (const name of ['createOffer', 'createAnswer']) {
        const original = RTCPeerConnection.prototype[name];
        RTCPeerConnection.prototype[name] = function (...args) {
            for (const transceiver of this.getTransceivers()) {
                if (transceiver.receiver.track.kind === 'video') transceiver.setCodecPreferences(wanted);
            }
            return original.apply(this, args);
        };
    }"""
"""A page that can decode these codecs only, as far as anybody can tell."""

_DECODING = """
    let last;
    try {
        return await e2e.until(async () => {
            const rtp = (await e2e.stats('inbound-rtp', (r) => r.kind === 'video' && r.framesDecoded > 0))
                .sort((a, b) => b.lastPacketReceivedTimestamp - a.lastPacketReceivedTimestamp)[0];
            const all = await e2e.stats('codec');
            const before = last;
            last = rtp && { codec: all.find((c) => c.id === rtp.codecId)?.mimeType, frames: rtp.framesDecoded,
                            freezes: rtp.freezeCount, plis: rtp.pliCount, ssrc: rtp.ssrc };
            return last?.codec === codec && before?.codec === codec && last.frames > before.frames && last;
        }, `pictures in ${codec}`, ms);
    } catch (error) {
        throw new Error(`${error.message}; last ${JSON.stringify(last)}`);
    }"""


async def _publish(client: BrowserClient, codec: str, backup: str, policy: int = 0) -> str:
    return await client.publish_bars(
        width=640, height=360, fps=15, videoCodec=codec, backupCodec={"codec": backup}, backupCodecPolicy=policy
    )


async def _decodes(client: BrowserClient, codec: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
    """Wait until the one video that arrives comes in this codec and is decoded."""
    found: dict[str, Any] = await client.run(_DECODING, codec=codec, ms=timeout_s * 1000, timeout_s=timeout_s + 5)
    return found


async def _sdk_decodes(track: sdk_rtc.Track, codec: str) -> None:
    """Wait until what an SDK client gets comes in this codec, and look at it."""

    async def comes() -> bool:
        stats = await track.get_stats()
        codecs = {s.codec.rtc.id: s.codec.codec.mime_type for s in stats if s.HasField("codec")}
        return codec in {codecs.get(s.inbound_rtp.stream.codec_id) for s in stats if s.HasField("inbound_rtp")}

    await eventually(comes, f"{codec} at the SDK", timeout_s=30)
    assert_bars((await see(track)).bars)


async def _join_limited(
    client: BrowserClient, endpoint: Endpoint, room: str, path: JoinPath, codecs: Sequence[str], *, formats: str = ""
) -> None:
    await client.run(_LIMIT, codecs=list(codecs), formats=formats)
    await client.join(endpoint, endpoint.token(client.identity, room), path)


async def _codecs_of(client: BrowserClient, identity: str) -> list[tuple[str, bool]]:
    """Codecs of the other's video as `TrackInfo` tells them, each with whether a line carries it."""
    told = await client.run(
        """const [publication] = e2e.room.remoteParticipants.get(who).videoTrackPublications.values();
        return publication.trackInfo.codecs.map(({ mimeType, mid }) => [mimeType, mid !== '']);""",
        who=identity,
    )
    return [(mime, live) for mime, live in told]


@pytest.mark.parametrize("codec", ["vp9", "av1"])
async def test_who_cannot_decode_a_codec_gets_the_backup(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """VID14: the publisher sends the backup only when asked for it; the others keep the better codec."""
    room = unique("backup")
    own = f"video/{codec.upper()}"
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        chromium.page("carol") as carol,
    ):
        await _publish(alice, codec, "vp8", _SIMULCAST)
        await bob.see("alice")
        await _decodes(bob, own)
        assert await _codecs_of(bob, "alice") == [(own, True), ("video/VP8", False)]
        await _join_limited(carol, endpoint, room, path, ["video/VP8"])
        assert_bars((await carol.see("alice", timeout_s=30))["bars"])
        await _decodes(carol, "video/VP8")
        await _decodes(bob, own)
        assert await _codecs_of(carol, "alice") == [(own, True), ("video/VP8", True)]
        sent = {mime for mime, _ in await alice.run("return e2e.codecs('outbound-rtp', 'video')")}
        assert sent == {own, "video/VP8"}


async def test_a_backup_survives_what_happens_to_its_publisher(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """VID14: needed from the first moment, over a mute and over a new beginning of its publisher."""
    room = unique("again")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        chromium.page("carol") as carol,
    ):
        await _join_limited(carol, endpoint, room, path, ["video/VP8"])
        await _publish(alice, "vp9", "vp8", _SIMULCAST)
        await _decodes(bob, "video/VP9")
        await _decodes(carol, "video/VP8")
        await alice.run(
            """const [{ track }] = e2e.room.localParticipant.videoTrackPublications.values();
            await track.mute();
            await track.unmute();"""
        )
        await _decodes(bob, "video/VP9")
        await _decodes(carol, "video/VP8")
        await alice.run("await e2e.room.simulateScenario('full-reconnect')")
        await alice.journal.wait("reconnected", timeout_s=30)
        for watcher, codec in ((bob, "video/VP9"), (carol, "video/VP8")):
            assert_bars((await watcher.see("alice", timeout_s=30))["bars"])
            await _decodes(watcher, codec)
        assert not carol.journal.seen("trackSubscriptionFailed")


async def test_a_small_room_moves_to_the_backup(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID15: in a room of four all are on the backup once one needs it, without negotiation, and stay there."""
    room = unique("regress")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "dave", room, path) as dave,
    ):
        await _publish(alice, "vp9", "vp8", _PREFER_REGRESSION)
        track = await dave.subscribed("alice")
        await _sdk_decodes(track, "video/VP9")
        await bob.see("alice")
        before, stalled = await _decodes(bob, "video/VP9"), await stalls(alice, bob)
        async with chromium.page("carol") as carol:
            await _join_limited(carol, endpoint, room, path, ["video/VP8"])
            await _decodes(carol, "video/VP8")
            after = await _decodes(bob, "video/VP8")
            assert after["ssrc"] == before["ssrc"], "its line goes on"
            assert after["frames"] > before["frames"]
            assert after["freezes"] - before["freezes"] <= 1 + await stalls(alice, bob) - stalled
            await _sdk_decodes(track, "video/VP8")
            assert not dave.journal.seen("track_unsubscribed")
            await alice.run(
                """const bytes = async () => {
                    const all = await e2e.stats('codec');
                    const rtp = await e2e.stats('outbound-rtp', (r) => r.kind === 'video');
                    const vp9 = rtp.filter((r) => all.find((c) => c.id === r.codecId)?.mimeType === 'video/VP9');
                    return vp9.reduce((sum, r) => sum + r.framesSent, 0);
                };
                let last = await bytes();
                await e2e.until(async () => {
                    const begun = performance.now();
                    await e2e.until(() => performance.now() - begun > 700, 'the time of ten frames', 5000);
                    const [before, now] = [last, await bytes()];
                    last = now;
                    return now === before;
                }, 'the end of VP9', 20000);"""
            )
        assert_bars((await bob.see("alice"))["bars"])
        await _decodes(bob, "video/VP8")


async def test_h264_in_both_packetisation_modes(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """What is sent in single units (mode 0) all can take; what is split (mode 1) those of mode 0 cannot."""
    room = unique("modes")
    h264, modes = ["video/H264"], ["packetization-mode=0", "packetization-mode=1"]
    async with (
        chromium.page("alice") as alice,
        chromium.page("bob") as bob,
        chromium.client(endpoint, "carol", room, path) as carol,
    ):
        await _join_limited(alice, endpoint, room, path, h264, formats=modes[0])
        await _join_limited(bob, endpoint, room, path, h264, formats=modes[0])
        await alice.publish_bars(videoCodec="h264")
        for watcher in (bob, carol):
            assert_bars((await watcher.see("alice"))["bars"])
        ((mime, parameters),) = await alice.run("return e2e.codecs('outbound-rtp', 'video')")
        assert mime == "video/H264"
        assert modes[0] in parameters
        sid = await carol.publish_bars(videoCodec="h264")
        failed = await bob.journal.wait("trackSubscriptionFailed", timeout_s=20)
        assert failed.args[0] == sid
        assert failed.args[2] == models.SubscriptionError.SE_CODEC_UNSUPPORTED


_H265_OFFER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 116 117
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=ice-ufrag:abcdefgh
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=msid:stream cam
a=rtpmap:116 H265/90000
a=rtcp-fb:116 nack pli
a=fmtp:116 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST
a=rtpmap:117 rtx/90000
a=fmtp:117 apt=116
""".format(fingerprint=":".join(["ab"] * 32)).replace("\n", "\r\n")


async def test_who_can_decode_nothing_of_a_track_is_told(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID16: H265, which neither client takes; the publisher has no media, for nothing would be sent anyway."""
    room = unique("h265")
    async with (
        wire(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "carol", room, path) as carol,
    ):
        codec = rtc.SimulcastCodec(codec="h265", cid="cam")
        request = rtc.AddTrackRequest(
            cid="cam", type=models.TrackType.VIDEO, source=models.TrackSource.CAMERA, simulcast_codecs=[codec]
        )
        await alice.send(add_track=request)
        published = await alice.response("track_published")
        await alice.send(offer=rtc.SessionDescription(type="offer", sdp=_H265_OFFER, id=1))
        answer = await alice.response("answer")
        assert "H265/90000" in answer.sdp
        failed = await bob.journal.wait("trackSubscriptionFailed", timeout_s=20)
        assert failed.args[0] == published.track.sid
        assert failed.args[2] == models.SubscriptionError.SE_CODEC_UNSUPPORTED
        # The Python SDK 1.2 makes no event of it: it gets no track, and goes on.
        await carol.local.publish_data("still here")
        await bob.journal.wait("dataReceived", timeout_s=10)
        # With two connections our offer is the first word: there it may see a track, which stays dark.
        assert not path.single or not carol.journal.seen("track_subscribed")
        assert not alice.journal.seen("track_subscribed")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def h264_only() -> AsyncIterator[Endpoint]:
    """A server whose rooms allow one video codec."""
    codecs = [{"mime": "audio/opus"}, {"mime": "video/h264"}]
    async with started(ServerSpec(config={"room": {"enabled_codecs": codecs}})) as server:
        yield server.endpoint


async def test_rooms_allow_only_their_codecs(h264_only: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """ROO06: a browser that wants to publish VP8 sends H264 instead; it and an SDK that publishes H264 are seen."""
    room = unique("h264")
    options: dict[str, Any] = {"video_codec": sdk_rtc.VideoCodec.H264, "simulcast": False}
    async with (
        chromium.client(h264_only, "alice", room, path) as alice,
        chromium.client(h264_only, "bob", room, path) as bob,
        sdk(h264_only, "carol", room, path) as carol,
        publish_bars(carol.room, **options),
    ):
        await alice.publish_bars(videoCodec="vp8")
        for publisher in ("alice", "carol"):
            assert_bars((await bob.see(publisher, timeout_s=30))["bars"])
        received = await bob.run("return e2e.codecs('inbound-rtp', 'video')")
        assert {mime for mime, _ in received} == {"video/H264"}
        sections = await alice.run("return e2e.connections.map((c) => c.remoteDescription?.sdp ?? '').join()")
        assert "H264/90000" in sections
        assert not {codec for codec in ("VP8/", "VP9/", "AV1/") if codec in sections}


async def test_a_room_of_pictures_alone(path: JoinPath, chromium: Browser) -> None:
    """ROO06: without any audio codec all join, also with one connection, whose first section is audio, and see."""
    async with started(_rooms_of("video/VP8")) as server:
        room, endpoint = unique("pictures"), server.endpoint
        async with (
            chromium.client(endpoint, "web", room, path) as web,
            sdk(endpoint, "bob", room, path) as bob,
            sdk(endpoint, "alice", room, path) as alice,
            publish_bars(alice.room),
        ):
            assert_bars((await see(await bob.subscribed("alice"))).bars)
            assert_bars((await web.see("alice", timeout_s=30))["bars"])
            await _assert_refused(endpoint, room, path, models.AUDIO)
            # The SDKs hear refusals of tracks, but wait on for their answer: ten seconds.
            with pytest.raises(PublishTrackError):
                async with asyncio.timeout(15), publish_tone(alice.room):
                    pass
            await web.publish_bars()
            assert_bars((await see(await bob.subscribed("web"))).bars)
            assert_bars((await see(await bob.subscribed("alice"))).bars)
            assert not bob.journal.seen("reconnecting")
            assert not alice.journal.seen("reconnecting")


async def test_a_room_of_sound_alone(path: JoinPath, chromium: Browser) -> None:
    """ROO06: the same without any video codec."""
    async with started(_rooms_of("audio/opus")) as server:
        room, endpoint = unique("sound"), server.endpoint
        async with (
            chromium.client(endpoint, "web", room, path) as web,
            sdk(endpoint, "bob", room, path) as bob,
            sdk(endpoint, "alice", room, path) as alice,
            publish_tone(alice.room, 440),
        ):
            await assert_tone(await bob.subscribed("alice"), 440)
            await web.hear("alice", 440)
            await _assert_refused(endpoint, room, path, models.VIDEO)
            with pytest.raises(PublishTrackError):
                async with asyncio.timeout(15), publish_bars(alice.room):
                    pass
            await web.publish_tone(660)
            await assert_tone(await bob.subscribed("web"), 660)
            await assert_tone(await bob.subscribed("alice"), 440)
            assert not bob.journal.seen("reconnecting")
            assert not alice.journal.seen("reconnecting")


def _rooms_of(mime: str) -> ServerSpec:
    return ServerSpec(config={"room": {"enabled_codecs": [{"mime": mime}]}})


async def _assert_refused(endpoint: Endpoint, room: str, path: JoinPath, kind: models.TrackType) -> None:
    async with wire(endpoint, "wire", room, path) as client:
        await client.send(add_track=rtc.AddTrackRequest(cid="cid", type=kind))
        refusal = await client.response("request_response")
        assert refusal.reason == rtc.RequestResponse.UNSUPPORTED_TYPE
        assert refusal.message == f"no {models.TrackType.Name(kind).lower()} codec is enabled in this room"
        assert refusal.add_track.cid == "cid"
        assert not client.journal.seen("track_published")
