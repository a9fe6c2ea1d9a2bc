"""Which layers of a publication a subscriber gets for what it asked (protocol.md §4.2, §4.6).

Pure functions over values. Never touches a subscription or the engine: `subscribing` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.enums import VideoQuality

if TYPE_CHECKING:
    from sfu.room.views import LayerView, TrackView

__all__ = ["NO_LIMIT", "NO_WISH", "LayerLimit", "LayerWish", "layer_limit", "quality_of"]

_ANY = 255
_SIZE_TOLERANCE = 0.8
"""A layer may be that much smaller than what the subscriber shows."""
_ALL_PICTURES = 0
_MAX_FPS = 0xFFFF
"""More than that, which a client may say, means all of them as well."""


@dataclass(frozen=True, slots=True)
class LayerWish:
    """What a subscriber said of one track (`track_setting`), as far as layers go."""

    quality: VideoQuality = VideoQuality.HIGH
    width: int = 0
    """Pixels in which it shows the track; both 0: `quality` counts instead."""
    height: int = 0
    fps: int = 0
    """Pictures a second; 0: all of them."""


@dataclass(frozen=True, slots=True)
class LayerLimit:
    """Most that a subscriber is to get."""

    max_spatial: int
    max_fps: int
    """Pictures a second, to which the engine finds the temporal layer by the rates that it measures; 0: all of them."""


NO_LIMIT = LayerLimit(_ANY, _ALL_PICTURES)
NO_WISH = LayerWish()


def layer_limit(track: TrackView, wish: LayerWish) -> LayerLimit:
    """The limit in the engine's terms: the spatial layer is the place among the announced qualities."""
    return LayerLimit(_spatial(track, wish), min(wish.fps, _MAX_FPS))


def quality_of(track: TrackView, limit: LayerLimit) -> VideoQuality:
    """The quality that a publisher must send for a limit; a track with one layer is wanted whole."""
    layers = _ordered(track)
    if not layers:
        # A scalable stream whose layers were not announced, or a single one: the quality is the place.
        return VideoQuality(min(limit.max_spatial, VideoQuality.HIGH))
    if len(layers) == 1:
        return VideoQuality.HIGH
    return layers[min(limit.max_spatial, len(layers) - 1)].quality


def _ordered(track: TrackView) -> list[LayerView]:
    announced = (layer for layer in track.layers if layer.quality <= VideoQuality.HIGH)
    return sorted(announced, key=lambda layer: layer.quality)


def _spatial(track: TrackView, wish: LayerWish) -> int:
    layers = _ordered(track)
    if len(layers) < 2:
        return _ANY if wish.quality >= VideoQuality.HIGH else int(wish.quality)
    if wish.width > 0 and wish.height > 0:
        return _spatial_for_size(track, layers, wish)
    wanted = (index for index, layer in enumerate(layers) if layer.quality >= wish.quality)
    return _open_ended(next(wanted, len(layers) - 1), layers)


def _spatial_for_size(track: TrackView, layers: list[LayerView], wish: LayerWish) -> int:
    """The first layer that is large enough, by the side that is the short one at the publisher."""
    portrait = track.width < track.height
    needed = (wish.width if portrait else wish.height) * _SIZE_TOLERANCE
    for index, layer in enumerate(layers):
        if (layer.width if portrait else layer.height) >= needed:
            return _open_ended(index, layers)
    return _ANY


def _open_ended(index: int, layers: list[LayerView]) -> int:
    """The highest announced layer means whatever is above it, too."""
    return _ANY if index >= len(layers) - 1 else index
