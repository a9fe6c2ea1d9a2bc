"""What waits to be sent to one client, and when that has become too much.

Owns the order and the bill. Never sends and never ends a connection: `put` says that the reader is too slow.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Ping", "SendQueue"]


class Ping:
    """Stands for a ping (or the pong to a client's) in the queue."""

    __slots__ = ("answers",)

    def __init__(self, answers: bytes | None) -> None:
        self.answers = answers


class SendQueue:
    """First in, first out; one writer takes, sends, and says when a frame has left.

    A reader is slow when it does not take what it is offered. So what comes before the writer had a chance to send
    anything (a `join` or the news after a return, in a room of thousands) is not on the bill, however large it is;
    what comes after that is, until it has left.
    """

    def __init__(self, limit_bytes: int, limit_frames: int) -> None:
        """An empty queue.

        Args:
            limit_bytes: Most that may be on the bill; 0: no limit.
            limit_frames: Most frames on the bill.
        """
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        self._items: deque[tuple[bytes | str | Ping, int]] = deque()
        self._billed_frames = 0
        self._pings = 0
        self._is_fresh = True
        """The writer has had no chance yet to send any of what waits."""
        self.billed_bytes = 0

    def __len__(self) -> int:
        """Items that wait; what is being sent is not one of them."""
        return len(self._items)

    @property
    def has_ping(self) -> bool:
        """Whether a ping or pong waits."""
        return self._pings > 0

    def put(self, frame: bytes | str) -> bool:
        """Appends a frame; False: the reader is too slow for it."""
        if self._is_fresh:
            self._items.append((frame, 0))
            return True
        over_bytes = self.billed_bytes + len(frame) > self._limit_bytes > 0
        if over_bytes or self._billed_frames >= self._limit_frames:
            return False
        self._items.append((frame, len(frame)))
        self.billed_bytes += len(frame)
        self._billed_frames += 1
        return True

    def put_ping(self, ping: Ping) -> None:
        """Appends a ping or pong; it costs nothing."""
        self._items.append((ping, 0))
        self._pings += 1

    def take(self) -> tuple[bytes | str | Ping, int] | None:
        """The next item and what `leave` is to be told of it; `None`: all is sent."""
        if not self._items:
            self._is_fresh = True
            return None
        self._is_fresh = False
        item, bill = self._items.popleft()
        self._pings -= isinstance(item, Ping)
        return item, bill

    def leave(self, bill: int) -> None:
        """What was taken has left: a blocked socket keeps its last frame on the bill."""
        self.billed_bytes -= bill
        self._billed_frames -= bill > 0

    def clear(self) -> None:
        """Forgets what waits."""
        for item, bill in self._items:
            self.leave(bill)
            self._pings -= isinstance(item, Ping)
        self._items.clear()
