"""The cells of the network matrix: which conditions there are, their names, and the choice among them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ALL_CELLS", "SMOKE_CELLS", "Cell", "CellError", "Event", "chosen"]

Event = Literal["steady", "reorder", "blackout", "address"]

LOSSES_PERCENT = (0, 2, 5, 10, 20)
DELAYS_MS = (0, 50, 200)
RATES_BPS = (0, 1_000_000, 300_000)
BLACKOUT_S = 5.0


class CellError(ValueError):
    """A choice that names no cell."""


@dataclass(frozen=True)
class Cell:
    """One condition of the link to the subscriber: loss and delay each way, the rate on the way down (0: no limit)."""

    loss_percent: int = 0
    delay_ms: int = 0
    rate_bps: int = 0
    event: Event = "steady"

    @property
    def name(self) -> str:
        """Its name in files and tables, which is also a choice: `loss=5,delay=50,rate=1000`."""
        if self.event != "steady":
            return self.event
        return f"loss={self.loss_percent},delay={self.delay_ms},rate={self.rate_bps // 1000}"

    @property
    def title(self) -> str:
        """What a reader is told."""
        if self.event == "reorder":
            return f"{REORDER_PERCENT} % of the packets overtaken by three others, {self.delay_ms} ms"
        if self.event == "blackout":
            return f"nothing for {BLACKOUT_S:.0f} s, {self.delay_ms} ms"
        if self.event == "address":
            return f"another address, {self.delay_ms} ms"
        rate = f"{self.rate_bps // 1000} kbit/s" if self.rate_bps else "no limit"
        return f"{self.loss_percent} %, {self.delay_ms} ms, {rate}"

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """The link's settings from the moment at which the condition begins."""
        both: dict[str, Any] = {"loss_percent": self.loss_percent, "delay_ms": self.delay_ms}
        if self.event == "reorder":
            both |= {"reorder_percent": REORDER_PERCENT, "reorder_packets": 3}
        if self.event == "blackout":
            both |= {"blackout_ms": BLACKOUT_S * 1000}
        return {"both": both, "down": {"rate_bps": self.rate_bps}}

    @property
    def disturbed_s(self) -> float:
        """How long from its beginning nothing can arrive: recovery counts from its end."""
        return BLACKOUT_S if self.event == "blackout" else 0.0

    @property
    def measured_s(self) -> float:
        """How long is measured."""
        return {"steady": 12.0, "reorder": 12.0, "blackout": 16.0, "address": 20.0}[self.event]


REORDER_PERCENT = 10
EVENTS = (Cell(delay_ms=50, event="reorder"), Cell(delay_ms=20, event="blackout"), Cell(delay_ms=20, event="address"))
ALL_CELLS = (
    tuple(Cell(loss, delay, rate) for rate, delay, loss in itertools.product(RATES_BPS, DELAYS_MS, LOSSES_PERCENT))
    + EVENTS
)
"""Forty-five steady conditions and three events."""

SMOKE_CELLS = (Cell(), Cell(5, 50), Cell(20), Cell(0, 50, 1_000_000), *EVENTS[:2])
"""Six that a continuous integration runs."""

_UNITS = {"loss": "loss_percent", "delay": "delay_ms", "rate": "rate_bps"}


def chosen(choices: list[str]) -> tuple[Cell, ...]:
    """The cells that match one of the choices, in their order: an event's name, or `loss=5,delay=50,rate=300`.

    Numbers are percent, milliseconds and kbit/s (`rate=0`: no limit); what a choice leaves open matches all. CellError
    for a choice that matches none.
    """
    found: set[Cell] = set()
    for choice in choices:
        matching = {cell for cell in ALL_CELLS if _matches(cell, choice)}
        if not matching:
            raise CellError(f"no cell is {choice!r}: events are {', '.join(c.name for c in EVENTS)}; loss, delay, rate")
        found |= matching
    return tuple(cell for cell in ALL_CELLS if cell in found)


def _matches(cell: Cell, choice: str) -> bool:
    if choice == cell.name:
        return True
    if cell.event != "steady":
        return False
    for part in choice.split(","):
        pair = re.fullmatch(r"(loss|delay|rate)=(\d+)", part.strip())
        if pair is None:
            return False
        scale = 1000 if pair[1] == "rate" else 1
        if getattr(cell, _UNITS[pair[1]]) != int(pair[2]) * scale:
            return False
    return True
