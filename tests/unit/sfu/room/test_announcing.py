"""Who is told what, and how often (protocol.md §3.2 rows 5 and 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import ParticipantState, TrackType

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


# ---------------------------------------------------------------- pace


def test_who_changes_all_the_time_is_told_of_now_and_then(stage: Stage) -> None:
    owner = stage.active("owner", can_update_own_metadata=True)
    readers = [stage.active(f"reader{number}") for number in range(20)]
    stage.wait(10)
    stage.clear()
    for number in range(500):
        stage.do(inputs.UpdateOwnMetadata(owner.session, metadata=f"m{number}"))
        stage.wait(0.02)
    stage.wait(1)
    for client in (owner, *readers):
        told = client.told_of("owner")
        assert len(told) <= 16 + 10 * 10, "five a second at once, and five ticks"
        assert told[-1].metadata == "m499"
        versions = [view.version for view in told]
        assert versions == sorted(versions)


def test_what_happens_between_two_ticks_is_one_message_and_one_view_of_each(stage: Stage) -> None:
    reader = stage.active("reader")
    owners = [stage.active(f"owner{number}", can_update_own_metadata=True) for number in range(10)]
    stage.wait(10)
    for _ in range(17):
        for owner in owners:
            stage.do(inputs.UpdateOwnMetadata(owner.session, metadata="flood"))
    stage.clear()
    for number in range(3):
        for owner in owners:
            stage.do(inputs.UpdateOwnMetadata(owner.session, metadata=f"m{number}"))
    owners[3].leave()
    stage.wait(1)
    (update,) = reader.got(messages.ParticipantUpdate)
    assert [view.identity for view in update.participants] == [owner.identity for owner in owners]
    assert {view.metadata for view in update.participants} == {"m2"}
    gone = [view.identity for view in update.participants if view.state is ParticipantState.DISCONNECTED]
    assert gone == ["owner3"]


def test_a_reader_is_told_so_many_bytes_a_second_at_most(stage: Stage) -> None:
    reader = stage.active("reader")
    owners = [stage.active(f"owner{number}", can_update_own_metadata=True) for number in range(8)]
    stage.wait(10)
    stage.clear()
    for number in range(200):
        for owner in owners:
            stage.do(inputs.UpdateOwnMetadata(owner.session, metadata=f"{number:03}" + "m" * 65_533))
        stage.wait(0.05)
    updates = reader.got(messages.ParticipantUpdate)
    told_bytes = sum(len(view.metadata) for update in updates for view in update.participants)
    assert told_bytes <= (2 + 10 + 1) * 2**20, "not the hundred megabytes that were said"
    stage.wait(6)
    for owner in owners:
        assert reader.told_of(owner.identity)[-1].metadata[:3] == "199"


def test_in_a_large_room_a_change_is_told_more_seldom_the_more_it_weighs(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(count_update_s=1e9)
    owner = stage.active("owner", can_update_own_metadata=True)
    readers = [stage.active(f"reader{number}") for number in range(200)]
    stage.wait(30)
    stage.clear()
    for number in range(250):
        stage.do(inputs.UpdateOwnMetadata(owner.session, metadata=f"{number:03}" + "m" * 65_533))
        stage.wait(0.04)
    stage.wait(4)
    for reader in readers:
        told = reader.told_of("owner")
        assert 4 <= len(told) <= 20, "two hundred and forty megabytes in ten seconds, not three gigabytes"
        assert told[-1].metadata[:3] == "249"


def test_who_comes_again_before_its_end_was_told_is_another_one(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(update_burst=0)
    old_reader, reader = stage.active("old", protocol=11), stage.active("new", protocol=12)
    alice = stage.active("alice")
    stage.wait(4)
    stage.clear()
    first_sid = stage.room._state.by_identity["alice"].sid
    alice.leave()
    stage.active("alice")
    stage.wait(4)
    told = [(view.sid == first_sid, view.state.name) for view in old_reader.told_of("alice")]
    assert told == [(True, "DISCONNECTED"), (False, "ACTIVE")]
    told = [(view.sid == first_sid, view.state.name) for view in reader.told_of("alice")]
    assert told == [(False, "ACTIVE")], "it knows that an identity may go on with another sid"


def test_after_any_flood_all_is_told_at_once_again(stage: Stage) -> None:
    reader = stage.active("reader")
    owner = stage.active("owner", can_update_own_metadata=True)
    other = stage.active("other", can_update_own_metadata=True)
    for _ in range(400):
        stage.do(inputs.UpdateOwnMetadata(owner.session, metadata="m" * 500_000))
    stage.wait(6)
    stage.clear()
    stage.do(inputs.UpdateOwnMetadata(other.session, metadata="calm"))
    assert [view.metadata for view in reader.told_of("other")] == ["calm"]
    assert [view.metadata for view in other.told_of("other")] == ["calm"]


def test_who_changes_once_sees_it_at_once_whatever_the_others_do(stage: Stage) -> None:
    """SDKs wait five seconds for it."""
    loud, calm = (stage.active(name, can_update_own_metadata=True) for name in ("loud", "calm"))
    for _ in range(16):
        stage.do(inputs.UpdateOwnMetadata(loud.session, metadata="m" * 500_000))
    stage.do(inputs.UpdateOwnMetadata(calm.session, metadata="calm"))
    assert calm.told_of("calm")[-1].metadata == "calm"
    assert not [view for view in loud.told_of("calm") if view.metadata]
    stage.wait(6)
    assert loud.told_of("calm")[-1].metadata == "calm"


def test_a_track_is_told_before_its_media_however_many_changes_there_are(stage: Stage) -> None:
    reader = stage.active("reader")
    owner = stage.active("owner", can_update_own_metadata=True)
    for number in range(100):
        stage.do(inputs.UpdateOwnMetadata(owner.session, metadata=f"m{number}"))
    owner.announce("mic")
    owner.add_line("mic", TrackType.AUDIO)
    effects = owner.offer()
    kinds = [type(e.message) if isinstance(e, fx.Send) else type(e) for e in effects]
    assert kinds.index(messages.ParticipantUpdate) < kinds.index(fx.AddDownTrack)
    assert [(len(view.tracks), view.metadata) for view in reader.told_of("owner")][-1] == (1, "m99")
    stage.clear()
    stage.wait(5)
    assert not reader.told_of("owner"), "nothing older follows"


def test_a_hidden_participant_hears_its_own_last_state_too(stage: Stage) -> None:
    reader = stage.active("reader")
    ghost = stage.active("ghost", hidden=True, can_update_own_metadata=True)
    for number in range(100):
        stage.do(inputs.UpdateOwnMetadata(ghost.session, metadata=f"m{number}"))
    assert len(ghost.told_of("ghost")) <= 18
    stage.wait(1)
    assert ghost.told_of("ghost")[-1].metadata == "m99"
    stage.do(inputs.UpdateOwnMetadata(ghost.session, metadata="last"))
    ghost.leave()
    stage.wait(1)
    assert not reader.told_of("ghost")


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
