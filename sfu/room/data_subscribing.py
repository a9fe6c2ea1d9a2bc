"""Who gets which data track, and under which handle (protocol.md §2.11).

Owns the subscriptions and the handles: each is a subscriber's own name for a track, never used for two tracks one soon
after the other, because packets may be late. All handles are told at once, so what happens without a subscriber's doing
is gathered for it. Never touches publications: `data_publishing` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.ids import DataDownTrackId, next_id
from sfu.room.data_publication import DataSubscription
from sfu.room.effects import AddDataDownTrack, RemoveDataDownTrack, SetDataDownTrackRate
from sfu.room.enums import RequestReason
from sfu.room.messages import DataTrackHandle, DataTrackHandles, SubscriptionPermissionUpdate
from sfu.room.pace import Pace
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.room.data_publication import DataPublication
    from sfu.room.inputs import DataSubscriptionWish
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState

__all__ = ["DataSubscribing"]

_MAX_HANDLE = 0xFFFF


@dataclass(slots=True)
class _Gathered:
    """What one subscriber is to hear at the next flush."""

    wanted: dict[DataSubscription, None] = field(default_factory=dict)
    """To be bound, if they may still be."""
    is_fewer: bool = False
    """Handles that it knows of are gone."""


class DataSubscribing:
    """All subscriptions of data tracks in a room."""

    def __init__(self, state: RoomState) -> None:
        self._state = state
        self._gathered: dict[Participant, _Gathered] = {}
        limits, now_s = state.settings.updates, state.now.monotonic_s
        wait_s = limits.longest_wait_s
        self._pace = Pace(limits.handles_per_s, limits.handles_per_s, max_wait_s=wait_s, now_s=now_s)
        self._flushed_s = -math.inf

    # ------------------------------------------------------------ causes

    def published(self, publication: DataPublication) -> None:
        """Everybody who subscribes automatically gets it."""
        for participant in self._state.participants.values():
            if participant is not publication.owner and participant.auto_subscribe_data:
                subscription = self._subscription(participant, publication)
                if subscription is not None:
                    self._gather(participant).wanted[subscription] = None

    def ended(self, publication: DataPublication) -> None:
        """Its subscriptions end with it."""
        for subscriber in self._drop(list(publication.subscriptions.values())):
            self._gather(subscriber).is_fewer = True

    def flush(self) -> None:
        """What was gathered is told and bound."""
        gathered, self._gathered = self._gathered, {}
        self._flushed_s = self._state.now.monotonic_s
        for subscriber, due in gathered.items():
            present = subscriber.data_subscriptions
            wanted = [s for s in due.wanted if present.get(s.publication.sid) is s]
            self._reconcile(subscriber, wanted, tell=due.is_fewer)

    def _gather(self, subscriber: Participant) -> _Gathered:
        now_s, tick_s = self._state.now.monotonic_s, self._state.settings.updates.tick_s
        if not self._gathered:
            # The first ones go with the turn in which they came.
            due_s = max(now_s, self._flushed_s + tick_s, now_s + self._pace.wait_s(now_s))
            self._state.timers.set(TimerKind.HANDLES, due_s)
        return self._gathered.setdefault(subscriber, _Gathered())

    def participant_joined(self, participant: Participant) -> None:
        """A new participant that subscribes automatically wants all there is."""
        if participant.auto_subscribe_data:
            others = (p for p in self._state.data_publications.values() if p.owner is not participant)
            wanted = [self._subscription(participant, publication) for publication in others]
            self._reconcile(participant, [subscription for subscription in wanted if subscription is not None])

    def participant_left(self, participant: Participant) -> None:
        """Its own subscriptions end."""
        for subscription in participant.data_subscriptions.values():
            self._unbind(subscription)
            del subscription.publication.subscriptions[participant.id]
        participant.data_subscriptions.clear()
        self._gathered.pop(participant, None)

    def rights_changed(self, subscriber: Participant) -> None:
        """What the subscriber may do has changed."""
        self._reconcile(subscriber, list(subscriber.data_subscriptions.values()))

    def allowance_changed(self, publisher: Participant) -> None:
        """The publisher has changed its mind on who may subscribe, or has become (in)visible: a no counts at once."""
        for publication in publisher.data_publications.values():
            for subscription in publication.subscriptions.values():
                if self._may_bind(subscription):
                    if subscription.down_track is None:
                        self._gather(subscription.subscriber).wanted[subscription] = None
                elif self._unbind(subscription):
                    self._gather(subscription.subscriber).is_fewer = True

    # ------------------------------------------------------------ wishes

    def wish(self, participant: Participant, wishes: Iterable[DataSubscriptionWish]) -> None:
        """`update_data_subscription`. A sid that is not known is of a track that has ended: there is nothing to say."""
        others = [
            (wish, publication)
            for wish in wishes
            if (publication := self._state.data_publications.get(wish.track_sid)) is not None
            and publication.owner is not participant
        ]
        known = participant.data_subscriptions
        is_fewer = self._drop([known[p.sid] for wish, p in others if not wish.subscribe and p.sid in known])
        desired: list[DataSubscription] = []
        is_full = False
        for wish, publication in others:
            subscription = self._subscription(participant, publication) if wish.subscribe else None
            is_full |= wish.subscribe and subscription is None
            if subscription is not None:
                self._limit(subscription, wish.frames_per_s)
                desired.append(subscription)
        self._reconcile(participant, desired, tell=bool(is_fewer))
        if is_full:
            # The request has no number and no place among the echoes: the text has to say it all.
            self._state.refuse(participant, RequestReason.LIMIT_EXCEEDED, "too many data track subscriptions", None)

    def remind(self, participant: Participant) -> None:
        """A client came back, and may have missed what it was told."""
        if participant.data_subscriptions or participant.was_told_handles:
            self._tell(participant)
        for subscription in participant.data_subscriptions.values():
            if subscription.told_allowed is False:
                self._tell_allowed(subscription, allowed=False)

    # ------------------------------------------------------------ reconciliation

    def _subscription(self, participant: Participant, publication: DataPublication) -> DataSubscription | None:
        """The participant's wish for it; `None`: it may have no more of them."""
        subscription = participant.data_subscriptions.get(publication.sid)
        if subscription is None:
            if len(participant.data_subscriptions) >= min(self._state.settings.data.max_subscriptions, _MAX_HANDLE):
                return None
            subscription = DataSubscription(participant, publication)
            participant.data_subscriptions[publication.sid] = subscription
            publication.subscriptions[participant.id] = subscription
        return subscription

    def _limit(self, subscription: DataSubscription, frames_per_s: int | None) -> None:
        if subscription.frames_per_s != frames_per_s:
            subscription.frames_per_s = frames_per_s
            if subscription.down_track is not None:
                self._state.emit(SetDataDownTrackRate(subscription.down_track, frames_per_s))

    def _drop(self, subscriptions: Iterable[DataSubscription]) -> dict[Participant, None]:
        """Ends them; whose handles have become fewer."""
        fewer: dict[Participant, None] = {}
        for subscription in subscriptions:
            subscriber, publication = subscription.subscriber, subscription.publication
            if self._unbind(subscription):
                fewer[subscriber] = None
            del subscriber.data_subscriptions[publication.sid]
            del publication.subscriptions[subscriber.id]
        return fewer

    def _reconcile(
        self, subscriber: Participant, subscriptions: Iterable[DataSubscription], *, tell: bool = False
    ) -> None:
        """Binds or unbinds subscriptions of one subscriber. It hears the handles before packets can carry them.

        `tell`: it does so even if they do not change.
        """
        fresh: list[DataSubscription] = []
        for subscription in subscriptions:
            may = self._may_bind(subscription)
            if may and subscription.down_track is None:
                _name(subscription)
                fresh.append(subscription)
            elif not may:
                tell |= self._unbind(subscription)
        if fresh or tell:
            self._tell(subscriber)
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
        del subscription.subscriber.data_handles[subscription.handle]
        subscription.down_track = None
        return True

    def _tell(self, subscriber: Participant) -> None:
        """`data_track_subscriber_handles`: the whole map, each time."""
        handles = {
            handle: DataTrackHandle(
                publisher_identity=subscription.publication.owner.identity,
                publisher_sid=subscription.publication.owner.sid,
                track_sid=subscription.publication.sid,
            )
            for handle, subscription in subscriber.data_handles.items()
        }
        self._pace.take(1 + len(handles), self._state.now.monotonic_s)
        subscriber.was_told_handles = True
        self._state.send((subscriber,), DataTrackHandles(handles))


def _name(subscription: DataSubscription) -> None:
    """Gives it the next handle that is free: there are as many as a subscriber can have subscriptions."""
    subscriber = subscription.subscriber
    taken, handle = subscriber.data_handles, subscriber.last_data_handle % _MAX_HANDLE + 1
    while handle in taken:
        handle = handle % _MAX_HANDLE + 1
    taken[handle] = subscription
    subscriber.last_data_handle = subscription.handle = handle
    subscription.down_track = DataDownTrackId(next_id())
