"""An event loop whose time passes only when nothing is left to do, and a clock that reads it.

Owns virtual time for simulations without sockets: minutes pass in milliseconds, and a test that would wait for ever
fails at once.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["VirtualClock", "in_virtual_time", "settle"]

_START_S = 1_000.0
_EPOCH_S = 1_795_000_000.0


class _VirtualSelector(selectors.DefaultSelector):
    """Never waits: it moves the clock to the next timer instead."""

    now_s = _START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("the simulation waits for something that will never happen")
        if not events and timeout is not None:
            self.now_s += timeout
        return events


class _VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


class VirtualClock:
    """Implements `sfu.clock.Clock` by the running loop's time."""

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return asyncio.get_running_loop().time()

    def wall_s(self) -> float:
        """See `Clock`."""
        return _EPOCH_S + asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Makes an ordinary test of a coroutine, run on virtual time."""

    @functools.wraps(test)
    def run() -> None:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            runner.run(test())

    return run


async def settle() -> None:
    """Lets everything happen that can happen without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)
