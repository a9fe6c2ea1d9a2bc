"""Commands on their way into a bounded queue that may be full.

Owns their order and the retries. While anything waits here, everything new waits behind it, so the engine sees the
order in which it was asked. Too long a backlog means that the other end is stuck: then, and when the other end is
gone, the owner hears of it once and nothing is submitted any more.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CommandBacklog"]

_RETRY_S = 0.005
_MAX_WAITING = 65_536


class CommandBacklog:
    """Submits now when it can, later when it must."""

    def __init__(self, full: type[Exception], gone: type[Exception], give_up: Callable[[str], None]) -> None:
        """An empty one.

        Args:
            full: What a command raises when the queue has no room for it.
            gone: What it raises when nobody reads the queue any more.
            give_up: Hears why nothing can be submitted any more, in the middle of whatever was submitting.
        """
        self._full = full
        self._gone = gone
        self._give_up = give_up
        self._waiting: deque[Callable[[], None]] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False
        self.full_total = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, command: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Runs the command, now or after those that wait."""
        if self._closed:
            return
        if not self._waiting and self._run(functools.partial(command, *args, **kwargs)):
            return
        self._waiting.append(functools.partial(command, *args, **kwargs))
        if len(self._waiting) > _MAX_WAITING:
            self._end("the command queue stayed full")
        elif self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._resubmit)

    def close(self) -> None:
        """Nothing is submitted any more, neither what waits nor what comes."""
        self._closed = True
        self._waiting.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _run(self, command: Callable[[], None]) -> bool:
        """Whether the command is done with: submitted, or never to be."""
        try:
            command()
        except self._full:
            self.full_total += 1
            return False
        except self._gone as error:
            self._end(str(error))
        return True

    def _resubmit(self) -> None:
        self._retry = None
        while self._waiting:
            if not self._run(self._waiting[0]):
                self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._resubmit)
                return
            if not self._closed:
                self._waiting.popleft()

    def _end(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._give_up(reason)
