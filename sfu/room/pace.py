"""How much of something may happen in a time, and how long to wait when it was too much.

Pure. Never acts and never reads a clock.
"""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """So much a second, and so much at once.

    What is too large for what is left goes all the same and leaves a debt, which time pays: so nothing is too large to
    go ever. The debt is limited, too: after any flood all is well again in `max_wait_s`.
    """

    __slots__ = ("_burst", "_filled_s", "_floor", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, *, max_wait_s: float, now_s: float) -> None:
        """`burst` is there from the start."""
        self._per_s = per_s
        self._burst = burst
        self._floor = -per_s * max_wait_s
        self._left = burst
        self._filled_s = now_s

    def wait_s(self, now_s: float) -> float:
        """How long until more may go; 0: it may."""
        self._fill(now_s)
        return 0.0 if self._left > 0 else -self._left / self._per_s

    def is_open(self, now_s: float) -> bool:
        """Whether more may go now."""
        self._fill(now_s)
        return self._left > 0

    def take(self, amount: float, now_s: float) -> None:
        """That much goes."""
        self._fill(now_s)
        self._left = max(self._floor, self._left - amount)

    def _fill(self, now_s: float) -> None:
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
