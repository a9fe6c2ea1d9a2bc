"""One publication in several codecs: who gets which, and what its publisher hears of it (protocol.md §4.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import DownTrackId, TrackSid, UpTrackId
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import (
    BackupCodecPolicy,
    RequestReason,
    SubscriptionError,
    TrackSource,
    TrackType,
    VideoQuality,
)
from sfu.room.views import LayerView

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.room.views import TrackView
    from tests.unit.sfu.room.conftest import Client, Stage

_LOW, _MEDIUM, _HIGH = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH
_ALL = (_LOW, _MEDIUM, _HIGH)
_EVERYTHING = ("video/VP9", "video/VP8", "video/H264")
_PLAIN = ("video/VP8", "video/H264")
_CODECS = (inputs.CodecOffered("vp9", "cam"), inputs.CodecOffered("vp8"))
_LAYERS = tuple(LayerView(quality, 320 << quality, 180 << quality) for quality in _ALL)


def _publish(client: Client, policy: BackupCodecPolicy = BackupCodecPolicy.SIMULCAST, **fields: Any) -> TrackView:
    fields = {"codecs": _CODECS, "backup_codec_policy": int(policy), "layers": _LAYERS} | fields
    track = client.announce("cam", TrackSource.CAMERA, **fields)
    client.add_line("cam", TrackType.VIDEO, mime_types=_EVERYTHING)
    client.offer()
    return track


def _back(client: Client, track: TrackView, codec: str = "vp8", cid: str = "backup") -> list[fx.Effect]:
    """Announces the backup and offers it."""
    client.try_announce(cid, TrackSource.CAMERA, sid=track.sid, codecs=(inputs.CodecOffered(codec, cid),))
    client.add_line(cid, TrackType.VIDEO, mime_types=_EVERYTHING)
    return client.offer()


def _start(stage: Stage, track: TrackView, index: int = 1) -> list[fx.Effect]:
    """Media of one of its codecs comes."""
    codec = stage.room._state.publications[track.sid].codecs[index]
    return stage.do(inputs.UpTrackStarted(codec.up_track, codec.mime_type))


def _down_track(stage: Stage, client: Client) -> DownTrackId:
    (down_track,) = [d for d, (t, _) in stage.ledger.down_tracks.items() if t in client.transports.values()]
    return down_track


def _bind(stage: Stage, client: Client, mime_types: tuple[str, ...]) -> list[fx.Effect]:
    return stage.do(inputs.DownTrackBound(_down_track(stage, client), mime_types))


def _codec(stage: Stage, client: Client, sid: str) -> str:
    """By which codec the engine was told to feed a client."""
    publication = stage.room._state.publications[TrackSid(sid)]
    _, up_track = stage.ledger.down_tracks[_down_track(stage, client)]
    return next(codec.mime_type for codec in publication.codecs if codec.up_track == up_track)


def _moves(effects: list[fx.Effect]) -> list[fx.Effect]:
    kinds = fx.AddDownTrack | fx.MoveDownTrack | fx.RemoveDownTrack
    return [effect for effect in effects if isinstance(effect, kinds)]


def _asked(client: Client) -> list[dict[str, tuple[VideoQuality, ...]]]:
    updates = client.got(messages.SubscribedQualityUpdate)
    return [{codec.codec: codec.enabled for codec in update.codecs} for update in updates]


# ---------------------------------------------------------------- for those who need it


def test_a_backup_is_asked_for_once_somebody_needs_it(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    track = _publish(alice)
    assert [(codec.mime_type, codec.cid) for codec in track.codecs] == [("video/VP9", "cam"), ("video/VP8", "")]
    _bind(stage, bob, _EVERYTHING)
    assert _asked(alice) == [{"vp9": _ALL}]
    moved = _moves(_bind(stage, carol, _PLAIN))
    assert [type(effect) for effect in moved] == [fx.MoveDownTrack], "its line stays"
    assert (_codec(stage, bob, track.sid), _codec(stage, carol, track.sid)) == ("video/VP9", "video/VP8")
    assert _asked(alice)[-1] == {"vp9": _ALL, "vp8": _ALL}
    first = alice.got(messages.SubscribedQualityUpdate)[-1].codecs[0]
    assert first.codec == "vp9", "old clients know only the track's own"
    stage.clear()
    effects = _back(alice, track)
    assert alice.got(messages.TrackPublished)[0].cid == "backup"
    lines = next(effect for effect in effects if isinstance(effect, fx.AcceptOffer)).publish
    assert [line.codec for line in lines] == ["video/VP9", "video/VP8"]
    assert lines[1].up_track == stage.ledger.down_tracks[_down_track(stage, carol)][1]
    assert _moves(effects) == [], "who waits for it is fed by it already"
    (told,) = bob.told_of("alice")[-1].tracks
    assert told.mime_type == "video/VP9"
    assert [(codec.mime_type, codec.mid, codec.cid) for codec in told.codecs] == [
        ("video/VP9", lines[0].mid, "cam"),
        ("video/VP8", lines[1].mid, "backup"),
    ]
    assert not bob.got(messages.SubscriptionResponse) + carol.got(messages.SubscriptionResponse)


def test_what_the_first_line_says_counts_for_those_that_have_not_spoken(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    _publish(alice)
    _publish(bob)
    lines = [d for d, (t, _) in stage.ledger.down_tracks.items() if t in carol.transports.values()]
    moved = _moves(stage.do(inputs.DownTrackBound(lines[0], _PLAIN)))
    assert moved == [fx.MoveDownTrack(line, UpTrackId(stage.ledger.down_tracks[line][1])) for line in lines]
    assert len(lines) == 2


def test_others_hear_of_a_backup_that_is_announced(stage: Stage) -> None:
    """Its offer may never come: what they know of the track is the same as what a newcomer is told."""
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _publish(alice)
    stage.clear()
    alice.try_announce("backup", TrackSource.CAMERA, sid=track.sid, codecs=(inputs.CodecOffered("vp8", "backup"),))
    assert bob.told_of("alice")[-1] == stage.room._state.publications[TrackSid(track.sid)].owner.view()
    assert bob.told_of("alice")[-1].tracks[0].codecs[1].cid == "backup"


def test_a_backup_pauses_when_nobody_needs_it_any_more(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, bob, _EVERYTHING)
    _bind(stage, carol, _PLAIN)
    _back(alice, track)
    stage.do(inputs.UpdateTrackSettings(carol.session, (track.sid,), disabled=False, quality=_LOW))
    stage.wait(6)
    assert _asked(alice)[-1] == {"vp9": _ALL, "vp8": (_LOW,)}
    carol.leave()
    stage.wait(6)
    assert _asked(alice)[-1] == {"vp9": _ALL, "vp8": ()}


def test_a_publisher_that_does_nothing_is_asked_again_ever_more_seldom(stage: Stage) -> None:
    """livekit-client does not hear what is said of a track before its own publishing is through."""
    alice, carol = stage.active("alice"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, carol, _PLAIN)
    counts = []
    for seconds in (0.4, 0.2, 1, 2, 4, 300):
        before = len(_asked(alice))
        stage.wait(seconds)
        counts.append(len(_asked(alice)) - before)
    assert counts[:4] == [0, 1, 1, 1]
    assert 8 <= counts[-1] <= 16
    assert _asked(alice)[-1]["vp8"] == _ALL
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    before = len(_asked(alice))
    stage.wait(100)
    assert len(_asked(alice)) == before, "not during its mute"
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=False))
    stage.wait(100)
    assert len(_asked(alice)) > before + 1
    _back(alice, track)
    before = len(_asked(alice))
    stage.wait(100)
    assert len(_asked(alice)) == before, "it has come"


def test_layers_are_those_of_the_codec(stage: Stage) -> None:
    alice, carol = stage.active("alice"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, carol, _PLAIN)
    two = (LayerView(_LOW, 320, 180), LayerView(_HIGH, 640, 360))
    alice.try_announce("backup", TrackSource.CAMERA, sid=track.sid, codecs=(inputs.CodecOffered("vp8", "backup", two),))
    alice.add_line("backup", TrackType.VIDEO, rids=("q", "h"))
    alice.offer()
    codec = carol.told_of("alice")[-1].tracks[0].codecs[1]
    assert [(layer.quality, layer.spatial_layer, layer.rid) for layer in codec.layers] == [
        (_LOW, 0, "q"),
        (_HIGH, 1, "h"),
    ]
    effects = stage.do(inputs.UpdateTrackSettings(carol.session, (track.sid,), disabled=False, quality=_LOW))
    assert [e.max_spatial for e in effects if isinstance(e, fx.SetDownTrackLayers)] == [0]
    stage.wait(6)
    assert _asked(alice)[-1]["vp8"] == (_LOW,)


def test_mute_and_end_concern_every_codec(stage: Stage) -> None:
    alice, carol = stage.active("alice"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, carol, _PLAIN)
    _back(alice, track)
    effects = stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    assert len([e for e in effects if isinstance(e, fx.MuteUpTrack)]) == 2
    for line in list(alice.lines):
        alice.change_line(line.mid, sends=False)
    effects = alice.offer()
    assert len([e for e in effects if isinstance(e, fx.CloseUpTrack)]) == 2
    assert not stage.ledger.up_tracks | set(stage.ledger.down_tracks)


def test_a_backup_whose_line_stops_is_asked_for_again(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, bob, _EVERYTHING)
    _bind(stage, carol, _PLAIN)
    _back(alice, track)
    (_, line) = alice.lines
    before = len(_asked(alice))
    alice.change_line(line.mid, sends=False)
    effects = alice.offer()
    assert [type(effect) for effect in _moves(effects)] == [fx.MoveDownTrack]
    closed = next(index for index, effect in enumerate(effects) if isinstance(effect, fx.CloseUpTrack))
    moved = next(index for index, effect in enumerate(effects) if isinstance(effect, fx.MoveDownTrack))
    assert moved < closed, "closing an up track closes what it feeds"
    assert _asked(alice)[before:] == [{"vp9": _ALL, "vp8": _ALL}]
    alice.change_line(line.mid, sends=True)
    _back(alice, track, cid="again")
    assert _codec(stage, carol, track.sid) == "video/VP8"
    assert carol.told_of("alice")[-1].tracks[0].codecs[1].cid == "again"


def test_an_announcement_of_a_backup_must_fit(stage: Stage) -> None:
    alice = stage.active("alice")
    track = _publish(alice)
    for sid, codec, reason in (
        ("TR_other", "vp8", RequestReason.NOT_FOUND),
        (track.sid, "h264", RequestReason.UNSUPPORTED_TYPE),
        (track.sid, "vp9", RequestReason.UNSUPPORTED_TYPE),
    ):
        stage.clear()
        alice.try_announce("x", TrackSource.CAMERA, sid=sid, codecs=(inputs.CodecOffered(codec, "x"),))
        assert [response.reason for response in alice.got(messages.RequestResponse)] == [reason]


def test_lines_of_a_backup_are_nobody_elses(stage: Stage) -> None:
    """A browser that rewrites names leaves only the order; what a backup has is not to be given to another track."""
    alice, carol = stage.active("alice"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, carol, _PLAIN)
    _back(alice, track)
    alice.announce("screen", TrackSource.SCREEN_SHARE)
    alice.offer()
    assert len(stage.room._state.publications) == 1
    alice.add_line("{rewritten}", TrackType.VIDEO)
    alice.offer()
    sources = [track.source for track in carol.told_of("alice")[-1].tracks]
    assert sources == [TrackSource.CAMERA, TrackSource.SCREEN_SHARE]


def test_a_resumed_publisher_hears_again_what_is_needed(stage: Stage) -> None:
    alice, carol = stage.active("alice"), stage.active("carol")
    track = _publish(alice)
    _bind(stage, carol, _PLAIN)
    alice.lose()
    back = alice.resume()
    assert _asked(back)[-1] == {"vp9": (), "vp8": _ALL}
    codecs = (inputs.CodecOffered("vp8", "backup"),)
    back.try_announce("backup", TrackSource.CAMERA, sid=track.sid, codecs=codecs)
    back.lose()
    back = back.resume()
    assert [message.cid for message in back.got(messages.TrackPublished)] == ["backup"], "no offer has carried it yet"


# ---------------------------------------------------------------- regression


@pytest.mark.parametrize(
    ("policy", "threshold", "regresses"),
    [
        (BackupCodecPolicy.SIMULCAST, 0, False),
        (BackupCodecPolicy.REGRESSION, 2, True),
        (BackupCodecPolicy.PREFER_REGRESSION, 0, True),
        (BackupCodecPolicy.PREFER_REGRESSION, 3, False),
        (BackupCodecPolicy.PREFER_REGRESSION, 4, True),
    ],
)
def test_all_move_to_the_backup_when_its_publisher_and_the_room_want_that(
    stage_with: Callable[..., Stage], policy: BackupCodecPolicy, threshold: int, regresses: bool
) -> None:
    stage = stage_with(codec_regression_threshold=threshold)
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    track = _publish(alice, policy)
    _bind(stage, bob, _EVERYTHING)
    _bind(stage, carol, _PLAIN)
    assert _codec(stage, bob, track.sid) == "video/VP9"
    assert _moves(_back(alice, track)) == [], "until its media is there"
    moved = _moves(_start(stage, track))
    assert [type(effect) for effect in moved] == [fx.MoveDownTrack] * regresses
    wanted = "video/VP8" if regresses else "video/VP9"
    assert _codec(stage, bob, track.sid) == wanted
    stage.wait(6)
    assert _asked(alice)[-1] == {"vp9": () if regresses else _ALL, "vp8": _ALL}
    dave = stage.active("dave")
    assert _codec(stage, dave, track.sid) == wanted, "who comes later, too"
    carol.leave()
    assert _codec(stage, bob, track.sid) == wanted, "never back"


@pytest.mark.parametrize("sdk", ["go", "unknown"])
def test_who_cannot_switch_in_place_is_renegotiated(stage: Stage, sdk: str) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob", sdk=sdk), stage.active("carol", sdk=sdk)
    track = _publish(alice, BackupCodecPolicy.REGRESSION)
    _bind(stage, bob, _EVERYTHING)
    moved = _moves(_bind(stage, carol, _PLAIN))
    assert [type(effect) for effect in moved] == [fx.MoveDownTrack], "nothing has played yet"
    _back(alice, track)
    moved = _moves(_start(stage, track))
    assert [type(effect) for effect in moved] == [fx.RemoveDownTrack, fx.AddDownTrack]
    assert _codec(stage, bob, track.sid) == "video/VP8"
    assert _moves(_bind(stage, bob, _EVERYTHING)) == []


def test_regression_leaves_those_alone_who_cannot_take_the_backup(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    track = _publish(alice, BackupCodecPolicy.REGRESSION)
    _bind(stage, bob, ("video/VP9",))
    _bind(stage, carol, _PLAIN)
    _back(alice, track)
    assert _moves(_start(stage, track)) == []
    assert (_codec(stage, bob, track.sid), _codec(stage, carol, track.sid)) == ("video/VP9", "video/VP8")


# ---------------------------------------------------------------- when nothing fits


def test_who_can_take_no_codec_is_told_once(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _publish(alice)
    moved = _moves(_bind(stage, bob, ("video/H264",)))
    assert [type(effect) for effect in moved] == [fx.RemoveDownTrack]
    failure = messages.SubscriptionResponse(track.sid, SubscriptionError.CODEC_UNSUPPORTED)
    assert bob.got(messages.SubscriptionResponse) == [failure]
    assert not alice.got(messages.TrackSubscribed)
    assert _asked(alice)[-1] == {"vp9": _ALL}, "for as long as it was not known"
    stage.wait(6)
    assert _asked(alice)[-1] == {"vp9": ()}


def test_a_single_mode_client_says_what_it_takes_before_anything_is_sent(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    for client, mime_types in ((bob, ("video/H264",)), (carol, _PLAIN)):
        client.add_line("", TrackType.VIDEO, sends=False, receives=True, mime_types=mime_types)
        client.offer()
    track = _publish(alice)
    assert [type(message) for message in bob.got(messages.SubscriptionResponse)] == [messages.SubscriptionResponse]
    assert _codec(stage, carol, track.sid) == "video/VP8"
    assert _asked(alice) == [{"vp9": (), "vp8": _ALL}]


def test_what_one_line_says_counts_for_the_next_track(stage: Stage) -> None:
    alice = stage.active("alice")
    bob = stage.active("bob", single_peer_connection=False)
    track = _publish(alice)
    _bind(stage, bob, _PLAIN)
    screen = alice.announce("screen", TrackSource.SCREEN_SHARE, codecs=(inputs.CodecOffered("vp9", "screen"),))
    alice.add_line("screen", TrackType.VIDEO, mime_types=_EVERYTHING)
    effects = alice.offer()
    assert not [effect for effect in effects if isinstance(effect, fx.AddDownTrack)]
    assert [response.track_sid for response in bob.got(messages.SubscriptionResponse)] == [screen.sid]
    assert _codec(stage, bob, track.sid) == "video/VP8"


def test_an_offer_that_comes_after_the_track_says_it_before_its_answer(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    _publish(alice)
    bob.add_line("", TrackType.VIDEO, sends=False, receives=True, mime_types=("video/H264",))
    kinds = [type(effect) for effect in bob.offer()]
    assert kinds.index(fx.RemoveDownTrack) < kinds.index(fx.AcceptOffer)


def test_lines_that_receive_nothing_say_nothing(stage: Stage) -> None:
    """Those on which a client has published may name fewer codecs."""
    alice, bob = stage.active("alice"), stage.active("bob")
    bob.add_line("", TrackType.VIDEO, sends=False, mime_types=("video/H264",))
    bob.offer()
    track = _publish(alice)
    assert _codec(stage, bob, track.sid) == "video/VP9"
    _bind(stage, bob, _EVERYTHING)
    bob.offer()
    assert _codec(stage, bob, track.sid) == "video/VP9"
    assert not bob.got(messages.SubscriptionResponse)


def test_what_a_device_shall_not_use_is_not_sent_to_it(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob", browser="Safari"), stage.active("carol")
    codecs = (inputs.CodecOffered("av1", "cam"), inputs.CodecOffered("vp8"))
    track = alice.announce("cam", TrackSource.CAMERA, codecs=codecs)
    offered = ("video/AV1", "video/VP8")
    alice.add_line("cam", TrackType.VIDEO, mime_types=offered)
    alice.offer()
    for client in (bob, carol):
        _bind(stage, client, offered)
    assert (_codec(stage, bob, track.sid), _codec(stage, carol, track.sid)) == ("video/VP8", "video/AV1")


def test_the_word_of_the_engine_counts_more_than_descriptions(stage: Stage) -> None:
    """Another profile of the same codec, say: descriptions agree, and yet nothing can be sent."""
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _publish(alice)
    _bind(stage, bob, _EVERYTHING)
    down_track = _down_track(stage, bob)
    _, up_track = stage.ledger.down_tracks[down_track]
    stage.do(inputs.DownTrackCodecUnsupported(down_track, UpTrackId(up_track)))
    assert _codec(stage, bob, track.sid) == "video/VP8"
    stage.do(inputs.DownTrackCodecUnsupported(down_track, UpTrackId(up_track)))
    assert _codec(stage, bob, track.sid) == "video/VP8", "that was about the first one"
    stage.do(inputs.DownTrackCodecUnsupported(down_track))
    assert [response.error for response in bob.got(messages.SubscriptionResponse)] == [
        SubscriptionError.CODEC_UNSUPPORTED
    ]


def test_media_in_another_codec_than_announced_is_judged_anew(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _publish(alice)
    _bind(stage, bob, ("video/VP9", "video/VP8"))
    _, up_track = stage.ledger.down_tracks[_down_track(stage, bob)]
    stage.do(inputs.UpTrackStarted(UpTrackId(up_track), "video/H264"))
    assert _codec(stage, bob, track.sid) == "video/VP8"
    assert [codec.mime_type for codec in bob.told_of("alice")[-1].tracks[0].codecs] == ["video/H264", "video/VP8"]


def test_a_client_that_does_not_heed_the_order_of_codecs_gets_one(stage: Stage) -> None:
    for browser, system, alone in (
        ("Firefox", "Linux", True),
        ("firefox", "windows", False),
        ("chrome", "", False),
    ):
        client = stage.active(f"{browser}{system}", browser=browser, os=system)
        client.announce("cam", TrackSource.CAMERA, codecs=(inputs.CodecOffered("vp9", "cam"),))
        client.add_line("cam", TrackType.VIDEO)
        accepted = next(effect for effect in client.offer() if isinstance(effect, fx.AcceptOffer))
        assert [(line.codec, line.codec_only) for line in accepted.publish] == [("video/VP9", alone)]


def test_what_a_device_shall_not_publish_is_substituted(stage: Stage) -> None:
    firefox = stage.active("firefox", browser="firefox", os="linux")
    track = firefox.announce("cam", TrackSource.CAMERA, codecs=(inputs.CodecOffered("h264", "cam"),))
    assert [codec.mime_type for codec in track.codecs] == ["video/VP8"]
