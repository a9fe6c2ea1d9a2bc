"""Joining, connecting, leaving, and the end of the room (protocol.md §2.3–§2.6, §5.1–§5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auth.grants import Claims
from sfu.errors import ErrorCode, SfuError
from sfu.ids import RequestId, SessionId
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import DisconnectReason, LeaveAction, ParticipantKind, ParticipantState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Stage


def _kinds(effects: list[fx.Effect]) -> list[type]:
    return [type(effect.message) if isinstance(effect, fx.Send) else type(effect) for effect in effects]


def _ended(stage: Stage) -> bool:
    return stage.room.closed


def _names(events: list[fx.RoomEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


# ---------------------------------------------------------------- joining


def test_the_first_join_starts_the_room_and_is_answered_in_order(stage: Stage) -> None:
    alice = stage.join("alice")
    assert _kinds(alice.seen)[:5] == [
        fx.Emit,
        fx.AddEngineParticipant,
        messages.Joined,
        fx.OpenTransport,
        fx.RefreshToken,
    ]
    assert _names(stage.emitted) == ["RoomStarted"]


def test_a_room_made_by_request_announces_its_start_without_any_input(stage: Stage) -> None:
    stage.wait(0)
    assert _names(stage.emitted) == ["RoomStarted"]


def test_join_tells_the_newcomer_of_room_self_and_others(stage: Stage) -> None:
    stage.join("alice", name="Alice", token_metadata="m", token_attributes={"a": "1"})
    joined = stage.join("bob").joined
    assert joined is not None
    assert joined.room.sid.startswith("RM_")
    assert joined.room.name == "lobby"
    assert joined.room.num_participants == 2
    assert joined.participant.sid.startswith("PA_")
    assert joined.participant.state is ParticipantState.JOINED
    (alice,) = joined.other_participants
    assert (alice.identity, alice.name, alice.metadata, alice.attributes) == ("alice", "Alice", "m", {"a": "1"})
    assert joined.participant.joined_at_ms == int(stage.now().wall_s * 1000)


def test_the_room_has_one_sif_trailer(stage: Stage) -> None:
    first, second = stage.join("alice").joined, stage.join("bob").joined
    assert first is not None
    assert second is not None
    assert len(first.sif_trailer) >= 8
    assert first.sif_trailer == second.sif_trailer


def test_publish_codecs_are_listed_video_first(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(enabled_codecs=("audio/opus", "VIDEO/vp9", "video/h264"))
    joined = stage.join("alice").joined
    assert joined is not None
    assert joined.enabled_publish_codecs == ("video/H264", "video/VP9", "audio/opus")


@pytest.mark.parametrize(
    ("options", "roles", "primary", "subscriber_primary"),
    [
        ({"single_peer_connection": True}, {"both"}, "both", False),
        ({"single_peer_connection": True, "can_subscribe": False}, {"both"}, "both", False),
        ({"single_peer_connection": False}, {"publisher", "subscriber"}, "subscriber", True),
        ({"single_peer_connection": False, "can_subscribe": False}, {"publisher"}, "publisher", False),
        ({"single_peer_connection": False, "protocol": 2}, {"publisher", "subscriber"}, "publisher", False),
    ],
)
def test_transports_by_mode(
    stage: Stage, options: dict[str, object], roles: set[str], primary: str, subscriber_primary: bool
) -> None:
    alice = stage.join("alice", **options)
    assert set(alice.transports) == roles
    assert alice.joined is not None
    assert alice.joined.subscriber_primary is subscriber_primary
    for role in sorted(roles, key=lambda role: role == primary):
        assert not any(isinstance(event, fx.ParticipantJoined) for event in stage.emitted)
        stage.do(inputs.TransportConnected(alice.transports[role], tcp=role == primary))
    (event,) = [event for event in stage.emitted if isinstance(event, fx.ParticipantJoined)]
    assert event.tcp
    assert event.single_peer_connection is (roles == {"both"})


@pytest.mark.parametrize("may", [True, False])
def test_fast_publish_follows_the_permission(stage: Stage, may: bool) -> None:
    joined = stage.join("alice", can_publish=may).joined
    assert joined is not None
    assert joined.fast_publish is may


def test_metadata_and_attributes_of_the_join_override_the_token(stage: Stage) -> None:
    joined = stage.join(
        "alice",
        token_metadata="token",
        token_attributes={"a": "1", "b": "2", "c": "3"},
        metadata="join",
        attributes={"b": "x", "c": ""},
    ).joined
    assert joined is not None
    assert joined.participant.metadata == "join"
    assert joined.participant.attributes == {"a": "1", "b": "x", "c": "3"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("agent", ParticipantKind.AGENT), ("sip", ParticipantKind.SIP), ("martian", ParticipantKind.STANDARD)],
)
def test_kinds_come_from_the_token(stage: Stage, kind: str, expected: ParticipantKind) -> None:
    joined = stage.join("alice", kind=kind, kind_details=("cloud_agent", "?")).joined
    assert joined is not None
    assert joined.participant.kind is expected
    assert joined.participant.kind_details == (0,)


def test_client_protocol_and_capabilities_reach_the_others(stage: Stage) -> None:
    bob = stage.join("bob")
    stage.join("alice", client_protocol=2, capabilities=(1,))
    (view,) = bob.told_of("alice")
    assert (view.client_protocol, view.capabilities) == (2, (1,))


# ---------------------------------------------------------------- refusal


@pytest.mark.parametrize(
    ("identity", "options"),
    [
        ("", {}),
        ("alice", {"token_metadata": "x" * 11}),
        ("alice", {"metadata": "ä" * 6}),
        ("alice", {"token_attributes": {"key": "x" * 10}}),
        ("alice", {"name": "x" * 6}),
    ],
)
def test_a_refused_join_gets_leave_as_its_only_message(
    stage_with: Callable[..., Stage], identity: str, options: dict[str, object]
) -> None:
    stage = stage_with(max_metadata_bytes=10, max_attributes_bytes=10, max_name_length=5)
    client = stage.try_join(identity, **options)
    leave = messages.Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.DISCONNECT)
    assert stage.sent[client.session] == [leave]
    assert fx.CloseSession(client.session, leave) in client.seen
    assert stage.room.view().num_participants == 0


def test_a_full_room_refuses_but_admits_dependents_and_replacements(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(max_participants=2)
    stage.join("alice")
    stage.join("bob")
    assert stage.try_join("carol").joined is None
    assert stage.try_join("agent", kind="agent").joined is not None
    assert stage.try_join("recorder", recorder=True, hidden=True).joined is not None
    assert stage.try_join("egress", kind="egress").joined is not None
    assert stage.try_join("bob").joined is not None
    assert stage.room.view().num_participants == 2


def test_a_dependent_does_not_make_room_for_its_replacement(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(max_participants=1)
    stage.join("alice")
    stage.join("bot", kind="agent")
    assert stage.try_join("bot").joined is None


def test_a_session_joins_once(stage: Stage) -> None:
    alice = stage.join("alice")
    again = inputs.Join(alice.session, Claims("key", "bob"), inputs.ClientDescription(), single_peer_connection=True)
    assert stage.do(again) == []


# ---------------------------------------------------------------- duplicate identity


def test_the_same_identity_replaces_the_old_session(stage: Stage) -> None:
    bob = stage.active("bob")
    old = stage.active("alice")
    stage.clear()
    new = stage.join("alice")
    assert stage.sent[old.session] == [messages.Leave(DisconnectReason.DUPLICATE_IDENTITY, LeaveAction.DISCONNECT)]
    kinds = _kinds(new.seen)
    assert kinds.index(fx.CloseSession) < kinds.index(messages.Joined)
    assert new.joined is not None
    assert [p.identity for p in new.joined.other_participants] == ["bob"]
    # Level 12 and above: only the new sid, no end of the old one.
    assert [view.sid for view in bob.told_of("alice")] == [new.sid]
    assert _names(stage.emitted) == ["ParticipantLeft"]


def test_old_clients_hear_of_the_end_of_the_replaced_sid_first(stage: Stage) -> None:
    bob = stage.active("bob", protocol=11)
    old = stage.active("alice")
    stage.clear()
    new = stage.join("alice")
    told = bob.told_of("alice")
    assert [(v.sid == new.sid, v.state) for v in told] == [
        (False, ParticipantState.DISCONNECTED),
        (True, ParticipantState.JOINED),
    ]
    assert told[0].sid != old.identity
    assert told[0].disconnect_reason is DisconnectReason.DUPLICATE_IDENTITY


def test_a_hidden_successor_makes_the_identity_leave(stage: Stage) -> None:
    bob = stage.active("bob")
    stage.active("alice")
    stage.clear()
    stage.join("alice", hidden=True)
    assert [view.state for view in bob.told_of("alice")] == [ParticipantState.DISCONNECTED]


def test_a_gathered_end_never_reaches_the_successor_of_the_identity(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(update_burst=0)
    stage.active("alice").leave()
    new = stage.active("alice")
    stage.wait(4)
    assert {view.sid for view in new.told_of("alice")} <= {new.sid}


# ---------------------------------------------------------------- connection


def test_active_is_told_to_others_and_emitted_once(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.join("alice")
    stage.clear()
    alice.connect()
    alice.connect()
    assert [view.state for view in bob.told_of("alice")] == [ParticipantState.ACTIVE]
    assert alice.told_of("alice") == []
    assert _names(stage.emitted) == ["ParticipantJoined"]


def test_who_never_connects_is_removed_after_the_join_timeout(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.join("alice")
    stage.wait(59)
    assert not alice.got(messages.Leave)
    stage.wait(2)
    assert alice.got(messages.Leave) == [messages.Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.DISCONNECT)]
    assert bob.told_of("alice")[-1].disconnect_reason is DisconnectReason.JOIN_FAILURE
    assert "ParticipantAborted" in _names(stage.emitted)
    stage.wait(120)
    assert not bob.got(messages.Leave)


def test_a_lost_session_before_the_connection_ends_the_participant(stage: Stage) -> None:
    bob = stage.active("bob")
    stage.join("alice").lose()
    assert bob.told_of("alice")[-1].disconnect_reason is DisconnectReason.SIGNAL_CLOSE


def test_a_lost_session_leaves_a_connected_participant_until_its_transport_fails(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    assert alice.lose() == []
    stage.wait(600)
    assert bob.told_of("alice")[-1].state is ParticipantState.ACTIVE
    stage.do(inputs.TransportFailed(alice.primary, "ice_timeout"))
    view = bob.told_of("alice")[-1]
    assert (view.state, view.disconnect_reason) == (
        ParticipantState.DISCONNECTED,
        DisconnectReason.CONNECTION_TIMEOUT,
    )


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("ice_timeout", DisconnectReason.CONNECTION_TIMEOUT),
        ("dtls", DisconnectReason.MEDIA_FAILURE),
        ("fault", DisconnectReason.MEDIA_FAILURE),
    ],
)
def test_a_failed_transport_asks_a_reachable_client_to_come_back(
    stage: Stage, failure: str, reason: DisconnectReason
) -> None:
    alice = stage.active("alice")
    stage.do(inputs.TransportFailed(alice.primary, failure))  # type: ignore[arg-type]
    assert alice.got(messages.Leave) == [messages.Leave(reason, LeaveAction.RECONNECT)]
    assert stage.room.view().num_participants == 0


def test_a_client_that_closes_first_may_still_say_why(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.do(inputs.TransportFailed(alice.primary, "closed_by_peer"))
    stage.wait(1)
    alice.leave()
    left = stage.emitted[-1]
    assert isinstance(left, fx.ParticipantLeft)
    assert left.participant.disconnect_reason is DisconnectReason.CLIENT_INITIATED


def test_a_client_that_closes_and_hangs_up_is_gone_at_once(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.do(inputs.TransportFailed(alice.primary, "closed_by_peer"))
    alice.lose()
    left = stage.emitted[-1]
    assert isinstance(left, fx.ParticipantLeft)
    assert left.participant.disconnect_reason is DisconnectReason.SIGNAL_CLOSE


def test_a_client_that_closes_and_says_nothing_is_asked_to_come_back(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.do(inputs.TransportFailed(alice.primary, "closed_by_peer"))
    stage.wait(3)
    assert alice.got(messages.Leave) == [messages.Leave(DisconnectReason.CONNECTION_TIMEOUT, LeaveAction.RECONNECT)]


def test_a_failed_negotiation_is_a_state_mismatch(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.do(inputs.NegotiationFailed(alice.primary, "no"))
    assert alice.got(messages.Leave) == [messages.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)]


def test_a_session_that_broke_a_rule_ends_with_the_reason(stage: Stage) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    stage.do(inputs.SessionFailed(alice.session, DisconnectReason.STATE_MISMATCH))
    assert alice.got(messages.Leave) == [messages.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)]
    assert bob.told_of("alice")[-1].state is ParticipantState.DISCONNECTED


# ---------------------------------------------------------------- leaving


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (DisconnectReason.CLIENT_INITIATED, DisconnectReason.CLIENT_INITIATED),
        (DisconnectReason.USER_REJECTED, DisconnectReason.USER_REJECTED),
        (DisconnectReason.AGENT_ERROR, DisconnectReason.AGENT_ERROR),
        (DisconnectReason.UNKNOWN_REASON, DisconnectReason.CLIENT_INITIATED),
        (DisconnectReason.ROOM_DELETED, DisconnectReason.CLIENT_INITIATED),
    ],
)
def test_leaving_is_told_at_once_with_its_reason(stage: Stage, said: DisconnectReason, told: DisconnectReason) -> None:
    bob = stage.active("bob")
    alice = stage.active("alice")
    effects = alice.leave(said)
    assert fx.CloseSession(alice.session, None) in effects
    view = bob.told_of("alice")[-1]
    assert (view.state, view.disconnect_reason) == (ParticipantState.DISCONNECTED, told)


def test_leaving_ends_tracks_before_the_participant(stage: Stage) -> None:
    stage.active("bob")
    alice = stage.active("alice")
    alice.publish("mic")
    stage.clear()
    kinds = _kinds(alice.leave())
    assert kinds.index(fx.RemoveDownTrack) < kinds.index(fx.CloseUpTrack) < kinds.index(fx.RemoveEngineParticipant)
    assert _names(stage.emitted) == ["TrackUnpublishedEvent", "ParticipantLeft"]


def test_inputs_of_dead_sessions_and_transports_mean_nothing(stage: Stage) -> None:
    alice = stage.active("alice")
    transport = alice.primary
    alice.leave()
    for late in (
        inputs.LeaveRequested(alice.session),
        inputs.SessionFailed(alice.session, DisconnectReason.STATE_MISMATCH),
        inputs.OfferReceived(alice.session, 1, ()),
        inputs.TransportConnected(transport),
        inputs.TransportFailed(transport, "ice_timeout"),
        inputs.NegotiationFailed(transport, ""),
        inputs.SessionLost(SessionId(1)),
    ):
        assert stage.do(late) == []


# ---------------------------------------------------------------- the room's end


def test_a_room_that_nobody_joined_ends_after_the_empty_timeout(stage: Stage) -> None:
    stage.wait(299)
    assert not _ended(stage)
    stage.wait(2)
    assert _ended(stage)
    assert _names(stage.emitted) == ["RoomStarted", "RoomFinished"]


def test_a_room_ends_after_the_departure_timeout_unless_somebody_comes(stage: Stage) -> None:
    stage.active("alice").leave()
    stage.wait(19)
    bob = stage.active("bob")
    stage.wait(30)
    assert not _ended(stage)
    bob.leave()
    stage.wait(19)
    assert not _ended(stage)
    stage.wait(1)
    assert _ended(stage)


def test_a_refused_join_does_not_keep_the_room(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(max_name_length=3, empty_timeout_s=10)
    stage.wait(8)
    stage.try_join("alice", name="too long")
    stage.wait(3)
    assert _ended(stage)


def test_dependents_do_not_keep_the_room_and_are_told(stage: Stage) -> None:
    agent = stage.active("agent", kind="agent")
    stage.active("alice").leave()
    stage.wait(20)
    assert _ended(stage)
    assert agent.got(messages.Leave) == [messages.Leave(DisconnectReason.ROOM_CLOSED, LeaveAction.DISCONNECT)]


def test_a_room_with_only_a_dependent_lives_for_the_empty_timeout(stage: Stage) -> None:
    stage.active("agent", kind="agent")
    stage.wait(299)
    assert not _ended(stage)
    stage.wait(1)
    assert _ended(stage)


@pytest.mark.parametrize("reason", [DisconnectReason.ROOM_DELETED, DisconnectReason.SERVER_SHUTDOWN])
def test_closing_the_room_tells_everybody_why(stage: Stage, reason: DisconnectReason) -> None:
    clients = [stage.active("alice"), stage.active("bob"), stage.join("carol")]
    clients[0].publish("mic")
    assert stage.ask(lambda request: inputs.CloseRoom(request, reason)) is None
    for client in clients:
        assert client.got(messages.Leave) == [messages.Leave(reason, LeaveAction.DISCONNECT)]
    finished = stage.emitted[-1]
    assert isinstance(finished, fx.RoomFinished)
    assert finished.reason is reason
    assert not stage.ledger.participants
    assert not stage.ledger.down_tracks
    assert stage.room.next_deadline_s is None


def test_a_room_that_closes_for_a_restart_asks_everybody_to_come_back(stage: Stage) -> None:
    clients = [stage.active("alice"), stage.join("bob")]
    stage.ask(lambda request: inputs.CloseRoom(request, DisconnectReason.SERVER_SHUTDOWN, come_back=True))
    leave = messages.Leave(DisconnectReason.SERVER_SHUTDOWN, LeaveAction.RECONNECT)
    assert [client.got(messages.Leave) for client in clients] == [[leave], [leave]]
    *_, left, _, finished = stage.emitted
    assert isinstance(left, fx.ParticipantLeft)
    assert left.participant.disconnect_reason is DisconnectReason.SERVER_SHUTDOWN
    assert isinstance(finished, fx.RoomFinished)
    assert finished.reason is DisconnectReason.SERVER_SHUTDOWN


def test_a_closed_room_refuses_everything(stage: Stage) -> None:
    stage.active("alice")
    stage.ask(lambda request: inputs.CloseRoom(request, DisconnectReason.ROOM_DELETED))
    late = stage.try_join("bob")
    assert stage.sent[late.session] == [messages.Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.RECONNECT)]
    error = stage.ask(inputs.ListParticipants)
    assert isinstance(error, SfuError)
    assert error.code is ErrorCode.NOT_FOUND
    assert stage.do(inputs.AudioLevelsMeasured(())) == []
    assert stage.room.handle(inputs.CloseRoom(RequestId(1), DisconnectReason.ROOM_DELETED), stage.now()) != []


# ---------------------------------------------------------------- token refresh


def test_tokens_are_refreshed_at_the_start_and_then_every_five_minutes(stage: Stage) -> None:
    alice = stage.active("alice")
    assert sum(isinstance(effect, fx.RefreshToken) for effect in alice.seen) == 1
    refreshed = [effect for effect in stage.wait(901) if isinstance(effect, fx.RefreshToken)]
    assert [effect.session for effect in refreshed] == [alice.session] * 3


def test_a_lost_session_gets_no_token(stage: Stage) -> None:
    alice = stage.active("alice")
    alice.lose()
    assert not [effect for effect in stage.wait(900) if isinstance(effect, fx.RefreshToken)]
