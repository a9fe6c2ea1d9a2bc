"""Many participants of the published Python SDK at once, spread over processes of their own.

Owns those processes. Two hundred native clients in the test's own process end it: the SDK's threads call back into
Python while the interpreter shuts down, and its native half aborts. Here each process holds a few dozen and leaves
without that shutdown.

Protocol of a process, one line each: in `url`, then one JSON list `[token, single]` per client; out `joined` or
`failed <why>`; in `states`; out one JSON list of `[identity, connection state, journal of its state changes]`; its
input's end closes all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.e2e.support.endpoint import Endpoint, JoinPath

__all__ = ["Crowd", "crowd"]

_PER_PROCESS = 50
_AT_A_TIME = 10
_JOIN_TIMEOUT_S = 20.0


class Crowd:
    """The processes and what their clients say."""

    def __init__(self, children: Sequence[asyncio.subprocess.Process]) -> None:
        self._children = children

    async def states(self) -> list[tuple[str, str, list[str]]]:
        """Identity, connection state (as the SDK names it) and the events so far, of every client."""
        answers = await asyncio.gather(*(_ask(child, "states") for child in self._children))
        return [(identity, state, events) for answer in answers for identity, state, events in json.loads(answer)]


@contextlib.asynccontextmanager
async def crowd(endpoint: Endpoint, joins: Sequence[tuple[str, JoinPath]]) -> AsyncIterator[Crowd]:
    """One client for each token and path, all joined, for the time of the block."""
    children: list[asyncio.subprocess.Process] = []
    try:
        for first in range(0, len(joins), _PER_PROCESS):
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe)
            children.append(child)
            part = [[token, path.single] for token, path in joins[first : first + _PER_PROCESS]]
            _tell(child, endpoint.ws_url)
            _tell(child, json.dumps(part))
        for child in children:
            answer = await _answer(child)
            assert answer == "joined", answer
        yield Crowd(children)
    finally:
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
        for child in children:
            await child.wait()


def _tell(child: asyncio.subprocess.Process, line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line.encode() + b"\n")


async def _answer(child: asyncio.subprocess.Process) -> str:
    assert child.stdout is not None
    return (await asyncio.wait_for(child.stdout.readline(), 120)).decode().strip()


async def _ask(child: asyncio.subprocess.Process, question: str) -> str:
    _tell(child, question)
    return await _answer(child)


async def _take_part(lines: asyncio.StreamReader) -> None:
    """The child's side."""
    from livekit import rtc  # noqa: PLC0415 - the parent does not need it

    from tests.e2e.support.sdk_client import SdkClient  # noqa: PLC0415

    url = (await lines.readline()).decode().strip()
    joins = json.loads(await lines.readline())
    clients = [SdkClient(f"{os.getpid()}-{number}") for number in range(len(joins))]
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def join(client: SdkClient, token: str, single: bool) -> None:
        options = rtc.RoomOptions(single_peer_connection=single, connect_timeout=_JOIN_TIMEOUT_S)
        async with gate:
            await client.room.connect(url, token, options)

    try:
        await asyncio.gather(*(join(client, *how) for client, how in zip(clients, joins, strict=True)))
    except rtc.ConnectError as error:
        _say(f"failed {error}")
        return
    _say("joined")
    while (await lines.readline()).strip() == b"states":
        _say(
            json.dumps(
                [_describe(client, rtc.ConnectionState.Name(client.room.connection_state)) for client in clients]
            )
        )
    await asyncio.gather(*(client.close() for client in clients))


def _describe(client: Any, state: str) -> list[Any]:
    changes = {"reconnecting", "reconnected", "disconnected"}
    events = [entry.name for entry in client.journal.entries if entry.name in changes]
    return [client.local.identity, state, events]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _main() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await _take_part(lines)


if __name__ == "__main__":
    asyncio.run(_main())
    os._exit(0)
