"""Wishes, permissions and down tracks (protocol.md §4.11, §3.2 rows 15, 21, 23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import ParticipantSid, RequestId, TrackSid, next_id
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import SubscriptionError, TrackSource
from sfu.room.settings import PlayoutDelay
from sfu.room.views import PermissionView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sfu.room.conftest import Client, Stage


def _bound_to(stage: Stage, client: Client) -> set[str]:
    """Track sids that the engine forwards to the client."""
    transports = set(client.transports.values())
    subscriptions = stage.room._state.down_tracks
    return {
        subscriptions[down_track].track_sid
        for down_track, (transport, _) in stage.ledger.down_tracks.items()
        if transport in transports
    }


def _permissions(client: Client) -> list[tuple[str, bool]]:
    return [(m.track_sid, m.allowed) for m in client.got(messages.SubscriptionPermissionUpdate)]


def _restrict(stage: Stage, publisher: Client, *allowed: inputs.TrackPermission, everybody: bool = False) -> None:
    stage.do(inputs.SetSubscriptionPermission(publisher.session, everybody, allowed))


# ---------------------------------------------------------------- wishes


def test_new_and_existing_tracks_are_subscribed_automatically(stage: Stage) -> None:
    alice, early = stage.active("alice"), stage.active("early")
    track = alice.publish("mic")
    late = stage.active("late")
    assert _bound_to(stage, early) == _bound_to(stage, late) == {track.sid}
    assert _bound_to(stage, alice) == set()


def test_in_dual_mode_tracks_leave_by_the_subscriber_transport(stage: Stage) -> None:
    bob = stage.active("bob", single_peer_connection=False)
    stage.active("alice").publish("mic")
    ((transport, _),) = stage.ledger.down_tracks.values()
    assert transport == bob.transports["subscriber"]


def test_without_auto_subscribe_nothing_is_subscribed_until_asked(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    first, second = alice.publish("mic"), alice.publish("cam", TrackSource.CAMERA)
    assert _bound_to(stage, bob) == set()
    stage.do(inputs.UpdateSubscription(bob.session, (second.sid,), subscribe=True))
    assert _bound_to(stage, bob) == {second.sid}
    stage.do(inputs.UpdateSubscription(bob.session, (first.sid, second.sid), subscribe=False))
    assert _bound_to(stage, bob) == set()


def test_unsubscribing_and_subscribing_again_renews_the_down_track(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    (first,) = stage.ledger.down_tracks
    for subscribe in (False, True, True):
        stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=subscribe))
    (second,) = stage.ledger.down_tracks
    assert first != second


def test_nobody_subscribes_to_itself(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("mic")
    stage.do(inputs.UpdateSubscription(alice.session, (track.sid,), subscribe=True))
    stage.do(inputs.UpdateTrackSettings(alice.session, (track.sid,), disabled=True))
    assert not stage.ledger.down_tracks


def test_an_unknown_track_stays_desired_for_a_minute(stage: Stage) -> None:
    bob = stage.active("bob")
    sid = TrackSid("TR_unknown")
    stage.do(inputs.UpdateSubscription(bob.session, (sid,), subscribe=True))
    stage.wait(59)
    assert not bob.got(messages.SubscriptionResponse)
    stage.wait(2)
    assert bob.got(messages.SubscriptionResponse) == [
        messages.SubscriptionResponse(sid, SubscriptionError.TRACK_NOT_FOUND)
    ]


def test_a_desired_track_is_bound_when_it_appears(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    track = alice.announce("mic")
    stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    alice.add_line("mic", track.type)
    alice.offer()
    assert _bound_to(stage, bob) == {track.sid}
    stage.bind_all()
    stage.wait(120)
    assert not bob.got(messages.SubscriptionResponse)


def test_a_withdrawn_wish_for_an_unknown_track_is_forgotten(stage: Stage) -> None:
    bob = stage.active("bob")
    for subscribe in (True, False):
        stage.do(inputs.UpdateSubscription(bob.session, (TrackSid("TR_unknown"),), subscribe=subscribe))
    stage.wait(120)
    assert not bob.got(messages.SubscriptionResponse)


def test_wishes_for_unknown_tracks_are_limited(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(max_unknown_tracks=3)
    bob = stage.active("bob")
    stage.do(inputs.UpdateSubscription(bob.session, tuple(TrackSid(f"TR_{i}") for i in range(5)), subscribe=True))
    assert [m.track_sid for m in bob.got(messages.SubscriptionResponse)] == ["TR_3", "TR_4"]


def test_who_may_not_subscribe_gets_nothing(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", can_subscribe=False)
    track = alice.publish("mic")
    stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    assert _bound_to(stage, bob) == set()
    assert _permissions(bob) == []


def test_subscriptions_follow_the_permission_to_subscribe(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", single_peer_connection=False, can_subscribe=False)
    track = alice.publish("mic")

    def permit(may: bool) -> list[fx.Effect]:
        view = PermissionView(can_subscribe=may)
        request = RequestId(next_id())
        stage.ledger.questions.add(request)
        return stage.do(inputs.UpdateParticipant(request, "bob", permission=view))

    opened = [effect for effect in permit(True) if isinstance(effect, fx.OpenTransport)]
    assert [effect.role for effect in opened] == ["subscriber"]
    bob.transports["subscriber"] = opened[0].transport
    assert _bound_to(stage, bob) == {track.sid}
    permit(False)
    assert _bound_to(stage, bob) == set()
    assert not [effect for effect in permit(True) if isinstance(effect, fx.OpenTransport)]
    assert _bound_to(stage, bob) == {track.sid}


def test_tracks_of_hidden_participants_are_not_forwarded(stage: Stage) -> None:
    alice, bob = stage.active("alice", hidden=True), stage.active("bob")
    track = alice.publish("mic")
    stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    assert _bound_to(stage, bob) == set()


# ---------------------------------------------------------------- settings


def test_disabling_stops_packets_without_unsubscribing(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("cam", TrackSource.CAMERA)
    (down_track,) = stage.ledger.down_tracks
    for disabled in (True, True, False):
        stage.do(inputs.UpdateTrackSettings(bob.session, (track.sid, TrackSid("TR_unknown")), disabled=disabled))
    assert set(stage.ledger.down_tracks) == {down_track}


@pytest.mark.parametrize("while_subscribed", [True, False])
def test_settings_outlast_a_resubscription(stage: Stage, while_subscribed: bool) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=while_subscribed)
    track = alice.publish("cam", TrackSource.CAMERA)
    effects = stage.do(inputs.UpdateTrackSettings(bob.session, (track.sid,), disabled=True))
    assert bool([e for e in effects if isinstance(e, fx.EnableDownTrack)]) is while_subscribed
    stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=False))
    effects = stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    assert [e.enabled for e in effects if isinstance(e, fx.AddDownTrack)] == [False]


# ---------------------------------------------------------------- the publisher's word


def test_the_first_resolution_tells_that_it_is_allowed(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    assert bob.got(messages.SubscriptionPermissionUpdate) == [
        messages.SubscriptionPermissionUpdate(ParticipantSid(alice.sid), track.sid, allowed=True)
    ]


def test_the_same_news_is_one_message_for_all(stage: Stage) -> None:
    alice = stage.active("alice")
    for name in ("b", "c", "d"):
        stage.active(name)
    alice.announce("mic")
    alice.add_line("mic", alice.got(messages.TrackPublished)[0].track.type)
    sends = [
        effect
        for effect in alice.offer()
        if isinstance(effect, fx.Send) and isinstance(effect.message, messages.SubscriptionPermissionUpdate)
    ]
    assert [len(effect.sessions) for effect in sends] == [3]


@pytest.mark.parametrize("by", ["participant_identity", "participant_sid"])
@pytest.mark.parametrize("all_tracks", [True, False])
def test_only_the_named_may_subscribe(stage: Stage, by: str, all_tracks: bool) -> None:
    alice, bob, carol = stage.active("alice"), stage.active("bob"), stage.active("carol")
    audio = alice.publish("mic")
    name = "bob" if by == "participant_identity" else bob.sid
    sids = () if all_tracks else (audio.sid,)
    permission = inputs.TrackPermission(**{by: name}, all_tracks=all_tracks, track_sids=sids)
    _restrict(stage, alice, permission)
    video = alice.publish("cam", TrackSource.CAMERA)
    assert _bound_to(stage, bob) == ({audio.sid, video.sid} if all_tracks else {audio.sid})
    assert _bound_to(stage, carol) == set()
    assert _permissions(carol) == [(audio.sid, True), (audio.sid, False), (video.sid, False)]


def test_a_permission_given_back_binds_again(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("mic")
    _restrict(stage, alice)
    assert _bound_to(stage, bob) == set()
    _restrict(stage, alice, everybody=True)
    assert _bound_to(stage, bob) == {track.sid}
    assert _permissions(bob) == [(track.sid, True), (track.sid, False), (track.sid, True)]


def test_recorders_are_exempt(stage: Stage) -> None:
    alice = stage.active("alice")
    track = alice.publish("mic")
    _restrict(stage, alice)
    for options in ({"recorder": True, "hidden": True}, {"kind": "egress"}):
        recorder = stage.active(f"recorder {options}", **options)
        assert _bound_to(stage, recorder) == {track.sid}


def test_who_does_not_want_the_track_hears_nothing_of_permissions(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False)
    alice.publish("mic")
    _restrict(stage, alice)
    assert _permissions(bob) == []


# ---------------------------------------------------------------- the engine's word


def test_the_publisher_hears_of_its_first_real_subscriber_once(stage: Stage) -> None:
    alice = stage.active("alice")
    stage.active("ghost", hidden=True)
    stage.active("recorder", recorder=True)
    track = alice.publish("mic")
    stage.bind_all()
    assert not alice.got(messages.TrackSubscribed)
    for name in ("b", "c"):
        stage.active(name)
        stage.bind_all()
        stage.bind_all()
    assert alice.got(messages.TrackSubscribed) == [messages.TrackSubscribed(track.sid)]


def test_an_unsupported_codec_is_told_and_tried_again_only_when_asked(stage: Stage) -> None:
    alice, bob = stage.active("alice"), stage.active("bob")
    track = alice.publish("cam", TrackSource.CAMERA)
    (down_track,) = stage.ledger.down_tracks
    stage.do(inputs.DownTrackCodecUnsupported(down_track))
    stage.do(inputs.DownTrackCodecUnsupported(down_track))
    assert bob.got(messages.SubscriptionResponse) == [
        messages.SubscriptionResponse(track.sid, SubscriptionError.CODEC_UNSUPPORTED)
    ]
    _restrict(stage, alice, everybody=True)
    assert _bound_to(stage, bob) == set()
    stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    assert _bound_to(stage, bob) == {track.sid}


def test_late_words_on_dead_down_tracks_mean_nothing(stage: Stage) -> None:
    stage.active("alice").publish("mic")
    bob = stage.active("bob")
    (down_track,) = stage.ledger.down_tracks
    bob.leave()
    late: list[Any] = [inputs.DownTrackBound(down_track), inputs.DownTrackCodecUnsupported(down_track)]
    assert [stage.do(event) for event in late] == [[], []]


@pytest.mark.parametrize(
    ("features", "capabilities", "cut"), [((0, 1), (), True), ((0,), (1,), False), ((), (), False), ((0,), (2,), True)]
)
def test_packet_trailers_are_cut_where_there_are_some_and_the_subscriber_knows_none(
    stage: Stage, features: tuple[int, ...], capabilities: tuple[int, ...], *, cut: bool
) -> None:
    alice, bob = stage.active("alice"), stage.active("bob", auto_subscribe=False, capabilities=capabilities)
    track = alice.publish("cam", TrackSource.CAMERA, packet_trailer_features=features)
    effects = stage.do(inputs.UpdateSubscription(bob.session, (track.sid,), subscribe=True))
    assert [e.strip_trailer for e in effects if isinstance(e, fx.AddDownTrack)] == [cut]


@pytest.mark.parametrize("full_ice", [False, True])
def test_a_transport_is_opened_as_client_and_room_want_it(stage_with: Callable[..., Stage], *, full_ice: bool) -> None:
    stage = stage_with(playout_delay=PlayoutDelay(100, 200), answer_timeout_s=3.0)
    alice = stage.join("alice", full_ice=full_ice)
    (opened,) = (e for e in alice.seen if isinstance(e, fx.OpenTransport))
    assert (opened.full_ice, opened.playout_delay, opened.answer_timeout_s) == (full_ice, PlayoutDelay(100, 200), 3.0)
