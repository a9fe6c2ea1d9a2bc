"""From `add_track` to the end of a publication (protocol.md §2.8, §3.3, §5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import SessionId, TrackSid, UpTrackId
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import RequestReason, TrackSource, TrackType, VideoQuality
from sfu.room.messages import RequestEcho
from sfu.room.views import LayerView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage

_LAYERS = (
    LayerView(VideoQuality.HIGH, 1280, 720, 1_700_000),
    LayerView(VideoQuality.LOW, 320, 180, 160_000),
    LayerView(VideoQuality.MEDIUM, 640, 360, 450_000),
)


def _lines(effects: list[fx.Effect]) -> dict[str, fx.PublishLine]:
    (accepted,) = [effect for effect in effects if isinstance(effect, fx.AcceptOffer)]
    return {line.mid: line for line in accepted.publish}


def _refusals(client: Client) -> list[tuple[RequestReason, object]]:
    return [(r.reason, r.echo.request if r.echo else None) for r in client.got(messages.RequestResponse)]


# ---------------------------------------------------------------- announcement


def test_an_announcement_is_answered_before_any_media(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.announce("cid", name="mic")
    assert track.sid.startswith("TR_AM")
    assert track.name == "mic"
    bob = stage.active("bob")
    assert bob.joined is not None
    assert bob.joined.other_participants[0].tracks == ()


@pytest.mark.parametrize(
    ("source", "type_", "prefix", "stream"),
    [
        (TrackSource.CAMERA, TrackType.VIDEO, "TR_VC", "camera"),
        (TrackSource.MICROPHONE, TrackType.AUDIO, "TR_AM", "camera"),
        (TrackSource.SCREEN_SHARE, TrackType.VIDEO, "TR_VS", "screen"),
        (TrackSource.SCREEN_SHARE_AUDIO, TrackType.AUDIO, "TR_AS", "screen"),
        (TrackSource.UNKNOWN, TrackType.VIDEO, "TR_V", "unknown"),
    ],
)
def test_sid_and_stream_follow_the_source(
    stage: Stage, source: TrackSource, type_: TrackType, prefix: str, stream: str
) -> None:
    track = stage.active("alice").announce("cid", source, type=type_)
    assert track.sid.startswith(prefix)
    assert track.stream == stream


def test_all_flags_of_the_announcement_are_kept(stage: Stage) -> None:
    track = stage.active("alice").announce(
        "cid",
        name="n",
        muted=True,
        disable_dtx=True,
        stereo=True,
        disable_red=True,
        encryption=1,
        stream="own",
        audio_features=(4,),
        backup_codec_policy=2,
        packet_trailer_features=(1,),
    )
    assert (track.muted, track.disable_dtx, track.stereo, track.disable_red) == (True, True, True, True)
    assert (track.encryption, track.stream, track.backup_codec_policy) == (1, "own", 2)
    assert track.audio_features == (0, 1, 4)
    assert track.packet_trailer_features == (1,)
    assert track.version_us == int(stage.now().wall_s * 1e6)


@pytest.mark.parametrize(
    ("features", "stereo", "no_dtx"), [((), False, False), ((0,), True, False), ((1,), False, True)]
)
def test_audio_features_mean_the_flags(stage: Stage, features: tuple[int, ...], stereo: bool, no_dtx: bool) -> None:
    track = stage.active("alice").announce("cid", audio_features=features)
    assert (track.stereo, track.disable_dtx) == (stereo, no_dtx)


@pytest.mark.parametrize(
    ("grants", "source", "fields", "reason"),
    [
        ({"can_publish": False}, TrackSource.MICROPHONE, {}, RequestReason.NOT_ALLOWED),
        ({"can_publish_sources": ("camera",)}, TrackSource.MICROPHONE, {}, RequestReason.NOT_ALLOWED),
        ({"can_publish_sources": ("nonsense",)}, TrackSource.MICROPHONE, {}, RequestReason.NOT_ALLOWED),
        ({}, TrackSource.UNKNOWN, {"type": TrackType.DATA}, RequestReason.UNSUPPORTED_TYPE),
        ({}, TrackSource.CAMERA, {"sid": "TR_unknown"}, RequestReason.NOT_FOUND),
    ],
)
def test_refused_announcements_echo_the_request(
    stage: Stage, grants: dict[str, Any], source: TrackSource, fields: dict[str, Any], reason: RequestReason
) -> None:
    alice = stage.active("alice", **grants)
    alice.try_announce("cid", source, **fields)
    assert _refusals(alice) == [(reason, "cid")]
    assert not alice.got(messages.TrackPublished)


def test_backup_codecs_are_refused_honestly(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("cid", TrackSource.CAMERA)
    alice.try_announce("backup", TrackSource.CAMERA, sid=track.sid)
    assert _refusals(alice) == [(RequestReason.UNSUPPORTED_TYPE, "backup")]


@pytest.mark.parametrize(
    ("enabled", "refused", "allowed"),
    [
        (("video/VP8", "audio/red"), TrackType.AUDIO, TrackType.VIDEO),
        (("audio/opus", "video/rtx"), TrackType.VIDEO, TrackType.AUDIO),
    ],
)
def test_a_room_without_codecs_of_a_kind_takes_no_track_of_it(
    stage_with: Callable[..., Stage], enabled: tuple[str, ...], refused: TrackType, allowed: TrackType
) -> None:
    alice = stage_with(enabled_codecs=enabled).active("alice")
    alice.try_announce("no", TrackSource.UNKNOWN, type=refused)
    (refusal,) = alice.got(messages.RequestResponse)
    assert refusal.reason is RequestReason.UNSUPPORTED_TYPE
    assert refusal.message == f"no {refused.name.lower()} codec is enabled in this room"
    alice.announce("yes", TrackSource.UNKNOWN, type=allowed)
    assert [published.cid for published in alice.got(messages.TrackPublished)] == ["yes"]


def test_announcements_without_offers_are_limited(stage_with: Callable[..., Stage]) -> None:
    alice = stage_with(max_pending_tracks=2).active("alice")
    for cid in ("a", "b", "c"):
        alice.try_announce(cid)
    assert _refusals(alice) == [(RequestReason.LIMIT_EXCEEDED, "c")]


def test_a_second_announcement_without_offer_replaces_the_first(stage: Stage) -> None:
    alice = stage.active("alice")
    first = alice.announce("cid")
    second = alice.announce("cid")
    alice.add_line("cid", TrackType.AUDIO)
    alice.offer()
    assert [track.sid for track in stage.room._state.publications.values()] == [p.sid for p in (second,)]
    assert first.sid != second.sid


# ---------------------------------------------------------------- codecs


@pytest.mark.parametrize(
    ("fields", "mimes", "mime", "red"),
    [
        ({}, ("audio/red", "audio/opus"), "audio/red", True),
        ({}, ("audio/opus",), "audio/opus", False),
        ({"disable_red": True}, ("audio/red", "audio/opus"), "audio/opus", False),
    ],
)
def test_audio_uses_red_when_offered_and_not_disabled(
    stage: Stage, fields: dict[str, Any], mimes: tuple[str, ...], mime: str, red: bool
) -> None:
    stage.active("bob")
    alice = stage.active("alice")
    alice.announce("cid", **fields)
    mid = alice.add_line("cid", TrackType.AUDIO, mime_types=mimes)
    line = _lines(alice.offer())[mid]
    assert (line.red, line.codec) == (red, None)
    assert stage.room._state.participants[_id(stage, "alice")].view().tracks[0].mime_type == mime


@pytest.mark.parametrize(
    ("enabled", "wanted", "offered", "used"),
    [
        (("video/VP8", "video/H264"), "h264", ("video/VP8", "video/H264"), "video/H264"),
        (("video/VP8", "video/H264"), "video/h264", ("video/VP8", "video/H264"), "video/H264"),
        (("VIDEO/VP8", "video/h264"), "av1", ("video/VP8", "video/H264"), "video/VP8"),
        (("video/h264",), "vp8", ("video/H264",), "video/H264"),
        (("video/VP8", "video/VP9"), "", ("video/VP9", "video/VP8"), "video/VP9"),
        (("video/VP8", "video/VP9"), "vp9", ("video/VP8",), "video/VP8"),
    ],
)
def test_a_disabled_video_codec_is_substituted(
    stage_with: Callable[..., Stage], enabled: tuple[str, ...], wanted: str, offered: tuple[str, ...], used: str
) -> None:
    stage = stage_with(enabled_codecs=("audio/opus", *enabled))
    alice = stage.active("alice")
    codecs = (inputs.CodecOffered(wanted, "cid"),)
    alice.announce("cid", TrackSource.CAMERA, codecs=codecs)
    mid = alice.add_line("cid", TrackType.VIDEO, mime_types=offered)
    assert _lines(alice.offer())[mid].codec == used
    assert _track(stage, "alice").codecs[0].mime_type == used


def test_a_line_in_no_codec_of_the_room_is_not_published_and_that_is_said(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.announce("cid", TrackSource.CAMERA)
    alice.add_line("cid", TrackType.VIDEO, mime_types=())
    assert _lines(alice.offer()) == {}
    assert alice.got(messages.TrackUnpublished) == [messages.TrackUnpublished(track.sid)]
    alice.offer()
    assert len(alice.got(messages.TrackUnpublished)) == 1


def test_first_media_in_another_codec_corrects_the_track(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    alice.publish("cid", TrackSource.CAMERA)
    (up_track,) = stage.ledger.up_tracks
    stage.clear()
    stage.do(inputs.UpTrackStarted(UpTrackId(up_track), "video/VP8"))
    assert not bob.told_of("alice")
    stage.do(inputs.UpTrackStarted(UpTrackId(up_track), "video/H264"))
    assert bob.told_of("alice")[-1].tracks[0].mime_type == "video/H264"


# ---------------------------------------------------------------- going live


def test_an_offer_makes_the_track_live_for_everybody(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    track = alice.announce("cid", TrackSource.CAMERA, layers=_LAYERS)
    mid = alice.add_line("cid", TrackType.VIDEO, rids=("q", "h", "f"))
    stage.clear()
    effects = alice.offer()
    line = _lines(effects)[mid]
    assert (line.codec, line.muted, line.speaker) == ("video/VP8", False, False)
    (view,) = bob.told_of("alice")
    assert view.is_publisher
    (told,) = view.tracks
    assert told.sid == track.sid
    assert told.mid == mid
    assert told.simulcast
    assert [(layer.quality, layer.spatial_layer, layer.rid) for layer in told.layers] == [
        (VideoQuality.LOW, 0, "q"),
        (VideoQuality.MEDIUM, 1, "h"),
        (VideoQuality.HIGH, 2, "f"),
    ]
    (added,) = [effect for effect in effects if isinstance(effect, fx.AddDownTrack)]
    assert added.up_track == line.up_track
    assert added.transport == bob.primary
    assert added.stream_id == f"{view.sid}|{track.sid}"
    assert added.track_sid == track.sid
    assert [type(event) for event in stage.emitted] == [fx.TrackPublishedEvent]


def test_the_answer_precedes_the_down_tracks_and_news_precede_them_too(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    alice.announce("cid")
    alice.add_line("cid", TrackType.AUDIO)
    effects = alice.offer()
    accept = next(i for i, e in enumerate(effects) if isinstance(e, fx.AcceptOffer))
    news = next(i for i, e in enumerate(effects) if isinstance(e, fx.Send) and bob.session in e.sessions)
    added = next(i for i, e in enumerate(effects) if isinstance(e, fx.AddDownTrack))
    assert accept < news < added


def test_flags_reach_the_answer(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.announce("cid", muted=True, disable_dtx=True, stereo=True)
    mid = alice.add_line("cid", TrackType.AUDIO)
    line = _lines(alice.offer())[mid]
    assert (line.muted, line.dtx, line.stereo, line.speaker) == (True, False, True, True)


def test_several_tracks_go_live_in_one_offer(stage: Stage) -> None:
    stage.active("bob")
    alice = stage.active("alice")
    sources = (TrackSource.MICROPHONE, TrackSource.CAMERA, TrackSource.SCREEN_SHARE, TrackSource.SCREEN_SHARE_AUDIO)
    sids = {source.name: alice.announce(source.name, source).sid for source in sources}
    mids = {}
    for source in reversed(sources):
        audio = source in (TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE_AUDIO)
        mids[source.name] = alice.add_line(source.name, TrackType.AUDIO if audio else TrackType.VIDEO)
    assert len(_lines(alice.offer())) == 4
    tracks = {track.sid: track.mid for track in stage.room._state.by_identity["alice"].view().tracks}
    assert tracks == {sids[name]: mids[name] for name in sids}


def test_lines_are_found_by_stream_id_and_by_the_cids_of_codecs(stage: Stage) -> None:
    alice = stage.active("alice")
    by_stream = alice.announce("stream")
    by_codec = alice.announce("other", TrackSource.CAMERA, codecs=(inputs.CodecOffered("vp8", "codec-cid"),))
    first = alice.add_line("rewritten", TrackType.AUDIO)
    second = alice.add_line("codec-cid", TrackType.VIDEO)
    alice.offer()
    assert {t.sid: t.mid for t in stage.room._state.by_identity["alice"].view().tracks} == {
        by_stream.sid: first,
        by_codec.sid: second,
    }


def test_rewritten_ids_fall_back_to_the_order_of_announcement(stage: Stage) -> None:
    alice = stage.active("alice")
    video = alice.announce("v", TrackSource.CAMERA)
    first, second = alice.announce("a"), alice.announce("b")
    alice.add_line("{x}", TrackType.AUDIO)
    alice.add_line("b", TrackType.AUDIO)
    alice.add_line("{y}", TrackType.VIDEO)
    alice.offer()
    tracks = {t.sid: t for t in stage.room._state.by_identity["alice"].view().tracks}
    assert {sid: t.mid for sid, t in tracks.items()} == {first.sid: "0", second.sid: "1", video.sid: "2"}
    assert tracks[first.sid].codecs[0].sdp_cid == "{x}"
    assert tracks[second.sid].codecs[0].sdp_cid == ""
    assert len(_lines(alice.offer())) == 3, "the next offer knows the lines again"


def test_lines_without_announcement_or_usable_codec_stay_unbound(stage: Stage) -> None:
    alice = stage.active("alice", can_publish_sources=("microphone",))
    alice.add_line("camera", TrackType.VIDEO)
    alice.announce("mic")
    alice.add_line("mic", TrackType.AUDIO, mime_types=())
    assert _lines(alice.offer()) == {}


def test_a_receiving_offer_is_answered_without_publications(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.add_line("", TrackType.AUDIO, sends=False)
    assert _lines(alice.offer()) == {}


def test_add_tracks_of_the_join_are_answered_right_after_it(stage: Stage) -> None:
    track = inputs.AddTrack(SessionId(0), "cid", TrackType.AUDIO, TrackSource.MICROPHONE)
    alice = stage.join("alice", add_tracks=(track,))
    assert [message.cid for message in alice.got(messages.TrackPublished)] == ["cid"]


# ---------------------------------------------------------------- ends


def test_a_line_that_no_longer_sends_ends_its_publication(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    track = alice.publish("cid")
    stage.clear()
    alice.change_line("0", sends=False)
    effects = alice.offer()
    assert _lines(effects) == {}
    assert [type(e) for e in effects if isinstance(e, fx.RemoveDownTrack | fx.CloseUpTrack)] == [
        fx.RemoveDownTrack,
        fx.CloseUpTrack,
    ]
    assert bob.told_of("alice")[-1].tracks == ()
    assert bob.told_of("alice")[-1].is_publisher
    (event,) = stage.emitted
    assert isinstance(event, fx.TrackUnpublishedEvent)
    assert event.track.sid == track.sid
    assert not alice.got(messages.TrackUnpublished)


def test_a_line_that_vanished_ends_its_publication(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.publish("cid")
    alice.lines.clear()
    alice.offer()
    assert not stage.ledger.up_tracks


def test_a_line_given_to_another_track_changes_publication(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    alice.publish("old")
    new = alice.announce("new")
    alice.change_line("0", track_id="new")
    alice.offer()
    assert [track.sid for track in bob.told_of("alice")[-1].tracks] == [new.sid]


def test_a_line_whose_track_id_changed_without_announcement_stays(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.publish("cid")
    alice.change_line("0", track_id="replaced")
    assert len(_lines(alice.offer())) == 1
    assert len(stage.ledger.up_tracks) == 1


def test_republishing_the_same_cid_waits_for_the_end_of_the_old_one(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    sids = [alice.publish("cid").sid]
    for _ in range(20):
        alice.try_announce("cid")
        assert _refusals(alice)[-1] == (RequestReason.QUEUED, "cid")
        assert len(alice.got(messages.TrackPublished)) == len(sids)
        alice.change_line("0", sends=False)
        alice.offer()
        sids.append(alice.got(messages.TrackPublished)[-1].track.sid)
        alice.change_line("0", sends=True)
        alice.offer()
    assert len(set(sids)) == 21
    assert [track.sid for track in bob.told_of("alice")[-1].tracks] == [sids[-1]]


# ---------------------------------------------------------------- mute and changes


def test_muting_drops_media_and_is_told_to_all(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    track = alice.publish("cid")
    stage.clear()
    effects = stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    assert [e.muted for e in effects if isinstance(e, fx.MuteUpTrack)] == [True]
    for client in (alice, bob):
        assert [view.tracks[0].muted for view in client.told_of("alice")] == [True]
    assert not stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    late = stage.join("late")
    assert late.joined is not None
    assert next(p for p in late.joined.other_participants if p.identity == "alice").tracks[0].muted


def test_an_announced_track_can_be_muted_before_it_is_live(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.announce("cid")
    assert not stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    mid = alice.add_line("cid", TrackType.AUDIO)
    assert _lines(alice.offer())[mid].muted


def test_changes_of_unknown_or_foreign_tracks_are_not_found(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    foreign = bob.publish("mic").sid
    echo = RequestEcho("mute", "echo")
    for sid in (foreign, TrackSid("TR_unknown")):
        stage.do(inputs.MuteOwnTrack(alice.session, sid, muted=True, echo=echo))
        stage.do(inputs.UpdateOwnAudioTrack(alice.session, sid, (0,), echo))
        stage.do(inputs.UpdateOwnVideoTrack(alice.session, sid, 1, 1, echo))
    assert _refusals(alice) == [(RequestReason.NOT_FOUND, "echo")] * 6


def test_audio_features_and_dimensions_can_change(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    audio = alice.publish("mic")
    video = alice.publish("cam", TrackSource.CAMERA)
    stage.do(inputs.UpdateOwnAudioTrack(alice.session, audio.sid, (0, 5)))
    stage.do(inputs.UpdateOwnVideoTrack(alice.session, video.sid, 640, 360))
    tracks = {track.sid: track for track in bob.told_of("alice")[-1].tracks}
    assert (tracks[audio.sid].stereo, tracks[audio.sid].audio_features) == (True, (0, 5))
    assert (tracks[video.sid].width, tracks[video.sid].height) == (640, 360)


def _id(stage: Stage, identity: str) -> Any:
    return stage.room._state.by_identity[identity].id


def _track(stage: Stage, identity: str) -> Any:
    return stage.room._state.by_identity[identity].view().tracks[0]


# ---------------------------------------------------------------- limits

_LONG = "ä" * 129
_LONG_RID = (LayerView(VideoQuality.HIGH, rid=_LONG),)


@pytest.mark.parametrize(
    ("cid", "fields"),
    [
        (_LONG, {}),
        ("cam", {"name": _LONG}),
        ("cam", {"stream": _LONG}),
        ("cam", {"layers": _LONG_RID}),
        ("cam", {"codecs": (inputs.CodecOffered(_LONG),)}),
        ("cam", {"codecs": (inputs.CodecOffered("vp8", _LONG),)}),
        ("cam", {"codecs": (inputs.CodecOffered("vp8", layers=_LONG_RID),)}),
        ("cam", {"sid": "TR_x", "codecs": (inputs.CodecOffered("vp8", _LONG),)}),
    ],
    ids=["cid", "name", "stream", "rid", "codec", "codec's cid", "codec's rid", "backup's cid"],
)
def test_texts_that_everybody_would_be_told_are_limited(stage: Stage, cid: str, fields: dict[str, Any]) -> None:
    alice = stage.active("alice")
    alice.try_announce(cid, TrackSource.CAMERA, **fields)
    (answer,) = alice.got(messages.RequestResponse)
    assert answer.reason is RequestReason.LIMIT_EXCEEDED
    assert "exceeds 256 bytes" in answer.message
    assert answer.echo is not None
    assert not alice.got(messages.TrackPublished)


def test_a_long_name_in_a_description_is_told_to_nobody(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    alice.announce("mic")
    alice.add_line("t" * 5_000, TrackType.AUDIO)
    alice.offer()
    (track,) = bob.told_of("alice")[-1].tracks
    assert track.codecs[0].sdp_cid == ""


@pytest.mark.parametrize("limit", [3, 0])
def test_a_participant_has_so_many_tracks_at_most(stage_with: Callable[..., Stage], limit: int) -> None:
    alice = stage_with(max_tracks=limit).active("alice")
    for number in range(3):
        alice.publish(f"mic{number}")
    alice.try_announce("more")
    refused = [answer.reason for answer in alice.got(messages.RequestResponse)]
    assert refused == ([RequestReason.LIMIT_EXCEEDED] if limit else [])
    alice.change_line("0", sends=False)
    alice.offer()
    assert alice.announce("again").sid, "there is room again"
