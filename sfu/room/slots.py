"""Who waits for a subscription when a participant may have only so many (protocol.md §4.11), and what comes first when
the path to it does not bear all of them (§4.7).

Pure functions over values. Never binds anything: `subscribing` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.enums import TrackSource, TrackType

if TYPE_CHECKING:
    from sfu.room.participant import Participant
    from sfu.room.settings import RoomSettings
    from sfu.room.subscription import Subscription
    from sfu.room.views import TrackView

__all__ = ["LAST_PRIORITY", "has_limit", "has_slot", "priority_of", "waiting_for_slot"]

LAST_PRIORITY = 65_535
"""What the engine assumes until it hears otherwise."""
_SCREEN_PRIORITY = LAST_PRIORITY - 1
_LAST_ASKED_PRIORITY = LAST_PRIORITY - 2


def priority_of(track: TrackView, asked: int) -> int:
    """Place in the order of service, lowest first.

    What a client asked for (1 and up) comes before what it said nothing of (0); there a shared screen comes before a
    camera, because a text that cannot be read is worth nothing.
    """
    if asked > 0:
        return min(asked, _LAST_ASKED_PRIORITY)
    return _SCREEN_PRIORITY if track.source is TrackSource.SCREEN_SHARE else LAST_PRIORITY


def _limit(kind: TrackType, settings: RoomSettings) -> int:
    return settings.max_video_subscriptions if kind is TrackType.VIDEO else settings.max_audio_subscriptions


def has_limit(kind: TrackType, settings: RoomSettings) -> bool:
    """Whether anybody could have to wait for a slot of this kind."""
    return _limit(kind, settings) > 0


def has_slot(subscriber: Participant, kind: TrackType, settings: RoomSettings) -> bool:
    """Whether one more subscription of this kind may be bound."""
    limit = _limit(kind, settings)
    return limit <= 0 or subscriber.bound_tracks[kind] < limit


def waiting_for_slot(subscriber: Participant, kind: TrackType) -> list[Subscription]:
    """Desired subscriptions that are not bound: the most important first, then in the order in which they came."""
    waiting = [
        (priority_of(subscription.publication.view, subscription.asked_priority), subscription)
        for subscription in subscriber.subscriptions.values()
        if subscription.desired
        and subscription.down_track is None
        and subscription.publication is not None
        and subscription.publication.type is kind
    ]
    return [subscription for _, subscription in sorted(waiting, key=lambda entry: entry[0])]
