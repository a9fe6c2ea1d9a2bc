"""Who may come in: tokens of requests, and what a join needs (protocol.md §1.3, §1.6).

Owns the order of the checks and their statuses and texts. Never talks to a room: whether it is full, the room says.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auth.tokens import TokenError, verify
from sfu.errors import SfuError
from signaling.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auth.grants import Claims
    from auth.keys import KeyProvider
    from sfu.clock import Clock
    from sfu.control.registry import RoomRegistry
    from signaling.join_request import JoinWish

__all__ = ["Admission", "NameLimits"]

_BEARER = "Bearer "
_NO_ACCESS = "no permissions to access the room"


@dataclass(frozen=True, slots=True)
class NameLimits:
    """Bytes of UTF-8; 0: no limit (`limit.*` of the configuration)."""

    max_identity_length: int = 256
    max_room_name_length: int = 256


class Admission:
    """Checks tokens and joins."""

    def __init__(self, keys: KeyProvider, clock: Clock, registry: RoomRegistry, limits: NameLimits) -> None:
        self._keys = keys
        self._clock = clock
        self._registry = registry
        self._limits = limits

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Claims | None:
        """The verified token of a request: of its `Authorization` header, else its `access_token` parameter.

        Returns:
            `None` when there is no token at all.

        Raises:
            Refusal: 401 for a token that is no good.
        """
        header = headers.get("Authorization")
        if header:
            if not header.startswith(_BEARER):
                raise Refusal(401, "invalid authorization header. Must start with Bearer ")
            token = header.removeprefix(_BEARER)
        else:
            token = query.get("access_token", "")
        if not token:
            return None
        try:
            return verify(token, self._keys, self._clock.wall_s())
        except TokenError as error:
            raise Refusal(401, error.message, error.about) from None

    def admit(self, claims: Claims | None, wish: JoinWish) -> Claims:
        """Checks a join, as far as it can be without the room.

        Returns:
            The claims to join with: those of a publish-only side connection differ from the token's.

        Raises:
            Refusal: As in protocol.md §1.6.
        """
        if claims is None or claims.video is None:
            raise Refusal(401, _NO_ACCESS, _missing("video"))
        self._check_names(claims)
        if wish.publish:
            claims = self._side_connection(claims, wish.publish)
        video = claims.video
        if video is None:
            raise Refusal(401, _NO_ACCESS)
        try:
            self._registry.check_may_enter(video.room, may_create=video.room_create)
        except SfuError as error:
            raise Refusal.of(error) from error
        if (wish.metadata or wish.attributes) and not video.may_update_own_metadata:
            raise Refusal(401, _NO_ACCESS, _missing("canUpdateOwnMetadata"))
        return claims

    def _check_names(self, claims: Claims) -> None:
        video = claims.video
        if video is None or not video.room_join:
            raise Refusal(401, "permissions denied", _missing("roomJoin"))
        if not claims.identity:
            raise Refusal(400, "identity cannot be empty")
        limit = self._limits.max_identity_length
        if 0 < limit < len(claims.identity.encode()):
            raise Refusal(400, f"participant identity length exceeds limits: max length {limit}")
        if not video.room:
            raise Refusal(400, "no room name")
        limit = self._limits.max_room_name_length
        if 0 < limit < len(video.room.encode()):
            raise Refusal(400, f"room name length exceeds limits: max length {limit}")

    @staticmethod
    def _side_connection(claims: Claims, suffix: str) -> Claims:
        if claims.video is None or not claims.video.may_publish:
            raise Refusal(401, _NO_ACCESS, _missing("canPublish"))
        return dataclasses.replace(
            claims,
            identity=f"{claims.identity}#{suffix}",
            video=dataclasses.replace(claims.video, can_subscribe=False),
        )


def _missing(grant: str) -> dict[str, object]:
    return {"missing_grant": grant}
