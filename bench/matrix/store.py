"""All runs that were ever made, one line of JSON each, one file for each server: nothing measured is lost.

Owns the folder of results. A line is a raw run of `stage` with its `figures` and the reasons (`short`) not to count it,
or `failed` with what the stage said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["Store", "counts"]


def counts(run: dict[str, Any]) -> bool:
    """Whether the run tells something of the server: it was played, and no client was short of CPU."""
    return "failed" not in run and not run["short"]


class Store:
    """The results in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, server: str) -> Path:
        return self._folder / f"{server}.jsonl"

    def servers(self) -> list[str]:
        """Names of the servers that were measured."""
        return sorted(file.stem for file in self._folder.glob("*.jsonl"))

    def runs(self, server: str) -> list[dict[str, Any]]:
        """All runs of a server, oldest first."""
        file = self._file(server)
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def runs_of(self, server: str, cell: str) -> list[dict[str, Any]]:
        """All runs of a server in a cell, oldest first."""
        return [run for run in self.runs(server) if run["cell"] == cell]

    def add(self, server: str, run: dict[str, Any]) -> None:
        """Keep a run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._file(server).open("a") as file:
            file.write(json.dumps(run, separators=(",", ":")) + "\n")

    def forget(self, server: str, cells: Collection[str]) -> None:
        """Remove a server's runs in these cells."""
        kept = [run for run in self.runs(server) if run["cell"] not in cells]
        if self._file(server).exists():
            self._file(server).write_text("".join(json.dumps(run, separators=(",", ":")) + "\n" for run in kept))
