"""Errors that reach a caller: one code each, mapped to Twirp and HTTP in one table at the edge.

Owns the codes. Never says how they look on the wire.
"""

from __future__ import annotations

import enum

__all__ = ["ErrorCode", "SfuError"]


class ErrorCode(enum.Enum):
    """Twirp's names, which are also ours."""

    INVALID_ARGUMENT = "invalid_argument"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    FAILED_PRECONDITION = "failed_precondition"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    UNIMPLEMENTED = "unimplemented"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"


class SfuError(Exception):
    """A request that was refused. `message` is fit for the one who asked: no secrets, tokens or addresses."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
