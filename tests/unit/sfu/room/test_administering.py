"""What administrators ask (protocol.md §6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.errors import ErrorCode, SfuError
from sfu.ids import TrackSid
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import DisconnectReason, LeaveAction, ParticipantState
from sfu.room.views import ParticipantView, RoomView, TrackView

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.ids import RequestId
    from tests.unit.sfu.room.conftest import Stage


def _sent(stage: Stage, **fields: Any) -> list[fx.SendEngineData]:
    fields.setdefault("reliable", True)
    stage.engine_data.clear()
    result = stage.ask(lambda request: inputs.SendData(request, b"data", **fields))
    assert result is None
    return list(stage.engine_data)


@pytest.mark.parametrize(
    "make",
    [
        lambda request: inputs.GetParticipant(request, "nobody"),
        lambda request: inputs.RemoveParticipant(request, "nobody"),
        lambda request: inputs.MutePublishedTrack(request, "nobody", TrackSid("TR_x"), muted=True),
        lambda request: inputs.UpdateParticipant(request, "nobody", name="n"),
        lambda request: inputs.UpdateSubscriptions(request, "nobody", (), subscribe=True),
    ],
)
def test_unknown_participants_are_not_found(stage: Stage, make: Callable[[RequestId], inputs.RoomInput]) -> None:
    error = stage.ask(make)
    assert isinstance(error, SfuError)
    assert (error.code, error.message) == (ErrorCode.NOT_FOUND, "participant does not exist")


def test_participants_are_listed_hidden_ones_too(stage: Stage) -> None:
    stage.active("alice").publish("mic")
    stage.join("ghost", hidden=True)
    views = stage.ask(inputs.ListParticipants)
    assert isinstance(views, tuple)
    assert [(view.identity, view.state) for view in views] == [
        ("alice", ParticipantState.ACTIVE),
        ("ghost", ParticipantState.JOINED),
    ]
    alice = stage.ask(lambda request: inputs.GetParticipant(request, "alice"))
    assert alice == views[0]
    assert isinstance(alice, ParticipantView)
    assert len(alice.tracks) == 1


def test_a_removed_participant_is_told_so(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    assert stage.ask(lambda request: inputs.RemoveParticipant(request, "alice")) is None
    leave = messages.Leave(DisconnectReason.PARTICIPANT_REMOVED, LeaveAction.DISCONNECT)
    assert alice.got(messages.Leave) == [leave]
    assert bob.told_of("alice")[-1].disconnect_reason is DisconnectReason.PARTICIPANT_REMOVED


def test_muting_a_track_tells_its_owner(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    sid = alice.publish("mic").sid
    for _ in range(2):
        track = stage.ask(lambda request: inputs.MutePublishedTrack(request, "alice", sid, muted=True))
        assert isinstance(track, TrackView)
        assert track.muted
    assert alice.got(messages.Mute) == [messages.Mute(sid, muted=True)]
    assert bob.told_of("alice")[-1].tracks[0].muted


def test_an_unknown_track_is_no_error(stage: Stage) -> None:
    stage.active("alice")
    assert stage.ask(lambda request: inputs.MutePublishedTrack(request, "alice", TrackSid("TR_x"), muted=True)) is None


@pytest.mark.parametrize("enabled", [True, False])
def test_unmuting_needs_the_rooms_consent(stage_with: Callable[..., Stage], enabled: bool) -> None:
    stage = stage_with(enable_remote_unmute=enabled)
    alice = stage.active("alice")
    sid = alice.publish("mic", muted=True).sid
    result = stage.ask(lambda request: inputs.MutePublishedTrack(request, "alice", sid, muted=False))
    if enabled:
        assert isinstance(result, TrackView)
        assert alice.got(messages.Mute) == [messages.Mute(sid, muted=False)]
    else:
        assert isinstance(result, SfuError)
        assert (result.code, result.message) == (ErrorCode.FAILED_PRECONDITION, "remote unmute not enabled")


def test_subscriptions_can_be_forced(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.active("bob", auto_subscribe=False)
    sid = alice.publish("mic").sid
    stage.ask(lambda request: inputs.UpdateSubscriptions(request, "bob", (sid,), subscribe=True))
    assert len(stage.ledger.down_tracks) == 1
    stage.ask(lambda request: inputs.UpdateSubscriptions(request, "bob", (sid,), subscribe=False))
    assert not stage.ledger.down_tracks


def test_room_metadata_reaches_everybody_at_once(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.clear()
    view = stage.ask(lambda request: inputs.UpdateRoomMetadata(request, "m"))
    assert isinstance(view, RoomView)
    assert view.metadata == "m"
    assert [update.room.metadata for update in alice.got(messages.RoomUpdate)] == ["m"]
    assert stage.ask(lambda request: inputs.UpdateRoomMetadata(request, "")) == stage.room.view()
    assert stage.room.view().metadata == "", "room metadata can be emptied"


def test_room_metadata_is_limited(stage_with: Callable[..., Stage]) -> None:
    error = stage_with(max_metadata_bytes=3).ask(lambda request: inputs.UpdateRoomMetadata(request, "four"))
    assert isinstance(error, SfuError)
    assert (error.code, error.message) == (ErrorCode.INVALID_ARGUMENT, "metadata size exceeds limits")


# ---------------------------------------------------------------- data


def test_data_goes_to_everybody(stage: Stage) -> None:
    stage.active("alice")
    (sent,) = _sent(stage, topic="t", reliable=False)
    assert (sent.payload, sent.reliable, sent.topic, sent.destinations) == (b"data", False, "t", None)


def test_data_goes_to_the_named_once_each(stage: Stage) -> None:
    clients = [stage.active(name) for name in ("a", "b", "c")]
    (sent,) = _sent(stage, destination_identities=("a", "gone"), destination_sids=(clients[0].sid, clients[1].sid))
    ids = {name: participant.id for name, participant in stage.room._state.by_identity.items()}
    assert sent.destinations == (ids["a"], ids["b"])
    assert sent.destination_identities == ("a", "gone")


def test_data_to_nobody_present_goes_nowhere(stage: Stage) -> None:
    stage.active("alice")
    assert _sent(stage, destination_identities=("gone",)) == []


def test_a_nonce_is_sent_once_among_the_last_hundred(stage: Stage) -> None:
    stage.active("alice")
    first = bytes(16)
    assert len(_sent(stage, nonce=first)) == 1
    assert len(_sent(stage, nonce=first)) == 0
    for number in range(1, 101):
        assert len(_sent(stage, nonce=number.to_bytes(16, "big"))) == 1
    assert len(_sent(stage, nonce=first)) == 1


def test_a_nonce_has_sixteen_bytes(stage: Stage) -> None:
    error = stage.ask(lambda request: inputs.SendData(request, b"", reliable=True, nonce=b"short"))
    assert isinstance(error, SfuError)
    assert error.code is ErrorCode.INVALID_ARGUMENT
