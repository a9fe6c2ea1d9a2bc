"""CPU time of process trees and of the machine, from `/proc`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MachineTime", "machine_time", "tree_cpu_s"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class MachineTime:
    """Time of all CPUs together, in ticks of the kernel, since it started."""

    idle: int
    total: int

    def idle_share_until(self, later: MachineTime) -> float:
        """Which part of the time between was spent by nobody (stolen time counts as spent)."""
        return (later.idle - self.idle) / max(1, later.total - self.total)


def machine_time() -> MachineTime:
    """The machine's time now."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return MachineTime(idle=fields[3] + fields[4], total=sum(fields))


def tree_cpu_s(root: int) -> float:
    """User and system time of a process and its descendants that live, and of their children that ended."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name, in parentheses, may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        spent[int(folder.name)] = sum(map(int, fields[11:15])) * _TICK_S
    return sum(seconds for pid, seconds in spent.items() if _descends(pid, root, parents))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False
