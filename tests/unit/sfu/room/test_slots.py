"""Limits of subscriptions, priorities and pauses (protocol.md §4.7, §4.11)."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import TrackSource
from sfu.room.settings import RoomSettings
from tests.unit.sfu.room.conftest import Client, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.ids import TrackSid
    from sfu.room.subscription import Subscription
    from sfu.room.views import TrackView

_LAST, _SCREEN = 65_535, 65_534


def _stage(**settings: int | bool) -> Stage:
    return Stage(RoomSettings(**settings))  # type: ignore[arg-type]


def _bound_to(stage: Stage, client: Client) -> list[str]:
    subscriptions = stage.room._state.down_tracks.values()
    return [s.track_sid for s in subscriptions if s.subscriber.identity == client.identity]


def _subscribe(stage: Stage, client: Client, track: TrackView, *, subscribe: bool = True) -> list[fx.Effect]:
    return stage.do(inputs.UpdateSubscription(client.session, (track.sid,), subscribe))


def _prioritise(stage: Stage, client: Client, track: TrackView, priority: int) -> list[fx.Effect]:
    return stage.do(inputs.UpdateTrackSettings(client.session, (track.sid,), disabled=False, priority=priority))


def _cameras(client: Client, count: int) -> list[TrackView]:
    return [client.publish(f"cam{n}", TrackSource.CAMERA) for n in range(count)]


# ---------------------------------------------------------------- limits


def test_a_subscription_above_the_limit_waits_and_gets_the_next_free_slot() -> None:
    stage = _stage(max_video_subscriptions=2)
    alice, bob = stage.active("alice"), stage.active("bob")
    first, second, third, fourth = _cameras(alice, 4)
    mic = alice.publish("mic")
    assert _bound_to(stage, bob) == [first.sid, second.sid, mic.sid], "audio has a limit of its own"
    _subscribe(stage, bob, first, subscribe=False)
    assert _bound_to(stage, bob) == [second.sid, mic.sid, third.sid]
    _subscribe(stage, bob, first)
    assert len(_bound_to(stage, bob)) == 3, "whoever gave its slot away waits like the others"
    alice.change_line(alice.lines[1].mid, sends=False)
    alice.offer()
    assert set(_bound_to(stage, bob)) == {mic.sid, third.sid, first.sid}
    _subscribe(stage, bob, third, subscribe=False)
    assert set(_bound_to(stage, bob)) == {mic.sid, first.sid, fourth.sid}
    assert bob.got(messages.SubscriptionResponse) == [], "waiting is no error"


def test_audio_is_limited_alike_and_each_subscriber_for_itself() -> None:
    stage = _stage(max_audio_subscriptions=1)
    alice, bob, carol = (stage.active(name) for name in ("alice", "bob", "carol"))
    track, other = alice.publish("mic"), bob.publish("mic")
    assert _bound_to(stage, carol) == [track.sid]
    assert _bound_to(stage, alice) == [other.sid]
    alice.leave()
    assert _bound_to(stage, carol) == [other.sid], "the end of a publication frees a slot, too"


def test_the_end_of_a_track_needs_no_more_stack_the_more_watch_it() -> None:
    stage = _stage(max_video_subscriptions=1)
    alice = stage.active("alice")
    _cameras(alice, 2)
    for number in range(150):
        stage.active(f"viewer{number}")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        alice.leave()
    finally:
        sys.setrecursionlimit(before)
    assert stage.room._state.down_tracks == {}


class _WalksCounted(dict["TrackSid", "Subscription"]):
    """A participant's subscriptions that count how often all of them are looked at."""

    walks = 0

    def values(self) -> Any:
        """See `dict.values`."""
        self.walks += 1
        return super().values()


def test_slots_are_not_counted_anew_for_each_subscription() -> None:
    stage = _stage(max_video_subscriptions=8)
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    sids = tuple(track.sid for track in _cameras(alice, 40))
    participant = stage.room._state.by_identity["bob"]
    participant.subscriptions = subscriptions = _WalksCounted()
    stage.do(inputs.UpdateSubscription(bob.session, sids, subscribe=True))
    assert len(_bound_to(stage, bob)) == 8
    assert subscriptions.walks == 0, "there is nothing to look for while no slot was vacated"
    for sid in sids[:8]:
        stage.do(inputs.UpdateSubscription(bob.session, (sid,), subscribe=False))
    assert len(_bound_to(stage, bob)) == 8
    assert subscriptions.walks == 8, "once for each slot that became free"


def test_slots_go_to_the_most_important_who_waits() -> None:
    stage = _stage(max_video_subscriptions=1)
    alice, bob = stage.active("alice"), stage.active("bob")
    cameras = _cameras(alice, 3)
    screen = alice.publish("screen", TrackSource.SCREEN_SHARE)
    expected = [cameras[0], cameras[2], screen, cameras[1]]
    _prioritise(stage, bob, cameras[2], 7)
    for track in expected:
        assert _bound_to(stage, bob) == [track.sid]
        _subscribe(stage, bob, track, subscribe=False)
    assert _bound_to(stage, bob) == []


@pytest.mark.parametrize("unsupported", [True, False])
def test_what_cannot_be_had_takes_no_slot(*, unsupported: bool) -> None:
    stage = _stage(max_video_subscriptions=1)
    alice, bob = stage.active("alice"), stage.active("bob")
    first, second = _cameras(alice, 2)
    (down_track,) = stage.ledger.down_tracks
    if unsupported:
        stage.do(inputs.DownTrackCodecUnsupported(down_track))
    else:
        only = inputs.TrackPermission(all_tracks=False, track_sids=(second.sid,), participant_identity="bob")
        stage.do(inputs.SetSubscriptionPermission(alice.session, False, (only,)))
    assert _bound_to(stage, bob) == [second.sid]
    assert first.sid not in _bound_to(stage, bob)


# ---------------------------------------------------------------- priority


def _priorities(effects: Iterable[fx.Effect]) -> list[int]:
    return [effect.priority for effect in effects if isinstance(effect, fx.SetDownTrackPriority)]


def test_priorities_reach_the_engine_when_they_are_news(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    camera, screen = alice.publish("cam", TrackSource.CAMERA), alice.publish("screen", TrackSource.SCREEN_SHARE)
    mic = alice.publish("mic")
    assert _priorities(_subscribe(stage, bob, camera)) == [], "the last is what the engine assumes"
    assert _priorities(_subscribe(stage, bob, screen)) == [_SCREEN]
    _subscribe(stage, bob, mic)
    for asked, told in ((1, [1]), (1, []), (1 << 31, [_SCREEN - 1]), (0, [_LAST])):
        assert _priorities(_prioritise(stage, bob, camera, asked)) == told
    assert _priorities(_prioritise(stage, bob, mic, 3)) == [], "audio is never cut"


def test_a_priority_outlasts_a_resubscription(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    camera = alice.publish("cam", TrackSource.CAMERA)
    _prioritise(stage, bob, camera, 4)
    _subscribe(stage, bob, camera, subscribe=False)
    effects = _subscribe(stage, bob, camera)
    assert _priorities(effects) == [4]
    kinds = [type(effect) for effect in effects]
    assert kinds.index(fx.AddDownTrack) < kinds.index(fx.SetDownTrackPriority)


# ---------------------------------------------------------------- pauses


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("asked", [None, False, True])
def test_the_client_or_else_the_configuration_allows_pauses(
    *, configured: bool, single: bool, asked: bool | None
) -> None:
    stage = _stage(allow_pause=configured)
    bob = stage.join("bob", allow_pause=asked, single_peer_connection=single)
    allowed = [effect.transport for effect in bob.seen if isinstance(effect, fx.AllowPause)]
    subscriber = bob.transports.get("both") or bob.transports["subscriber"]
    assert allowed == ([subscriber] if (configured if asked is None else asked) else [])


def _states(client: Client) -> list[tuple[str, str, bool]]:
    updates = client.got(messages.StreamStateUpdate)
    return [(s.participant_sid, s.track_sid, s.paused) for update in updates for s in update.states]


def test_only_the_subscriber_hears_of_a_pause_and_only_once(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    camera = alice.publish("cam", TrackSource.CAMERA)
    (down_track,) = stage.ledger.down_tracks
    stage.bind_all()
    stage.clear()
    for paused in (True, True, False, False):
        stage.do(inputs.DownTrackPaused(down_track, paused))
    alice_sid = stage.room._state.by_identity["alice"].sid
    assert _states(bob) == [(alice_sid, camera.sid, True), (alice_sid, camera.sid, False)]
    assert set(stage.sent) == {bob.session}, "the publisher's layers follow wishes, not one path"


def test_a_late_word_about_a_track_that_is_gone_is_ignored(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    camera = alice.publish("cam", TrackSource.CAMERA)
    (down_track,) = stage.ledger.down_tracks
    _subscribe(stage, bob, camera, subscribe=False)
    stage.do(inputs.DownTrackPaused(down_track, paused=True))
    assert _states(bob) == []


def test_who_comes_back_hears_how_its_tracks_stand(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    cameras = _cameras(alice, 3)
    ids = {stage.room._state.down_tracks[down].track_sid: down for down in stage.ledger.down_tracks}
    for camera in cameras[:2]:
        stage.do(inputs.DownTrackPaused(ids[camera.sid], paused=True))
    bob.lose()
    stage.do(inputs.DownTrackPaused(ids[cameras[1].sid], paused=False))
    bob = bob.resume()
    states = [(sid, paused) for _, sid, paused in _states(bob)]
    assert states == [(cameras[0].sid, True), (cameras[1].sid, False)]
