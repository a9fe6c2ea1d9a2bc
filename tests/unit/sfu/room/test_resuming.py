"""Sessions that break and go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import ParticipantSid, SessionId, TrackSid
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import (
    DisconnectReason,
    LeaveAction,
    ParticipantState,
    Scenario,
    SubscriptionError,
    TrackSource,
)
from sfu.room.views import PermissionView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage

MISMATCH = messages.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)


def kinds(client: Client) -> list[str]:
    """What a client was told, in order."""
    return [type(message).__name__ for message in client.stage.sent[client.session]]


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("noticed", [True, False])
def test_who_comes_back_goes_on_and_the_others_see_nothing(stage: Stage, *, single: bool, noticed: bool) -> None:
    ann = stage.active("ann", single_peer_connection=single)
    bob = stage.active("bob")
    track = ann.publish("mic")
    known, events = len(bob.told_of("ann")), len(stage.emitted)
    if noticed:
        ann.lose()
        stage.wait(20)
    back = ann.resume()
    assert kinds(back)[0] == "Reconnected"
    assert back.got(messages.Reconnected) == [messages.Reconnected(7)]
    assert [view.tracks[0].sid for view in back.told_of("ann")] == [track.sid]
    assert len(back.told_of("bob")) == 1
    assert back.got(messages.RoomUpdate)
    moved = [effect for effect in back.seen if isinstance(effect, fx.MoveTransports)]
    assert moved == [fx.MoveTransports(ann.session, back.session)]
    restarted = [effect.transport for effect in back.seen if isinstance(effect, fx.RestartIce)]
    assert restarted == ([] if single else [ann.transports["subscriber"]])
    assert (fx.CloseSession(ann.session, None) in back.seen) is not noticed
    assert any(isinstance(effect, fx.RefreshToken) and effect.claims.api_key == "newer" for effect in back.seen)
    assert len(bob.told_of("ann")) == known
    assert [type(event) for event in stage.emitted[events:]] == [fx.ParticipantResumed]


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("noticed", [True, False])
def test_what_was_permitted_while_nobody_listened_is_there_after_the_return(
    stage: Stage, *, single: bool, noticed: bool
) -> None:
    bob = stage.active("bob", single_peer_connection=single, can_subscribe=False)
    ann = stage.active("ann")
    track = ann.publish("mic")
    if noticed:
        bob.lose()
    stage.ask(lambda request: inputs.UpdateParticipant(request, "bob", permission=PermissionView()))
    camera = ann.publish("cam", TrackSource.CAMERA)
    bob = bob.resume()
    opened = [effect for effect in bob.seen if isinstance(effect, fx.OpenTransport)]
    assert [effect.role for effect in opened] == (["subscriber"] if noticed and not single else [])
    subscriber = stage.room._state.by_identity["bob"].transports.subscriber
    assert {transport for transport, _ in stage.ledger.down_tracks.values()} == {subscriber}
    assert {s.track_sid for s in stage.room._state.down_tracks.values()} == {track.sid, camera.sid}
    assert not [e for e in bob.seen if isinstance(e, fx.RestartIce) and e.transport in {o.transport for o in opened}]


def test_late_words_of_the_old_connection_mean_nothing(stage: Stage) -> None:
    ann = stage.active("ann")
    back = ann.resume()
    assert not ann.try_announce("mic")
    assert not ann.leave()
    assert not ann.lose()
    assert back.announce("mic").sid


@pytest.mark.parametrize(
    "options",
    [{"participant_sid": "PA_another"}, {"single_peer_connection": False}],
    ids=["another sid", "another mode"],
)
def test_who_cannot_go_on_is_asked_to_begin_anew(stage: Stage, options: dict[str, Any]) -> None:
    ann = stage.active("ann")
    back = ann.resume(**options)
    assert back.seen == [fx.CloseSession(back.session, MISMATCH)]
    assert ann.announce("mic").sid, "the session that was there goes on"


def test_who_has_left_is_asked_to_begin_anew(stage: Stage) -> None:
    ann = stage.active("ann")
    stage.active("bob")
    ann.leave()
    back = ann.resume()
    assert back.seen == [fx.CloseSession(back.session, MISMATCH)]


def test_a_transport_that_is_gone_cannot_be_taken_over(stage: Stage) -> None:
    ann = stage.active("ann")
    stage.do(inputs.TransportFailed(ann.primary, "closed_by_peer"))
    back = ann.resume()
    assert back.seen == [fx.CloseSession(back.session, MISMATCH)]


def test_the_identity_alone_is_enough(stage: Stage) -> None:
    assert kinds(stage.active("ann").resume(participant_sid=""))[0] == "Reconnected"


def test_who_left_meanwhile_is_told_first_unless_they_are_back(stage: Stage) -> None:
    ann, bob, cid = stage.active("ann"), stage.active("bob"), stage.active("cid")
    stage.wait(100)
    ann.lose()
    stage.wait(100)
    bob.leave()
    cid.leave()
    stage.active("cid")
    stage.wait(100)
    back = ann.resume()
    assert [view.state for view in back.told_of("bob")] == [ParticipantState.DISCONNECTED]
    assert [view.state for view in back.told_of("cid")] == [ParticipantState.ACTIVE]
    assert kinds(back)[:2] == ["Reconnected", "ParticipantUpdate"]


def test_departures_before_the_loss_was_noticed_count_too(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    bob.leave()
    stage.wait(11)
    ann.lose()
    assert [view.state for view in ann.resume().told_of("bob")] == [ParticipantState.DISCONNECTED]


def test_old_departures_are_not_told_again(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    bob.leave()
    stage.wait(100)
    assert not ann.resume().told_of("bob")


def test_old_clients_hear_of_no_departures(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    bob.leave()
    assert not ann.resume(client=inputs.ClientDescription(sdk="go", protocol=8)).told_of("bob")


def test_more_departures_than_are_remembered_need_a_new_session(stage: Stage) -> None:
    ann = stage.active("ann")
    ann.lose()
    for number in range(1025):
        stage.active(f"p{number}").leave()
    back = ann.resume()
    assert back.seen[-1] == fx.CloseSession(back.session, MISMATCH)


def test_the_engine_need_not_answer(stage: Stage) -> None:
    ann = stage.active("ann")
    back = ann.resume(answered=False)
    assert not kinds(back)
    stage.wait(1)
    assert back.got(messages.Reconnected) == [messages.Reconnected(0)]


def test_a_second_return_takes_the_place_of_the_first(stage: Stage) -> None:
    ann = stage.active("ann")
    first = ann.resume(answered=False)
    second = ann.resume()
    assert fx.CloseSession(first.session, None) in second.seen
    assert kinds(second)[0] == "Reconnected"


def test_a_connection_lost_while_it_waits_changes_nothing(stage: Stage) -> None:
    ann = stage.active("ann")
    waiting = ann.resume(answered=False)
    waiting.lose()
    stage.wait(5)
    assert not kinds(waiting)
    assert ann.announce("mic").sid


def test_one_that_failed_while_its_client_waits_must_begin_anew(stage: Stage) -> None:
    ann = stage.active("ann")
    waiting = ann.resume(answered=False)
    stage.do(inputs.TransportFailed(ann.primary, "ice_timeout"))
    assert stage.sent[waiting.session] == [messages.Leave(DisconnectReason.CONNECTION_TIMEOUT, LeaveAction.RECONNECT)]


def test_one_whose_peer_closed_while_its_client_waits_must_begin_anew(stage: Stage) -> None:
    ann = stage.active("ann")
    ann.lose()
    waiting = ann.resume(answered=False)
    stage.do(inputs.TransportFailed(ann.primary, "closed_by_peer"))
    assert [leave.action for leave in waiting.got(messages.Leave)] == [LeaveAction.RECONNECT]


def test_a_transport_that_ends_while_its_client_waits_is_not_taken_over(stage: Stage) -> None:
    ann = stage.active("ann")
    waiting = ann.resume(answered=False)
    stage.do(inputs.TransportFailed(ann.primary, "closed_by_peer"))
    stage.wait(1.5)
    assert stage.sent[waiting.session] == [MISMATCH]


def _remove(stage: Stage) -> None:
    stage.ask(lambda request: inputs.RemoveParticipant(request, "ann"))


def _delete_room(stage: Stage) -> None:
    stage.ask(lambda request: inputs.CloseRoom(request, DisconnectReason.ROOM_DELETED))


def _join_elsewhere(stage: Stage) -> None:
    stage.join("ann")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_remove, DisconnectReason.PARTICIPANT_REMOVED),
        (_delete_room, DisconnectReason.ROOM_DELETED),
        (_join_elsewhere, DisconnectReason.DUPLICATE_IDENTITY),
    ],
)
def test_who_was_ended_for_good_while_waiting_hears_that_and_stays_away(
    stage: Stage, end: Callable[[Stage], None], reason: DisconnectReason
) -> None:
    ann = stage.active("ann")
    ann.lose()
    waiting = ann.resume(answered=False)
    end(stage)
    assert waiting.got(messages.Leave) == [messages.Leave(reason, LeaveAction.DISCONNECT)]


def test_who_leaves_while_waiting_has_left(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    waiting = ann.resume(answered=False)
    effects = waiting.leave()
    assert fx.CloseSession(waiting.session, None) in effects
    assert bob.told_of("ann")[-1].disconnect_reason is DisconnectReason.CLIENT_INITIATED


def test_a_join_that_is_not_complete_goes_on_too(stage: Stage) -> None:
    ann = stage.join("ann")
    waiting = ann.resume(answered=False)
    ann.lose()
    stage.wait(1)
    assert kinds(waiting)[0] == "Reconnected"
    waiting.connect()
    assert stage.room.view().num_participants == 1


def test_a_join_that_is_not_complete_ends_when_nobody_comes_back_for_it(stage: Stage) -> None:
    ann = stage.join("ann")
    waiting = ann.resume(answered=False)
    ann.lose()
    waiting.lose()
    assert stage.room.view().num_participants == 0
    assert not stage.ledger.participants


def test_what_is_watched_is_said_again(stage: Stage) -> None:
    ann, _ = stage.active("ann"), stage.active("bob")
    ann.publish("cam", TrackSource.CAMERA)
    (told,) = ann.got(messages.SubscribedQualityUpdate)
    assert ann.resume().got(messages.SubscribedQualityUpdate) == [told]


def test_a_first_subscriber_that_came_meanwhile_is_said_once(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    track = ann.publish("mic")
    ann.lose()
    stage.bind_all()
    bob.leave()
    stage.wait(100)
    back = ann.resume()
    assert back.got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)]
    stage.active("carol")
    stage.bind_all()
    assert back.got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)], "of the first one only"


def test_a_first_subscriber_that_came_before_the_loss_was_noticed_is_said_again(stage: Stage) -> None:
    ann, _ = stage.active("ann"), stage.active("bob")
    track = ann.publish("mic")
    stage.wait(100)
    stage.bind_all()
    stage.wait(20)
    ann.lose()
    assert ann.resume().got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)]


def test_a_first_subscriber_of_long_ago_is_not_said_again(stage: Stage) -> None:
    ann, _ = stage.active("ann"), stage.active("bob")
    ann.publish("mic")
    stage.bind_all()
    stage.wait(100)
    ann.lose()
    stage.wait(100)
    assert not ann.resume().got(messages.TrackSubscribed)


@pytest.mark.parametrize(("passed_s", "told"), [(20, 1), (100, 0)])
def test_a_track_that_could_not_be_sent_meanwhile_is_said_so(stage: Stage, passed_s: float, told: int) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    track = bob.publish("cam", TrackSource.CAMERA)
    (down_track,) = stage.ledger.down_tracks
    stage.do(inputs.DownTrackCodecUnsupported(down_track))
    stage.wait(passed_s)
    ann.lose()
    failure = messages.SubscriptionResponse(track.sid, SubscriptionError.CODEC_UNSUPPORTED)
    assert ann.resume().got(messages.SubscriptionResponse) == [failure] * told


def test_a_track_that_nobody_subscribes_to_is_not_said_to_be_subscribed(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob", hidden=True)
    ann.publish("mic")
    bob.publish("mic")
    ann.lose()
    assert not ann.resume().got(messages.TrackSubscribed)


def test_what_a_client_has_heard_on_its_return_is_not_said_at_the_next_one(stage: Stage) -> None:
    ann, _ = stage.active("ann"), stage.active("bob")
    track = ann.publish("mic")
    ann.lose()
    stage.bind_all()
    stage.wait(1)
    first = ann.resume()
    stage.wait(1)
    unheard = first.resume()
    assert unheard.got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)], "it has not answered"
    stage.do(inputs.SyncState(unheard.session, published=(track.sid,)))
    stage.wait(1)
    assert not unheard.resume().got(messages.TrackSubscribed)


def test_unanswered_announcements_and_mutes_are_said_again(stage: Stage) -> None:
    ann = stage.active("ann")
    live, pending = ann.publish("mic"), ann.announce("cam", TrackSource.CAMERA)
    stage.ask(lambda request: inputs.MutePublishedTrack(request, "ann", live.sid, muted=True))
    back = ann.resume()
    assert back.got(messages.TrackPublished) == [messages.TrackPublished("cam", pending)]
    assert back.got(messages.Mute) == [messages.Mute(live.sid, muted=True)]


def test_refused_subscriptions_are_said_again(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    track = bob.publish("mic")
    assert not ann.resume().got(messages.SubscriptionPermissionUpdate), "what was always allowed is no news"
    stage.do(inputs.SetSubscriptionPermission(bob.session, all_participants=False, permissions=()))
    back = ann.resume()
    update = messages.SubscriptionPermissionUpdate(ParticipantSid(bob.sid), track.sid, allowed=False)
    assert back.got(messages.SubscriptionPermissionUpdate) == [update]


def test_the_offer_after_a_resume_ends_what_is_not_sent_any_more(stage: Stage) -> None:
    ann = stage.active("ann")
    ann.publish("mic")
    back = ann.resume()
    stage.do(inputs.SyncState(back.session))
    assert stage.room.view().num_publishers == 1
    back.change_line("0", sends=False)
    assert any(isinstance(effect, fx.CloseUpTrack) for effect in back.offer())


def test_a_publication_that_is_unknown_needs_a_new_session(stage: Stage) -> None:
    ann = stage.active("ann")
    live, pending = ann.publish("mic"), ann.announce("cam", TrackSource.CAMERA)
    back = ann.resume()
    stage.do(inputs.SyncState(back.session, published=(live.sid, pending.sid)))
    assert not back.got(messages.Leave)
    stage.do(inputs.SyncState(back.session, published=(live.sid, TrackSid("TR_bogus"))))
    assert back.got(messages.Leave) == [MISMATCH]


def test_subscriptions_and_disabled_tracks_are_brought_into_agreement(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    mic, cam = bob.publish("mic"), bob.publish("cam", TrackSource.CAMERA)
    stage.bind_all()
    back = ann.resume()
    effects = stage.do(inputs.SyncState(back.session, wished=(mic.sid,), subscribe=False, disabled=(cam.sid,)))
    removed, switched = effects
    assert isinstance(removed, fx.RemoveDownTrack)
    assert isinstance(switched, fx.EnableDownTrack)
    assert not switched.enabled


def test_missed_data_is_asked_for(stage: Stage) -> None:
    ann = stage.active("ann")
    back = ann.resume()
    received = ((ParticipantSid("PA_bob"), 4),)
    (effect,) = stage.do(inputs.SyncState(back.session, received=received))
    assert isinstance(effect, fx.ReplayData)
    assert effect.received == received
    assert stage.do(inputs.SyncState(back.session, received=received)) == [], "once"


def test_who_never_was_away_has_missed_nothing(stage: Stage) -> None:
    ann = stage.active("ann")
    received = ((ParticipantSid("PA_bob"), 4),)
    assert stage.do(inputs.SyncState(ann.session, received=received)) == []
    assert stage.do(inputs.SyncState(ann.resume().session)) == []


def test_speakers_are_told_to_who_comes_back(stage: Stage) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    bob.publish("mic")
    stage.bind_all()
    (up_track,) = stage.ledger.up_tracks
    stage.do(inputs.AudioLevelsMeasured((inputs.AudioActivity(up_track, 10, 400),)))  # type: ignore[arg-type]
    loud = ann.resume().got(messages.SpeakersChanged)
    assert [(speaker.sid, speaker.active) for update in loud for speaker in update.speakers] == [(bob.sid, True)]


# ---------------------------------------------------------------- simulate


def play(client: Client, scenario: Scenario, value: int = 1) -> list[fx.Effect]:
    """The client asks for a scenario."""
    return client.stage.do(inputs.Simulate(client.session, scenario, value))


@pytest.mark.parametrize("scenario", [Scenario.NODE_FAILURE, Scenario.MIGRATION])
def test_a_failed_node_says_nothing_and_a_resume_finds_nobody(stage: Stage, scenario: Scenario) -> None:
    ann, bob = stage.active("ann"), stage.active("bob")
    assert fx.DropSession(ann.session) in play(ann, scenario)
    assert not ann.got(messages.Leave)
    assert bob.told_of("ann")[-1].state is ParticipantState.DISCONNECTED
    back = ann.resume()
    assert back.seen == [fx.CloseSession(back.session, MISMATCH)]


@pytest.mark.parametrize(
    ("scenario", "leave"),
    [
        (Scenario.SERVER_LEAVE, messages.Leave(DisconnectReason.SERVER_SHUTDOWN, LeaveAction.DISCONNECT)),
        (Scenario.LEAVE_REQUEST_FULL_RECONNECT, MISMATCH),
    ],
)
def test_leaves_can_be_asked_for(stage: Stage, scenario: Scenario, leave: messages.Leave) -> None:
    ann = stage.active("ann")
    play(ann, scenario)
    assert ann.got(messages.Leave) == [leave]


def test_a_resume_can_fail_before_its_first_message(stage: Stage) -> None:
    ann = stage.active("ann")
    play(ann, Scenario.DISCONNECT_SIGNAL_ON_RESUME_NO_MESSAGES)
    ann.lose()
    failed = ann.resume()
    assert failed.seen == [fx.DropSession(failed.session)]
    assert kinds(ann.resume())[0] == "Reconnected"


def test_a_resume_can_fail_after_its_messages(stage: Stage) -> None:
    ann = stage.active("ann")
    play(ann, Scenario.DISCONNECT_SIGNAL_ON_RESUME)
    failed = ann.resume()
    assert kinds(failed)[0] == "Reconnected"
    assert failed.seen[-1] == fx.DropSession(failed.session)
    assert kinds(failed.resume())[0] == "Reconnected"


def test_a_switched_candidate_protocol_holds_from_the_next_session_on(stage: Stage) -> None:
    def opens(client: Client) -> list[bool]:
        return [effect.tcp_only for effect in client.seen if isinstance(effect, fx.OpenTransport)]

    ann = stage.active("ann")
    play(ann, Scenario.SWITCH_CANDIDATE_PROTOCOL, 1)
    ann = stage.active("ann")
    assert opens(ann) == [True]
    play(ann, Scenario.SWITCH_CANDIDATE_PROTOCOL, 0)
    assert opens(stage.active("ann")) == [False]
    assert opens(stage.active("bob")) == [False]


def test_identities_without_udp_are_forgotten_when_there_are_too_many(stage: Stage) -> None:
    for number in range(300):
        ann = stage.active(f"ann{number}")
        play(ann, Scenario.SWITCH_CANDIDATE_PROTOCOL, 1)
        ann.leave()
    assert len(stage.room._state.tcp_only) == 256
    assert "ann299" in stage.room._state.tcp_only


def test_a_simulated_speaker_falls_silent_again(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with()
    ann, bob = stage.active("ann"), stage.active("bob")
    play(ann, Scenario.SPEAKER_UPDATE, 3)
    stage.wait(4)
    told = [(s.sid, s.active) for update in bob.got(messages.SpeakersChanged) for s in update.speakers]
    assert told == [(ann.sid, True), (ann.sid, False)]


@pytest.mark.parametrize("single", [True, False])
def test_a_narrow_path_concerns_only_the_client_that_simulates_it(stage: Stage, *, single: bool) -> None:
    ann, _ = stage.active("ann", single_peer_connection=single), stage.active("bob")
    transport = ann.transports["both" if single else "subscriber"]
    assert play(ann, Scenario.SUBSCRIBER_BANDWIDTH, 1_000) == [fx.SimulateRate(transport, 1_000)]
    assert play(ann, Scenario.SUBSCRIBER_BANDWIDTH, 0) == [fx.SimulateRate(transport, None)]
    assert play(ann, Scenario.SUBSCRIBER_BANDWIDTH, -1) == [fx.SimulateRate(transport, None)]


def test_who_gets_nothing_simulates_no_narrow_path(stage: Stage) -> None:
    ann = stage.active("ann", single_peer_connection=False, can_subscribe=False)
    assert play(ann, Scenario.SUBSCRIBER_BANDWIDTH, 1_000) == []


def test_nobody_simulates_from_a_dead_session(stage: Stage) -> None:
    stage.active("ann")
    assert stage.do(inputs.Simulate(SessionId(4_000_000), Scenario.NODE_FAILURE)) == []
