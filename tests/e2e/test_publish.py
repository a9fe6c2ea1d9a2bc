"""Publishing: announcing, muting, taking back, and what a grant forbids (protocol.md §2.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiortc.mediastreams import VideoStreamTrack
from livekit import api, rtc
from livekit.protocol import models
from livekit.protocol import rtc as wire_rtc

from tests.e2e.support.api_client import twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.media import assert_bars, assert_silence, assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.peer_client import peer
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import ServerSpec, started
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser


async def test_the_answer_to_add_track_names_the_cid(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("cid"), path) as client:
        request = wire_rtc.AddTrackRequest(
            cid="my-cid", name="cam", type=models.VIDEO, source=models.CAMERA, width=640, height=360, muted=True,
            stream="camera", layers=[models.VideoLayer(quality=models.HIGH, width=640, height=360, bitrate=500_000)],
        )  # fmt: skip
        await client.send(add_track=request)
        published = await client.response("track_published")
        track = published.track
        assert published.cid == "my-cid"
        assert track.sid.startswith("TR_VC")
        assert (track.name, track.type, track.source) == ("cam", models.VIDEO, models.CAMERA)
        assert (track.width, track.height, track.muted) == (640, 360, True)


async def test_sids_tell_kind_and_source(endpoint: Endpoint, path: JoinPath) -> None:
    screen_share = rtc.TrackSource.SOURCE_SCREENSHARE
    async with (
        sdk(endpoint, "alice", unique("sid"), path) as alice,
        publish_tone(alice.room) as (audio, _),
        publish_bars(alice.room) as (video, _),
        publish_bars(alice.room, source=screen_share, name="screen") as (screen, _),
    ):
        assert audio.sid.startswith("TR_AM")
        assert video.sid.startswith("TR_VC")
        assert screen.sid.startswith("TR_VS")


async def test_a_muted_publication_is_seen_before_any_packet(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("muted")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        await web.run(
            """const track = new LK.LocalAudioTrack(e2e.toneTrack(440), undefined, true);
            await track.mute();
            await e2e.room.localParticipant.publishTrack(track, { source: 'microphone' });
            e2e.mic = track;"""
        )
        published = await bob.journal.wait("track_published")
        assert published.args[0].muted
        assert published.args[0].source == rtc.TrackSource.SOURCE_MICROPHONE
        track = await bob.subscribed("web")
        await web.run("await e2e.mic.unmute()")
        await bob.journal.wait("track_unmuted")
        await assert_tone(track, 440)


async def test_four_tracks_at_once(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("four")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        await web.run(
            """const me = e2e.room.localParticipant;
            await Promise.all([
                me.publishTrack(e2e.toneTrack(440), { source: 'microphone' }),
                me.publishTrack(e2e.barsTrack(), { source: 'camera', simulcast: false }),
                me.publishTrack(e2e.barsTrack(), { source: 'screen_share', simulcast: false }),
                me.publishTrack(e2e.toneTrack(660), { source: 'screen_share_audio' }),
            ]);"""
        )
        for source in (rtc.TrackSource.SOURCE_CAMERA, rtc.TrackSource.SOURCE_SCREENSHARE):
            picture = await see(await bob.subscribed("web", source))
            assert picture.moved
            assert_bars(picture.bars)
        await assert_tone(await bob.subscribed("web", rtc.TrackSource.SOURCE_MICROPHONE), 440)
        await assert_tone(await bob.subscribed("web", rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO), 660)


async def test_a_source_that_is_not_granted_is_refused(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    grants = {"canPublishSources": ["microphone"]}
    room = unique("src")
    async with (
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path, grants=grants) as web,
    ):
        told = await web.run(
            """try { await e2e.publishBars(); return 'published'; }
            catch (e) { return e instanceof LK.PublishTrackError ? ['PublishTrackError', e.status] : String(e); }"""
        )
        assert told == ["PublishTrackError", 403]
        await web.publish_tone(440)
        await assert_tone(await bob.subscribed("web"), 440)
        assert [pub.source for pub in bob.remote("web").track_publications.values()] == [
            rtc.TrackSource.SOURCE_MICROPHONE
        ]


async def test_the_server_itself_refuses_a_source_that_is_not_granted(endpoint: Endpoint, path: JoinPath) -> None:
    """PUB04 without livekit-client, which asks nobody: refused when announced, and not published when just sent."""
    grants = {"canPublishSources": ["microphone"]}
    room = unique("src")
    async with (
        sdk(endpoint, "bob", room, path) as bob,
        peer(endpoint, "liar", room, path, grants=grants) as liar,
    ):
        for cid, source in (("cam", models.CAMERA), ("screen", models.SCREEN_SHARE), ("any", models.UNKNOWN)):
            await liar.send(add_track=wire_rtc.AddTrackRequest(cid=cid, type=models.VIDEO, source=source))
            refusal = await liar.response("request_response", lambda r, cid=cid: r.add_track.cid == cid)
            assert refusal.reason == wire_rtc.RequestResponse.NOT_ALLOWED
        liar.publisher.addTrack(VideoStreamTrack())
        await liar.negotiate()
        track = await liar.publish_audio()
        assert (await bob.subscribed("liar")).sid == track.sid
        assert list(bob.remote("liar").track_publications) == [track.sid]
        assert [p.track.sid for p in (e.args[0] for e in liar.journal.seen("track_published"))] == [track.sid]


async def test_publishing_without_the_grant_is_refused(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("nopub"), path, grants={"canPublish": False}) as client:
        await client.send(add_track=wire_rtc.AddTrackRequest(cid="mic", type=models.AUDIO, source=models.MICROPHONE))
        refusal = await client.response("request_response")
        assert refusal.reason == wire_rtc.RequestResponse.NOT_ALLOWED
        assert not client.journal.seen("track_published")


async def test_a_disabled_codec_is_replaced(chromium: Browser) -> None:
    codecs = [{"mime": "audio/opus"}, {"mime": "video/vp8"}]
    async with started(ServerSpec(config={"room": {"enabled_codecs": codecs}})) as server:
        for path in JoinPath:
            room = unique("codec")
            async with wire(server.endpoint, "w", room, path) as client:
                join = await client.response("join")
                assert [c.mime.lower() for c in join.enabled_publish_codecs if c.mime.startswith("video")] == [
                    "video/vp8"
                ]
                request = wire_rtc.AddTrackRequest(cid="cam", type=models.VIDEO, source=models.CAMERA)
                request.simulcast_codecs.add(codec="av1", cid="cam")
                await client.send(add_track=request)
                track = (await client.response("track_published")).track
                assert track.mime_type.lower() in ("", "video/vp8")
                assert [c.mime_type.lower() for c in track.codecs] == ["video/vp8"]
            async with (
                sdk(server.endpoint, "bob", room, path) as bob,
                chromium.client(server.endpoint, "web", room, path) as web,
            ):
                await web.publish_bars(videoCodec="av1")
                await bob.subscribed("web")
                publication = next(iter(bob.remote("web").track_publications.values()))
                assert publication.mime_type.lower() == "video/vp8"


async def test_unpublishing_and_publishing_20_times(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("again")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        await web.run(
            """const me = e2e.room.localParticipant;
            const track = new LK.LocalAudioTrack(e2e.toneTrack(440), undefined, true);
            for (let i = 0; i < 20; i += 1) {
                await me.publishTrack(track, { source: 'microphone', name: `t${i}` });
                await me.unpublishTrack(track, false);
            }
            await me.publishTrack(track, { source: 'microphone', name: 'last' });""",
            timeout_s=60,
        )
        entry = await bob.journal.wait("track_subscribed", lambda t, pub, who: pub.name == "last", timeout_s=20)
        await assert_tone(entry.args[0], 440)
        await bob.journal.until(lambda: len(bob.remote("web").track_publications) == 1, "one publication")


async def test_add_track_with_a_cid_still_in_use_is_queued(endpoint: Endpoint, path: JoinPath) -> None:
    async with peer(endpoint, "alice", unique("queued"), path) as alice:
        track = await alice.publish_audio(cid="same-cid")
        await alice.send(
            add_track=wire_rtc.AddTrackRequest(cid="same-cid", type=models.AUDIO, source=models.MICROPHONE)
        )
        answer = await alice.response("request_response")
        assert answer.reason == wire_rtc.RequestResponse.QUEUED
        since = alice.journal.mark()
        for transceiver in alice.publisher.getTransceivers():
            transceiver.direction = "inactive"
        await alice.negotiate()
        again = await alice.response("track_published", since=since)
        assert again.cid == "same-cid"
        assert again.track.sid != track.sid


async def test_ids_rewritten_by_the_browser_are_matched_by_kind(endpoint: Endpoint, path: JoinPath) -> None:
    """PUB07: the msid in the offer has nothing to do with the cid that was announced."""
    room = unique("msid")
    async with sdk(endpoint, "bob", room, path) as bob, peer(endpoint, "alice", room, path) as alice:
        track = await alice.publish_audio(cid="announced-under-this")
        assert (await bob.subscribed("alice")).sid == track.sid


async def test_mute_is_told_to_the_others(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("mute")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(true)")
        await bob.subscribed("web")
        for enabled, event in ((False, "track_muted"), (True, "track_unmuted"), (False, "track_muted")):
            since = bob.journal.mark()
            await web.run("await e2e.room.localParticipant.setMicrophoneEnabled(on)", on=enabled)
            entry = await bob.journal.wait(event, lambda who, _: who.identity == "web", since=since)
            assert entry.args[1].muted is (not enabled)


async def test_no_sound_passes_while_muted(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """PUB08: nothing is heard of who mutes, and of who says so and goes on sending: the server drops it."""
    room = unique("silent")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        sid = await web.publish_tone(440)
        track = await bob.subscribed("web")
        mute_truly = """const [publication] = e2e.room.localParticipant.trackPublications.values();
            await (on ? publication.mute() : publication.unmute())"""
        # livekit-client takes it back when it sees that the server believes the wrong thing: not here.
        mute_in_name_only = """const { client } = e2e.room.engine;
            const send = client.constructor.prototype.sendMuteTrack.bind(client);
            client.sendMuteTrack = () => {};
            await send(sid, on)"""
        for mute in (mute_truly, mute_in_name_only):
            await assert_tone(track, 440)
            await web.run(mute, sid=sid, on=True)
            await assert_silence(track)
            await web.run(mute, sid=sid, on=False)
        await assert_tone(track, 440)


async def test_muting_an_unknown_track_is_answered(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("nomute"), path) as client:
        await client.response("join")
        await client.send(mute=wire_rtc.MuteTrackRequest(sid="TR_unknown", muted=True))
        answer = await client.response("request_response")
        assert answer.reason == wire_rtc.RequestResponse.NOT_FOUND


async def test_losing_the_permission_takes_the_tracks_away(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("revoke")
    async with (
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path) as web,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):
        sid = await web.publish_tone(440)
        await bob.subscribed("web")
        since = web.journal.mark()
        permission = api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)
        await lk.room.update_participant(api.UpdateParticipantRequest(room=room, identity="web", permission=permission))
        await web.journal.wait("localTrackUnpublished", lambda pub, _: pub["publication"] == sid)
        await bob.journal.wait("track_unpublished", lambda pub, _: pub.sid == sid)
        await web.journal.wait("participantPermissionsChanged", since=since)


async def test_is_publisher_follows_the_first_track(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("ispub")
    body = {"room": room, "identity": "alice"}

    async def told() -> dict[str, Any]:
        answer = await twirp(endpoint, "GetParticipant", body, token=endpoint.admin(room))
        return dict(answer.json)

    async with sdk(endpoint, "alice", room, path) as alice, wire(endpoint, "w", room, path) as client:
        await client.response("join")
        assert not (await told())["is_publisher"]
        async with publish_tone(alice.room):
            await client.response(
                "update", lambda u: any(p.identity == "alice" and p.is_publisher for p in u.participants)
            )

            async def flipped() -> bool:
                return bool((await told())["is_publisher"])

            await eventually(flipped, "is_publisher in GetParticipant")


@pytest.mark.parametrize("source", ["camera", "screen_share"])
async def test_publication_fields_reach_the_others(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, source: str
) -> None:
    room = unique("fields")
    async with wire(endpoint, "w", room, path) as client, chromium.client(endpoint, "web", room, path) as web:
        await web.publish_bars(source=source, name="a name", width=640, height=360, stream="my-stream")
        update = await client.response(
            "update", lambda u: any(p.identity == "web" and p.tracks and p.tracks[0].mime_type for p in u.participants)
        )
        track = next(p for p in update.participants if p.identity == "web").tracks[0]
        assert (track.name, track.width, track.height) == ("a name", 640, 360)
        assert track.mime_type.lower() == "video/vp8"
        assert track.stream == "my-stream"
        assert track.layers[0].width == 640 or track.codecs[0].layers[0].width == 640
