"""A request that is turned away over HTTP: status and text (protocol.md §1.3, §1.6).

Owns the one table from our error codes to HTTP, which is also Twirp's. Texts never repeat a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.errors import SfuError

__all__ = ["HTTP_STATUS", "Refusal"]

HTTP_STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.FAILED_PRECONDITION: 412,
    ErrorCode.RESOURCE_EXHAUSTED: 429,
    ErrorCode.UNIMPLEMENTED: 501,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DEADLINE_EXCEEDED: 503,
    ErrorCode.INTERNAL: 500,
}


class Refusal(Exception):
    """Answer with this status and plain text."""

    def __init__(self, status: int, text: str, about: Mapping[str, object] | None = None) -> None:
        """`about` is for the log alone: what the operator may know and the client need not."""
        super().__init__(text)
        self.status = status
        self.text = text
        self.about = dict(about or {})

    @classmethod
    def of(cls, error: SfuError) -> Refusal:
        """The refusal that an error of ours amounts to."""
        return cls(HTTP_STATUS[error.code], error.message)
