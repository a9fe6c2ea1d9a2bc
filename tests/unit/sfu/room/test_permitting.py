"""Names, texts and permissions, by the participant itself and by administrators (protocol.md §3.1 #15, §5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.errors import ErrorCode, SfuError
from sfu.ids import RequestId, next_id
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import ParticipantState, RequestReason, TrackSource
from sfu.room.views import ParticipantView, PermissionView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage

_ECHO = messages.RequestEcho("update_metadata", "the request")


def _update(stage: Stage, client: Client, **fields: Any) -> list[fx.Effect]:
    return stage.do(inputs.UpdateOwnMetadata(client.session, request_id=7, echo=_ECHO, **fields))


def _permit(stage: Stage, identity: str, **permission: Any) -> object:
    view = PermissionView(**permission)
    return stage.ask(lambda request: inputs.UpdateParticipant(request, identity, permission=view))


# ---------------------------------------------------------------- by itself


def test_own_texts_are_changed_told_and_acknowledged(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice", can_update_own_metadata=True, token_attributes={"old": "1", "kept": "2"})
    effects = _update(stage, alice, metadata="m", name="n", attributes={"new": "3", "old": ""})
    assert alice.got(messages.RequestResponse) == [messages.RequestResponse(RequestReason.OK, "", 7, _ECHO)]
    for client in (alice, bob):
        view = client.told_of("alice")[-1]
        assert (view.metadata, view.name, view.attributes) == ("m", "n", {"kept": "2", "new": "3"})
    (refresh,) = [effect for effect in effects if isinstance(effect, fx.RefreshToken)]
    assert (refresh.claims.name, refresh.claims.metadata) == ("n", "m")
    assert refresh.claims.attributes == {"kept": "2", "new": "3"}


def test_empty_texts_mean_unchanged(stage: Stage) -> None:
    alice = stage.active("alice", can_update_own_metadata=True, name="n", token_metadata="m")
    _update(stage, alice, attributes={"a": "1"})
    view = alice.told_of("alice")[-1]
    assert (view.name, view.metadata) == ("n", "m")


def test_older_clients_get_no_acknowledgement(stage: Stage) -> None:
    alice = stage.active("alice", can_update_own_metadata=True, protocol=14)
    _update(stage, alice, metadata="m")
    assert not alice.got(messages.RequestResponse)
    assert alice.told_of("alice")


@pytest.mark.parametrize(
    ("may", "fields", "reason", "text"),
    [
        (None, {"name": "n"}, RequestReason.NOT_ALLOWED, "does not have permission to update own metadata"),
        (True, {"name": "x" * 6}, RequestReason.LIMIT_EXCEEDED, "exceeds name length limit"),
        (True, {"metadata": "x" * 11}, RequestReason.LIMIT_EXCEEDED, "exceeds metadata size limit"),
        (True, {"attributes": {"k": "x" * 10}}, RequestReason.LIMIT_EXCEEDED, "exceeds attributes size limit"),
        (True, {"attributes": {"k": "\ud800" * 4}}, RequestReason.LIMIT_EXCEEDED, "exceeds attributes size limit"),
    ],
)
def test_refused_texts_change_nothing(
    stage_with: Callable[..., Stage], may: bool | None, fields: dict[str, Any], reason: RequestReason, text: str
) -> None:
    stage = stage_with(max_metadata_bytes=10, max_attributes_bytes=10, max_name_length=5)
    alice = stage.active("alice", can_update_own_metadata=may)
    _update(stage, alice, **fields)
    assert alice.got(messages.RequestResponse) == [messages.RequestResponse(reason, text, 7, _ECHO)]
    assert not alice.told_of("alice")


def test_the_attribute_limit_counts_what_is_there_already(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(max_attributes_bytes=10)
    alice = stage.active("alice", can_update_own_metadata=True, token_attributes={"a": "123456"})
    _update(stage, alice, attributes={"b": "123"})
    assert alice.got(messages.RequestResponse)[-1].reason is RequestReason.LIMIT_EXCEEDED
    _update(stage, alice, attributes={"b": "123", "a": ""})
    assert alice.got(messages.RequestResponse)[-1].reason is RequestReason.OK


# ---------------------------------------------------------------- by an administrator


def test_an_administrator_changes_texts_without_the_participants_permission(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    view = stage.ask(lambda r: inputs.UpdateParticipant(r, "alice", metadata="m", name="n", attributes={"a": "1"}))
    assert isinstance(view, ParticipantView)
    assert (view.metadata, view.name, view.attributes) == ("m", "n", {"a": "1"})
    assert bob.told_of("alice")[-1] == alice.told_of("alice")[-1] == view


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "x" * 300}, "name length exceeds limits"),
        ({"metadata": "x" * 600_000}, "metadata size exceeds limits"),
        ({"attributes": {"k": "x" * 70_000}}, "attributes size exceeds limits"),
    ],
)
def test_an_administrator_is_bound_by_the_limits_too(stage: Stage, fields: dict[str, Any], text: str) -> None:
    stage.active("alice")
    error = stage.ask(lambda request: inputs.UpdateParticipant(request, "alice", **fields))
    assert isinstance(error, SfuError)
    assert (error.code, error.message) == (ErrorCode.INVALID_ARGUMENT, text)


def test_a_change_of_permissions_is_told_with_a_new_token(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    stage.clear()
    permission_view = PermissionView(can_publish_sources=(TrackSource.CAMERA,), can_publish_data=False)
    request = RequestId(next_id())
    effects = stage.do(inputs.UpdateParticipant(request, "alice", permission=permission_view))
    for client in (alice, bob):
        permission = client.told_of("alice")[-1].permission
        assert permission.can_publish_sources == (TrackSource.CAMERA,)
        assert not permission.can_publish_data
    (update,) = [e for e in effects if isinstance(e, fx.UpdateEngineParticipant)]
    assert not update.can_publish_data
    (refresh,) = [e for e in effects if isinstance(e, fx.RefreshToken)]
    assert refresh.claims.video is not None
    assert refresh.claims.video.can_publish_sources == ("camera",)
    assert refresh.claims.video.can_publish_data is False
    assert refresh.claims.video.room == "lobby"


def test_forbidden_sources_are_unpublished(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    mic, cam = alice.publish("mic"), alice.publish("cam", TrackSource.CAMERA)
    pending = alice.announce("screen", TrackSource.SCREEN_SHARE)
    _permit(stage, "alice", can_publish_sources=(TrackSource.CAMERA,))
    assert [m.track_sid for m in alice.got(messages.TrackUnpublished)] == [pending.sid, mic.sid]
    assert [track.sid for track in bob.told_of("alice")[-1].tracks] == [cam.sid]
    assert bob.told_of("alice")[-1].is_publisher
    assert len(stage.ledger.up_tracks) == 1


def test_without_permission_to_publish_nobody_is_a_publisher(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    alice.publish("mic")
    alice.try_announce("mic")  # queued
    assert stage.room.view().num_publishers == 1
    _permit(stage, "alice", can_publish=False)
    view = bob.told_of("alice")[-1]
    assert (view.tracks, view.is_publisher) == ((), False)
    assert stage.room.view().num_publishers == 0
    assert not stage.room._state.by_identity["alice"].pending, "the queued one is forbidden as well"


def test_hiding_makes_a_participant_disappear_and_unhiding_appear(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    alice.publish("mic")
    _permit(stage, "alice", hidden=True)
    assert bob.told_of("alice")[-1].state is ParticipantState.DISCONNECTED
    assert not stage.ledger.down_tracks
    late = stage.join("late")
    assert late.joined is not None
    assert [p.identity for p in late.joined.other_participants] == ["bob"]
    _permit(stage, "alice", hidden=False)
    assert bob.told_of("alice")[-1].state is ParticipantState.ACTIVE
    assert len(stage.ledger.down_tracks) == 2


def test_becoming_a_dependent_starts_the_end_of_the_room(stage: Stage) -> None:
    stage.active("alice")
    _permit(stage, "alice", agent=True)
    assert stage.room.view().num_participants == 0
    stage.wait(19)
    _permit(stage, "alice", agent=False)
    stage.wait(60)
    assert not stage.room.closed


def test_becoming_a_recorder_lifts_the_publishers_restrictions(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    stage.do(inputs.SetSubscriptionPermission(alice.session, False, ()))
    alice.publish("mic")
    assert not stage.ledger.down_tracks
    _permit(stage, "bob", recorder=True)
    assert len(stage.ledger.down_tracks) == 1
    assert bob.got(messages.RoomUpdate)[-1].room.active_recording


def test_an_unreachable_participant_can_be_changed(stage: Stage) -> None:
    bob, alice = stage.active("bob"), stage.active("alice")
    alice.lose()
    assert isinstance(_permit(stage, "alice", can_publish=False), ParticipantView)
    assert not bob.told_of("alice")[-1].permission.can_publish


def test_an_unreachable_participant_gets_no_new_connection(stage: Stage) -> None:
    alice = stage.active("alice", single_peer_connection=False, can_subscribe=False)
    alice.lose()
    request = RequestId(next_id())
    effects = stage.do(inputs.UpdateParticipant(request, "alice", permission=PermissionView()))
    assert not [effect for effect in effects if isinstance(effect, fx.OpenTransport)]
