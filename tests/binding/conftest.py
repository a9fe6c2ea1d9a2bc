"""A real engine on loopback, and its events as an asyncio program gets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from sfu import _engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["EventFeed"]

_EventT = TypeVar("_EventT")

_PATIENCE_S = 10.0
"""Bounds a failing test; a passing one never waits that long."""


class EventFeed:
    """Reads the engine's events by its event fd, as `engine_client` does."""

    def __init__(self, engine: _engine.Engine, limit: int = 1024) -> None:
        self.seen: list[_engine.Event] = []
        self.wakes = 0
        self._engine = engine
        self._limit = limit
        self._arrived = asyncio.Event()

    async def wait_for(self, kind: type[_EventT]) -> _EventT:
        """Waits for the first event of that class; it is taken out of `seen`."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for event in self.seen:
                    if isinstance(event, kind):
                        self.seen.remove(event)
                        return event
                self._arrived.clear()
                await self._arrived.wait()

    def read(self) -> None:
        self.wakes += 1
        self.seen.extend(self._engine.drain(self._limit))
        self._arrived.set()


@pytest.fixture
def engine() -> Iterator[_engine.Engine]:
    """An engine with one UDP and one TCP address, any ports."""
    running = _engine.Engine(_engine.EngineConfig(udp=["127.0.0.1:0"], tcp=["127.0.0.1:0"]))
    yield running
    running.stop()


@pytest.fixture
async def events(engine: _engine.Engine) -> AsyncIterator[EventFeed]:
    """The feed of `engine`."""
    feed = EventFeed(engine)
    loop = asyncio.get_running_loop()
    loop.add_reader(engine.event_fd, feed.read)
    yield feed
    loop.remove_reader(engine.event_fd)
