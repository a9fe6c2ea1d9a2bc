"""One codec of a publication: its line at the publisher, its media in the engine, who watches it (protocol.md §4.10).

Owns that state. Never decides who gets which codec: that is `subscribing`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.ids import UpTrackId, next_id
from sfu.room.enums import VideoQuality

if TYPE_CHECKING:
    from sfu.room.enums import TrackType
    from sfu.room.inputs import OfferedMedia
    from sfu.room.views import LayerView

__all__ = ["QUALITIES", "PublishedCodec"]

QUALITIES = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)
"""Those that somebody can watch, worst first."""


def _fresh_up_track() -> UpTrackId:
    return UpTrackId(next_id())


@dataclass(slots=True, eq=False)
class PublishedCodec:
    """Named in the publication's announcement; live while a line of the publisher carries it.

    The first codec of a publication always is. A backup waits until the publisher was asked for it; subscribers may be
    fed by its up track before that, and see its first key frame.
    """

    type: TrackType
    mime_type: str
    cid: str = ""
    """The client's name for its media; empty: nothing of that kind is under way."""
    layers: tuple[LayerView, ...] = ()
    up_track: UpTrackId = field(default_factory=_fresh_up_track)
    mid: str = ""
    """Its line at the publisher; empty: none."""
    sdp_track_id: str = ""
    """Track id in the SDP, which some clients rewrite: how a line is known again."""
    asked: int = 0
    """How many times its publisher was asked for it in vain."""
    watchers: Counter[VideoQuality] = field(default_factory=Counter)
    """How many subscribers are to get each quality."""

    @property
    def live(self) -> bool:
        """Whether a line carries it."""
        return bool(self.mid)

    @property
    def expected(self) -> bool:
        """Whether a line of the next offer is to carry it."""
        return bool(self.cid) and not self.mid

    def is_known_as(self, name: str) -> bool:
        """Whether `name` is the client's name for it."""
        return bool(name) and name == self.cid

    def go_live(self, media: OfferedMedia) -> None:
        """A line carries it."""
        self.asked = 0
        self.mid = media.mid
        self.sdp_track_id = media.track_id

    def go_dark(self) -> UpTrackId:
        """No line carries it any more. The up track that it had, which is to be closed; the next one is another."""
        closed, self.up_track = self.up_track, _fresh_up_track()
        self.mid = self.sdp_track_id = self.cid = ""
        return closed

    def watched_quality(self) -> VideoQuality:
        """The best quality that any subscriber is to get of it; `OFF` when none gets anything."""
        return next((quality for quality in reversed(QUALITIES) if self.watchers[quality] > 0), VideoQuality.OFF)
