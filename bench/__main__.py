"""Command line of the benchmark: `python -m bench`, or `make bench`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import Results
from bench.scenarios import (
    contrast_builds,
    contrast_estimation,
    contrast_voices,
    measure_audience,
    measure_data,
    measure_flat_out,
    measure_joins,
    measure_yardsticks,
)
from bench.server import Server, ServerError, start_server
from bench.tools import ToolError, Tools

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.scenarios import Contrast

_AUDIENCES = (100, 400)
_JOINS = 200
_DATA_RECEIVERS = 20


def main() -> int:
    """Runs everything; 1 when something could not be measured, or with `--check` when a target was missed."""
    options = _parser().parse_args()
    if (options.url is None) != (options.pid is None):
        print("--url and --pid go together", file=sys.stderr)
        return 2
    try:
        results = asyncio.run(_measure(options))
    except (ToolError, ServerError, TimeoutError) as error:
        print(f"bench: {str(error) or 'a program gave no answer in time'}", file=sys.stderr)
        return 1
    results.print_table()
    print(f"saved as {results.save()}")
    missed = results.missed_targets()
    if missed:
        print(f"missed: {'; '.join(missed)}")
    return 1 if options.check and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measures a server; by default one of ours.")
    parser.add_argument("--url", help="another server (ws://host:port), running on this machine")
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--key", default="devkey")
    parser.add_argument("--secret", default="secret")
    parser.add_argument("--tools", type=Path, help="directory of plenum-load and plenum-yardstick")
    parser.add_argument("--against", type=Path, help="the same directory of another build, to compare the engines")
    parser.add_argument("--seconds", type=int, default=8, help="how long each load is measured")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    return parser


async def _measure(options: argparse.Namespace) -> Results:
    tools = Tools(options.tools) if options.tools else Tools()
    _say("yardsticks")
    results = Results(options.url or "plenum", await measure_yardsticks(tools))
    if options.url is None:
        for subscribers in _AUDIENCES:
            _say(f"engine flat out, 1 → {subscribers}")
            results.flat_out.append(await measure_flat_out(tools, subscribers))
    async with _server(options) as server:
        _say(f"{_JOINS} joins")
        results.joins = await measure_joins(tools, server, _JOINS, options.seconds)
        for subscribers in _AUDIENCES:
            _say(f"video 1 → {subscribers}")
            results.audiences.append(await measure_audience(tools, server, subscribers, options.seconds))
        _say(f"data 1 → {_DATA_RECEIVERS}")
        results.data = await measure_data(tools, server, _DATA_RECEIVERS, options.seconds)
        if options.url is None:
            results.contrasts = await _contrasts(tools, server, options)
    return results


async def _contrasts(tools: Tools, server: Server, options: argparse.Namespace) -> list[Contrast]:
    _say("send-side estimation")
    async with start_server(estimates=True) as estimating:
        contrasts = [await contrast_estimation(tools, server, estimating, options.seconds)]
    _say("many audio tracks")
    contrasts.append(await contrast_voices(tools))
    if options.against is not None:
        _say("the other build")
        contrasts.append(await contrast_builds(tools, Tools(options.against)))
    return contrasts


def _server(options: argparse.Namespace) -> AbstractAsyncContextManager[Server]:
    if options.url is None:
        return start_server()
    return contextlib.nullcontext(Server(options.url, options.pid, options.key, options.secret))


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
