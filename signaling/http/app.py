"""The HTTP application: which path leads where, also under a base path, and what every answer carries.

Owns routing, CORS and the edge of errors: a refusal becomes its status and text, a fault of ours a plain 500 and one
log line. Never verifies tokens or serves sessions itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from signaling.http.health import health_response
from signaling.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signaling.http.page import DevTokens, Page
    from signaling.ws import SignalEdge

__all__ = ["HttpParts", "make_app", "make_runner"]

_MAX_REQUEST_LINE = 256 * 1024
"""Bytes; an offer and its tracks travel in the query (protocol.md §1.5)."""
_KEEPALIVE_TIMEOUT_S = 75.0
_ALLOWED_METHODS = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"
_EXACT = ("/rtc/v1/validate", "/rtc/validate", "/rtc/v1", "/rtc", "/page.json", "/token", "/agent")
_FOLDERS = ("/twirp/", "/assets/")
_NOT_FOUND = "404 page not found"
_NO_WORKERS = (
    "agent workers cannot register with this server yet: /agent is not implemented; an agent can join a room as a "
    "participant, with a token of its own"
)

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpParts:
    """What the application serves."""

    edge: SignalEdge
    twirp: Callable[[web.Request, str], Awaitable[web.StreamResponse]] | None = None
    """Gets the request and its path from `/twirp/` on."""
    page: Page | None = None
    dev_tokens: DevTokens | None = None


def make_app(parts: HttpParts, *, max_body_bytes: int = 10 * 1024 * 1024) -> web.Application:
    """The application for the main port; bodies above `max_body_bytes` are refused (0: none is)."""
    dispatcher = _Dispatcher(parts)
    app = web.Application(client_max_size=max_body_bytes)
    app.router.add_route("*", "/{path:.*}", dispatcher.respond)
    app.on_response_prepare.append(_add_cors_headers)
    return app


def make_runner(app: web.Application, **options: Any) -> web.AppRunner:
    """A runner that takes the long request lines of joins and keeps tokens out of the access log."""
    return web.AppRunner(
        app,
        access_log=None,
        logger=_server_log,
        keepalive_timeout=_KEEPALIVE_TIMEOUT_S,
        max_line_size=_MAX_REQUEST_LINE,
        max_field_size=_MAX_REQUEST_LINE,
        **options,
    )


class _OurFaultsOnly(logging.Filter):
    """Drops what aiohttp says of requests that are no HTTP: a 400 tells their sender, a traceback would tell nobody.

    Their text may also hold part of a request line, and with it of a token.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_server_log = logging.getLogger("plenum.http")
_server_log.addFilter(_OurFaultsOnly())


def route_of(path: str) -> tuple[str, str]:
    """The route that a path means, and the path from there on.

    `//rtc` is `/rtc` (SDKs do send it), and every route is also found under a base path: `/base/rtc/v1`.
    """
    clean = "/" + path.lstrip("/")
    for folder in _FOLDERS:
        start = clean.find(folder)
        if start >= 0:
            return folder, clean[start:]
    for known in _EXACT:
        if clean.endswith(known):
            return known, known
    return (clean, clean) if clean == "/" else ("", clean)


class _Dispatcher:
    """Finds the route of a request and answers it."""

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._edge = parts.edge

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """The whole of a request, errors included."""
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return web.Response(status=refusal.status, text=refusal.text)
        except web.HTTPException:
            raise
        except ConnectionError:
            raise  # the client went away: nobody to answer, nothing to mend
        except Exception:
            _log.exception("request failed", method=request.method)
            return web.Response(status=500, text="internal error")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        route, rest = route_of(request.path)
        if request.method == "OPTIONS" and route != "/token":
            return _preflight(request)
        if route == "/twirp/" and self._parts.twirp is not None:
            return await self._parts.twirp(request, rest)
        if request.method == "POST" and route == "/token" and self._parts.dev_tokens is not None:
            return await self._parts.dev_tokens.respond(request)
        if request.method in {"GET", "HEAD"} and (answer := await self._get(request, route, rest)) is not None:
            return answer
        # Like the reference, an unknown path tells of a bad token first.
        self._edge.admission.claims(request.headers, request.query)
        raise Refusal(404, _NOT_FOUND)

    async def _get(self, request: web.Request, route: str, rest: str) -> web.StreamResponse | None:
        match route:
            case "/rtc" | "/rtc/v1":
                return await self._edge.connect(request, v1=route == "/rtc/v1")
            case "/rtc/validate" | "/rtc/v1/validate":
                return await self._edge.validate(request, v1=route == "/rtc/v1/validate")
            case "/":
                return self._root(request)
            case "/agent":
                raise self._worker_refusal(request)
            case _:
                return self._page_file(route, rest)

    def _worker_refusal(self, request: web.Request) -> Refusal:
        """As with every unbuilt service: who may not is told so, who may is told the truth (protocol.md §9)."""
        claims = self._edge.admission.claims(request.headers, request.query)
        if claims is None or claims.video is None or not claims.video.agent:
            return Refusal(401, "permissions denied")
        return Refusal(501, _NO_WORKERS)

    def _root(self, request: web.Request) -> web.StreamResponse:
        if self._parts.page is not None and "text/html" in request.headers.get("Accept", ""):
            return self._parts.page.index()
        return health_response(self._edge.registry)

    def _page_file(self, route: str, rest: str) -> web.StreamResponse | None:
        page = self._parts.page
        if page is None:
            return None
        if route == "/page.json":
            return page.facts()
        return page.asset(rest.removeprefix("/assets/")) if route == "/assets/" else None


def _preflight(request: web.Request) -> web.Response:
    # Echoed, because `*` does not cover Authorization (Fetch standard §3.3.2).
    wanted = request.headers.get("Access-Control-Request-Headers", "*")
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": _ALLOWED_METHODS,
            "Access-Control-Allow-Headers": wanted,
            "Access-Control-Max-Age": "86400",
            "Vary": "Access-Control-Request-Headers",
        },
    )


async def _add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    if route_of(request.path)[0] != "/token":
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "*"
