"""The metrics endpoint, an application of its own on `prometheus.port`.

Owns the route and its optional basic authentication. Never counts: it asks for the exposition text.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONTENT_TYPE", "make_metrics_app"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def make_metrics_app(expose: Callable[[], bytes], *, username: str = "", password: str = "") -> web.Application:
    """Serves what `expose` returns on every path, as the reference does; with credentials only to who has them."""
    wanted = f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}" if username and password else ""

    async def scrape(request: web.Request) -> web.Response:
        if wanted and not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="metrics"'})
        return web.Response(body=expose(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/{path:.*}", scrape)
    return app
