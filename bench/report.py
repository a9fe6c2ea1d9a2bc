"""The table and the file of results: absolute figures, their ratios to the yardsticks, and the targets."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine

if TYPE_CHECKING:
    from bench.scenarios import Audience, Contrast, DataFanout, FlatOut, Joins, Yardsticks

__all__ = ["Results"]

_LEAST_SHARE_OF_U = 0.6
_MOST_OF_C = 5.0
_MOST_MEMORY_BYTES = 0.5e6
_RESULTS = Path("bench-results")


@dataclass(frozen=True)
class _Row:
    name: str
    figure: str
    ratio: str = ""
    target: str = ""
    is_met: bool | None = None


@dataclass
class Results:
    """Everything that one run has measured."""

    server: str
    yardsticks: Yardsticks
    flat_out: list[FlatOut] = field(default_factory=list)
    audiences: list[Audience] = field(default_factory=list)
    joins: Joins | None = None
    data: DataFanout | None = None
    contrasts: list[Contrast] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=describe_machine)

    def missed_targets(self) -> list[str]:
        """Names of the figures that are worse than their target."""
        return [row.name for row in self._rows() if row.is_met is False]

    def print_table(self) -> None:
        """Prints all figures."""
        table = Table(title=f"{self.server} on {self.machine['processor']}, {self.machine['cores']} cores")
        table.add_column("what", no_wrap=True)
        table.add_column("figure", justify="right", no_wrap=True)
        table.add_column("ratio", justify="right")
        table.add_column("target")
        for row in self._rows():
            colour = {True: "green", False: "red", None: None}[row.is_met]
            target = f"[{colour}]{row.target}[/]" if colour else row.target
            table.add_row(row.name, row.figure, row.ratio, target)
        # Whole lines in a log file too.
        Console(width=max(Console().width, 110)).print(table)

    def save(self) -> Path:
        """Writes one JSON file; returns where."""
        _RESULTS.mkdir(exist_ok=True)
        now = datetime.datetime.now(datetime.UTC)
        path = _RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps(asdict(self) | {"missed_targets": self.missed_targets()}, indent=2) + "\n")
        return path

    def _rows(self) -> list[_Row]:
        rows = [
            _Row("U: bare sendto loop", f"{self.yardsticks.send_packets_per_cpu_s / 1000:.0f} k packets/CPU-s", "1 U"),
            _Row("C: in-process connect", f"{self.yardsticks.connect_cpu_ms:.2f} ms", "1 C"),
        ]
        rows += [self._flat_out_row(flat_out) for flat_out in self.flat_out]
        for audience in self.audiences:
            rows += self._audience_rows(audience)
        if self.joins is not None:
            rows += self._join_rows(self.joins)
        if self.data is not None:
            rows += _data_rows(self.data)
        return rows + [_contrast_row(contrast) for contrast in self.contrasts]

    def _share_of_u(self, packets_per_cpu_s: float) -> float:
        return packets_per_cpu_s / self.yardsticks.send_packets_per_cpu_s

    def _flat_out_row(self, flat_out: FlatOut) -> _Row:
        name = f"engine flat out, 1 → {flat_out.subscribers}"
        figure = f"{flat_out.packets_per_cpu_s / 1000:.0f} k packets/CPU-s"
        return _Row(name, figure, f"{self._share_of_u(flat_out.packets_per_cpu_s):.2f} U")

    def _audience_rows(self, audience: Audience) -> list[_Row]:
        name = f"video 1 → {audience.subscribers}"
        share = self._share_of_u(audience.packets_per_cpu_s)
        delays = audience.delay_ms
        return [
            _Row(
                name,
                f"{audience.packets_per_cpu_s / 1000:.0f} k packets/CPU-s",
                f"{share:.2f} U",
                f"≥ {_LEAST_SHARE_OF_U} U",
                share >= _LEAST_SHARE_OF_U,
            ),
            _Row(
                f"{name}: server / client", f"{audience.server_cpu_share:.2f} / {audience.client_cpu_share:.2f} cores"
            ),
            _Row(f"{name}: lost", str(audience.lost)),
            _Row(f"{name}: delay p50 / p95", f"{delays['p50']:.1f} / {delays['p95']:.1f} ms"),
            _memory_row(name, audience.memory_per_participant_bytes),
        ]

    def _join_rows(self, joins: Joins) -> list[_Row]:
        ratio = joins.cpu_ms_per_join / self.yardsticks.connect_cpu_ms
        name = f"join, {joins.participants} participants"
        return [
            _Row(
                name,
                f"{joins.cpu_ms_per_join:.1f} ms CPU each",
                f"{ratio:.1f} C",
                f"≤ {_MOST_OF_C:.0f} C",
                ratio <= _MOST_OF_C,
            ),
            _Row(f"{name}: connect p50 / p95", f"{joins.connect_ms['p50']:.0f} / {joins.connect_ms['p95']:.0f} ms"),
            _Row(f"{name}: idle", f"{joins.idle_cpu_ms_per_s:.2f} ms/s CPU each"),
            _memory_row(name, joins.memory_per_participant_bytes),
        ]


def _memory_row(name: str, memory_bytes: float) -> _Row:
    is_met = memory_bytes <= _MOST_MEMORY_BYTES
    return _Row(f"{name}: memory", f"{memory_bytes / 1e6:.2f} MB each", "", "≤ 0.5 MB", is_met)


def _data_rows(data: DataFanout) -> list[_Row]:
    name = f"data 1 → {data.receivers}, 100 B"
    return [
        _Row(name, f"{data.cpu_us_per_message:.1f} µs CPU per delivery"),
        _Row(f"{name}: delay p50 / p95", f"{data.delay_ms['p50']:.2f} / {data.delay_ms['p95']:.2f} ms"),
    ]


def _contrast_row(contrast: Contrast) -> _Row:
    runs = ", ".join(f"{figure / 1000:.0f}" for figure in contrast.with_it)
    return _Row(
        contrast.name,
        f"{runs} k packets/CPU-s",
        f"{contrast.ratio:.2f} ×",
        f"≥ {contrast.least_ratio:.2f} ×",
        contrast.ratio >= contrast.least_ratio,
    )
