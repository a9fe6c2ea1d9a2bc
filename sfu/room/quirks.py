"""What some devices cannot do although they say that they can (protocol.md §4.1).

Owns the table. Never changes what is negotiated: clients are told and choose otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.room.inputs import ClientDescription

__all__ = ["NO_QUIRKS", "Quirks", "quirks_of"]

_AV1, _VP9, _H264 = "video/AV1", "video/VP9", "video/H264"
_SAFARI_WITHOUT_VP9 = (18, 3)
"""Later versions fail to publish it."""
_WEAK_H264_SYSTEMS = frozenset({"linux", "android"})
_WEAK_H264_MODELS = frozenset({"xiaomi 2201117ti"})


@dataclass(frozen=True, slots=True)
class Quirks:
    """Codecs that a client should leave alone, as MIME types."""

    disabled: tuple[str, ...] = ()
    """In both directions."""
    disabled_publish: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.disabled or self.disabled_publish)


NO_QUIRKS = Quirks()


def quirks_of(client: ClientDescription) -> Quirks:
    """The quirks of what the client says it is."""
    browser = client.browser.lower()
    if browser == "safari":
        weak = _version(client.browser_version) > _SAFARI_WITHOUT_VP9
        return Quirks(disabled=(_AV1,), disabled_publish=(_VP9,) if weak else ())
    is_weak_firefox = browser == "firefox" and client.os.lower() in _WEAK_H264_SYSTEMS
    if is_weak_firefox or client.device_model.lower() in _WEAK_H264_MODELS:
        return Quirks(disabled_publish=(_H264,))
    return NO_QUIRKS


def _version(text: str) -> tuple[int, int]:
    """Major and minor number; what is no number counts as 0."""
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in text[:32].split(".")[:2]]
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0)
