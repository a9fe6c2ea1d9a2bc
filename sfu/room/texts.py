"""How long the texts of an announced track may be: everybody in the room is told them, again and again.

Pure. The reference limits them by the size of a whole message only. Names and metadata of participants have limits of
the configuration: `permissions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.permissions import utf8_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.room.inputs import AddTrack

__all__ = ["MAX_TEXT_BYTES", "fitting", "overlong_text"]

MAX_TEXT_BYTES = 256
"""Of UTF-8, as names of participants and of data tracks."""


def overlong_text(request: AddTrack) -> str | None:
    """Which text of an announcement is too long, or `None`."""
    return next((name for name, text in _texts(request) if utf8_bytes(text) > MAX_TEXT_BYTES), None)


def fitting(text: str) -> str:
    """`text`, or nothing when it is too long: for names out of descriptions, which nobody waits to see."""
    return text if utf8_bytes(text) <= MAX_TEXT_BYTES else ""


def _texts(request: AddTrack) -> Iterator[tuple[str, str]]:
    yield "name", request.name
    yield "cid", request.cid
    yield "stream", request.stream
    for codec in request.codecs:
        yield "codec", codec.codec
        yield "cid", codec.cid
    for layer in (*request.layers, *(layer for codec in request.codecs for layer in codec.layers)):
        yield "rid", layer.rid
