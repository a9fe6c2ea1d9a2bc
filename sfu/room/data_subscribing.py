"""Who gets which data track, and under which handle (protocol.md §2.11).

Owns the subscriptions and the handles: each is a subscriber's own name for a track, never used for two tracks one soon
after the other, because packets may be late. Never touches publications: `data_publishing` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.ids import DataDownTrackId, next_id
from sfu.room.data_publication import DataSubscription
from sfu.room.effects import AddDataDownTrack, RemoveDataDownTrack, SetDataDownTrackRate
from sfu.room.messages import DataTrackHandle, DataTrackHandles, SubscriptionPermissionUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.room.data_publication import DataPublication
    from sfu.room.inputs import DataSubscriptionWish
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState

__all__ = ["DataSubscribing"]

_MAX_HANDLE = 0xFFFF


class DataSubscribing:
    """All subscriptions of data tracks in a room."""

    def __init__(self, state: RoomState) -> None:
        self._state = state

    # ------------------------------------------------------------ causes

    def published(self, publication: DataPublication) -> None:
        """Everybody who subscribes automatically gets it."""
        for participant in self._state.participants.values():
            if participant is not publication.owner and participant.auto_subscribe_data:
                self._reconcile([self._subscription(participant, publication)])

    def ended(self, publication: DataPublication) -> None:
        """Its subscriptions end with it."""
        self._drop(list(publication.subscriptions.values()))

    def participant_joined(self, participant: Participant) -> None:
        """A new participant that subscribes automatically wants all there is."""
        if participant.auto_subscribe_data:
            publications = self._state.data_publications.values()
            self._reconcile([self._subscription(participant, p) for p in publications if p.owner is not participant])

    def participant_left(self, participant: Participant) -> None:
        """Its own subscriptions end."""
        for subscription in participant.data_subscriptions.values():
            self._unbind(subscription)
            del subscription.publication.subscriptions[participant.id]
        participant.data_subscriptions.clear()

    def rights_changed(self, subscriber: Participant) -> None:
        """What the subscriber may do has changed."""
        self._reconcile(list(subscriber.data_subscriptions.values()))

    def allowance_changed(self, publisher: Participant) -> None:
        """The publisher has changed its mind on who may subscribe, or has become (in)visible."""
        for publication in publisher.data_publications.values():
            for subscription in publication.subscriptions.values():
                self._reconcile([subscription])

    # ------------------------------------------------------------ wishes

    def wish(self, participant: Participant, wishes: Iterable[DataSubscriptionWish]) -> None:
        """`update_data_subscription`. A sid that is not known is of a track that has ended: there is nothing to say."""
        desired: list[DataSubscription] = []
        ended: list[DataSubscription] = []
        for wish in wishes:
            publication = self._state.data_publications.get(wish.track_sid)
            if publication is None or publication.owner is participant:
                continue
            if wish.subscribe:
                subscription = self._subscription(participant, publication)
                self._limit(subscription, wish.frames_per_s)
                desired.append(subscription)
            elif (known := participant.data_subscriptions.get(wish.track_sid)) is not None:
                ended.append(known)
        self._drop(ended)
        self._reconcile(desired)

    def remind(self, participant: Participant) -> None:
        """A client came back, and may have missed what it was told."""
        if participant.data_subscriptions or participant.was_told_handles:
            self._tell(participant)
        for subscription in participant.data_subscriptions.values():
            if subscription.told_allowed is False:
                self._tell_allowed(subscription, allowed=False)

    # ------------------------------------------------------------ reconciliation

    @staticmethod
    def _subscription(participant: Participant, publication: DataPublication) -> DataSubscription:
        subscription = participant.data_subscriptions.get(publication.sid)
        if subscription is None:
            subscription = DataSubscription(participant, publication)
            participant.data_subscriptions[publication.sid] = subscription
            publication.subscriptions[participant.id] = subscription
        return subscription

    def _limit(self, subscription: DataSubscription, frames_per_s: int | None) -> None:
        if subscription.frames_per_s != frames_per_s:
            subscription.frames_per_s = frames_per_s
            if subscription.down_track is not None:
                self._state.emit(SetDataDownTrackRate(subscription.down_track, frames_per_s))

    def _drop(self, subscriptions: Iterable[DataSubscription]) -> None:
        """Ends them; their subscribers hear of those that were bound."""
        told: dict[Participant, None] = {}
        for subscription in subscriptions:
            subscriber, publication = subscription.subscriber, subscription.publication
            if self._unbind(subscription):
                told[subscriber] = None
            del subscriber.data_subscriptions[publication.sid]
            del publication.subscriptions[subscriber.id]
        for subscriber in told:
            self._tell(subscriber)

    def _reconcile(self, subscriptions: list[DataSubscription]) -> None:
        """Binds or unbinds subscriptions of one subscriber. It hears the handles before packets can carry them."""
        fresh: list[DataSubscription] = []
        changed = False
        for subscription in subscriptions:
            may = self._may_bind(subscription)
            if may and subscription.down_track is None:
                self._name(subscription)
                fresh.append(subscription)
            elif not may:
                changed |= self._unbind(subscription)
        if fresh or changed:
            self._tell(subscriptions[0].subscriber)
        for subscription in fresh:
            self._bind(subscription)

    def _may_bind(self, subscription: DataSubscription) -> bool:
        """Whether it is granted; the subscriber hears when that has changed."""
        subscriber, owner = subscription.subscriber, subscription.publication.owner
        if not subscriber.permission.can_subscribe or owner.hidden:
            return False
        sid = subscription.publication.sid
        allowed = subscriber.recording or owner.allowance.allows(subscriber.identity, subscriber.sid, sid)
        if subscription.told_allowed != allowed:
            subscription.told_allowed = allowed
            self._tell_allowed(subscription, allowed=allowed)
        return allowed

    def _tell_allowed(self, subscription: DataSubscription, *, allowed: bool) -> None:
        publication = subscription.publication
        update = SubscriptionPermissionUpdate(publication.owner.sid, publication.sid, allowed)
        self._state.send((subscription.subscriber,), update)

    def _name(self, subscription: DataSubscription) -> None:
        """The next handle that is free; there are more than a subscriber can have subscriptions."""
        subscriber = subscription.subscriber
        taken = {s.handle for s in subscriber.data_subscriptions.values() if s.down_track is not None}
        handle = subscriber.last_data_handle
        while True:
            handle = handle % _MAX_HANDLE + 1
            if handle not in taken:
                break
        subscriber.last_data_handle = subscription.handle = handle
        subscription.down_track = DataDownTrackId(next_id())

    def _bind(self, subscription: DataSubscription) -> None:
        if subscription.down_track is not None:
            self._state.emit(
                AddDataDownTrack(
                    data_down_track=subscription.down_track,
                    data_up_track=subscription.publication.up_track,
                    participant=subscription.subscriber.id,
                    handle=subscription.handle,
                    frames_per_s=subscription.frames_per_s,
                )
            )

    def _unbind(self, subscription: DataSubscription) -> bool:
        """False: it was not bound."""
        if subscription.down_track is None:
            return False
        self._state.emit(RemoveDataDownTrack(subscription.down_track))
        subscription.down_track = None
        return True

    def _tell(self, subscriber: Participant) -> None:
        """`data_track_subscriber_handles`: the whole map, each time."""
        handles = {
            subscription.handle: DataTrackHandle(
                publisher_identity=subscription.publication.owner.identity,
                publisher_sid=subscription.publication.owner.sid,
                track_sid=subscription.publication.sid,
            )
            for subscription in subscriber.data_subscriptions.values()
            if subscription.down_track is not None
        }
        subscriber.was_told_handles = True
        self._state.send((subscriber,), DataTrackHandles(handles))
