"""A client over a real WebSocket that speaks protobuf by hand, for what SDKs would never do.

Owns URLs and frames of both join paths.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType
from livekit.protocol import models, rtc

from tests.sim.world import make_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientWebSocketResponse

    from tests.sim.world import World

__all__ = ["RawClient", "connect", "join_request", "read_all"]


def join_request(**members: Any) -> str:
    """`join_request` with these members."""
    members.setdefault("client_info", models.ClientInfo(sdk=models.ClientInfo.SDK.JS, protocol=16))
    wrapped = rtc.WrappedJoinRequest(join_request=rtc.JoinRequest(**members).SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


class RawClient:
    """One open connection."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> rtc.SignalResponse:
        """The next message; the test's own deadline bounds the wait."""
        return rtc.SignalResponse.FromString(await self.socket.receive_bytes())

    async def until(self, name: str) -> rtc.SignalResponse:
        """The next message of a kind; others are skipped."""
        while True:
            message = await self.next()
            if message.WhichOneof("message") == name:
                return message

    async def send(self, **members: Any) -> None:
        """Sends a request with these members."""
        await self.socket.send_bytes(rtc.SignalRequest(**members).SerializeToString())


@contextlib.asynccontextmanager
async def connect(
    world: World, *, v1: bool = False, token: str | None = None, **query: str
) -> AsyncIterator[RawClient]:
    """Opens a connection; `query` are further parameters."""
    assert world.http is not None
    if v1:
        query.setdefault("join_request", join_request())
    else:
        query.setdefault("protocol", "16")
    url = f"{world.url}/rtc/v1" if v1 else f"{world.url}/rtc"
    headers = {"Authorization": f"Bearer {token or make_token()}"}
    async with world.http.ws_connect(url, params=query, headers=headers) as socket:
        yield RawClient(socket)


async def read_all(client: RawClient) -> tuple[list[str], int | None]:
    """Names of all messages until the server closes, and the close code."""
    names: list[str] = []
    while True:
        message = await client.socket.receive()
        if message.type is not WSMsgType.BINARY:
            return names, client.socket.close_code
        names.append(str(rtc.SignalResponse.FromString(message.data).WhichOneof("message")))
