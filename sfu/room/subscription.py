"""One participant's wish for one publication: desired by the subscriber, granted by the publisher, bound by the engine.

Owns the three states. Never changes the engine: that is `subscribing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sfu.room.devices import disabled_codecs
from sfu.room.enums import TrackType, VideoQuality
from sfu.room.layers import NO_LIMIT, NO_WISH, LayerLimit, LayerWish, layer_limit
from sfu.room.slots import LAST_PRIORITY

if TYPE_CHECKING:
    from sfu.ids import DownTrackId, TrackSid
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.published_codec import PublishedCodec
    from sfu.room.views import TrackView

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
    codec: PublishedCodec | None = None
    """By which codec of the publication the down track is fed."""
    decodes: frozenset[str] | None = None
    """Codecs (MIME types) that its line can carry; `None`: it has none yet."""
    refused: set[str] = field(default_factory=set)
    """Codecs (MIME types) that the engine found no way to send here, whatever the descriptions say."""
    bound: bool = False
    """Its packets flow."""
    told_unbound: bool = False
    """The client was told that this takes too long."""
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
    counted: PublishedCodec | None = None
    """Among whose `watchers` it counts …"""
    gets: VideoQuality = VideoQuality.OFF
    """… and as what."""
    codec_unsupported: bool = False
    """Not tried again until the client subscribes anew."""
    gave_up_at_s: float = -math.inf
    """When that was found (monotonic)."""

    @property
    def flowing(self) -> bool:
        """Whether it has a line, and the publisher one for the codec that it is fed by."""
        return self.bound and self.codec is not None and self.codec.live

    def takes(self, codec: PublishedCodec) -> bool:
        """Whether the subscriber can take this codec, as far as is known."""
        if codec.type is not TrackType.VIDEO:
            return True
        if codec.mime_type in disabled_codecs(self.subscriber.session.client).everywhere:
            return False
        decodes = self.subscriber.decodes if self.decodes is None else self.decodes
        is_known = decodes is None or not codec.mime_type or codec.mime_type in decodes
        return is_known and codec.mime_type not in self.refused

    def limit(self) -> LayerLimit:
        """Most that it is to get of the publication as it is now."""
        if self.publication is None or self.publication.type is not TrackType.VIDEO:
            return NO_LIMIT
        return layer_limit(self.layered_view(self.publication), self.wish)

    def layered_view(self, publication: Publication) -> TrackView:
        """The publication with the layers of the codec that the subscriber is fed by."""
        if self.codec is None or self.codec.layers in ((), publication.view.layers):
            return publication.view
        return replace(publication.view, layers=self.codec.layers)
