"""Where a server listens and which keys it knows; tokens for it.

Owns addresses and token minting (bare JWT claims of protocol.md §7, so that wrong tokens can be made too). Never talks
to a server.
"""

from __future__ import annotations

import enum
import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt

__all__ = ["Endpoint", "JoinPath", "unique"]


class JoinPath(enum.Enum):
    """The two ways to join: two peer connections, or one."""

    V0 = "rtc"
    V1 = "rtc-v1"

    @property
    def single(self) -> bool:
        """True for the path with one peer connection."""
        return self is JoinPath.V1

    @property
    def http_path(self) -> str:
        """The path of the WebSocket."""
        return "/rtc/v1" if self.single else "/rtc"


def unique(prefix: str) -> str:
    """A name no other test uses; servers are shared by whole modules."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Endpoint:
    """One server's address and a key pair it accepts."""

    host: str
    port: int
    key: str
    secret: str
    base_path: str = ""

    @property
    def ws_url(self) -> str:
        """`ws://host:port`, and the base path."""
        return f"ws://{self.host}:{self.port}{self.base_path}"

    @property
    def http_url(self) -> str:
        """`http://host:port`, and the base path."""
        return f"http://{self.host}:{self.port}{self.base_path}"

    def claims(self, identity: str, room: str, *, ttl_s: float = 600, **grants: Any) -> dict[str, Any]:
        """The claims of a joining token; `grants` are camelCase members of `video` and override the defaults."""
        now = int(time.time())
        video = {"roomJoin": True, "room": room} | grants
        return {
            "iss": self.key,
            "sub": identity,
            "name": identity,
            "nbf": now - 5,
            "exp": now + int(ttl_s),
            "video": {k: v for k, v in video.items() if v is not None},
        }

    def sign(self, claims: dict[str, Any], *, secret: str | None = None) -> str:
        """The JWT of these claims, signed by this endpoint's secret or another."""
        return jwt.encode(claims, secret or self.secret, algorithm="HS256")

    def token(self, identity: str, room: str, *, ttl_s: float = 600, **grants: Any) -> str:
        """A token with which `identity` joins `room`; `grants` as in `claims`."""
        return self.sign(self.claims(identity, room, ttl_s=ttl_s, **grants))

    def admin(self, room: str = "") -> str:
        """A token for the server API: everything about rooms, and the administration of `room`."""
        return self.token("admin", room, roomJoin=None, roomAdmin=True, roomCreate=True, roomList=True)
