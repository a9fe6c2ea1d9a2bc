"""A TCP relay in front of a server that keeps what each connection asked first: the request as the server sees it.

Owns its listening socket and the connections through it. Changes no byte. It can be cut and mended like a cable.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.endpoint import Endpoint

__all__ = ["Relay", "relay"]

_END = b"\r\n\r\n"


class Relay:
    """A running relay: `endpoint` is its own address, `heads` the request line and headers of each connection."""

    def __init__(self, target: Endpoint) -> None:
        self.endpoint = target
        self.heads: list[str] = []
        self._target = target
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._is_cut = False

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = dataclasses.replace(self._target, host="127.0.0.1", port=port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._target.host, self._target.port)
        self._carry(there, writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(_END)
            self.heads.append(head.decode())
            back.write(head)
        self._carry(reader, back)

    def cut(self) -> None:
        """All connections break, and new ones do, until `mend`."""
        self._is_cut = True
        for task in self._carrying:
            task.cancel()

    def mend(self) -> None:
        """New connections pass again."""
        self._is_cut = False

    def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_pump(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def relay(target: Endpoint) -> AsyncIterator[Relay]:
    """A relay to that server for the time of the block."""
    made = Relay(target)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
