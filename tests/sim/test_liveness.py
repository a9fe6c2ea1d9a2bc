"""Pings and silence of one signalling connection, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import WSMessage, WSMsgType, web

from signaling.counters import SignalCounters
from signaling.limits import SignalLimits
from signaling.session_io import PING_INTERVAL_S, SILENCE_S, SessionIo
from tests.sim.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Line:
    """A WebSocket and its transport: what the client sends is put in, pings to it are noted."""

    def __init__(self, *, answers: bool = True) -> None:
        self.incoming: asyncio.Queue[WSMessage] = asyncio.Queue()
        self.pings: list[float] = []
        self._answers = answers

    async def receive(self) -> WSMessage:
        """The client's next message."""
        return await self.incoming.get()

    async def ping(self) -> None:
        """A ping to the client."""
        self.pings.append(asyncio.get_running_loop().time())
        if self._answers:
            self.incoming.put_nowait(WSMessage(WSMsgType.PONG, b"", None))

    def abort(self) -> None:
        """The connection is given up."""
        self.incoming.put_nowait(WSMessage(WSMsgType.CLOSED, None, None))

    def speak(self) -> None:
        """The client sends something."""
        self.incoming.put_nowait(WSMessage(WSMsgType.BINARY, b"", None))


class Taker:
    """Takes what the client sends."""

    def take_frame(self, frame: bytes | str) -> None:
        """Nothing comes of it."""


async def live(line: Line, client: Callable[[], Awaitable[None]]) -> float:
    """Runs a connection and its client; the time when the connection ended, or the client was done."""
    loop = asyncio.get_running_loop()
    io = SessionIo(
        cast("web.WebSocketResponse", line),
        cast("Any", None),
        SignalLimits(),
        SignalCounters(),
        cast("asyncio.BaseTransport", line),
    )
    running = asyncio.create_task(io.run(Taker()))
    acting = asyncio.ensure_future(client())
    await asyncio.wait({running, acting}, return_when=asyncio.FIRST_COMPLETED)
    ended_s = loop.time()
    acting.cancel()
    line.abort()
    await running
    return ended_s


@in_virtual_time
async def test_who_says_nothing_is_pinged_and_lives_by_its_answers() -> None:
    line, began_s = Line(), asyncio.get_running_loop().time()
    assert await live(line, lambda: asyncio.sleep(10 * PING_INTERVAL_S + 1)) > began_s + 10 * PING_INTERVAL_S
    assert [at_s - began_s for at_s in line.pings] == pytest.approx([n * PING_INTERVAL_S for n in range(1, 11)])


@in_virtual_time
async def test_who_speaks_is_not_pinged() -> None:
    line, began_s = Line(), asyncio.get_running_loop().time()

    async def speaks_for_a_minute() -> None:
        for _ in range(12):
            await asyncio.sleep(5)
            line.speak()
        await asyncio.sleep(PING_INTERVAL_S + 1)

    await live(line, speaks_for_a_minute)
    assert [at_s - began_s for at_s in line.pings] == pytest.approx([60 + PING_INTERVAL_S])


@in_virtual_time
async def test_who_answers_nothing_is_given_up() -> None:
    line, began_s = Line(answers=False), asyncio.get_running_loop().time()

    async def speaks_once() -> None:
        await asyncio.sleep(3)
        line.speak()
        await asyncio.sleep(1_000)

    assert await live(line, speaks_once) - began_s == pytest.approx(3 + SILENCE_S)
    assert [at_s - began_s for at_s in line.pings] == pytest.approx([3 + PING_INTERVAL_S])
