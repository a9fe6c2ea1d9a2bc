"""Brings wishes, permissions and the engine's down tracks into agreement (protocol.md §4.11).

Owns every change of a `Subscription`. `reconcile` is the only place that adds or removes down tracks of living
subscriptions: it is called whenever something that it looks at has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.ids import DownTrackId, ParticipantId, SessionId, TrackSid, next_id
from sfu.room.devices import switches_codec_in_place
from sfu.room.effects import (
    AddDownTrack,
    EnableDownTrack,
    MoveDownTrack,
    RemoveDownTrack,
    Send,
    SetDownTrackLayers,
    SetDownTrackPriority,
)
from sfu.room.enums import SubscriptionError, TrackType, VideoQuality
from sfu.room.layers import NO_LIMIT, NO_WISH, LayerWish
from sfu.room.messages import (
    StreamState,
    StreamStateUpdate,
    SubscriptionPermissionUpdate,
    SubscriptionResponse,
    TrackSubscribed,
)
from sfu.room.slots import LAST_PRIORITY, has_limit, has_slot, priority_of, waiting_for_slot
from sfu.room.subscription import Subscription
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.ids import UpTrackId
    from sfu.room.dynacast import Dynacast
    from sfu.room.inputs import OfferedMedia, UpdateTrackSettings
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.published_codec import PublishedCodec
    from sfu.room.state import RoomState

__all__ = ["Subscribing"]


class Subscribing:
    """All subscriptions of a room."""

    def __init__(self, state: RoomState, dynacast: Dynacast) -> None:
        self._state = state
        self._dynacast = dynacast
        self._vacated: dict[tuple[Participant, TrackType], None] = {}
        """Whose subscriptions have become fewer in the change under way."""

    # ------------------------------------------------------------ causes

    def publication_went_live(self, publication: Publication) -> None:
        """Everybody who subscribes automatically, or waits for this sid, gets it."""
        affected = []
        for participant in self._state.participants.values():
            if participant is publication.owner:
                continue
            waiting = participant.subscriptions.get(publication.sid)
            if waiting is not None:
                self._state.timers.cancel(TimerKind.UNKNOWN_TRACK, participant.id, publication.sid)
                self._attach(waiting, publication)
                affected.append(waiting)
            elif participant.auto_subscribe:
                affected.append(self._subscription(participant, publication, desired=True))
        self._reconcile_all(affected)

    def publication_ended(self, publication: Publication) -> None:
        """Its subscriptions end with it."""
        for subscription in publication.subscriptions.values():
            self._unbind(subscription)
            subscription.subscriber.subscriptions.pop(publication.sid, None)
        publication.subscriptions.clear()
        self._fill_slots()

    def participant_joined(self, participant: Participant) -> None:
        """A new participant that subscribes automatically wants all there is."""
        if participant.auto_subscribe:
            others = [p for p in self._state.publications.values() if p.owner is not participant]
            self._reconcile_all([self._subscription(participant, p, desired=True) for p in others])

    def participant_left(self, participant: Participant) -> None:
        """Its own subscriptions end."""
        for subscription in participant.subscriptions.values():
            self._unbind(subscription)
            if subscription.publication is None:
                self._state.timers.cancel(TimerKind.UNKNOWN_TRACK, participant.id, subscription.track_sid)
            else:
                subscription.publication.subscriptions.pop(participant.id, None)
        participant.subscriptions.clear()
        self._vacated.clear()

    def rights_changed(self, subscriber: Participant) -> None:
        """What the subscriber may do has changed (`canSubscribe`, recorder)."""
        self._reconcile_all(subscriber.subscriptions.values())

    def allowance_changed(self, publisher: Participant) -> None:
        """The publisher has changed its mind on who may subscribe, or has become (in)visible."""
        for publication in publisher.publications.values():
            self._reconcile_all(publication.subscriptions.values())

    # ------------------------------------------------------------ wishes

    def wish(self, participant: Participant, track_sids: Iterable[TrackSid], *, subscribe: bool) -> None:
        """The client, or an administrator for it, wants these tracks or wants them no more."""
        affected = []
        for sid in track_sids:
            publication = self._state.publications.get(sid)
            if publication is None:
                self._wish_unknown(participant, sid, subscribe=subscribe)
            elif publication.owner is not participant:
                subscription = self._subscription(participant, publication, desired=subscribe)
                subscription.codec_unsupported = False
                subscription.refused.clear()
                affected.append(subscription)
        self._reconcile_all(affected)

    def configure(self, participant: Participant, settings: UpdateTrackSettings) -> None:
        """`track_setting`: kept for tracks that are not subscribed now; unknown tracks are ignored."""
        for sid in settings.track_sids:
            publication = self._state.publications.get(sid)
            if publication is None or publication.owner is participant:
                continue
            subscription = self._subscription(participant, publication)
            subscription.wish = LayerWish(settings.quality, settings.width, settings.height, settings.fps)
            subscription.asked_priority = settings.priority
            self._limit(subscription)
            self._prioritise(subscription)
            self._enable(subscription, enabled=not settings.disabled)
            self._dynacast.changed(subscription)

    def disable(self, participant: Participant, track_sids: Iterable[TrackSid]) -> None:
        """`track_sids_disabled` of a client that came back; it does not name what it wants enabled."""
        for sid in track_sids:
            subscription = participant.subscriptions.get(sid)
            if subscription is not None:
                self._enable(subscription, enabled=False)
                self._dynacast.changed(subscription)

    def _enable(self, subscription: Subscription, *, enabled: bool) -> None:
        if subscription.enabled != enabled:
            subscription.enabled = enabled
            if subscription.down_track is not None:
                self._state.emit(EnableDownTrack(subscription.down_track, enabled))
            if enabled:
                self._await_codec(subscription)

    def unmuted(self, publication: Publication) -> None:
        """The publisher sends again, and is asked again for what is still missing."""
        for subscription in publication.subscriptions.values():
            self._await_codec(subscription)

    def layers_changed(self, publication: Publication) -> None:
        """The publication's dimensions changed: what subscribers asked for may be another layer now."""
        for subscription in publication.subscriptions.values():
            self._limit(subscription)
        self._dynacast.layers_changed(publication)

    def unknown_expired(self, owner: ParticipantId, sid: TrackSid) -> None:
        """A desired track has not appeared in time."""
        participant = self._state.participants.get(owner)
        if participant is not None and participant.subscriptions.pop(sid, None) is not None:
            self._state.send((participant,), SubscriptionResponse(sid, SubscriptionError.TRACK_NOT_FOUND))

    def binding_expired(self, owner: ParticipantId, sid: TrackSid) -> None:
        """A subscription was not to be sent for a while: its client hears so once. It is sent as soon as it can be."""
        participant = self._state.participants.get(owner)
        subscription = None if participant is None else participant.subscriptions.get(sid)
        if subscription is None or subscription.flowing:
            return
        if _is_due(subscription):
            subscription.told_unbound = True
            self._state.send((subscription.subscriber,), SubscriptionResponse(sid, SubscriptionError.UNKNOWN))
        else:
            self._await_binding(subscription)

    def _await_binding(self, subscription: Subscription) -> None:
        """Gives a subscription that cannot be sent (yet) some time, from now on."""
        if not (subscription.flowing or subscription.told_unbound):
            due_s = self._state.now.monotonic_s + self._state.settings.binding_timeout_s
            self._state.timers.set(TimerKind.BINDING, due_s, subscription.subscriber.id, subscription.track_sid)

    def _await_codec(self, subscription: Subscription) -> None:
        """Its publisher is asked for its codec from now on; the time for a line is not longer for that."""
        if subscription.bound:
            self._await_binding(subscription)

    def _stop_awaiting(self, subscription: Subscription) -> None:
        self._state.timers.cancel(TimerKind.BINDING, subscription.subscriber.id, subscription.track_sid)

    def _wish_unknown(self, participant: Participant, sid: TrackSid, *, subscribe: bool) -> None:
        known = sid in participant.subscriptions
        if not subscribe:
            participant.subscriptions.pop(sid, None)
            self._state.timers.cancel(TimerKind.UNKNOWN_TRACK, participant.id, sid)
        elif not known and len(participant.subscriptions) >= self._state.settings.max_unknown_tracks + len(
            self._state.publications
        ):
            self._state.send((participant,), SubscriptionResponse(sid, SubscriptionError.TRACK_NOT_FOUND))
        elif not known:
            participant.subscriptions[sid] = Subscription(participant, sid, desired=True, wish=_first_wish(participant))
            due_s = self._state.now.monotonic_s + self._state.settings.unknown_track_s
            self._state.timers.set(TimerKind.UNKNOWN_TRACK, due_s, participant.id, sid)

    # ------------------------------------------------------------ the engine's word

    def bound(self, down_track: DownTrackId, mime_types: Sequence[str] = ()) -> Subscription | None:
        """Negotiated: the publisher of a first real subscriber is told. Returns what is newly bound."""
        subscription = self._state.down_tracks.get(down_track)
        if subscription is None or subscription.publication is None:
            return None
        if subscription.publication.type is TrackType.VIDEO and mime_types:
            subscription.decodes = frozenset(mime_types)
            if subscription.subscriber.decodes is None:  # its other lines will be like this one
                self._decodes(subscription.subscriber, subscription.decodes)
            else:
                self._choose_codec(subscription)
        if subscription.bound or subscription.down_track is None:
            return None
        subscription.bound = True
        if subscription.flowing:
            self._stop_awaiting(subscription)
        publication, subscriber = subscription.publication, subscription.subscriber
        if publication.subscribed_at_s is None and not (subscriber.hidden or subscriber.recording):
            publication.subscribed_at_s = self._state.now.monotonic_s
            self._state.send((publication.owner,), TrackSubscribed(publication.sid))
        return subscription

    def codec_unsupported(self, down_track: DownTrackId, up_track: UpTrackId | None = None) -> None:
        """The engine cannot send what the publication comes in: in another codec, or an error for the client."""
        subscription = self._state.down_tracks.get(down_track)
        if subscription is None or subscription.codec is None:
            return
        if up_track is not None and up_track != subscription.codec.up_track:
            return  # it has been given another one meanwhile
        subscription.refused.add(subscription.codec.mime_type)
        if subscription.bound:
            self._choose_codec(subscription)
        else:  # it turned the whole line down
            self._give_up(subscription)

    # ------------------------------------------------------------ codecs

    def codecs_offered(self, subscriber: Participant, media: Iterable[OfferedMedia]) -> None:
        """A client offers to receive: that says which codecs it takes (single mode; else its answers do). Known before
        the answer, it need not show a track that it cannot play."""
        receiving = [line for line in media if line.type is TrackType.VIDEO and line.receives and not line.sends]
        taken = frozenset(mime for line in receiving for mime in line.mime_types)
        if taken and subscriber.single_peer_connection and subscriber.decodes != taken:
            self._decodes(subscriber, taken)

    def _decodes(self, subscriber: Participant, mime_types: frozenset[str]) -> None:
        """It has become known what a subscriber decodes, where its line does not say otherwise."""
        subscriber.decodes = mime_types
        for subscription in list(subscriber.subscriptions.values()):
            self._choose_codec(subscription)

    def codec_started(self, publication: Publication, codec: PublishedCodec) -> None:
        """Media of a codec has come. Of a backup: where regression is wanted, all move to it; until now they had better
        not, for they would have had nothing meanwhile."""
        threshold = self._state.settings.codec_regression_threshold
        if codec is publication.regression_target(len(self._state.participants), threshold):
            publication.regressed = True
            self.codecs_changed(publication)

    def codec_ended(self, publication: Publication, codec: PublishedCodec) -> None:
        """A backup is no more: its subscribers fall back, or wait for it to come again."""
        for subscription in list(publication.subscriptions.values()):
            if subscription.codec is codec:
                subscription.codec = None
        self.codecs_changed(publication)

    def codecs_changed(self, publication: Publication) -> None:
        """Another codec may be the right one for each subscriber."""
        for subscription in list(publication.subscriptions.values()):
            self._choose_codec(subscription)

    def _choose_codec(self, subscription: Subscription) -> None:
        """Feeds a down track by the best codec that its subscriber takes; gives it up when there is none."""
        publication, current = subscription.publication, subscription.codec
        if publication is None or subscription.down_track is None:
            return
        chosen = _best_codec(subscription, publication)
        if chosen is None:
            self._give_up(subscription)
        elif chosen is not current:
            plays = subscription.bound and current is not None and current.live and subscription.takes(current)
            if plays and not switches_codec_in_place(subscription.subscriber.session.client):
                self._unbind(subscription)
                self._bind(subscription, publication)
                return
            subscription.codec = chosen
            self._state.emit(MoveDownTrack(subscription.down_track, chosen.up_track))
            self._await_binding(subscription)
            self._limit(subscription)
            self._dynacast.changed(subscription)

    def _give_up(self, subscription: Subscription) -> None:
        """The subscriber takes no codec of the publication: an error for the client, no retry until it asks again."""
        subscription.codec_unsupported = True
        subscription.gave_up_at_s = self._state.now.monotonic_s
        self._unbind(subscription)
        self._tell_unsupported(subscription)
        self._fill_slots()

    def _tell_unsupported(self, subscription: Subscription) -> None:
        message = SubscriptionResponse(subscription.track_sid, SubscriptionError.CODEC_UNSUPPORTED)
        self._state.send((subscription.subscriber,), message)

    def paused(self, down_track: DownTrackId, *, paused: bool) -> None:
        """The path to a subscriber does not bear a track, or does again: the subscriber alone hears of it."""
        subscription = self._state.down_tracks.get(down_track)
        if subscription is None or subscription.paused == paused:
            return
        subscription.paused = paused
        subscription.was_paused = True
        self._tell_stream_states(subscription.subscriber, [subscription])

    def tell_returned(self, participant: Participant, since_s: float) -> None:
        """A client that was away, and may have heard nothing since then, hears which of its tracks have found their
        first subscribers, which of the others' cannot be sent to it, and how what was ever paused stands now.

        Better twice than never: who waits for a first subscriber waits for ever.
        """
        for publication in participant.publications.values():
            if publication.subscribed_at_s is not None and publication.subscribed_at_s >= since_s:
                self._state.send((participant,), TrackSubscribed(publication.sid))
        for subscription in participant.subscriptions.values():
            if subscription.codec_unsupported and subscription.gave_up_at_s >= since_s:
                self._tell_unsupported(subscription)
            if subscription.down_track is not None:
                subscription.told_unbound = False
                self._await_binding(subscription)  # what it was offered or told while it was away was lost
        self._tell_stream_states(participant, (s for s in participant.subscriptions.values() if s.was_paused))

    def _tell_stream_states(self, subscriber: Participant, subscriptions: Iterable[Subscription]) -> None:
        states = tuple(
            StreamState(subscription.publication.owner.sid, subscription.track_sid, subscription.paused)
            for subscription in subscriptions
            if subscription.publication is not None and subscription.down_track is not None
        )
        if states:
            self._state.send((subscriber,), StreamStateUpdate(states))

    # ------------------------------------------------------------ reconciliation

    def _subscription(
        self, participant: Participant, publication: Publication, *, desired: bool | None = None
    ) -> Subscription:
        subscription = participant.subscriptions.get(publication.sid)
        if subscription is None:
            subscription = Subscription(participant, publication.sid, wish=_first_wish(participant))
            participant.subscriptions[publication.sid] = subscription
            self._attach(subscription, publication)
        if desired is not None:
            subscription.desired = desired
        return subscription

    @staticmethod
    def _attach(subscription: Subscription, publication: Publication) -> None:
        subscription.publication = publication
        publication.subscriptions[subscription.subscriber.id] = subscription

    def _reconcile_all(self, subscriptions: Iterable[Subscription]) -> None:
        self._reconcile_each(subscriptions)
        self._fill_slots()

    def _reconcile_each(self, subscriptions: Iterable[Subscription]) -> None:
        told: dict[SubscriptionPermissionUpdate, list[SessionId]] = {}
        for subscription in subscriptions:
            update = self._reconcile(subscription)
            if update is not None:
                told.setdefault(update, []).extend(subscription.subscriber.session_ids())
        for update, sessions in told.items():
            if sessions:
                self._state.emit(Send(tuple(sessions), update))

    def _fill_slots(self) -> None:
        """Subscriptions that waited get the slots that have become free, and are not looked at when there is none."""
        while self._vacated:
            (subscriber, kind), _ = self._vacated.popitem()
            if has_slot(subscriber, kind, self._state.settings):
                self._reconcile_each(waiting_for_slot(subscriber, kind))

    def _reconcile(self, subscription: Subscription) -> SubscriptionPermissionUpdate | None:
        """Binds or unbinds; returns what the subscriber must hear of its permission, if that is news."""
        publication, subscriber = subscription.publication, subscription.subscriber
        if publication is None:
            return None
        owner = publication.owner
        wanted = subscription.desired and subscriber.permission.can_subscribe and not owner.hidden
        allowed = subscriber.recording or owner.allowance.allows(subscriber.identity, subscriber.sid, publication.sid)
        if wanted and allowed and not subscription.codec_unsupported:
            self._bind(subscription, publication)
        else:
            self._unbind(subscription)
        if not wanted or subscription.told_allowed == allowed:
            return None
        subscription.told_allowed = allowed
        subscription.was_forbidden |= not allowed
        return SubscriptionPermissionUpdate(owner.sid, publication.sid, allowed)

    def _bind(self, subscription: Subscription, publication: Publication) -> None:
        transport = subscription.subscriber.transports.subscriber
        if subscription.down_track is not None or transport is None or not publication.codecs:
            return
        if not has_slot(subscription.subscriber, publication.type, self._state.settings):
            return  # it waits, with all that it wants
        codec = _best_codec(subscription, publication)
        if codec is None:
            self._give_up(subscription)
            return
        subscription.codec = codec
        down_track = DownTrackId(next_id())
        subscription.down_track = down_track
        self._state.down_tracks[down_track] = subscription
        subscription.subscriber.bound_tracks[publication.type] += 1
        self._state.emit(
            AddDownTrack(
                down_track=down_track,
                transport=transport,
                up_track=codec.up_track,
                type=publication.type,
                stream_id=publication.stream_id,
                track_sid=publication.sid,
                stereo=publication.view.stereo,
                enabled=subscription.enabled,
                strip_trailer=bool(publication.view.packet_trailer_features)
                and not subscription.subscriber.session.knows_packet_trailers,
            )
        )
        subscription.told_limit = NO_LIMIT
        subscription.told_priority = LAST_PRIORITY
        self._await_binding(subscription)
        self._limit(subscription)
        self._prioritise(subscription)
        self._dynacast.changed(subscription)

    def _unbind(self, subscription: Subscription) -> None:
        if subscription.down_track is not None:
            self._state.emit(RemoveDownTrack(subscription.down_track))
            del self._state.down_tracks[subscription.down_track]
            subscription.down_track = subscription.codec = subscription.decodes = None
            subscription.bound = subscription.told_unbound = False
            self._stop_awaiting(subscription)
            subscription.paused = subscription.was_paused = False
            self._dynacast.changed(subscription)
            if subscription.publication is not None:
                self._vacate(subscription.subscriber, subscription.publication.type)

    def _vacate(self, subscriber: Participant, kind: TrackType) -> None:
        subscriber.bound_tracks[kind] -= 1
        if has_limit(kind, self._state.settings):
            self._vacated[subscriber, kind] = None

    def _limit(self, subscription: Subscription) -> None:
        """Tells the engine what the subscriber is to get, when that is news."""
        limit = subscription.limit()
        if subscription.down_track is not None and subscription.told_limit != limit:
            subscription.told_limit = limit
            self._state.emit(SetDownTrackLayers(subscription.down_track, limit.max_spatial, limit.max_fps))

    def _prioritise(self, subscription: Subscription) -> None:
        """Tells the engine how much the subscription matters, when that is news; only video is ever cut."""
        publication = subscription.publication
        if subscription.down_track is None or publication is None or publication.type is not TrackType.VIDEO:
            return
        priority = priority_of(publication.view, subscription.asked_priority)
        if subscription.told_priority != priority:
            subscription.told_priority = priority
            self._state.emit(SetDownTrackPriority(subscription.down_track, priority))


def _is_due(subscription: Subscription) -> bool:
    """Whether it should be sent by now: its client is there, and what is still missing was asked for.

    A backup is asked for only while somebody watches and the publication is not muted.
    """
    publication = subscription.publication
    if publication is None or not subscription.subscriber.reachable:
        return False
    return not subscription.bound or (subscription.enabled and not publication.view.muted)


def _best_codec(subscription: Subscription, publication: Publication) -> PublishedCodec | None:
    """The first codec in the publication's order that the subscriber takes."""
    return next((codec for codec in publication.codecs_in_order() if subscription.takes(codec)), None)


def _first_wish(participant: Participant) -> LayerWish:
    """Before a client says in which size it shows a track (protocol.md §4.3)."""
    return LayerWish(VideoQuality.LOW) if participant.adaptive_stream else NO_WISH
