"""Which layers subscribers get and what publishers hear of it (protocol.md §4.2, §4.5, §4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import TrackSid
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import TrackSource, TrackType, VideoQuality
from sfu.room.layers import LayerLimit, LayerWish, layer_limit, quality_of
from sfu.room.views import LayerView, TrackView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.unit.sfu.room.conftest import Client, Stage

_LOW, _MEDIUM, _HIGH, _OFF = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH, VideoQuality.OFF
_ANY = 255
_EVERY = 0
_THREE = {
    _LOW: (320, 180),
    _MEDIUM: (640, 360),
    _HIGH: (1280, 720),
}


def _layers(qualities: Iterable[VideoQuality], *, portrait: bool = False) -> tuple[LayerView, ...]:
    sizes = ((quality, _THREE[quality]) for quality in qualities)
    return tuple(LayerView(q, *(reversed(size) if portrait else size)) for q, size in sizes)


def _track(*qualities: VideoQuality, portrait: bool = False) -> TrackView:
    width, height = (720, 1280) if portrait else (1280, 720)
    return TrackView(
        sid=TrackSid("TR_x"),
        type=TrackType.VIDEO,
        source=TrackSource.CAMERA,
        width=width,
        height=height,
        layers=_layers(qualities, portrait=portrait),
    )


# ---------------------------------------------------------------- pure


@pytest.mark.parametrize(
    ("present", "wanted", "spatial"),
    [
        ((_LOW, _MEDIUM, _HIGH), _LOW, 0),
        ((_LOW, _MEDIUM, _HIGH), _MEDIUM, 1),
        ((_LOW, _MEDIUM, _HIGH), _HIGH, _ANY),
        ((_LOW, _HIGH), _LOW, 0),
        ((_LOW, _HIGH), _MEDIUM, _ANY),
        ((_HIGH, _MEDIUM), _LOW, 0),
        ((_HIGH,), _HIGH, _ANY),
        ((_HIGH,), _LOW, 0),
        ((), _MEDIUM, 1),
    ],
)
def test_a_quality_is_a_place_among_those_present(
    present: tuple[VideoQuality, ...], wanted: VideoQuality, spatial: int
) -> None:
    assert layer_limit(_track(*present), LayerWish(wanted)) == LayerLimit(spatial, _EVERY)


@pytest.mark.parametrize(
    ("portrait", "size", "spatial"),
    [
        (False, (320, 180), 0),
        (False, (400, 225), 0),
        (False, (410, 230), 1),
        (False, (640, 360), 1),
        (False, (1280, 720), _ANY),
        (False, (4000, 3000), _ANY),
        (True, (180, 320), 0),
        (True, (230, 410), 1),
        (True, (720, 1280), _ANY),
    ],
)
def test_a_size_takes_the_first_layer_that_is_large_enough(
    portrait: bool,
    size: tuple[int, int],
    spatial: int,
) -> None:
    track = _track(_LOW, _MEDIUM, _HIGH, portrait=portrait)
    assert layer_limit(track, LayerWish(_LOW, *size)).max_spatial == spatial


@pytest.mark.parametrize(
    ("fps", "told"), [(0, _EVERY), (1, 1), (15, 15), (65_535, 65_535), (65_536, 65_535), (0xFFFF_FFFF, 65_535)]
)
def test_a_rate_is_the_engines_to_see_to(fps: int, told: int) -> None:
    assert layer_limit(_track(_HIGH), LayerWish(fps=fps)).max_fps == told


@pytest.mark.parametrize(
    ("present", "spatial", "quality"),
    [
        ((_LOW, _MEDIUM, _HIGH), 0, _LOW),
        ((_LOW, _MEDIUM, _HIGH), _ANY, _HIGH),
        ((_LOW, _HIGH), 1, _HIGH),
        ((_HIGH,), 0, _HIGH),
        ((), 1, _MEDIUM),
        ((), _ANY, _HIGH),
    ],
)
def test_a_limit_needs_a_quality_of_the_publisher(
    present: tuple[VideoQuality, ...], spatial: int, quality: VideoQuality
) -> None:
    assert quality_of(_track(*present), LayerLimit(spatial, _EVERY)) is quality


# ---------------------------------------------------------------- subscribers


def _camera(client: Client, **fields: Any) -> TrackView:
    layers = _layers((_LOW, _MEDIUM, _HIGH))
    return client.publish("cam", TrackSource.CAMERA, width=1280, height=720, layers=layers, **fields)


def _set(stage: Stage, client: Client, track: TrackView, **settings: Any) -> list[fx.SetDownTrackLayers]:
    settings.setdefault("disabled", False)
    effects = stage.do(inputs.UpdateTrackSettings(client.session, (track.sid,), **settings))
    return [effect for effect in effects if isinstance(effect, fx.SetDownTrackLayers)]


def _limits(effects: Iterable[fx.Effect]) -> list[tuple[int, int]]:
    return [(e.max_spatial, e.max_fps) for e in effects if isinstance(e, fx.SetDownTrackLayers)]


def test_settings_reach_the_engine_once(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    assert _limits(_set(stage, bob, track, quality=_LOW)) == [(0, _EVERY)]
    assert _set(stage, bob, track, quality=_LOW) == []
    assert _limits(_set(stage, bob, track, width=640, height=360, fps=15)) == [(1, 15)]
    assert _limits(_set(stage, bob, track)) == [(_ANY, _EVERY)]


def test_settings_outlast_a_resubscription(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    track = _camera(alice)
    assert _set(stage, bob, track, quality=_LOW) == [], "nothing is subscribed"
    for _ in range(2):
        effects = stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
        assert _limits(effects) == [(0, _EVERY)]
        kinds = [type(effect) for effect in effects]
        assert kinds.index(fx.AddDownTrack) < kinds.index(fx.SetDownTrackLayers)
        stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=False))


def test_adaptive_stream_starts_small(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", adaptive_stream=True)
    track = _camera(alice)
    assert alice.got(messages.SubscribedQualityUpdate)[-1].codecs[0].enabled == (_LOW,)
    assert _limits(_set(stage, bob, track, width=1280, height=720)) == [(_ANY, _EVERY)]


def test_new_dimensions_are_new_layers(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    assert _limits(_set(stage, bob, track, width=180, height=400)) == [(1, _EVERY)]
    effects = stage.do(inputs.UpdateOwnVideoTrack(alice.session, track.sid, 720, 1280))
    assert _limits(effects) == [(0, _EVERY)], "turned upright, the width counts"


# ---------------------------------------------------------------- publishers


def _told(client: Client) -> list[tuple[VideoQuality, ...]]:
    updates = client.got(messages.SubscribedQualityUpdate)
    assert all(len(update.codecs) == 1 and update.codecs[0].codec == "vp8" for update in updates)
    return [update.codecs[0].enabled for update in updates]


_ALL = (_LOW, _MEDIUM, _HIGH)


def test_better_is_told_at_once_and_worse_after_a_while(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    assert _told(alice) == [_ALL]
    _set(stage, bob, track, quality=_LOW)
    stage.wait(4.9)
    assert _told(alice) == [_ALL]
    stage.wait(0.2)
    assert _told(alice) == [_ALL, (_LOW,)]
    _set(stage, bob, track, quality=_MEDIUM)
    assert _told(alice)[2:] == [(_LOW, _MEDIUM)]
    carol = stage.active("carol")
    assert _told(alice)[3:] == [_ALL]
    carol.leave()
    stage.wait(5.1)
    assert _told(alice)[4:] == [(_LOW, _MEDIUM)]


def test_a_change_of_mind_within_the_delay_is_never_told(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    _set(stage, bob, track, disabled=True)
    stage.wait(3)
    _set(stage, bob, track)
    stage.wait(60)
    assert _told(alice) == [_ALL]


def test_when_all_look_away_everything_may_stop(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    _set(stage, bob, track, disabled=True)
    stage.wait(5.1)
    assert _told(alice) == [_ALL, ()]
    _set(stage, bob, track, quality=_LOW)
    assert _told(alice)[2:] == [(_LOW,)], "back at once"
    bob.leave()
    stage.wait(5.1)
    assert _told(alice)[3:] == [()]


def test_who_is_alone_hears_so_after_ten_seconds(stage: Stage) -> None:
    alice = stage.active("alice")
    _camera(alice)
    alice.publish("mic")
    stage.wait(9.9)
    assert _told(alice) == []
    stage.wait(0.2)
    assert _told(alice) == [()], "once, and of video only"
    stage.wait(60)
    assert _told(alice) == [()]


def _start(stage: Stage, track: TrackView) -> None:
    """First media of a publication."""
    (codec,) = stage.room._state.publications[track.sid].codecs
    stage.do(inputs.UpTrackStarted(codec.up_track, codec.mime_type))


def test_what_was_said_while_a_client_still_published_is_said_once_more(stage: Stage) -> None:
    alice, _ = stage.active("alice"), stage.active("bob", adaptive_stream=True)
    track = _camera(alice)
    stage.wait(7)
    assert _told(alice) == [(_LOW,)], "before its media no client has missed it for certain"
    _start(stage, track)
    stage.wait(2.4)
    assert _told(alice) == [(_LOW,)]
    stage.wait(60)
    assert _told(alice) == [(_LOW,), (_LOW,)], "once more, and never again"


def test_who_is_to_send_everything_is_not_reminded(stage: Stage) -> None:
    alice, _ = stage.active("alice"), stage.active("bob")
    _start(stage, _camera(alice))
    stage.wait(60)
    assert _told(alice) == [_ALL]


def test_a_reminder_does_not_hasten_what_is_to_be_told_later(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    _set(stage, bob, track, quality=_MEDIUM)
    stage.wait(6)
    _start(stage, track)
    stage.wait(1)
    _set(stage, bob, track, quality=_LOW)
    stage.wait(2)
    assert _told(alice) == [_ALL, (_LOW, _MEDIUM), (_LOW, _MEDIUM)]
    stage.wait(60)
    assert _told(alice)[3:] == [(_LOW,)]


def test_nobody_is_reminded_of_a_track_that_is_muted_or_gone(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", adaptive_stream=True)
    alice_track, bob_track = _camera(alice), _camera(bob)
    _start(stage, alice_track)
    _start(stage, bob_track)
    stage.do(inputs.MuteOwnTrack(alice.session, alice_track.sid, muted=True))
    bob.leave()
    stage.wait(60)
    assert _told(alice) == [(_LOW,)]


def test_while_muted_nothing_is_told(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    _set(stage, bob, track, quality=_LOW)
    stage.wait(60)
    assert _told(alice) == [_ALL]
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=False))
    assert _told(alice) == [_ALL, (_LOW,)]
    for muted in (True, False):
        stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=muted))
    assert _told(alice) == [_ALL, (_LOW,), (_LOW,)], "told again, in case"


def test_a_publication_that_ended_is_told_of_no_more(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    _set(stage, bob, track, disabled=True)
    alice.change_line("0", sends=False)
    alice.offer()
    stage.wait(60)
    assert _told(alice) == [_ALL]
