"""A participant by the Python SDK in a process of its own, which can be stopped, or run inside a namespace.

Owns that process. It prints a line for each data message it gets, which is the message, and for each room event of the
names it was given, which is the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.e2e.support.endpoint import Endpoint, JoinPath

__all__ = ["Standing", "standing"]

_PROGRAM = """import asyncio, sys
from livekit import rtc
async def main():
    room = rtc.Room()
    options = rtc.RoomOptions(single_peer_connection=sys.argv[3] == '1')
    await room.connect(sys.argv[1], sys.argv[2], options)
    room.on('data_received', lambda packet: print(packet.data.decode(), flush=True))
    def announce(name):
        room.on(name, lambda *_: print(name, flush=True))
    for name in sys.argv[4:]:
        announce(name)
    print('in', flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Standing:
    """That process, seen from the test."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.pid = child.pid
        self._child = child

    async def until(self, line: str, *, timeout_s: float) -> list[str]:
        """What it prints next, up to that line; AssertionError when it does not come in time."""
        assert self._child.stdout is not None
        said: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                while line not in said:
                    printed = await self._child.stdout.readline()
                    assert printed, f"it ended, and had said {said}"
                    said.append(printed.decode().strip())
        except TimeoutError:
            raise AssertionError(f"it did not say {line!r} within {timeout_s} s, but {said}") from None
        return said


@contextlib.asynccontextmanager
async def standing(
    endpoint: Endpoint, room: str, path: JoinPath, *events: str, enter_command: Sequence[str] = ()
) -> AsyncIterator[Standing]:
    """Such a participant, `far`, joined, for the time of the block; it announces these events."""
    child = await asyncio.create_subprocess_exec(
        *enter_command, sys.executable, "-c", _PROGRAM, endpoint.ws_url, endpoint.token("far", room),
        "1" if path.single else "0", *events, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        client = Standing(child)
        await client.until("in", timeout_s=20)
        yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
