"""A bounded queue with one reader, for an actor.

Owns the bound and the waking. What happens to one whose item does not fit is the caller's to decide (`put` says so);
items that must not be lost go in by `put_always`: there are few of them for each session, so they stay bounded too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """First in, first out; one task reads."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Appends unless the inbox is full; says whether it did."""
        if len(self._items) >= self._limit:
            return False
        self.put_always(item)
        return True

    def put_always(self, item: T) -> None:
        """Appends over the limit if need be."""
        self._items.append(item)
        self.wake()

    def pop(self) -> T | None:
        """The oldest item, or `None`."""
        return self._items.popleft() if self._items else None

    async def wait(self, timeout_s: float | None) -> None:
        """Returns when there is an item, or after `timeout_s` (`None`: only then)."""
        if self._items:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Ends a `wait` without an item."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
