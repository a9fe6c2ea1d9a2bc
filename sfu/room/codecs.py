"""Names of codecs: the canonical case of MIME types, and which one a publication uses.

Pure functions over strings. Never looks into SDP: that is the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.room.enums import TrackType

__all__ = [
    "OPUS",
    "RED",
    "canonical_mime",
    "canonical_mimes",
    "carries_media",
    "choose_video",
    "has_codec_for",
    "mime_of",
    "publish_order",
]

OPUS = "audio/opus"
RED = "audio/red"
_RTX = "video/rtx"

_CANONICAL = {
    name.lower(): name
    for name in (
        OPUS,
        RED,
        "audio/PCMU",
        "audio/PCMA",
        "audio/G722",
        "video/VP8",
        "video/VP9",
        "video/H264",
        "video/H265",
        "video/AV1",
        _RTX,
    )
}
_ALIASES = {"video/hevc": "video/h265", "video/h.264": "video/h264"}
_VIDEO_ORDER = {"video/VP8": 0, "video/H264": 1}


def canonical_mime(mime: str) -> str:
    """`VIDEO/vp8` → `video/VP8`; a name that is not known stays as it is."""
    lower = mime.strip().lower()
    return _CANONICAL.get(_ALIASES.get(lower, lower), mime.strip())


def canonical_mimes(mimes: Iterable[str]) -> tuple[str, ...]:
    """Canonical names, in order, each once."""
    return tuple(dict.fromkeys(canonical_mime(mime) for mime in mimes if mime))


def carries_media(mime: str) -> bool:
    """Whether a codec, by its canonical name, carries media by itself; RED and RTX only repair that of others."""
    return mime not in (RED, _RTX)


def has_codec_for(type_: TrackType, enabled: Iterable[str]) -> bool:
    """Whether tracks of a kind can be sent in one of these codecs."""
    return any(mime.startswith(f"{type_.name.lower()}/") and carries_media(mime) for mime in enabled)


def mime_of(type_: TrackType, codec: str) -> str:
    """MIME type of a codec as clients name it: `vp8`, `video/VP8` → `video/VP8`; empty stays empty."""
    if not codec:
        return ""
    return canonical_mime(codec if "/" in codec else f"{type_.name.lower()}/{codec}")


def publish_order(enabled: Sequence[str]) -> tuple[str, ...]:
    """The codecs a client may publish, as `join` lists them: VP8, H264, other video, audio (protocol.md §2.4)."""
    video = sorted(
        (mime for mime in enabled if mime.startswith("video/") and mime != _RTX),
        key=lambda mime: _VIDEO_ORDER.get(mime, len(_VIDEO_ORDER)),
    )
    return (*video, *(mime for mime in enabled if mime.startswith("audio/")))


def choose_video(wanted: str, enabled: Sequence[str]) -> str:
    """The codec that a video track shall use: the wanted one, or else the room's first (empty: none is enabled)."""
    if wanted in enabled:
        return wanted
    return next((mime for mime in publish_order(enabled) if mime.startswith("video/")), "") if wanted else ""
