"""A data track that a participant offers to the room, and the wishes of others for it (protocol.md §2.11).

Owns what the wire tells of it and who subscribes. Never decides: that is `data_publishing` and `data_subscribing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.ids import DataDownTrackId, DataUpTrackId, ParticipantId, TrackSid
    from sfu.room.participant import Participant
    from sfu.room.views import DataTrackView

__all__ = ["DataPublication", "DataSubscription"]


@dataclass(slots=True, eq=False)
class DataPublication:
    """Live from its publisher's request to its end: no offer has to carry it."""

    owner: Participant
    view: DataTrackView
    up_track: DataUpTrackId
    began_at_s: float
    """Monotonic."""
    subscriptions: dict[ParticipantId, DataSubscription] = field(default_factory=dict)

    @property
    def sid(self) -> TrackSid:
        """`DTR_…`"""
        return self.view.sid


@dataclass(slots=True, eq=False)
class DataSubscription:
    """A subscriber's wish; kept while it is desired and the publication lives."""

    subscriber: Participant
    publication: DataPublication
    frames_per_s: int | None = None
    """At most so many, as the subscriber asked; `None`: all."""
    told_allowed: bool | None = None
    """What `subscription_permission_update` said last."""
    down_track: DataDownTrackId | None = None
    """Set while the engine has it."""
    handle: int = 0
    """The track's name in the packets that the subscriber gets, while the engine has it."""
