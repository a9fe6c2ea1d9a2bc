"""The two programs of `sfu/engine/crates/load`: the yardstick and the load client."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoadRun", "ToolError", "Tools"]

_ENGINE = Path(__file__).parents[1] / "sfu" / "engine"
_TOOL_TIMEOUT_S = 120.0


class ToolError(Exception):
    """A program is missing, failed, or said nothing for too long; the text is its own where it gave one."""


@dataclass(frozen=True)
class LoadRun:
    """What the load client reported: its `result` line."""

    seconds: float
    """How long was measured."""
    packets: int
    messages: int
    lost: int
    delay_ms: dict[str, float]
    connect_ms: dict[str, float]
    client_cpu_s: float


@dataclass(frozen=True)
class Tools:
    """Where the programs are."""

    directory: Path = field(
        default_factory=lambda: Path(os.environ.get("CARGO_TARGET_DIR", _ENGINE / "target")) / "release"
    )

    async def yardstick(self, *arguments: str) -> dict[str, Any]:
        """Runs `plenum-yardstick` and returns its line."""
        async with asyncio.timeout(_TOOL_TIMEOUT_S):
            process = await self._start("plenum-yardstick", arguments)
            output, errors = await process.communicate()
        if process.returncode != 0:
            raise ToolError(errors.decode().strip())
        line: dict[str, Any] = json.loads(output)
        return line

    async def load(self, arguments: list[str], observe: Callable[[str], None]) -> LoadRun:
        """Runs `plenum-load`; calls `observe` at each of its events (`joined`, `measuring`, `measured`)."""
        async with asyncio.timeout(_TOOL_TIMEOUT_S):
            process = await self._start("plenum-load", arguments)
            try:
                return await _follow(process, observe)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def _start(self, name: str, arguments: tuple[str, ...] | list[str]) -> asyncio.subprocess.Process:
        program = self.directory / name
        if not program.exists():
            raise ToolError(f"{program} is missing: cargo build --release -p plenum-load")
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(program, *arguments, stdout=pipe, stderr=pipe)


async def _follow(process: asyncio.subprocess.Process, observe: Callable[[str], None]) -> LoadRun:
    if process.stdout is None or process.stderr is None:
        raise ToolError("plenum-load has no output")
    async for text in process.stdout:
        line = json.loads(text)
        if line["event"] == "result":
            await process.wait()
            known = LoadRun.__dataclass_fields__
            return LoadRun(**{name: value for name, value in line.items() if name in known})
        observe(line["event"])
    raise ToolError((await process.stderr.read()).decode().strip())
