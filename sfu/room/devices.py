"""What clients had better not use or cannot do, whatever they say themselves (protocol.md §4.1, device rules; §4.2).

Pure functions over what a client says of itself. Never looks into SDP: clients are told, and choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.room.inputs import ClientDescription

__all__ = ["DisabledCodecs", "disabled_codecs", "obeys_codec_order", "switches_codec_in_place"]

_FIREFOX = ("firefox", "firefox mobile")
_NO_H264_MODELS = frozenset({"xiaomi 2201117ti"})
# Up to this one Safari publishes VP9 well.
_SAFARI_VP9 = (18, 3, 0)


@dataclass(frozen=True, slots=True)
class DisabledCodecs:
    """MIME types that a client shall not use at all, and those that it shall not publish."""

    everywhere: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()

    def __contains__(self, mime: str) -> bool:
        """Whether the client shall not publish it."""
        return mime in self.everywhere or mime in self.publish


def disabled_codecs(client: ClientDescription) -> DisabledCodecs:
    """What this client is told in `client_configuration.disabled_codecs`."""
    browser, system = client.browser.lower(), client.os.lower()
    if browser == "safari":
        publish = ("video/VP9",) if _version(client.browser_version) > _SAFARI_VP9 else ()
        return DisabledCodecs(("video/AV1",), publish)
    if browser in _FIREFOX and system in ("linux", "android"):
        return DisabledCodecs(publish=("video/H264",))
    if client.device_model.lower() in _NO_H264_MODELS and system == "android":
        return DisabledCodecs(publish=("video/H264",))
    return DisabledCodecs()


def obeys_codec_order(client: ClientDescription) -> bool:
    """Whether it publishes in the first codec of an answer; if not, the answer names no other (protocol.md §4.2)."""
    return client.browser.lower() not in _FIREFOX or client.os.lower() not in ("linux", "android")


def switches_codec_in_place(client: ClientDescription) -> bool:
    """Whether it goes on playing when a subscription comes in another codec without negotiation (protocol.md §4.10)."""
    return client.sdk not in ("go", "unknown")


def _version(text: str) -> tuple[int, ...]:
    """`18.3` → `(18, 3, 0)`; what is no number counts as 0."""
    parts = (text + ".0.0").split(".")[:3]
    return tuple(int(part) if part.isascii() and part.isdigit() and len(part) < 9 else 0 for part in parts)
