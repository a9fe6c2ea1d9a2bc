"""The meeting page: its files, what it asks about the server, and in dev mode a token.

Owns these routes. The token endpoint exists in dev mode only, sends no CORS headers and answers only pages of this
very server: its host must be this machine's name or an address (against DNS rebinding), its origin must be its host.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from auth.grants import Claims, VideoGrants
from auth.tokens import issue
from sfu.ids import random_sid
from signaling.refusal import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from sfu.clock import Clock

__all__ = ["DevTokens", "Page"]

_MAX_BODY_BYTES = 16 * 1024
_MAX_NAME_LENGTH = 256
"""Characters, the default limits of names; the join itself goes by the configured ones."""
_IMMUTABLE = "public, max-age=31536000, immutable"
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class DevTokens:
    """Makes tokens for whoever opens the page; for dev mode only."""

    api_key: str
    secret: str
    clock: Clock
    hosts: frozenset[str] = frozenset()
    """Further host names under which the page may be opened."""

    async def respond(self, request: web.Request) -> web.Response:
        """`POST {"room", "name"}` -> `{"token", "identity", "room"}`.

        Raises:
            Refusal: A page of another server asks, or the request is not as above.
        """
        self._check_origin(request)
        room, name = await _asked(request)
        slug = _UNSAFE.sub("-", name).strip("-")[:32] or "guest"
        identity = random_sid(f"{slug}-")
        claims = Claims(
            api_key=self.api_key,
            identity=identity,
            name=name,
            video=VideoGrants(room_join=True, room=room, can_update_own_metadata=True),
        )
        token = issue(claims, self.secret, now_s=self.clock.wall_s())
        return web.json_response({"token": token, "identity": identity, "room": room})

    def _check_origin(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        if not self._is_own(urlsplit(f"//{host}").hostname or ""):
            raise Refusal(403, "this host name is not the server's own")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, "only this server's own page gets tokens")

    def _is_own(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


async def _asked(request: web.Request) -> tuple[str, str]:
    # A browser sends this type across origins only after asking leave, which is never given.
    if request.content_type != "application/json":
        raise Refusal(400, "the body must be JSON")
    body = await request.content.read(_MAX_BODY_BYTES)
    try:
        wanted = json.loads(body)
        room, name = wanted["room"], wanted["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refusal(400, 'the body must be {"room": …, "name": …}') from None
    if not (isinstance(room, str) and isinstance(name, str)) or not room.strip() or not name.strip():
        raise Refusal(400, "room and name must be texts")
    if not (_is_encodable(room) and _is_encodable(name)):
        raise Refusal(400, "room and name must be Unicode texts; one has half of a surrogate pair")
    if max(len(room), len(name)) > _MAX_NAME_LENGTH:
        raise Refusal(400, f"room and name must not be longer than {_MAX_NAME_LENGTH} characters")
    return room.strip(), name.strip()


def _is_encodable(text: str) -> bool:
    """JSON can escape what is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Page:
    """Serves the built files of `web/`."""

    def __init__(self, root: Path, *, version: str, dev: bool) -> None:
        """Looks for the files once: what is not there at the start is not served, whatever a path says.

        Args:
            root: Folder with `index.html` and `assets/`; may be missing, then the page explains.
            version: Of this server, told to the page.
            dev: Whether the page can ask for tokens.
        """
        self._index = root / "index.html" if (root / "index.html").is_file() else None
        assets = root / "assets"
        self._assets = {path.relative_to(assets).as_posix(): path for path in assets.rglob("*") if path.is_file()}
        self._facts = {"dev": dev, "version": version}

    def index(self) -> web.StreamResponse:
        """The page itself."""
        if self._index is None:
            raise Refusal(404, "the page is not built: run `make build`")
        return web.FileResponse(self._index, headers={"Cache-Control": "no-cache"})

    def asset(self, name: str) -> web.StreamResponse:
        """A file below `assets/`; their names change with their content, so they may be kept for ever."""
        path = self._assets.get(name)
        if path is None:
            raise Refusal(404, "404 page not found")
        return web.FileResponse(path, headers={"Cache-Control": _IMMUTABLE})

    def facts(self) -> web.Response:
        """`/page.json`."""
        return web.json_response(self._facts, headers={"Cache-Control": "no-store"})
