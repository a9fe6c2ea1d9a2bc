"""A participant by bare protobuf over a WebSocket, for what no SDK lets a test send or see.

Owns one signalling connection, without any media of its own. Everything received is in `journal` under the name of its
variant (`join`, `update`, …), the end of the connection under `closed` with the close code.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from livekit.protocol import models, rtc

from tests.e2e.support.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.endpoint import Endpoint, JoinPath

__all__ = ["Refused", "WireClient", "join_request", "join_request_in", "wire"]

PROTOCOL = 17


class Refused(Exception):
    """The server refused the upgrade."""

    def __init__(self, status: int) -> None:
        super().__init__(f"upgrade refused with status {status}")
        self.status = status


def join_request(request: rtc.JoinRequest | bytes | None = None, *, compress: bool = False) -> str:
    """The `join_request` parameter of `/rtc/v1` for this request (protocol.md §1.5)."""
    if request is None:
        request = rtc.JoinRequest()
        request.connection_settings.auto_subscribe = True
    if isinstance(request, rtc.JoinRequest):
        if not request.client_info.protocol:
            request.client_info.protocol = PROTOCOL
        request = request.SerializeToString()
    wrapped = rtc.WrappedJoinRequest()
    wrapped.join_request = gzip.compress(request) if compress else request
    if compress:
        wrapped.compression = rtc.WrappedJoinRequest.GZIP
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


def join_request_in(url: str) -> rtc.JoinRequest:
    """The JoinRequest that a client put into its URL."""
    parameter = parse_qs(urlsplit(url).query)["join_request"][0]
    wrapped = rtc.WrappedJoinRequest.FromString(base64.urlsafe_b64decode(parameter + "=" * (-len(parameter) % 4)))
    packed = wrapped.compression == rtc.WrappedJoinRequest.GZIP
    return rtc.JoinRequest.FromString(gzip.decompress(wrapped.join_request) if packed else wrapped.join_request)


class WireClient:
    """One signalling connection."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.journal = Journal(f"wire:{identity}")
        self._http: aiohttp.ClientSession | None = None
        self.ws: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(
        self,
        endpoint: Endpoint,
        token: str,
        path: JoinPath,
        *,
        request: rtc.JoinRequest | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> None:
        """Upgrade; `Refused` with the status when the server does not. `query` overrides parameters."""
        if path.single:
            parameters = {"access_token": token, "join_request": join_request(request)} | query
        else:
            parameters = {"access_token": token, "protocol": str(PROTOCOL), "auto_subscribe": "1"} | query
        self._http = aiohttp.ClientSession()
        try:
            self.ws = await self._http.ws_connect(
                endpoint.http_url + path.http_path, params=parameters, headers=headers, max_msg_size=0, autoping=True
            )
        except aiohttp.WSServerHandshakeError as refusal:
            raise Refused(refusal.status) from None
        self._reader = asyncio.create_task(self._read(self.ws))

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            if message.type is not aiohttp.WSMsgType.BINARY:
                self.journal.record("text", message.data)
                continue
            response = rtc.SignalResponse.FromString(message.data)
            variant = response.WhichOneof("message")
            self.journal.record(variant or "unknown", getattr(response, variant) if variant else response)
        self.journal.record("closed", ws.close_code)

    @property
    def transport(self) -> asyncio.Transport:
        """The TCP connection underneath, for tests that misuse it."""
        assert self.ws is not None, "not connected"
        connection = self.ws._response.connection
        assert connection is not None, "gone already"
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    async def send(self, **variant: Any) -> None:
        """Send one SignalRequest, given as its oneof member, e.g. `send(ping=1)`."""
        await self.send_bytes(rtc.SignalRequest(**variant).SerializeToString())

    async def send_bytes(self, frame: bytes) -> None:
        """Send any bytes as a binary frame."""
        assert self.ws is not None, "not connected"
        await self.ws.send_bytes(frame)

    async def response(
        self, variant: str, match: Any = lambda _: True, *, since: int = 0, timeout_s: float = 10.0
    ) -> Any:
        """The first response of that variant that matches."""
        entry = await self.journal.wait(variant, match, since=since, timeout_s=timeout_s)
        return entry.args[0]

    def participant(self, identity: str) -> models.ParticipantInfo | None:
        """What this client was last told about a participant: by the join response, then by updates in order."""
        latest: models.ParticipantInfo | None = None
        for entry in self.journal.entries:
            if entry.name == "join":
                infos = [*list(entry.args[0].other_participants), entry.args[0].participant]
            elif entry.name == "update":
                infos = list(entry.args[0].participants)
            else:
                continue
            for info in infos:
                if info.identity == identity:
                    latest = info
        return latest

    async def close(self) -> None:
        """Drop the connection without a word; never fails."""
        with contextlib.suppress(Exception):
            if self.ws is not None:
                await self.ws.close()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._reader
        if self._http is not None:
            await self._http.close()


@contextlib.asynccontextmanager
async def wire(
    endpoint: Endpoint, identity: str, room: str, path: JoinPath, *, token: str | None = None, **options: Any
) -> AsyncIterator[WireClient]:
    """A connected wire client for the time of the block; grants go into `grants={...}`."""
    grants = options.pop("grants", {})
    client = WireClient(identity)
    try:
        await client.connect(endpoint, token or endpoint.token(identity, room, **grants), path, **options)
        yield client
    finally:
        await client.close()
