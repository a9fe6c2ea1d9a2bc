"""A client's diary: everything it was told, in order, and a way to wait for the next thing without sleeping.

Owns recording and waiting. Never judges: tests pass predicates. Driven by the clients' event callbacks. A wait that
fails prints what was seen last, since a time-out without that is a riddle.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Entry", "Journal", "eventually"]

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One thing that happened: its name, its arguments, and when (monotonic seconds)."""

    name: str
    args: tuple[Any, ...] = ()
    at_s: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        text = ", ".join(repr(a) for a in self.args)
        return f"{self.name}({text[:200]})"


class Journal:
    """The events of one client, oldest first; `wait` and `until` are woken by each new one."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.entries: list[Entry] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def record(self, name: str, *args: Any) -> None:
        """Append an entry and wake whoever waits; call it in the event loop's thread."""
        self.entries.append(Entry(name, args))
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def seen(self, name: str, match: Callable[..., Any] = lambda *_: True, *, since: int = 0) -> list[Entry]:
        """All entries of that name whose arguments satisfy `match`, from index `since` on."""
        return [e for e in self.entries[since:] if e.name == name and match(*e.args)]

    def mark(self) -> int:
        """The index of the next entry: pass it as `since` to look only at what happens from now on."""
        return len(self.entries)

    async def wait(
        self, name: str, match: Callable[..., Any] = lambda *_: True, *, since: int = 0, timeout_s: float = 10.0
    ) -> Entry:
        """The first entry of that name that matches, now or within `timeout_s`; AssertionError otherwise."""
        found = await self.until(lambda: self.seen(name, match, since=since), f"event {name!r}", timeout_s=timeout_s)
        return found[0]

    async def until(self, predicate: Callable[[], T], what: str, *, timeout_s: float = 10.0) -> T:
        """The first true value of `predicate`, evaluated at once and after each new entry."""
        deadline = time.monotonic() + timeout_s
        while not (value := predicate()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise AssertionError(f"{self.who}: no {what} within {timeout_s:.1f} s; {self.tail()}")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:  # not `wait_for`: that of Python 3.11 swallows a cancellation that meets the awaited event
                await asyncio.wait({waiter}, timeout=left_s)
            finally:
                self._waiters.discard(waiter)
        return value

    async def at(self, index: int, *, timeout_s: float = 10.0) -> Entry:
        """The entry of that index, as soon as there is one."""
        await self.until(lambda: len(self.entries) > index, f"entry {index}", timeout_s=timeout_s)
        return self.entries[index]

    async def never(
        self, name: str, match: Callable[..., Any] = lambda *_: True, *, since: int, window_s: float
    ) -> None:
        """Fail as soon as such an entry shows up within `window_s`: the bounded wait for something that must not be."""
        try:
            entry = await self.wait(name, match, since=since, timeout_s=window_s)
        except AssertionError:
            return
        raise AssertionError(f"{self.who}: unwanted {entry}")

    def tail(self, count: int = 15) -> str:
        """The last entries as text for a failure message."""
        last = "\n  ".join(str(e) for e in self.entries[-count:]) or "nothing"
        return f"last of {len(self.entries)} events seen:\n  {last}"


async def eventually(
    probe: Callable[[], Awaitable[T]], what: str, *, timeout_s: float = 10.0, every_s: float = 0.1
) -> T:
    """Ask an interface that has no events (an HTTP API, statistics) until it answers something true."""
    deadline = time.monotonic() + timeout_s
    while not (value := await probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {timeout_s:.1f} s; last answer: {value!r}")
        await asyncio.sleep(every_s)
    return value
