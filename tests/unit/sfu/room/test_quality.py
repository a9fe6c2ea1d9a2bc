"""Connection quality (protocol.md §4.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.room import inputs, messages
from sfu.room.enums import ConnectionQuality

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage

EXCELLENT, GOOD, POOR, LOST = (ConnectionQuality[name] for name in ("EXCELLENT", "GOOD", "POOR", "LOST"))


def _rate(stage: Stage, *ratings: tuple[Client, ConnectionQuality]) -> None:
    ids = {participant.identity: participant.id for participant in stage.room._state.participants.values()}
    stage.do(
        inputs.QualityChanged(
            tuple(inputs.QualityRating(ids[client.identity], quality, 2.5) for client, quality in ratings)
        )
    )


def _told(client: Client) -> list[list[tuple[str, ConnectionQuality]]]:
    updates = client.got(messages.ConnectionQualityUpdate)
    return [[(view.sid, view.quality) for view in update.connections] for update in updates]


def test_after_the_first_window_all_are_excellent_to_themselves_and_their_subscribers(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    carol = stage.active("carol", auto_subscribe=False)
    alice.publish("mic")
    stage.bind_all()
    stage.wait(4.9)
    assert _told(alice) == []
    stage.wait(0.2)
    assert _told(alice) == [[(alice.sid, EXCELLENT)]]
    assert _told(bob) == [[(alice.sid, EXCELLENT), (bob.sid, EXCELLENT)]]
    assert _told(carol) == [[(carol.sid, EXCELLENT)]]
    stage.wait(60)
    assert len(_told(bob)) == 1, "nothing changed"


def test_the_first_window_has_the_configured_length(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(quality_interval_s=1.0)
    alice = stage.active("alice")
    stage.wait(1.1)
    assert _told(alice) == [[(alice.sid, EXCELLENT)]]


def test_who_comes_later_is_told_of_itself_alone(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.wait(10)
    bob = stage.active("bob")
    stage.wait(10)
    assert (len(_told(alice)), len(_told(bob))) == (1, 1)


def test_who_is_not_connected_or_gone_is_not_told(stage: Stage) -> None:
    waiting = stage.join("waiting")
    gone = stage.active("gone")
    gone.leave()
    stage.wait(10)
    assert _told(waiting) == []
    waiting.connect()
    stage.wait(10)
    assert _told(waiting) == [[(waiting.sid, EXCELLENT)]]


def test_changes_are_told_to_itself_and_its_subscribers(stage: Stage) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol", auto_subscribe=False)
    alice.publish("mic")
    stage.bind_all()
    stage.wait(10)
    _rate(stage, (alice, POOR), (carol, GOOD))
    for client in (alice, bob):
        assert _told(client)[1:] == [[(alice.sid, POOR)]]
    assert _told(carol)[1:] == [[(carol.sid, GOOD)]]


def test_a_bad_first_window_is_told_at_once_and_not_overruled(stage: Stage) -> None:
    alice = stage.active("alice")
    _rate(stage, (alice, LOST))
    stage.wait(10)
    assert _told(alice) == [[(alice.sid, LOST)]]


def test_who_subscribes_meanwhile_learns_of_the_publisher_once(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.publish("mic")
    alice.publish("second")
    _rate(stage, (alice, POOR))
    bob = stage.active("bob")
    stage.bind_all()
    assert _told(bob) == [[(alice.sid, POOR)]]


def test_a_publisher_of_which_nothing_is_known_is_not_told(stage: Stage) -> None:
    stage.active("alice").publish("mic")
    bob = stage.active("bob")
    stage.bind_all()
    assert _told(bob) == []


@pytest.mark.parametrize(("protocol", "expected"), [(4, []), (5, [POOR]), (10, [POOR]), (11, [LOST])])
def test_old_clients_are_told_what_they_know(stage: Stage, protocol: int, expected: list[ConnectionQuality]) -> None:
    alice = stage.active("alice", protocol=protocol)
    _rate(stage, (alice, LOST))
    assert [quality for told in _told(alice) for _, quality in told] == expected


def test_a_hidden_participant_learns_of_itself(stage: Stage) -> None:
    ghost, bob = stage.active("ghost", hidden=True), stage.active("bob")
    _rate(stage, (ghost, POOR))
    assert _told(ghost) == [[(ghost.sid, POOR)]]
    assert _told(bob) == []


def test_who_comes_back_learns_how_things_stand(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    alice.publish("mic")
    stage.bind_all()
    stage.wait(10)
    bob.lose()
    _rate(stage, (alice, POOR))
    returned = bob.resume()
    assert _told(returned) == [[(bob.sid, EXCELLENT), (alice.sid, POOR)]]


def test_ratings_of_those_who_left_mean_nothing(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    ids = {participant.identity: participant.id for participant in stage.room._state.participants.values()}
    alice.leave()
    assert stage.do(inputs.QualityChanged((inputs.QualityRating(ids["alice"], LOST, 1.0),))) == []
    assert _told(bob) == []
