"""Who hears how good whose connection is (protocol.md §4.12).

Owns what has been told of each participant and who is to hear of it. The engine measures and rates, and speaks only of
changes; whoever it has not spoken of has an excellent connection. That is told when the first window is over, as
clients show nothing before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.effects import Send
from sfu.room.enums import ConnectionQuality, ParticipantState
from sfu.room.messages import ConnectionQualityUpdate, QualityView
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.ids import ParticipantId, SessionId, TransportId
    from sfu.room.inputs import QualityRating
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState
    from sfu.room.subscription import Subscription

__all__ = ["Qualities"]

_BEST_SCORE = 4.5
_KNOWS_QUALITY = 5
_KNOWS_LOST = 11
"""Clients below this level are told POOR."""


class Qualities:
    """The connections of a room's participants, as clients know them."""

    def __init__(self, state: RoomState) -> None:
        self._state = state
        self._unrated: dict[ParticipantId, Participant] = {}
        """Active ones of which nothing has been told yet."""

    def connected(self, transport: TransportId) -> None:
        """A transport is up; with it, perhaps, its participant."""
        participant = self._state.by_transport.get(transport)
        if participant is None or participant.state is not ParticipantState.ACTIVE or participant.quality is not None:
            return
        self._unrated[participant.id] = participant
        if not self._state.timers.is_set(TimerKind.QUALITY):
            due_s = self._state.now.monotonic_s + self._state.settings.quality_interval_s
            self._state.timers.set(TimerKind.QUALITY, due_s)

    def window_ended(self) -> None:
        """The first window of some is over, and the engine found no fault."""
        unrated, self._unrated = self._unrated, {}
        rated = []
        for participant in unrated.values():
            if participant.quality is None and participant.id in self._state.participants:
                participant.quality = QualityView(participant.sid, ConnectionQuality.EXCELLENT, _BEST_SCORE)
                rated.append(participant)
        self._tell(rated)

    def changed(self, ratings: Sequence[QualityRating]) -> None:
        """The engine rates some participants otherwise than before."""
        rated = []
        for rating in ratings:
            participant = self._state.participants.get(rating.participant)
            if participant is not None:
                participant.quality = QualityView(participant.sid, rating.quality, rating.score)
                rated.append(participant)
        self._tell(rated)

    def tell_newcomer(self, subscription: Subscription) -> None:
        """A subscriber has the first track of a publisher: it learns how that one's connection is."""
        publication, subscriber = subscription.publication, subscription.subscriber
        if publication is None or publication.owner.quality is None:
            return
        others = (other for other in _subscriptions(publication.owner, subscriber) if other is not subscription)
        if not any(other.bound for other in others):
            self._send({subscriber.id: (subscriber, [publication.owner.quality])})

    def tell_returned(self, subscriber: Participant) -> None:
        """One that was away learns of its own connection and of those of all whose tracks it has."""
        heard = {subscriber.id: subscriber.quality}
        for subscription in subscriber.subscriptions.values():
            if subscription.publication is not None and subscription.bound:
                owner = subscription.publication.owner
                heard[owner.id] = owner.quality
        views = [view for view in heard.values() if view is not None]
        if views:
            self._send({subscriber.id: (subscriber, views)})

    def _tell(self, rated: Iterable[Participant]) -> None:
        heard: dict[ParticipantId, tuple[Participant, list[QualityView]]] = {}
        for participant in rated:
            if participant.quality is None:
                continue
            for receiver in _audience(participant).values():
                heard.setdefault(receiver.id, (receiver, []))[1].append(participant.quality)
        self._send(heard)

    def _send(self, heard: dict[ParticipantId, tuple[Participant, list[QualityView]]]) -> None:
        """Those who are told the same share one message."""
        groups: dict[tuple[QualityView, ...], list[SessionId]] = {}
        for receiver, views in heard.values():
            level = receiver.session.client.protocol
            if level >= _KNOWS_QUALITY and receiver.reachable:
                known = tuple(views) if level >= _KNOWS_LOST else tuple(map(_without_lost, views))
                groups.setdefault(known, []).append(receiver.session.id)
        for told, sessions in groups.items():
            self._state.emit(Send(tuple(sessions), ConnectionQualityUpdate(told)))


def _without_lost(view: QualityView) -> QualityView:
    if view.quality is not ConnectionQuality.LOST:
        return view
    return QualityView(view.sid, ConnectionQuality.POOR, view.score)


def _subscriptions(publisher: Participant, subscriber: Participant) -> Iterable[Subscription]:
    """What a subscriber has of a publisher."""
    found = (publication.subscriptions.get(subscriber.id) for publication in publisher.publications.values())
    return (subscription for subscription in found if subscription is not None)


def _audience(participant: Participant) -> dict[ParticipantId, Participant]:
    """The participant itself and all that have one of its tracks, each once."""
    receivers = {participant.id: participant}
    for publication in participant.publications.values():
        for subscription in publication.subscriptions.values():
            if subscription.bound:
                receivers[subscription.subscriber.id] = subscription.subscriber
    return receivers
