"""The table: medians of the runs that count, and cell by cell which server is better. Pure text from stored runs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.matrix.cells import ALL_CELLS, Cell
from bench.matrix.figures import CAMERA, FIGURES, Figure
from bench.matrix.store import counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Verdict", "judged", "markdown", "medians"]

EQUAL_WITHIN = 0.1

_NOISE = ", ".join(f"{figure.title} {figure.noise:g}" for figure in FIGURES if figure.judged and figure.noise)
_HEAD = f"""# The network matrix

Made by `make matrix`; the runs behind it are in `matrix/results/`, one line of JSON each. A browser (Chromium)
publishes a camera ({CAMERA}; VP8 in three layers that use all of their 1,700, 450 and
160 kbit/s), a microphone (Opus with RED, no DTX), 25 lossy and 5 reliable messages a second, on a link without faults;
another subscribes behind an emulated link. Once it has the best layer the condition begins: loss and delay as named
each way, the rate on the way down with a queue of 200 ms. Twelve seconds are measured from there (sixteen from the
beginning of a blackout, twenty from a change of address), adaptation included.

Each figure is the median of the runs that count. Not counted: runs in which a browser, the link or the machine was
short of CPU. *Recovery* is the time from the end of the disturbance until three seconds in a row have ten pictures each
and at most a tenth of the sound concealed. *Reliable* and *lossy* are the messages that arrived. CPU is of both
browsers, and of the server, in percent of one core; it is not judged, since who is shown less needs less. Two values
are equal within 10 %, or within what two runs of one server differ by anyway ({_NOISE}).
How often the picture froze says little beside how long, and how many lines pictures had little beside how many pictures
there were (a single one for twelve seconds may have them all): where these disagree, frozen s and fps are judged alone.
*Below* names what would count as worse without these two rules, by the tenth alone.
"""


def medians(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure over the runs that count; empty when none does."""
    counted = [run["figures"] for run in runs if counts(run)]
    return {f.key: statistics.median(run[f.key] for run in counted) for f in FIGURES} if counted else {}


@dataclass(frozen=True)
class Verdict:
    """A cell's outcome: the figures in which the first server is better, and worse, by more than a tenth."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    below: tuple[str, ...] = ()
    """Those that would be worse if a tenth alone decided, whatever two runs of one server differ by."""

    def __str__(self) -> str:
        parts = [f"**worse**: {', '.join(self.worse)}"] if self.worse else []
        parts += [f"better: {', '.join(self.better)}"] if self.better else []
        below = f" (below: {', '.join(self.below)})" if self.below else ""
        return ("; ".join(parts) or "equal") + below


def judged(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Verdict:
    """Compares two servers' medians in one cell."""
    ways = {f.key: _way(f, ours[f.key], theirs[f.key]) for f in FIGURES if f.judged}
    counting = [f for f in FIGURES if f.judged and not (f.beside and ways[f.key] * ways[f.beside] < 0)]
    return Verdict(
        better=tuple(f.title for f in counting if ways[f.key] > 0),
        worse=tuple(f.title for f in counting if ways[f.key] < 0),
        below=tuple(
            f.title
            for f in FIGURES
            if f.judged
            and (f not in counting or ways[f.key] >= 0)
            and _way(replace(f, noise=0.0), ours[f.key], theirs[f.key]) < 0
        ),
    )


def _way(figure: Figure, ours: float, theirs: float) -> int:
    gain = ours - theirs if figure.more_is_better else theirs - ours
    if abs(gain) <= max(figure.noise, EQUAL_WITHIN * abs(theirs)):
        return 0
    return 1 if gain > 0 else -1


def markdown(results: Mapping[str, Sequence[dict[str, Any]]], notes: Mapping[str, str]) -> str:
    """The whole page. The first server is judged against each of the others; `notes` say why by cell name."""
    names = list(results)
    by_cell = {
        cell.name: {name: [run for run in results[name] if run["cell"] == cell.name] for name in names}
        for cell in ALL_CELLS
    }
    measured = [cell for cell in ALL_CELLS if any(by_cell[cell.name].values())]
    parts = [_HEAD, _servers(results)]
    others: list[str | None] = [*names[1:]] or [None]
    parts += [_table(names[0], other, measured, by_cell) for other in others]
    reasons = [f"- {cell.title}: {notes[cell.name]}" for cell in measured if cell.name in notes]
    if reasons:
        parts.append("## Why\n\n" + "\n".join(reasons) + "\n")
    return "\n".join(parts)


def _servers(results: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    lines = ["| Server | Version | Runs | Not counted | When | Machine |", "|---|---|---|---|---|---|"]
    for name, runs in results.items():
        days = sorted({run["at"][:10] for run in runs})
        lines.append(
            f"| {name} | {_set(run['version'] for run in runs)} | {len(runs)} | {sum(not counts(run) for run in runs)} "
            f"| {' to '.join(dict.fromkeys((days[0], days[-1]))) if days else ''} "
            f"| {_set(run['machine'] for run in runs)} |"
        )
    return "\n".join(lines) + "\n"


def _set(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def _table(ours: str, theirs: str | None, cells: Sequence[Cell], runs: Mapping[str, Any]) -> str:
    title = f"## {ours} / {theirs}" if theirs else f"## {ours}"
    heads = ["Condition", *(f.title for f in FIGURES), "runs", *([f"{ours} is"] if theirs else [])]
    lines = [title, "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    tally = {"better or equal": 0, "worse": 0, "not comparable": 0}
    with_below = 0
    for cell in cells:
        both = [medians(runs[cell.name][name]) for name in (ours, theirs) if name]
        row = [cell.title, *(" / ".join(_number(f, values) for values in both) for f in FIGURES)]
        row.append(" / ".join(_run_count(runs[cell.name][name]) for name in (ours, theirs) if name))
        if theirs:
            verdict = judged(*both) if all(both) else None
            tally[_outcome(verdict)] += 1
            with_below += verdict is not None and bool(verdict.below or verdict.worse)
            row.append(str(verdict) if verdict else "not comparable")
        lines.append(f"| {' | '.join(row)} |")
    if theirs:
        outcomes = ", ".join(f"{what} in {count}" for what, count in tally.items())
        lines += ["", f"{ours}: {outcomes} cells; worse in something by the tenth alone in {with_below}."]
    return "\n".join(lines) + "\n"


def _outcome(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not comparable"
    return "worse" if verdict.worse else "better or equal"


def _number(figure: Figure, values: Mapping[str, float]) -> str:
    return f"{values[figure.key]:.{figure.digits}f}" if values else "–"


def _run_count(runs: Sequence[dict[str, Any]]) -> str:
    counted = sum(counts(run) for run in runs)
    left_out = len(runs) - counted
    return f"{counted} (+{left_out} not counted)" if left_out else str(counted)
