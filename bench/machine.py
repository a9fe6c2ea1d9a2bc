"""What the operating system knows of a process and of the machine. Reads /proc, changes nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["cpu_s_of", "describe_machine", "memory_bytes_of"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_s_of(pid: int) -> float:
    """CPU seconds, user and system, that the process has used so far (proc(5), `stat`)."""
    # The command name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user_ticks, system_ticks = int(fields[11]), int(fields[12])
    return (user_ticks + system_ticks) / _TICKS_PER_S


def memory_bytes_of(pid: int) -> int:
    """Resident memory of the process (proc(5), `statm`)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def describe_machine() -> dict[str, object]:
    """Processor, number of cores, kernel, and how busy the machine is: figures of a busy one are worth little."""
    models = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }


def _cpu_lines() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()
