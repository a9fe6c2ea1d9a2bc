"""One participant's wish for one publication: desired by the subscriber, granted by the publisher, bound by the engine.

Owns the three states. Never changes the engine: that is `subscribing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.enums import TrackType, VideoQuality
from sfu.room.layers import NO_LIMIT, NO_WISH, LayerLimit, LayerWish, layer_limit
from sfu.room.slots import LAST_PRIORITY

if TYPE_CHECKING:
    from sfu.ids import DownTrackId, TrackSid
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication

__all__ = ["Subscription"]


@dataclass(slots=True, eq=False)
class Subscription:
    """Kept while the publication lives, also when not desired: the settings outlast a re-subscription."""

    subscriber: Participant
    track_sid: TrackSid
    publication: Publication | None = None
    """`None`: desired, but no such track is known (yet)."""
    desired: bool = False
    told_allowed: bool | None = None
    """What `subscription_permission_update` said last."""
    was_forbidden: bool = False
    """It has said no at least once."""
    down_track: DownTrackId | None = None
    """Set while the engine has it."""
    bound: bool = False
    """Its packets flow."""
    enabled: bool = True
    """`UpdateTrackSettings.disabled` is off."""
    wish: LayerWish = NO_WISH
    """What `UpdateTrackSettings` said of layers."""
    asked_priority: int = 0
    """`UpdateTrackSettings.priority`: 1 comes first, 0: none given."""
    told_priority: int = LAST_PRIORITY
    """What the engine's down track was told."""
    paused: bool = False
    """The path to the subscriber does not bear it."""
    was_paused: bool = False
    """At least once: the client may have missed that it goes on."""
    told_limit: LayerLimit = NO_LIMIT
    """What the engine's down track was told."""
    gets: VideoQuality = VideoQuality.OFF
    """As what it counts among its publication's `watchers`."""
    codec_unsupported: bool = False
    """Not tried again until the client subscribes anew."""

    def limit(self) -> LayerLimit:
        """Most that it is to get of the publication as it is now."""
        if self.publication is None or self.publication.type is not TrackType.VIDEO:
            return NO_LIMIT
        return layer_limit(self.publication.view, self.wish)
