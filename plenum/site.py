"""The HTTP application with all its parts: signalling, page, API.

Owns their assembly from the configuration. Never serves a request itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plenum import __version__
from plenum.wiring import name_limits, signal_limits
from sfu import metrics as names
from signaling.admission import Admission
from signaling.counters import SignalCounters
from signaling.http.app import HttpParts, make_app
from signaling.http.page import DevTokens, Page
from signaling.http.room_service import RoomService, room_service
from signaling.http.twirp import TwirpEdge
from signaling.http.unbuilt import unbuilt_services
from signaling.wire import ServerFacts, WireEncoder
from signaling.wire.responses import IceServer
from signaling.ws import SignalEdge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from plenum.startup import Startup
    from sfu.clock import Clock
    from sfu.config import Config
    from sfu.control.registry import RoomRegistry
    from sfu.metrics import Metrics, Sample

__all__ = ["api_samples", "build_site", "signal_samples"]

_STATIC = Path(__file__).parent / "static"


def build_site(
    startup: Startup, registry: RoomRegistry, clock: Clock, metrics: Metrics, node_id: str
) -> web.Application:
    """The application for the main port."""
    config = startup.config
    counters = SignalCounters()
    metrics.add_source(lambda: signal_samples(counters))
    admission = Admission(startup.keys, clock, registry, name_limits(config))
    twirp = TwirpEdge(admission, [room_service(_room_service(config, registry)), *unbuilt_services()])
    metrics.add_source(lambda: api_samples(twirp))
    edge = SignalEdge(
        admission=admission,
        registry=registry,
        clock=clock,
        encoder=WireEncoder(ServerFacts(node_id=node_id, region=config.region, ice_servers=_ice_servers(config))),
        limits=signal_limits(config),
        counters=counters,
        rtc_v1=not config.plenum.disable_rtc_v1,
    )
    page = Page(_STATIC, version=__version__, dev=config.development) if config.plenum.web else None
    dev_tokens = _dev_tokens(startup, clock)
    parts = HttpParts(edge=edge, twirp=twirp.respond, page=page, dev_tokens=dev_tokens)
    return make_app(parts, max_body_bytes=config.limit.max_api_request_body_size)


def api_samples(twirp: TwirpEdge) -> Iterator[Sample]:
    """The server API's totals as samples."""
    for (service, method, status, code), total in twirp.answered.items():
        yield names.TWIRP_STATUS, (service, method, str(status), code), total


def signal_samples(counters: SignalCounters) -> Iterator[Sample]:
    """Signalling's totals as samples."""
    for cap, total in counters.capped.items():
        yield names.SIGNAL_CLOSED, (cap.value,), total
    yield names.SIGNAL_CLOSED, ("vanished",), counters.vanished
    for status, total in counters.refused.items():
        yield names.REFUSED_JOINS, (str(status),), total
    yield names.REFUSED_JOINS, ("leave",), counters.turned_away
    for value in ("sessions", "frames_in", "frames_out", "bad_frames"):
        yield names.SIGNAL, (value,), getattr(counters, value)


def _room_service(config: Config, registry: RoomRegistry) -> RoomService:
    room, limit = config.room, config.limit
    return RoomService(
        registry,
        max_room_name_length=room.max_room_name_length or limit.max_room_name_length,
        max_metadata_bytes=room.max_metadata_size or limit.max_metadata_size,
    )


def _ice_servers(config: Config) -> tuple[IceServer, ...]:
    """As the reference: the STUN servers that we use ourselves are told to clients too."""
    urls = tuple(f"stun:{server.removeprefix('stun:')}" for server in config.rtc.stun_servers)
    return (IceServer(urls),) if urls else ()


def _dev_tokens(startup: Startup, clock: Clock) -> DevTokens | None:
    """Only in dev mode: whoever opens the page may join."""
    if not startup.config.development or not startup.config.plenum.web:
        return None
    api_key = startup.keys.api_keys[0]
    secret = startup.keys.secret(api_key)
    return None if secret is None else DevTokens(api_key, secret, clock)
