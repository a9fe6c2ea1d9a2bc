"""Clocks as parameters, so that tests run in virtual time.

Owns the two readings: `monotonic_s` for intervals, `wall_s` for what people and the wire see.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Source of time."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def wall_s(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def wall_s(self) -> float:
        """See `Clock`."""
        return time.time()
