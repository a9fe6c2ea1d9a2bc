"""Participants in a process of their own, who watch whether media stall while a test does its worst.

Owns that process. In it a speaker sends a tone and colour bars, and a listener for each way to join notes when loud
sound and new pictures arrive. A clock in the same process notes when the process itself did not get to run: that much
of a gap is the machine's, the rest is the server's. Started as a module it is that process; a test uses `witnesses`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from livekit import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath
from tests.e2e.support.media import RATE_HZ, dominant_hz, publish_bars, publish_tone
from tests.e2e.support.sdk_client import SdkClient, sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["HZ", "Witnesses", "witnesses"]

HZ = 440.0
"""The speaker's pitch."""

_TICK_S = 0.01
_LATE_S = 0.03
"""A tick that took longer says that the process did not run."""
_DELAY_S = 0.25
"""By so much at most a stall of the sender comes before the gap that it makes: coding, jitter buffer."""
_LOUD = 2000
"""Loudness (root mean square) of a frame of the tone; silence and faded concealment are below."""


# ---------------------------------------------------------------- the test's side


class Witnesses:
    """The process, seen from the test."""

    def __init__(self, room: str, child: asyncio.subprocess.Process) -> None:
        self.room = room
        self._child = child

    async def ask(self, what: str, *, timeout_s: float = 30.0) -> Any:
        """Say `begin` or `end` to the process; its answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{what}\n".encode())
        await self._child.stdin.drain()
        line = await asyncio.wait_for(self._child.stdout.readline(), timeout_s)
        assert line, "the witnesses' process ended; its message is above"
        return json.loads(line)


@contextlib.asynccontextmanager
async def witnesses(endpoint: Endpoint, room: str) -> AsyncIterator[Witnesses]:
    """Witnesses in that room for the time of the block; they see and hear each other when it begins."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(endpoint)), room,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        watching = Witnesses(room, child)
        await watching.ask("begin", timeout_s=60)
        yield watching
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 10)
        except TimeoutError:
            child.kill()
            await child.wait()


# ---------------------------------------------------------------- the process


class _Listener:
    """What one listener noted: when loud sound and when pictures came (monotonic seconds)."""

    def __init__(self, client: SdkClient) -> None:
        self.client = client
        self.heard_s: list[float] = []
        self.seen_s: list[float] = []
        self.wave: list[np.ndarray] = []
        self.new = asyncio.Event()

    async def hear(self) -> None:
        track = await self.client.subscribed("speaker", rtc.TrackSource.SOURCE_MICROPHONE)
        async for event in rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1):
            samples = np.frombuffer(event.frame.data, dtype=np.int16).copy()
            self.wave = [*self.wave[-99:], samples]
            if np.sqrt((samples.astype(float) ** 2).mean()) > _LOUD:
                self.heard_s.append(time.monotonic())
                self.new.set()

    async def see(self) -> None:
        track = await self.client.subscribed("speaker", rtc.TrackSource.SOURCE_CAMERA)
        async for _ in rtc.VideoStream(track):
            self.seen_s.append(time.monotonic())
            self.new.set()

    async def go_on(self) -> None:
        """Wait for another second of sound and half a second of pictures."""
        heard, seen = len(self.heard_s) + 100, len(self.seen_s) + 8
        while len(self.heard_s) < heard or len(self.seen_s) < seen:
            self.new.clear()
            await self.new.wait()

    def report(self, since_s: float, late: Sequence[tuple[float, float]]) -> dict[str, Any]:
        end_s = time.monotonic()
        events = ("disconnected", "reconnecting", "track_unsubscribed")
        return {
            "sound_gap_s": _worst_gap_s(self.heard_s, (since_s, end_s), late),
            "video_gap_s": _worst_gap_s(self.seen_s, (since_s, end_s), late),
            "hz": dominant_hz(np.concatenate(self.wave)),
            "trouble": [entry.name for entry in self.client.journal.entries if entry.name in events],
        }


def _worst_gap_s(
    came_s: Sequence[float], window: tuple[float, float], late: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The longest time without an arrival, once without the process's own stalls, once as it was."""
    points = [window[0], *(t for t in came_s if window[0] < t < window[1]), window[1]]
    gaps = []
    for start, end in itertools.pairwise(points):
        own_s = sum(max(0.0, min(end, b) - max(start - _DELAY_S, a)) for a, b in late)
        gaps.append((end - start - own_s, end - start))
    return max(gaps)


class _Clock:
    """Ticks, and notes when it could not."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []

    async def run(self) -> None:
        before_s = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now_s = time.monotonic()
            if now_s - before_s > _TICK_S + _LATE_S:
                self.late.append((before_s + _TICK_S, now_s))
            before_s = now_s


async def _obey(listeners: Sequence[_Listener], clock: _Clock) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    begun_s = time.monotonic()
    async for line in reader:
        with contextlib.suppress(TimeoutError):  # what did not come is in the report
            await asyncio.wait_for(asyncio.gather(*(listener.go_on() for listener in listeners)), 10)
        if line.strip() == b"begin":
            begun_s = time.monotonic()
            answer: dict[str, Any] = {}
        else:
            late = [stall for stall in clock.late if stall[1] > begun_s - _DELAY_S]
            answer = {x.client.identity: x.report(begun_s, late) for x in listeners}
            answer["clock"] = {"late_s": sum(b - a for a, b in late), "of_s": time.monotonic() - begun_s}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def _main(endpoint: Endpoint, room: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        speaker = await enter(sdk(endpoint, "speaker", room, JoinPath.V1))
        await enter(publish_tone(speaker.room, HZ))
        await enter(publish_bars(speaker.room, simulcast=False))
        listeners = [_Listener(await enter(sdk(endpoint, f"listener-{p.value}", room, p))) for p in JoinPath]
        clock = _Clock()
        background = [asyncio.create_task(work()) for x in listeners for work in (x.hear, x.see)]
        background.append(asyncio.create_task(clock.run()))
        await _obey(listeners, clock)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_main(Endpoint(**json.loads(sys.argv[1])), sys.argv[2]))
