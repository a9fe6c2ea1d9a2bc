"""Who left the room lately, for those who were not there to hear it.

Owns a bounded memory. Never sends: `resuming` tells a client that came back what it has missed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.room.views import ParticipantView

__all__ = ["Departures"]

_LIMIT = 1024


class Departures:
    """The last departures, oldest first."""

    def __init__(self) -> None:
        self._views: deque[tuple[float, ParticipantView]] = deque()
        self._forgotten_s = -math.inf
        """When the newest of those happened that are not kept any more."""

    def note(self, view: ParticipantView, now_s: float) -> None:
        """A participant left; what it published and said of itself is not kept."""
        self._views.append((now_s, replace(view, tracks=(), metadata="", attributes={})))
        if len(self._views) > _LIMIT:
            self._forgotten_s = self._views.popleft()[0]

    def since(self, at_s: float) -> tuple[ParticipantView, ...] | None:
        """Who left at `at_s` or later; `None` when not all of them are known any more."""
        if self._forgotten_s >= at_s:
            return None
        return tuple(view for left_s, view in self._views if left_s >= at_s)
