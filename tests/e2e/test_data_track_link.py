"""Data tracks over a narrow link (DAT20): a subscriber with 50 kbit/s misses frames, not the present."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.netem import EmulatedLink, emulated_link, end
from tests.e2e.support.netns import Namespace, joined_by, namespace
from tests.e2e.support.server import ServerSpec, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# When frames come is timed.
pytestmark = [pytest.mark.netns, pytest.mark.alone]

WINDOW = 300
"""Frames that are judged, of 20 ms each."""
SETTLING = 250
"""Frames after the link became narrow. What a path carried is known for up to two seconds more, and what was written in
these takes as long to leave."""
DEADLINE_S = 60
_PROMPT = ("nice", "-n", "-15")
"""Before other programs: a receiver that waits for a CPU acknowledges late, as if its link were narrow."""


class _Watcher:
    """One watching program: milliseconds that each frame took, by its number."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.took_ms: dict[int, int] = {}

    async def until(self, reached: Callable[[], bool]) -> None:
        """Reads on until it is as wanted."""
        assert self.child.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while not reached():
                number, took_ms = (await self.child.stdout.readline()).split()
                self.took_ms[int(number)] = int(took_ms)


@contextlib.asynccontextmanager
async def _track_client(
    space: Namespace, role: str, endpoint: Endpoint, room: str, path: JoinPath
) -> AsyncIterator[asyncio.subprocess.Process]:
    token = endpoint.token(unique(role), room)
    child = await asyncio.create_subprocess_exec(
        *space.enter_command, *_PROMPT, sys.executable, "-m", "tests.e2e.support.track_client",
        role, endpoint.ws_url, token, *(["single"] if path.single else []),
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        await end(child)


@contextlib.contextmanager
def _server_behind(link: EmulatedLink) -> Iterator[Namespace]:
    """A namespace for the server, which this machine reaches directly and the link's far end over the link."""
    block = f"10.98.{os.getpid() % 250}"
    with namespace() as cell, joined_by(cell, link.near, block) as (server_side, link_side):
        link.near.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        link.near.run("ip", "route", "add", cell.there, "via", server_side)
        link.far.run("ip", "route", "add", "default", "via", link.near_address)
        cell.run("ip", "route", "add", link.far_address, "via", link_side)
        yield cell


async def test_a_narrow_link_costs_frames_and_not_latency(path: JoinPath) -> None:
    """DAT20"""
    room = unique("narrow")
    async with emulated_link() as link:
        with _server_behind(link) as cell:
            async with (
                started(ServerSpec(host=cell.there, enter_command=[*cell.enter_command, *_PROMPT])) as server,
                _track_client(cell, "watch", server.endpoint, room, path) as beside,
                _track_client(link.far, "watch", server.endpoint, room, path) as behind,
                _track_client(cell, "publish", server.endpoint, room, path),
            ):
                near, far = _Watcher(beside), _Watcher(behind)
                await near.until(lambda: len(near.took_ms) > 0)
                await far.until(lambda: len(far.took_ms) > 0)
                first, last = await _watch_narrow(link, near, far)
    window = range(first, last)
    # All, but for what programs cost that wait for a CPU; in virtual time it is each one (core/tests/data_tracks.rs).
    assert sum(number in near.took_ms for number in window) > WINDOW * 0.9, "the other subscriber gets them"
    got = [number for number in window if number in far.took_ms]
    assert WINDOW * 0.2 < len(got) < WINDOW * 0.9, f"{len(got)} of {WINDOW} frames"
    # Programs of a busy machine come late, too: the other one's frames tell how late.
    extra_ms = [far.took_ms[number] - near.took_ms[number] for number in got if number in near.took_ms]
    assert statistics.median(extra_ms) < 180, extra_ms
    assert statistics.quantiles(extra_ms, n=20)[-1] < 200, extra_ms


async def _watch_narrow(link: EmulatedLink, near: _Watcher, far: _Watcher) -> tuple[int, int]:
    """Lets a while pass on the narrow link; the numbers of the frames to be judged."""
    await link.tell(both={"delay_ms": 10}, up={"rate_bps": 50_000, "queue_ms": 5_000})
    first = max(near.took_ms) + SETTLING
    last = first + WINDOW
    await asyncio.gather(near.until(lambda: max(near.took_ms) >= last), far.until(lambda: max(far.took_ms) >= last))
    return first, last
