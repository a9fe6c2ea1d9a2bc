"""The room's alarm clock: one deadline per key, in virtual or real time alike.

Owns the deadlines. Never reads a clock and never acts: `Room.handle_timeout` asks what is due and dispatches.
"""

from __future__ import annotations

import enum
import heapq
from typing import NamedTuple

__all__ = ["TimerKey", "TimerKind", "Timers"]


class TimerKind(enum.Enum):
    """What is to happen."""

    START = "start"
    """Effects of the room's birth wait to be fetched."""
    JOIN = "join"
    """A participant has not become active."""
    TOKEN = "token"  # noqa: S105 - the name of a timer
    """A participant's token is to be refreshed."""
    RESUME = "resume"
    """A client that came back waits for the engine's word."""
    SPEAKER = "speaker"
    """The end of a simulated speech."""
    TRANSPORT_CLOSED = "transport_closed"
    """A peer closed its transport and has not said `leave`."""
    UNKNOWN_TRACK = "unknown_track"
    """A desired track has not appeared."""
    BINDING = "binding"
    """A subscription has found no line, or no codec, to be sent by."""
    DYNACAST = "dynacast"
    """A publisher is to hear that less of its track is watched."""
    DYNACAST_AGAIN = "dynacast_again"
    """A publisher may have missed what it heard first of its track."""
    BACKUP = "backup"
    """A publisher was asked for a backup codec and has not announced it."""
    UPDATES = "updates"
    """Gathered participant updates are to be sent."""
    HANDLES = "handles"
    """Subscribers are to hear which handles of data tracks they have now."""
    COUNTS = "counts"
    """Changed counts are to be told."""
    QUALITY = "quality"
    """The first window of somebody's connection is over."""
    EMPTY = "empty"
    """The room has been empty for too long."""


class TimerKey(NamedTuple):
    """Names one deadline."""

    kind: TimerKind
    owner: int = 0
    """Participant id; 0: the room itself."""
    sid: str = ""
    """Track sid, where the deadline is a track's."""


_FEW = 64
"""So many dead entries are not worth a rebuild."""


class Timers:
    """A heap with lazy deletion: setting and cancelling cost O(log n), the dead entries go when they surface, or all
    at once when they are more than the living: what keeps moving its deadline must not make the heap grow."""

    def __init__(self) -> None:
        self._deadlines: dict[TimerKey, float] = {}
        self._heap: list[tuple[float, int, TimerKey]] = []
        self._sequence = 0

    def set(self, kind: TimerKind, at_s: float, owner: int = 0, sid: str = "") -> None:
        """Sets or moves a deadline (monotonic seconds)."""
        key = TimerKey(kind, owner, sid)
        self._deadlines[key] = at_s
        self._sequence += 1
        heapq.heappush(self._heap, (at_s, self._sequence, key))
        self._drop_dead()

    def cancel(self, kind: TimerKind, owner: int = 0, sid: str = "") -> None:
        """Forgets a deadline; unknown ones are fine."""
        if self._deadlines.pop(TimerKey(kind, owner, sid), None) is not None:
            self._drop_dead()

    def is_set(self, kind: TimerKind, owner: int = 0, sid: str = "") -> bool:
        """Whether that deadline is pending."""
        return TimerKey(kind, owner, sid) in self._deadlines

    def clear(self) -> None:
        """Forgets all."""
        self._deadlines.clear()
        self._heap.clear()

    def next_s(self) -> float | None:
        """The earliest deadline, or `None`."""
        while self._heap and self._deadlines.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> TimerKey | None:
        """Takes the earliest deadline at or before `now_s`, or returns `None`."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._deadlines[key]
        return key

    def _drop_dead(self) -> None:
        if len(self._heap) <= _FEW + 2 * len(self._deadlines):
            return
        # An entry lives when it has its key's present time; the newest of several equal ones will do.
        living = {entry[2]: entry for entry in self._heap if self._deadlines.get(entry[2]) == entry[0]}
        self._heap = list(living.values())
        heapq.heapify(self._heap)
