"""The server API by bare HTTP: Twirp calls with any token and any body, and plain GETs.

Owns nothing but the requests. `livekit-api` is used by the tests where a user would use it; this is for what it hides:
status codes, error bodies, JSON names, headers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.e2e.support.endpoint import Endpoint

__all__ = ["Answer", "get", "twirp"]


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """The body as text without the line end."""
        return self.body.decode(errors="replace").strip()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def _request(method: str, url: str, *, timeout_s: float = 10.0, **options: Any) -> Answer:
    limits = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=limits, max_line_size=2**20) as http,
        http.request(method, url, **options) as answer,
    ):
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, await answer.read(), headers)


async def get(
    endpoint: Endpoint, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, **query: str
) -> Answer:
    """One request without a body."""
    return await _request(method, endpoint.http_url + path, headers=headers or {}, params=query)


async def twirp(
    endpoint: Endpoint,
    method: str,
    body: dict[str, Any] | bytes,
    *,
    token: str | None = None,
    service: str = "RoomService",
) -> Answer:
    """Call `livekit.<service>/<method>`; a dict goes as JSON, bytes as protobuf. Without a token, none is sent."""
    kind = "application/json" if isinstance(body, dict) else "application/protobuf"
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    return await _request("POST", f"{endpoint.http_url}/twirp/livekit.{service}/{method}", headers=headers, data=data)
