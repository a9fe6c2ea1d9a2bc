"""The whole server but for its engine, in one process: real rooms, real signalling, a fake engine.

Owns the assembly. `serve` adds HTTP on a free port, for clients over real WebSockets.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, web

from auth.grants import Claims, VideoGrants
from auth.keys import KeyRing, mapping_source
from auth.tokens import issue, refresh
from sfu.clock import SystemClock
from sfu.control.effect_runner import ControlServices
from sfu.control.registry import RoomRegistry
from sfu.room.settings import RoomSettings
from signaling.admission import Admission, NameLimits
from signaling.counters import SignalCounters
from signaling.http.app import HttpParts, make_app, make_runner
from signaling.limits import SignalLimits
from signaling.wire import ProtobufDataEncoder, ServerFacts, WireEncoder
from signaling.ws import SignalEdge
from tests.sim.fake_engine import FakeEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sfu.clock import Clock
    from sfu.room.effects import RoomEvent

__all__ = ["KEY", "SECRET", "World", "make_token", "open_world"]

KEY = "APItest"
SECRET = "a secret of more than thirty-two characters"


class EventLog:
    """Keeps life events."""

    def __init__(self) -> None:
        self.events: list[RoomEvent] = []

    def emit(self, event: RoomEvent) -> None:
        """See `EventSink`."""
        self.events.append(event)

    def names(self) -> list[str]:
        """Their kinds, in order."""
        return [type(event).__name__ for event in self.events]


@dataclass(slots=True)
class Tokens:
    """Implements `TokenIssuer`."""

    keys: KeyRing
    clock: Clock

    def refresh(self, claims: Claims) -> str | None:
        """See `TokenIssuer`."""
        return refresh(claims, self.keys, self.clock.wall_s())


@dataclass(slots=True)
class World:
    """Everything that a test may look at."""

    engine: FakeEngine
    registry: RoomRegistry
    edge: SignalEdge
    events: EventLog
    counters: SignalCounters
    url: str = ""
    http: ClientSession | None = None
    parts: dict[str, Any] = field(default_factory=dict)


def make_token(identity: str = "ann", room: str = "lobby", secret: str = SECRET, **grants: Any) -> str:
    """A token; also such as no SDK would make."""
    video = VideoGrants(**{"room_join": True, "room": room, **grants})
    return issue(Claims(api_key=KEY, identity=identity, video=video), secret, now_s=time.time())


@contextlib.asynccontextmanager
async def open_world(
    *,
    clock: Clock | None = None,
    settings: RoomSettings | None = None,
    limits: SignalLimits | None = None,
    auto_create: bool = True,
    rtc_v1: bool = True,
    names: NameLimits | None = None,
    parts: dict[str, Any] | None = None,
    serve: bool = True,
) -> AsyncIterator[World]:
    """A running server; over HTTP too when `serve` is true."""
    clock = clock or SystemClock()
    engine, events, counters = FakeEngine(), EventLog(), SignalCounters()
    keys = KeyRing(mapping_source({KEY: SECRET}))
    services = ControlServices(engine, clock, events, ProtobufDataEncoder(), Tokens(keys, clock))
    async with RoomRegistry(services, settings or RoomSettings(), auto_create=auto_create) as registry:
        edge = SignalEdge(
            admission=Admission(keys, clock, registry, names or NameLimits()),
            registry=registry,
            clock=clock,
            encoder=WireEncoder(ServerFacts(node_id="ND_test")),
            limits=limits or SignalLimits(),
            counters=counters,
            rtc_v1=rtc_v1,
        )
        world = World(engine, registry, edge, events, counters)
        if not serve:
            yield world
            return
        runner = make_runner(make_app(HttpParts(edge, **(parts or {}))), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with ClientSession() as world.http:
                yield world
        finally:
            await runner.cleanup()
