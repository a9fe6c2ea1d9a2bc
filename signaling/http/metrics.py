"""The scrape endpoint of Prometheus, on a port of its own (protocol.md §1.1).

Owns the rendering and its basic authentication. Never counts anything: the registry is handed in.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from aiohttp import BasicAuth, web
from prometheus_client import generate_latest

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["metrics_app"]

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_app(registry: CollectorRegistry, *, username: str = "", password: str = "") -> web.Application:
    """An application that answers every GET with the metrics, as the reference does.

    Args:
        registry: What is rendered.
        username: With `password`: required of whoever asks; empty: everybody may.
        password: See `username`.
    """

    async def scrape(request: web.Request) -> web.Response:
        if username and password and not _is_let_in(request, username, password):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="metrics"'})
        return web.Response(body=generate_latest(registry), headers={"Content-Type": _CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/{path:.*}", scrape)
    return app


def _is_let_in(request: web.Request, username: str, password: str) -> bool:
    header = request.headers.get("Authorization", "")
    try:
        given = BasicAuth.decode(header, encoding="utf-8")
    except ValueError:
        return False
    # Both are compared, each in constant time.
    same_name = hmac.compare_digest(given.login.encode(), username.encode())
    return hmac.compare_digest(given.password.encode(), password.encode()) and same_name
