"""Health: `GET /` says `OK` while the server can take sessions.

Owns the verdict. Never asks for a token: a stale one must not make a healthy server look ill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from sfu.control.registry import RoomRegistry

__all__ = ["health_response"]


def health_response(registry: RoomRegistry) -> web.Response:
    """200 `OK`, or 406 `Not Ready` as the reference says it."""
    if registry.accepting:
        return web.Response(text="OK")
    return web.Response(status=406, text="Not Ready")
