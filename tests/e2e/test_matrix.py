"""Six cells of the network matrix (`bench/matrix`), one short run each: what holds on a machine of any speed.

The figures themselves are `make matrix`'s, on a machine with CPU to spare, against another server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from bench.matrix.cells import SMOKE_CELLS, Cell
from bench.matrix.figures import figures_of
from bench.matrix.stage import Contender, Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.netns, pytest.mark.browser]

MEASURED_S = 8.0
AFTER_BLACKOUT_S = 14.0


@dataclass(frozen=True)
class Bounds:
    """What a run must reach. Without a bound a machine that is short of CPU could fail it."""

    concealed_percent: float
    lossy_percent: float
    reliable_percent: float = 99.0
    pictures: int = 1
    """At least so many in the last four seconds."""


BOUNDS = {
    Cell(): Bounds(concealed_percent=15, lossy_percent=95),
    Cell(5, 50): Bounds(concealed_percent=15, lossy_percent=80),
    # What is lost again waits for its sender's timer: a second, two, four.
    Cell(20): Bounds(concealed_percent=25, lossy_percent=45, reliable_percent=60),
    # The best layer does not pass this link.
    Cell(0, 50, 1_000_000): Bounds(concealed_percent=30, lossy_percent=70, reliable_percent=90),
    Cell(delay_ms=50, event="reorder"): Bounds(concealed_percent=20, lossy_percent=90),
    Cell(delay_ms=20, event="blackout"): Bounds(concealed_percent=70, lossy_percent=35),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    async with staged(Contender("under test")) as running:
        yield running


@pytest.mark.parametrize("cell", SMOKE_CELLS, ids=lambda cell: cell.name)
async def test_a_call_holds(stage: Stage, cell: Cell) -> None:
    """Pictures come to the end, sound is not all invented, and data arrive."""
    seconds = AFTER_BLACKOUT_S if cell.event == "blackout" else MEASURED_S
    run = await stage.play(cell, measured_s=seconds, lines=1)
    told = figures_of(run)
    bounds = BOUNDS[cell]
    assert told.concealed_percent <= bounds.concealed_percent, told
    assert told.reliable_percent >= bounds.reliable_percent, told
    assert told.lossy_percent >= bounds.lossy_percent, told
    assert _pictures_since(run, 1000 * (seconds - 4)) >= bounds.pictures, told
    if cell.loss_percent:
        assert run["router"]["down"]["lost"] > 0, "the condition was there"


def _pictures_since(run: dict[str, Any], begin_ms: float) -> float:
    columns = run["samples"]["columns"]
    frames = [row[columns.index("frames")] for row in run["samples"]["rows"] if row[columns.index("at")] >= begin_ms]
    return float(frames[-1] - frames[0])
