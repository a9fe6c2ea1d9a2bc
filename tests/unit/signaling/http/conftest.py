"""The server API without sockets: real rooms behind a synchronous registry, requests made by hand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import pytest
from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request

from auth.grants import Claims, SipGrants, VideoGrants
from auth.tokens import issue
from sfu.errors import ErrorCode, SfuError
from sfu.ids import RequestId, RoomId, SessionId, TransportId, next_id
from sfu.room import effects as fx
from sfu.room import inputs
from sfu.room.room import Now, Room, RoomSettings
from signaling.admission import Admission, NameLimits
from signaling.http.room_service import RoomService, room_service
from signaling.http.twirp import TwirpEdge
from signaling.http.unbuilt import unbuilt_services

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from google.protobuf.message import Message

    from sfu.control.registry import RoomOverrides, RoomRegistry
    from sfu.room.enums import DisconnectReason
    from sfu.room.views import RoomView

_KEY, _SECRET = "key", "secret" * 8
_MAX_BODY_BYTES = 1 << 20
_WALL_S = 1_800_000_000.0
_NOW = Now(monotonic_s=1.0, wall_s=_WALL_S)


class Rooms:
    """What the API uses of `RoomRegistry`, at once and without tasks."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.asked = 0
        self.effects: Sequence[fx.Effect] = ()

    def find(self, name: str) -> Room | None:
        self.asked += 1
        room = self.rooms.get(name)
        return None if room is None or room.closed else room

    def list(self, names: Collection[str] = ()) -> Sequence[RoomView]:
        self.asked += 1
        return [room.view() for name, room in self.rooms.items() if not names or name in names]

    def create(self, name: str, overrides: RoomOverrides) -> RoomView:
        room = self.find(name)
        if room is None:
            room = Room(name, overrides.applied_to(RoomSettings()), room_id=RoomId(next_id()), now=_NOW)
            self.rooms[name] = room
        return room.view()

    async def delete(self, name: str, reason: DisconnectReason) -> None:
        await self.ask(name, lambda request: inputs.CloseRoom(request, reason))
        del self.rooms[name]

    async def ask(self, name: str, make_input: Callable[[RequestId], inputs.RoomInput]) -> object:
        room = self.find(name)
        if room is None:
            raise SfuError(ErrorCode.NOT_FOUND, "requested room does not exist")
        request = RequestId(next_id())
        effects = self.do(name, make_input(request))
        (reply,) = [effect for effect in effects if isinstance(effect, fx.Reply) and effect.request == request]
        if isinstance(reply.result, SfuError):
            raise reply.result
        return reply.result

    def do(self, name: str, event: inputs.RoomInput) -> Sequence[fx.Effect]:
        """One input to a room."""
        self.effects = self.rooms[name].handle(event, _NOW)
        return self.effects

    def join(self, name: str, identity: str) -> SessionId:
        """A participant that is there and connected."""
        session = SessionId(next_id())
        claims = Claims(_KEY, identity, video=VideoGrants(room_join=True, room=name))
        effects = self.do(
            name, inputs.Join(session, claims, inputs.ClientDescription(protocol=16), single_peer_connection=True)
        )
        transports: Sequence[TransportId] = [e.transport for e in effects if isinstance(e, fx.OpenTransport)]
        self.do(name, inputs.TransportConnected(transports[0]))
        return session


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    content_type: str

    @property
    def json(self) -> dict[str, Any]:
        """The decoded JSON."""
        return cast("dict[str, Any]", json.loads(self.body))

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, Twirp code and message."""
        return self.status, self.json["code"], self.json["msg"]


class Api:
    """Calls the server API as an administrator with some grants."""

    def __init__(self) -> None:
        self.rooms = Rooms()
        registry = cast("RoomRegistry", self.rooms)
        clock = SimpleNamespace(monotonic_s=lambda: 1.0, wall_s=lambda: _WALL_S)
        keys = SimpleNamespace(secret={_KEY: _SECRET}.get)
        admission = Admission(keys, clock, registry, NameLimits())
        service = RoomService(registry, max_metadata_bytes=1000)
        self.edge = TwirpEdge(admission, [room_service(service), *unbuilt_services()])

    async def call(self, method: str, body: object = None, *, sip: SipGrants | None = None, **grants: Any) -> Answer:
        """A call in JSON; `method` is `Service/Method`."""
        token = self.token(sip=sip, **grants)
        return await self.post(f"/twirp/livekit.{method}", json.dumps(body or {}).encode(), token=token)

    async def call_protobuf(self, method: str, message: Message, **grants: Any) -> Answer:
        """A call in protobuf."""
        path, body = f"/twirp/livekit.{method}", message.SerializeToString()
        return await self.post(path, body, token=self.token(**grants), content_type="application/protobuf")

    def token(self, *, sip: SipGrants | None = None, **grants: Any) -> str:
        """An administrator's token."""
        claims = Claims(_KEY, "admin", video=VideoGrants(**grants) if grants else None, sip=sip)
        return issue(claims, _SECRET, now_s=_WALL_S)

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        token: str = "",
        content_type: str = "application/json",
        method: str = "POST",
    ) -> Answer:
        """A request as it is."""
        headers = {"Content-Type": content_type}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        payload = StreamReader(mock.Mock(), limit=1 << 20, loop=asyncio.get_running_loop())
        payload.feed_data(body)
        payload.feed_eof()
        request = make_mocked_request(method, path, headers=headers, payload=payload, client_max_size=_MAX_BODY_BYTES)
        response = await self.edge.respond(request, path)
        assert isinstance(response, web.Response)
        return Answer(response.status, cast("bytes", response.body), response.content_type)


@pytest.fixture
def api() -> Api:
    """An API without rooms."""
    return Api()
