"""Subscriptions that cannot be sent: their clients hear so once, after a while (protocol.md §3.2 row 21, §4.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.room import inputs, messages
from sfu.room.enums import SubscriptionError, TrackSource, TrackType
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from sfu.ids import DownTrackId, TrackSid
    from sfu.room.views import TrackView
    from tests.unit.sfu.room.conftest import Client, Stage

_VP8, _VP9 = ("video/VP8",), ("video/VP9", "video/VP8")
_CODECS = (inputs.CodecOffered("vp9", "cam"), inputs.CodecOffered("vp8"))


def _failures(client: Client) -> list[TrackSid]:
    responses = client.got(messages.SubscriptionResponse)
    assert all(response.error is SubscriptionError.UNKNOWN for response in responses)
    return [response.track_sid for response in responses]


def _wish(stage: Stage, client: Client, track: TrackView, *, subscribe: bool = True) -> None:
    stage.do(inputs.UpdateSubscription(client.session, (track.sid,), subscribe=subscribe))


def _camera(client: Client) -> TrackView:
    """In VP9, with VP8 as its backup."""
    track = client.announce("cam", TrackSource.CAMERA, codecs=_CODECS)
    client.add_line("cam", TrackType.VIDEO, mime_types=_VP9)
    client.offer()
    return track


def _backup(client: Client, track: TrackView) -> None:
    codecs = (inputs.CodecOffered("vp8", "backup"),)
    client.try_announce("backup", TrackSource.CAMERA, sid=track.sid, codecs=codecs)
    client.add_line("backup", TrackType.VIDEO, mime_types=_VP9)
    client.offer()


def _down_track(stage: Stage, client: Client) -> DownTrackId:
    transports = client.transports.values()
    (found,) = [line for line, (transport, _) in stage.ledger.down_tracks.items() if transport in transports]
    return found


def _await_backup(stage: Stage) -> tuple[Client, Client, TrackView]:
    """The publisher, a subscriber that takes only the backup, and the track."""
    alice, bob = stage.active("alice"), stage.active("bob")
    track = _camera(alice)
    stage.do(inputs.DownTrackBound(_down_track(stage, bob), _VP8))
    return alice, bob, track


def test_a_track_that_finds_no_line_is_told_once_and_still_tried(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.wait(14)
    assert _failures(bob) == []
    stage.wait(1)
    assert _failures(bob) == [track.sid]
    stage.wait(120)
    assert _failures(bob) == [track.sid]
    stage.bind_all()
    assert alice.got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)]


def test_a_track_that_was_bound_in_time_is_not_told(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    alice.publish("mic")
    alice.publish("cam", TrackSource.CAMERA)
    stage.wait(14)
    stage.bind_all()
    stage.wait(120)
    assert _failures(bob) == []


def test_who_asks_anew_has_its_time_anew(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.wait(14)
    for subscribe in (False, True):
        _wish(stage, bob, track, subscribe=subscribe)
    stage.wait(14)
    assert _failures(bob) == []
    stage.wait(1)
    assert _failures(bob) == [track.sid]
    for subscribe in (False, True):
        _wish(stage, bob, track, subscribe=subscribe)
    stage.wait(15)
    assert _failures(bob) == [track.sid] * 2


def _unsubscribe(stage: Stage, _: Client, bob: Client, track: TrackView) -> None:
    _wish(stage, bob, track, subscribe=False)


def _forbid(stage: Stage, alice: Client, _: Client, __: TrackView) -> None:
    stage.do(inputs.SetSubscriptionPermission(alice.session, False, ()))


def _end(stage: Stage, alice: Client, _: Client, __: TrackView) -> None:
    alice.change_line(alice.lines[0].mid, sends=False)
    alice.offer()


def _go(stage: Stage, _: Client, bob: Client, __: TrackView) -> None:
    bob.leave()


@pytest.mark.parametrize("change", [_unsubscribe, _forbid, _end, _go])
def test_what_is_not_to_be_sent_any_more_is_not_awaited(stage: Stage, change: object) -> None:
    assert callable(change)
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    change(stage, alice, bob, track)
    timers = stage.room._state.timers
    assert not any(timers.is_set(TimerKind.BINDING, owner, track.sid) for owner in stage.room._state.participants)
    stage.wait(120)
    assert _failures(bob) == []


def test_while_its_client_is_away_nothing_is_overdue(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.wait(10)
    bob.lose()
    stage.wait(24)
    back = bob.resume()
    stage.wait(14)
    assert _failures(back) == []
    stage.wait(1)
    assert _failures(back) == [track.sid]


def test_who_may_have_missed_a_failure_is_told_again(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.wait(15)
    assert _failures(bob) == [track.sid]
    bob.lose()
    back = bob.resume()
    stage.wait(14)
    assert _failures(back) == []
    stage.wait(1)
    assert _failures(back) == [track.sid]
    stage.wait(110)
    assert _failures(back) == [track.sid]


def test_a_backup_that_never_comes_is_told_once_and_still_asked_for(stage: Stage) -> None:
    alice, bob, track = _await_backup(stage)
    stage.wait(15)
    assert _failures(bob) == [track.sid]
    asked = len(alice.got(messages.SubscribedQualityUpdate))
    stage.wait(300)
    assert _failures(bob) == [track.sid]
    assert len(alice.got(messages.SubscribedQualityUpdate)) > asked


def test_a_backup_that_comes_in_time_is_not_told(stage: Stage) -> None:
    alice, bob, track = _await_backup(stage)
    stage.wait(14)
    _backup(alice, track)
    stage.wait(120)
    assert _failures(bob) == []


def _mute(stage: Stage, alice: Client, _: Client, track: TrackView, *, stopped: bool) -> None:
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=stopped))


def _disable(stage: Stage, _: Client, bob: Client, track: TrackView, *, stopped: bool) -> None:
    stage.do(inputs.UpdateTrackSettings(bob.session, (track.sid,), disabled=stopped))


@pytest.mark.parametrize("stop", [_mute, _disable])
def test_a_backup_is_awaited_only_while_its_publisher_is_asked_for_it(stage: Stage, stop: object) -> None:
    assert callable(stop)
    alice, bob, track = _await_backup(stage)
    stop(stage, alice, bob, track, stopped=True)
    stage.wait(110)  # no multiple of the time that it has, which begins when the publisher is asked
    stop(stage, alice, bob, track, stopped=False)
    stage.wait(14)
    assert _failures(bob) == []
    stage.wait(1)
    assert _failures(bob) == [track.sid]


@pytest.mark.parametrize("stop", [_mute, _disable])
def test_a_line_that_never_comes_is_not_awaited_longer_by_mute_and_disable(stage: Stage, stop: object) -> None:
    assert callable(stop)
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    for _ in range(5):
        stage.wait(2)
        for stopped in (True, False):
            stop(stage, alice, bob, track, stopped=stopped)
    stage.wait(4)
    assert _failures(bob) == []
    stage.wait(1)
    assert _failures(bob) == [track.sid]
