"""The composition root: builds every part, starts them in order, stops them in order.

Owns the order and the process's signals. Everything that can refuse to start (sockets, addresses, keys, TLS files)
comes before anything that clients could see. Never contains behaviour of its own.

Stop, at the first signal: nobody is let in any more, `leave{SERVER_SHUTDOWN}` to everyone, sockets closed, engine
stopped; four seconds, or one more signal once clients were told, end the process at once. After SIGTERM the `leave`
says RECONNECT (clients try again by themselves, for as long as their SDK does), after SIGINT, SIGQUIT or two signals
DISCONNECT, which is final (`stopping.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog
import uvloop
from aiohttp import web

from auth import tokens
from auth.keys import KeysError
from plenum import __version__
from plenum.banner import Endpoints, banner
from plenum.cli.console import out
from plenum.listeners import listen, port_of
from plenum.network import choose_media_addresses, lan_addresses
from plenum.site import build_site
from plenum.startup import StartupError
from plenum.stopping import STOP_SIGNALS, StopRequest
from plenum.tls import tls_context
from plenum.wiring import engine_config, room_settings
from sfu.addresses import host_port
from sfu.clock import SystemClock
from sfu.control.effect_runner import ControlServices
from sfu.control.engine_client import EngineClient, EngineStartError
from sfu.control.life_log import EventFan, LifeLog
from sfu.control.life_metrics import LifeMetrics
from sfu.control.registry import RoomRegistry
from sfu.ids import random_sid
from sfu.log import configure_logging
from sfu.metrics import Metrics, engine_histograms, engine_samples
from sfu.room.enums import DisconnectReason
from signaling.http.app import make_runner
from signaling.http.metrics import metrics_app
from signaling.wire import ProtobufDataEncoder

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Coroutine

    from auth.grants import Claims
    from auth.keys import KeyRing
    from plenum.startup import Startup
    from sfu.clock import Clock
    from sfu.config import Config

__all__ = ["run"]

_STOP_DEADLINE_S = 3.8
"""From the first signal on. The steps below fit in, though aiohttp may take the time of connections twice."""
_SECOND_SIGNAL_S = 0.5
"""Between a SIGTERM and what clients are told: the moment for a second one. They have their media meanwhile."""
_ROOMS_DEADLINE_S = 1.5
_CONNECTIONS_DEADLINE_S = 0.75
_SCRAPES_DEADLINE_S = 0.05

T = TypeVar("T")
_log = structlog.stdlib.get_logger(__name__)


def run(startup: Startup) -> int:
    """Serves until a signal ends it.

    Returns:
        The process's exit code.

    Raises:
        StartupError: Something refused to start; nothing was served.
    """
    config = startup.config
    configure_logging(config.logging.level or config.log_level or "info", json_lines=config.logging.json_lines)
    _allow_many_sockets()
    for note in startup.notes:
        _log.warning(note)
    if startup.open_to_others:
        _log.warning("DEV MODE IS REACHABLE FROM OTHER MACHINES: whoever opens the page may join")
    if startup.ineffective:
        _log.warning("keys without effect yet", keys=list(startup.ineffective))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(startup))


def _allow_many_sockets() -> None:
    """Raises the soft limit of open files to the hard one: each client has a socket, some have two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(startup: Startup) -> int:
    config = startup.config
    stop = _watch_signals(startup.keys)
    tls = tls_context(config.plenum.tls_cert, config.plenum.tls_key)
    http = listen(config.bind_addresses, config.port, key="port", flag="--port")
    metrics_port = config.prometheus.port or config.prometheus_port
    scrape = listen(config.bind_addresses, metrics_port, key="prometheus.port") if metrics_port else []
    addresses = await _unless_stopped(choose_media_addresses(config.rtc), stop)
    if addresses is None:
        return 0
    try:
        engine = EngineClient(engine_config(config, addresses), ice_lite=config.rtc.use_ice_lite)
    except (EngineStartError, ValueError) as error:
        raise StartupError(_media_sentence(str(error))) from None
    engine.start()
    try:
        await _serve_rooms(startup, engine, _Sockets(http, scrape, tls), stop)
    finally:
        engine.stop()
    _log.info("stopped")
    return 0


def _media_sentence(reason: str) -> str:
    """The engine's reason, with the key and the flag that choose the port."""
    for protocol, key, flag in (("UDP", "rtc.udp_port", "--udp-port"), ("TCP", "rtc.tcp_port", "--rtc.tcp_port")):
        if reason.startswith(f"cannot bind {protocol}"):
            return f"media: {reason}; choose another port with {flag} or {key}"
    return f"media: {reason}"


@dataclass(frozen=True, slots=True)
class _Sockets:
    """What the HTTP side listens on."""

    http: list[socket.socket]
    scrape: list[socket.socket]
    tls: ssl.SSLContext | None


async def _serve_rooms(startup: Startup, engine: EngineClient, sockets: _Sockets, stop: StopRequest) -> None:
    config, clock, node_id = startup.config, SystemClock(), random_sid("ND_")
    metrics = Metrics(node_id)
    metrics.add_source(lambda: engine_samples(engine.counters()))
    metrics.add_histograms(lambda: engine_histograms(engine.counters()))
    services = ControlServices(
        engine=engine,
        clock=clock,
        events=EventFan([LifeLog(), LifeMetrics(metrics, clock)]),
        encoder=ProtobufDataEncoder(),
        tokens=_Tokens(startup.keys, clock),
    )
    async with RoomRegistry(
        services,
        room_settings(config),
        auto_create=config.room.auto_create,
        ask_timeout_s=config.api.execution_timeout,
    ) as registry:
        app = build_site(startup, registry, clock, metrics, node_id)
        async with (
            _sites(app, sockets.http, _CONNECTIONS_DEADLINE_S, tls=sockets.tls) as sites,
            _scrape_sites(metrics, sockets.scrape, config),
        ):
            _announce(startup, _endpoints(engine, sockets), node_id)
            await stop.wait()
            _force_exit_later()
            come_back = await stop.settle(_SECOND_SIGNAL_S if len(registry) else 0)
            _log.info("stopping", rooms=len(registry), clients_come_back=come_back)
            # Who comes back at once is to find whoever is next, or nobody, not this process.
            for site in sites:
                await site.stop()
            await registry.shutdown(DisconnectReason.SERVER_SHUTDOWN, _ROOMS_DEADLINE_S, come_back=come_back)


async def _unless_stopped(work: Coroutine[object, object, T], stop: StopRequest) -> T | None:
    """What `work` returns; `None` when a signal came first (STUN servers may be silent for seconds)."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        task.cancel()
        stopped.cancel()


class _Tokens:
    """Signs refreshed tokens; a `TokenIssuer`."""

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def refresh(self, claims: Claims) -> str | None:
        """See `TokenIssuer`."""
        return tokens.refresh(claims, self._keys, self._clock.wall_s())


def _watch_signals(keys: KeyRing) -> StopRequest:
    """What hears the signals to stop; SIGHUP reads the keys again."""
    stop = StopRequest()
    loop = asyncio.get_running_loop()

    def reload_keys() -> None:
        try:
            keys.reload()
        except KeysError as error:
            _log.error("keys not reloaded", reason=str(error))
        else:
            _log.info("keys reloaded", count=len(keys.api_keys))

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.take, number)
    loop.add_signal_handler(signal.SIGHUP, reload_keys)
    return stop


def _force_exit_later() -> None:
    """However stuck anything is, the process ends in time."""

    def give_up() -> None:
        _log.error("stop took too long", deadline_s=_STOP_DEADLINE_S)
        os._exit(1)

    timer = threading.Timer(_STOP_DEADLINE_S, give_up)
    timer.daemon = True
    timer.start()


@contextlib.asynccontextmanager
async def _sites(
    app: web.Application, sockets: list[socket.socket], deadline_s: float, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[web.SockSite]]:
    runner = make_runner(app, handle_signals=False, shutdown_timeout=deadline_s)
    await runner.setup()
    sites = [web.SockSite(runner, bound, ssl_context=tls) for bound in sockets]
    try:
        for site in sites:
            await site.start()
        yield sites
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _scrape_sites(metrics: Metrics, sockets: list[socket.socket], config: Config) -> AsyncIterator[None]:
    if not sockets:
        yield
        return
    prometheus = config.prometheus
    app = metrics_app(metrics.registry, username=prometheus.username, password=prometheus.password)
    async with _sites(app, sockets, _SCRAPES_DEADLINE_S):
        yield


def _endpoints(engine: EngineClient, sockets: _Sockets) -> Endpoints:
    return Endpoints(
        http=tuple((bound.getsockname()[0], bound.getsockname()[1]) for bound in sockets.http),
        udp=tuple(engine.udp_addresses),
        tcp=tuple(engine.tcp_addresses),
        metrics_port=port_of(sockets.scrape) if sockets.scrape else None,
        secure=sockets.tls is not None,
        lan=lan_addresses(),
    )


def _announce(startup: Startup, endpoints: Endpoints, node_id: str) -> None:
    config = startup.config
    _log.info(
        "serving",
        version=__version__,
        node_id=node_id,
        mode="dev" if config.development else "production",
        config=startup.origin or None,
        http=[host_port(address, port) for address, port in endpoints.http],
        udp=list(endpoints.udp),
        tcp=list(endpoints.tcp),
        metrics_port=endpoints.metrics_port,
    )
    if config.development and not config.logging.json_lines:
        out.print(banner(startup, endpoints))
