"""Which sending m-line of an offer carries which announced track (protocol.md §2.8).

Pure functions. Never changes a publication: that is `publishing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.room.enums import TrackType
    from sfu.room.inputs import OfferedMedia

__all__ = ["Announced", "Bound", "carries_another", "match_lines"]


class Announced(Protocol):
    """What a line may carry."""

    @property
    def type(self) -> TrackType:
        """Audio or video."""

    def is_known_as(self, name: str) -> bool:
        """Whether the client calls it so."""


class Bound(Protocol):
    """What a line carries already."""

    @property
    def type(self) -> TrackType:
        """Audio or video."""

    @property
    def sdp_track_id(self) -> str:
        """Track id in the SDP."""


A = TypeVar("A", bound=Announced)


def carries_another(bound: Bound, media: OfferedMedia, announced: Iterable[Announced]) -> bool:
    """Whether the line was given to another announced track without having been idle in between."""
    if media.type is not bound.type:
        return True
    if not media.track_id or media.track_id == bound.sdp_track_id:
        return False
    return any(p.is_known_as(media.track_id) or p.is_known_as(media.stream_id) for p in announced)


def match_lines(free: Sequence[OfferedMedia], announced: Iterable[A]) -> list[tuple[OfferedMedia, A]]:
    """Lines and the announced tracks they carry: by the client's names first, in the order of offer and announcement
    for the lines whose names a browser has rewritten."""
    left = list(announced)
    matches: dict[str, tuple[OfferedMedia, A]] = {}
    for name_of in (lambda media: media.track_id, lambda media: media.stream_id, lambda _: None):
        for media in free:
            if media.mid in matches:
                continue
            name = name_of(media)
            found = next((p for p in left if p.type is media.type and (name is None or p.is_known_as(name))), None)
            if found is not None:
                left.remove(found)
                matches[media.mid] = (media, found)
    return [matches[media.mid] for media in free if media.mid in matches]
