"""Who is told what, and how often (protocol.md §3.2 rows 5 and 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import ParticipantState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Stage


def test_hidden_participants_see_everybody_and_are_seen_by_nobody(stage: Stage) -> None:
    bob = stage.active("bob")
    ghost = stage.active("ghost", hidden=True, can_update_own_metadata=True)
    carol = stage.active("carol")
    assert ghost.joined is not None
    assert [p.identity for p in ghost.joined.other_participants] == ["bob"]
    assert ghost.told_of("carol")
    stage.do(inputs.UpdateOwnMetadata(ghost.session, name="boo"))
    assert ghost.told_of("ghost")[-1].name == "boo"
    ghost.leave()
    for client in (bob, carol):
        assert client.joined is not None
        assert "ghost" not in {p.identity for p in client.joined.other_participants}
        assert not client.told_of("ghost")


def test_versions_rise_with_every_change(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice", can_update_own_metadata=True)
    alice.publish("mic")
    stage.do(inputs.UpdateOwnMetadata(alice.session, name="n"))
    alice.leave()
    versions = [view.version for view in bob.told_of("alice")]
    assert versions == sorted(set(versions))
    assert len(versions) >= 4


def test_few_joins_are_told_at_once(stage: Stage) -> None:
    bob = stage.active("bob")
    for number in range(3):
        stage.active(f"p{number}")
        assert bob.told_of(f"p{number}")[-1].state is ParticipantState.ACTIVE


def test_a_flood_of_joins_is_gathered(stage: Stage) -> None:
    bob = stage.active("bob")
    stage.wait(60)
    stage.clear()
    for number in range(200):
        stage.wait(0.05)
        stage.active(f"p{number}")
    stage.wait(5)
    updates = bob.got(messages.ParticipantUpdate)
    assert len(updates) <= 10 + 10 + 4
    told = {view.identity: view for update in updates for view in update.participants if view.identity != "bob"}
    assert len(told) == 200
    assert {view.state for view in told.values()} == {ParticipantState.ACTIVE}


def test_a_publisher_is_told_at_once_even_in_a_flood(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(update_burst=0)
    bob = stage.active("bob")
    alice = stage.active("alice")
    assert not bob.told_of("alice")
    alice.publish("mic")
    assert len(bob.told_of("alice")[-1].tracks) == 1
    stage.wait(10)
    assert bob.told_of("alice")[-1].tracks, "nothing older follows"
    alice.leave()
    assert bob.told_of("alice")[-1].state is ParticipantState.DISCONNECTED


def test_a_coming_and_going_in_one_batch_is_told_as_gone(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(update_burst=0)
    bob = stage.active("bob")
    alice = stage.active("alice")
    late = stage.active("late")
    assert late.joined is not None
    assert {p.identity for p in late.joined.other_participants} == {"alice", "bob"}
    alice.leave()
    stage.wait(4)
    for client in (bob, late):
        assert client.told_of("alice")[-1].state is ParticipantState.DISCONNECTED


def test_big_batches_are_split(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(update_burst=0)
    bob = stage.active("bob")
    for number in range(5):
        stage.join(f"p{number}", token_metadata="x" * 50_000)
    stage.wait(4)
    sizes = [len(update.participants) for update in bob.got(messages.ParticipantUpdate)]
    assert sum(sizes) == 6
    assert len(sizes) >= 3


def test_one_update_message_serves_all_receivers(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.active(name)
    effects = stage.join("late").seen
    sends = [e for e in effects if isinstance(e, fx.Send) and isinstance(e.message, messages.ParticipantUpdate)]
    assert [len(effect.sessions) for effect in sends] == [3]


# ---------------------------------------------------------------- the room


def test_counts_are_told_at_most_every_five_seconds(stage: Stage) -> None:
    bob = stage.active("bob")
    stage.wait(60)
    stage.clear()
    for number in range(40):
        stage.active(f"p{number}")
        stage.wait(0.5)
    stage.wait(5)
    updates = bob.got(messages.RoomUpdate)
    assert 4 <= len(updates) <= 6
    assert updates[-1].room.num_participants == 41


def test_the_counts_leave_out_dependents_and_count_publishers(stage: Stage) -> None:
    stage.active("alice").publish("mic")
    stage.active("bob")
    stage.active("agent", kind="agent").publish("mic")
    view = stage.room.view()
    assert (view.num_participants, view.num_publishers) == (2, 1)


def test_recording_is_told_at_once(stage: Stage) -> None:
    bob = stage.active("bob")
    stage.wait(1)
    stage.clear()
    recorder = stage.active("recorder", recorder=True, hidden=True)
    assert [update.room.active_recording for update in bob.got(messages.RoomUpdate)] == [True]
    recorder.leave()
    assert [update.room.active_recording for update in bob.got(messages.RoomUpdate)] == [True, False]
