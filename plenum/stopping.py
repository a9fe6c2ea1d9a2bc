"""Who asked this process to stop, and so what becomes of its clients.

A service manager stops with SIGTERM, and in most cases starts the server again at the same URL, or has another one
there: clients are to come back by themselves. A person who stops it (Ctrl+C is SIGINT) means the end, as does a second
signal of any kind. Owns that decision. Never tells anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STOP_SIGNALS", "StopRequest"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_log = structlog.stdlib.get_logger(__name__)


class StopRequest:
    """What the signals have asked for so far."""

    def __init__(self, exit_now: Callable[[int], object] = os._exit) -> None:
        self._exit_now = exit_now
        self._asked = asyncio.Event()
        self._final = asyncio.Event()
        self._settled = False

    def take(self, number: signal.Signals) -> None:
        """A signal came. Once it is settled what clients hear, one more ends the process at once."""
        if self._settled:
            _log.warning("stopped at once, as asked again")
            self._exit_now(1)
        elif self._asked.is_set() or number != signal.SIGTERM:
            self._final.set()
        self._asked.set()

    async def wait(self) -> None:
        """Returns when the first signal has come."""
        await self._asked.wait()

    async def settle(self, patience_s: float) -> bool:
        """Whether clients are to come back: no second signal came within `patience_s` of a SIGTERM. Asked once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._final.wait()
        self._settled = True
        return not self._final.is_set()
