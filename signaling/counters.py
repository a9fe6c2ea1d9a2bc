"""What signalling counts.

Owns plain totals since the start, for the metrics endpoint to read. Never names a metric: that is `sfu.metrics`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.limits import Cap

__all__ = ["SignalCounters"]


@dataclass(slots=True)
class SignalCounters:
    """Totals of this process."""

    capped: Counter[Cap] = field(default_factory=Counter)
    """Connections closed for exceeding a cap."""
    refused: Counter[int] = field(default_factory=Counter)
    """Joins refused before the upgrade, by HTTP status."""
    turned_away: int = 0
    """Joins refused after the upgrade, with `leave` as the first message."""
    bad_frames: int = 0
    frames_in: int = 0
    frames_out: int = 0
    sessions: int = 0
    """Connections open now."""
    vanished: int = 0
    """Connections ended because nothing arrived any more."""
