"""The stage on which a cell is played: server, publisher and subscriber, joined by the emulated link.

    browser that subscribes ── emulated link ── server ── browser that publishes (camera, microphone, data)

Owns the namespaces, the three programs and the publisher, which stays in its room for all cells; a subscriber joins for
each run over a link without impairments, sees the best layer, and then the condition begins. Records; judges nothing.
Needs root, Chromium, Node and the release build of `plenum-netem-router`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.matrix.film import filmed
from bench.matrix.machine import machine_time, tree_cpu_s
from tests.e2e.support.browser import Browser, BrowserClient, PageError, launched
from tests.e2e.support.endpoint import JoinPath, unique
from tests.e2e.support.netem import EmulatedLink, emulated_link
from tests.e2e.support.netns import namespace
from tests.e2e.support.server import Server, ServerSpec, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bench.matrix.cells import Cell

__all__ = ["Contender", "Stage", "StageError", "staged"]

WIDTH, HEIGHT, CAMERA_FPS = 1280, 720, 20
SETTLE_S = 40.0
_METER = Path(__file__).with_name("meter.js").read_text()
_CLEAR: dict[str, Any] = {
    "loss_percent": 0,
    "delay_ms": 0,
    "rate_bps": 0,
    "queue_ms": 200,
    "reorder_percent": 0,
    "blackout_ms": 0,
}


class StageError(Exception):
    """A run that could not be played; the text says where it stopped."""


@dataclass(frozen=True)
class Contender:
    """A server to measure: its name in files and tables, its program (none: ours), what its configuration has more."""

    name: str
    program: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """A server with a publisher in a room, and a browser for subscribers."""

    def __init__(self, link: EmulatedLink, server: Server, publishing: Browser, watching: Browser) -> None:
        self._link, self._server = link, server
        self._publishing, self._watching = publishing, watching
        self._room = unique("matrix")
        self._publisher: BrowserClient | None = None

    @contextlib.asynccontextmanager
    async def published(self) -> AsyncIterator[None]:
        """The publisher is in the room for the time of the block."""
        async with self._publishing.page("ann") as publisher:
            await self._enter(publisher, "ann")
            await publisher.run(
                "await e2e.matrix.publish(width, height, fps)", width=WIDTH, height=HEIGHT, fps=CAMERA_FPS
            )
            self._publisher = publisher
            yield

    async def _enter(self, client: BrowserClient, identity: str) -> None:
        await client.run(_METER)
        await client.run(
            "await e2e.matrix.join(url, token, options)",
            url=self._server.endpoint.ws_url,
            token=self._server.endpoint.token(identity, self._room, ttl_s=6 * 3600),
            options={"singlePeerConnection": JoinPath.V1.single},
        )

    async def play(self, cell: Cell, *, measured_s: float | None = None, lines: int = HEIGHT) -> dict[str, Any]:
        """One run of a cell, as plain data, shorter or longer than usual if so asked.

        The condition begins when the picture has so many lines; StageError when clients do not come as far as that.
        """
        await self._link.tell(both=_CLEAR)
        name = unique("bob")
        try:
            async with self._watching.page(name) as subscriber:
                await self._enter(subscriber, name)
                await subscriber.run("e2e.matrix.measure()")
                await subscriber.run(
                    "await e2e.matrix.settled(height, fps, ms)",
                    height=lines,
                    fps=CAMERA_FPS / 2,
                    ms=SETTLE_S * 1000,
                    timeout_s=SETTLE_S + 5,
                )
                run = await self._measure(cell, subscriber, measured_s or cell.measured_s)
                await self._link.tell(both=_CLEAR)  # else a page takes its time to leave
                return run
        except (PageError, AssertionError) as error:
            raise StageError(str(error)) from error
        finally:
            await self._link.tell(both=_CLEAR)

    async def _measure(self, cell: Cell, subscriber: BrowserClient, seconds: float) -> dict[str, Any]:
        publisher_before = await self._sending()
        del publisher_before["sent"], publisher_before["lag"]
        link_before = await self._link.counters()
        cpu_before, machine_before = self._cpu_s(), machine_time()
        begun_ms = await subscriber.run("return Date.now()")
        await self._link.tell(**cell.steps)
        if cell.event == "address":
            self._move()
        await asyncio.sleep(seconds)
        received = await subscriber.run("return e2e.matrix.received()", timeout_s=30)
        cpu_after, machine_after = self._cpu_s(), machine_time()
        link_after = await self._link.counters()
        publisher_after = await self._sending()
        return {
            "cell": cell.name,
            "disturbed_s": cell.disturbed_s,
            "camera_fps": CAMERA_FPS,
            "samples": _rows(received["samples"], begun_ms),
            "messages": _messages(publisher_after.pop("sent"), received["messages"], begun_ms),
            "states": [[at - begun_ms, what] for at, what in received["states"]],
            "publisher": [publisher_before, publisher_after],
            "lag": {"publisher": publisher_after.pop("lag"), "subscriber": received["lag"]},
            "router": _router(link_before, link_after),
            "client_cpu_s": cpu_after[0] - cpu_before[0],
            "server_cpu_s": cpu_after[1] - cpu_before[1],
            "machine_idle": machine_before.idle_share_until(machine_after),
        }

    async def _sending(self) -> dict[str, Any]:
        if self._publisher is None:
            raise StageError("nobody publishes")
        counters: dict[str, Any] = await self._publisher.run("return e2e.matrix.sending()")
        return counters

    def _cpu_s(self) -> tuple[float, float]:
        clients = sum(tree_cpu_s(browser.pid) for browser in (self._publishing, self._watching))
        return clients, tree_cpu_s(self._server.pid)

    def _move(self) -> None:
        """Give the subscriber another address; it keeps that one, the next run moves it back."""
        space, device = self._link.near, self._link.near_device
        old = self._link.near_address
        block, _, number = old.rpartition(".")
        self._link.near_address = f"{block}.{'1' if number == '77' else '77'}"
        space.run("ip", "addr", "del", f"{old}/24", "dev", device)
        space.run("ip", "addr", "add", f"{self._link.near_address}/24", "dev", device)
        space.run("ip", "route", "replace", "default", "dev", device)


def _rows(samples: list[dict[str, Any]], begun_ms: float) -> dict[str, Any]:
    """From two seconds before the beginning on; counters as they are."""
    columns = list(samples[0]) if samples else []
    kept = [sample | {"at": sample["at"] - begun_ms} for sample in samples if sample["at"] >= begun_ms - 2000]
    return {"columns": columns, "rows": [[round(sample[name], 3) for name in columns] for sample in kept]}


def _messages(sent: list[list[Any]], arrived: list[list[Any]], begun_ms: float) -> dict[str, Any]:
    """When each was sent, and how long it took, null for never."""
    arrivals = {(kind, at): arrival for kind, at, arrival in reversed(arrived)}
    of_kind: dict[str, list[Any]] = {"reliable": [], "lossy": []}
    for kind, at in sent:
        arrival = arrivals.get((kind, at))
        of_kind[kind].append([at - begun_ms, None if arrival is None else arrival - at])
    return of_kind


def _router(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What the link did in both directions."""
    grown = {
        direction: {
            name: after[direction][name] - before[direction][name]
            for name in ("entered", "delivered", "delivered_bytes", "lost", "queue_full", "blacked_out")
        }
        for direction in ("up", "down")
    }
    late = sum(after[d]["late"]["over_1_ms"] - before[d]["late"]["over_1_ms"] for d in ("up", "down"))
    return grown | {"late": late, "packets": sum(counters["delivered"] for counters in grown.values())}


@contextlib.asynccontextmanager
async def staged(contender: Contender) -> AsyncIterator[Stage]:
    """Everything started, the publisher in its room."""
    with filmed(WIDTH, HEIGHT, CAMERA_FPS) as film, namespace() as far:
        async with emulated_link(far_space=far) as link:
            # The media's one way: IPv4, and all that is not of its own network goes over the link.
            link.near.run("ip", "addr", "flush", "dev", link.near_device, "scope", "global")
            link.near.run("ip", "addr", "add", f"{link.near_address}/24", "dev", link.near_device)
            link.near.run("ip", "route", "add", "default", "dev", link.near_device)
            link.far.run("ip", "-6", "addr", "flush", "dev", link.far_device)
            spec = ServerSpec(
                config=contender.config, host=far.there, enter_command=far.enter_command, program=contender.program
            )
            switches = [f"--use-file-for-fake-video-capture={film}"]
            async with (
                started(spec) as server,
                launched("chromium", enter_command=far.enter_command, switches=switches) as publishing,
                launched("chromium", enter_command=link.near.enter_command) as watching,
            ):
                stage = Stage(link, server, publishing, watching)
                async with stage.published():
                    yield stage
