"""Command line of the network matrix: `python -m bench.matrix`, or `make matrix`.

Plays the chosen cells on our server, and on another when it is named, and writes the table. What is there already is
not played again. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench.matrix.cells import ALL_CELLS, SMOKE_CELLS, Cell, CellError, chosen
from bench.matrix.figures import figures_of, reasons_not_to_count
from bench.matrix.stage import Contender, Stage, StageError, staged
from bench.matrix.store import Store, counts
from bench.matrix.table import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_HERE = Path(__file__).parent
OURS = "plenum"
RERUNS = 3
"""How many runs more a cell gets for those that do not count."""
CELLS_A_STAGE = 6
"""So many cells of one server, then the same ones of the other: a machine changes over the hours."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays and writes; 1 when a cell has too few runs that count, 2 when the arguments are wrong."""
    options = _parser().parse_args(arguments)
    try:
        cells = SMOKE_CELLS if options.smoke else chosen(options.cells) if options.cells else ALL_CELLS
    except CellError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return 2
    store = Store(options.results)
    contenders = _contenders(options)
    if not options.table_only:
        if options.again:
            for contender in contenders:
                store.forget(contender.name, {cell.name for cell in cells})
        asyncio.run(_play_all(store, contenders, cells, options.runs))
    write_table(store, options.table)
    print(f"{options.table} is written")
    missing = [
        f"{contender.name} {cell.name}"
        for contender in contenders
        for cell in cells
        if _missing(store, contender, cell, options.runs)
    ]
    if missing:
        print(f"too few runs that count: {'; '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matrix", description="Real browsers over an emulated link.")
    add = parser.add_argument
    add("--cells", nargs="+", help="only these: `loss=5,delay=50,rate=300`, any part of it, reorder, blackout, address")
    add("--smoke", action="store_true", help="only six cells")
    add("--runs", type=int, default=3, help="runs that count, for each cell (default 3)")
    add("--again", action="store_true", help="forget what was measured in these cells before")
    add("--against", type=Path, help="program of another server, which takes `--config FILE`")
    add("--config", type=Path, help="YAML on top of our server's configuration; give it a --name")
    add("--name", default=OURS, help=f"what our server is called in files and tables (default {OURS})")
    add("--table", type=Path, default=_HERE.parent / "matrix.md", help="where the table goes")
    add("--results", type=Path, default=_HERE / "results", help="folder of the runs")
    add("--table-only", action="store_true", help="play nothing, write the table anew")
    return parser


def _contenders(options: argparse.Namespace) -> list[Contender]:
    config = yaml.safe_load(options.config.read_text()) if options.config else {}
    contenders = [Contender(options.name, config=config)]
    if options.against:
        contenders.append(Contender(options.against.name, program=(str(options.against.resolve()),)))
    return contenders


async def _play_all(store: Store, contenders: Sequence[Contender], cells: Sequence[Cell], runs: int) -> None:
    for begin in range(0, len(cells), CELLS_A_STAGE):
        for contender in contenders:
            await _play_some(store, contender, cells[begin : begin + CELLS_A_STAGE], runs)


async def _play_some(store: Store, contender: Contender, cells: Sequence[Cell], runs: int) -> None:
    """Plays what is missing; a stage on which something failed is replaced."""
    while any(_missing(store, contender, cell, runs) for cell in cells):
        async with staged(contender) as stage:
            if await _play_on(stage, store, contender, (cells, runs)):
                return


async def _play_on(stage: Stage, store: Store, contender: Contender, wanted: tuple[Sequence[Cell], int]) -> bool:
    cells, runs = wanted
    for cell in cells:
        while _missing(store, contender, cell, runs):
            run = await _played(stage, contender, cell)
            store.add(contender.name, run)
            _say(contender, cell, run)
            if "failed" in run:
                return False
    return True


def _missing(store: Store, contender: Contender, cell: Cell, runs: int) -> bool:
    """Whether the cell should be played once more: too few runs count, and not too many were tried."""
    made = store.runs_of(contender.name, cell.name)
    return sum(map(counts, made)) < runs and len(made) < runs + RERUNS


async def _played(stage: Stage, contender: Contender, cell: Cell) -> dict[str, Any]:
    about = {
        "cell": cell.name,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": _version(contender),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}",
    }
    try:
        run = await stage.play(cell)
        return about | {"figures": _rounded(figures_of(run).to_json()), "short": reasons_not_to_count(run)} | run
    except (StageError, ValueError) as error:
        return about | {"failed": str(error)}


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def _version(contender: Contender) -> str:
    command = (
        [*contender.program, "--version"]
        if contender.program
        else ["git", "-C", str(_HERE), "describe", "--always", "--dirty"]
    )
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return told.stdout.strip().splitlines()[0] if told.stdout.strip() else "unknown"


def _say(contender: Contender, cell: Cell, run: dict[str, Any]) -> None:
    if "failed" in run:
        told = f"failed: {run['failed']}"
    else:
        told = ", ".join(f"{name} {value:.1f}" for name, value in run["figures"].items())
        told += "".join(f"\n    not counted: {reason}" for reason in run["short"])
    print(f"{contender.name}, {cell.title}: {told}", file=sys.stderr, flush=True)


def write_table(store: Store, file: Path) -> None:
    """The table of everything in the store; our servers come first."""
    names = sorted(store.servers(), key=lambda name: (not name.startswith(OURS), name))
    notes_file = _HERE / "notes.yaml"
    notes = yaml.safe_load(notes_file.read_text()) if notes_file.exists() else None
    file.write_text(markdown({name: store.runs(name) for name in names}, notes or {}))


if __name__ == "__main__":
    sys.exit(main())
