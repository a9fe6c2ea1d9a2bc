"""What the camera sees: a film that needs all the bits that an encoder may use; Chromium's test picture needs few.

Owns the file while it is needed. The same film each time.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["filmed"]

PICTURES = 40
"""It begins again after so many; a landscape has gone round once then, so nothing jumps."""
GRAIN = 16
"""Side of the grains that are new in every picture, in pixels."""


@contextlib.contextmanager
def filmed(width: int, height: int, fps: int) -> Iterator[Path]:
    """The path of the film, raw (YUV4MPEG2, 4:2:0), for the time of the block."""
    chance = np.random.default_rng(5)
    landscape = _grains(chance, height, width, 64, 60) + _grains(chance, height, width, 4, 12) + 118
    chroma = bytes([118]) * (width * height // 4) + bytes([140]) * (width * height // 4)
    with tempfile.TemporaryDirectory(prefix="plenum-film-") as folder:
        path = Path(folder) / "film.y4m"
        with path.open("wb") as file:
            file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420\n".encode())
            for number in range(PICTURES):
                moved = np.roll(landscape, number * width // PICTURES, axis=1)
                grains = _grains(chance, height, width, GRAIN, 14)
                luma = np.clip(moved + grains, 16, 235).astype(np.uint8)
                file.write(b"FRAME\n" + luma.tobytes() + chroma)
        yield path


def _grains(chance: np.random.Generator, height: int, width: int, side: int, contrast: int) -> npt.NDArray[np.int16]:
    few = chance.integers(-contrast, contrast + 1, (-(-height // side), -(-width // side)), dtype=np.int16)
    return few.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
