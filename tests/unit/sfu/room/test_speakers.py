"""Active speakers (protocol.md §4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.room import inputs, messages
from sfu.room.enums import TrackSource, TrackType
from sfu.room.settings import SpeakerSettings
from sfu.room.speakers import linear_level
from sfu.room.views import PermissionView

if TYPE_CHECKING:
    from sfu.ids import TrackSid
    from tests.unit.sfu.room.conftest import Client, Stage


def _measure(stage: Stage, *levels: tuple[TrackSid, int, int]) -> None:
    publications = stage.room._state.publications
    activities = []
    for sid, level, active_ms in levels:
        up_track = publications[sid].up_track
        assert up_track is not None
        activities.append(inputs.AudioActivity(up_track, level, active_ms))
    stage.do(inputs.AudioLevelsMeasured(tuple(activities)))
    stage.wait(0.4)


def _heard(client: Client) -> list[list[tuple[str, float, bool]]]:
    return [[(s.sid, s.level, s.active) for s in m.speakers] for m in client.got(messages.SpeakersChanged)]


@pytest.mark.parametrize(
    ("level", "active_ms", "expected"),
    [(0, 400, 1.0), (20, 400, 0.1), (20, 200, 0.05), (0, 160, 0.4), (0, 159, 0.0), (0, 0, 0.0), (0, 1000, 1.0)],
)
def test_levels_are_linear_and_weighed_by_activity(level: int, active_ms: int, expected: float) -> None:
    assert linear_level(level, active_ms, SpeakerSettings()) == pytest.approx(expected)


def test_a_speaker_is_told_to_itself_and_its_subscribers(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol", auto_subscribe=False)
    track = alice.publish("mic")
    stage.bind_all()
    _measure(stage, (track.sid, 0, 400))
    # Smoothing over two intervals: two thirds of the way, then 8/9, quantised up.
    for client in (alice, bob):
        assert _heard(client) == [[(alice.sid, 0.75, True)]]
    assert _heard(carol) == []
    _measure(stage, (track.sid, 0, 400))
    assert _heard(bob)[-1] == [(alice.sid, 1.0, True)]


def test_unchanged_levels_are_not_repeated(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("mic")
    for _ in range(10):
        _measure(stage, (track.sid, 20, 400))
    assert len(_heard(alice)) == 1


@pytest.mark.parametrize("still_measured", [True, False])
def test_silence_ends_the_speaker_at_the_next_interval(stage: Stage, still_measured: bool) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.bind_all()
    _measure(stage, (track.sid, 10, 400))
    _measure(stage, *([(track.sid, 10, 40)] if still_measured else []))
    assert _heard(bob)[-1] == [(alice.sid, 0.0, False)]
    _measure(stage)
    assert len(_heard(bob)) == 2


def test_the_loudest_comes_first(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    quiet, loud = alice.publish("mic"), bob.publish("mic")
    stage.bind_all()
    _measure(stage, (quiet.sid, 20, 400), (loud.sid, 3, 400))
    assert [sid for sid, _, _ in _heard(carol)[-1]] == [bob.sid, alice.sid]


def test_only_changes_are_told(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    first, second = alice.publish("mic"), bob.publish("mic")
    stage.bind_all()
    for _ in range(9):
        _measure(stage, (first.sid, 20, 400))
    _measure(stage, (first.sid, 20, 400), (second.sid, 20, 400))
    assert [sid for sid, _, _ in _heard(alice)[-1]] == [bob.sid]


@pytest.mark.parametrize("source", [TrackSource.SCREEN_SHARE_AUDIO, TrackSource.UNKNOWN])
def test_only_microphones_count(stage: Stage, source: TrackSource) -> None:
    alice = stage.active("alice")
    track = alice.publish("cid", source, type=TrackType.AUDIO)
    _measure(stage, (track.sid, 0, 400))
    assert _heard(alice) == []


def test_a_muted_microphone_is_silent(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("mic")
    _measure(stage, (track.sid, 0, 400))
    stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    _measure(stage, (track.sid, 0, 400))
    assert _heard(alice)[-1] == [(alice.sid, 0.0, False)]


@pytest.mark.parametrize("by", ["mute", "server", "end", "forbid"])
def test_a_microphone_that_stops_ends_the_speaker_without_waiting_for_levels(stage: Stage, by: str) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.bind_all()
    _measure(stage, (track.sid, 0, 400))
    if by == "mute":
        stage.do(inputs.MuteOwnTrack(alice.session, track.sid, muted=True))
    elif by == "server":
        stage.ask(lambda request: inputs.MutePublishedTrack(request, "alice", track.sid, muted=True))
    elif by == "end":
        alice.change_line("0", sends=False)
        alice.offer()
    else:
        forbidden = PermissionView(can_publish=False)
        stage.ask(lambda request: inputs.UpdateParticipant(request, "alice", permission=forbidden))
    for client in (alice, bob):
        assert _heard(client)[-1] == [(alice.sid, 0.0, False)]
        assert len(_heard(client)) == 2


def test_one_of_two_microphones_may_stop(stage: Stage) -> None:
    alice = stage.active("alice")
    first, second = alice.publish("a"), alice.publish("b")
    for _ in range(4):
        _measure(stage, (first.sid, 0, 400), (second.sid, 0, 400))
    heard = len(_heard(alice))
    stage.do(inputs.MuteOwnTrack(alice.session, first.sid, muted=True))
    _measure(stage, (second.sid, 0, 400))
    assert len(_heard(alice)) == heard


def test_a_hidden_speaker_is_not_told(stage: Stage) -> None:
    ghost = stage.active("ghost", hidden=True)
    track = ghost.publish("mic")
    _measure(stage, (track.sid, 0, 400))
    assert _heard(ghost) == []


def test_who_subscribes_meanwhile_learns_of_the_speaker_at_once(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("mic")
    for _ in range(3):
        _measure(stage, (track.sid, 0, 400))
    bob = stage.active("bob")
    stage.bind_all()
    assert _heard(bob) == [[(alice.sid, 1.0, True)]]


def test_a_speaker_that_left_is_silent_and_forgotten(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    stage.bind_all()
    _measure(stage, (track.sid, 0, 400))
    alice.leave()
    _measure(stage)
    assert _heard(bob)[1:] == [[(alice.sid, 0.0, False)]]
