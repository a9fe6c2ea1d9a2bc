"""The emulated link between two namespaces: `plenum-netem` as a child process, and UDP probes through it.

Owns the router process, its two namespaces and their addresses; the impairments are the test's. Needs root and the
release build of `plenum-netem-router`, which `make e2e` makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.e2e.support.netns import Namespace, lone_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ["Arrival", "EmulatedLink", "emulated_link", "router_program"]

Direction = Literal["up", "down"]

_NUMBERS = itertools.count(1)
_ENGINE = Path(__file__).parents[3] / "sfu/engine"
DEADLINE_S = 20

# Each end of a probe is a small program that runs inside a namespace. Times are the machine's: the sender's in
# the packet, the receiver's from the kernel (SO_TIMESTAMPNS), so that a receiver that runs late does not count.
_SENDER = """
import socket, struct, sys, time
address, count, gap_s, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
begun = time.monotonic()
for number in range(count):
    time.sleep(max(0.0, begun + number * gap_s - time.monotonic()))
    s.sendto(struct.pack("!Qq", number, time.time_ns()).ljust(size, b"."), (address, 9))
"""
_RECEIVER = """
import json, select, socket, struct, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 1 << 23)
s.setsockopt(socket.SOL_SOCKET, 35, 1)
s.bind((sys.argv[1], 9))
print("ready", flush=True)
told, got = False, []
while True:
    ready = select.select([s] if told else [s, sys.stdin], [], [], 0 if told else None)[0]
    if s in ready:
        data, extra, *_ = s.recvmsg(65536, 64)
        seconds, nanos = struct.unpack("@qq", extra[0][2])
        got.append((*struct.unpack("!Qq", data[:16]), seconds * 10**9 + nanos, len(data)))
    elif told:
        break
    told = told or sys.stdin in ready
print(json.dumps(got))
"""


def router_program() -> str:
    """Path of the built router."""
    program = _ENGINE / "target/release/plenum-netem"
    assert program.exists(), (
        f"{program} is missing: `make e2e` builds it (cargo build --release -p plenum-netem-router)"
    )
    return str(program)


@dataclass(frozen=True)
class Arrival:
    """One probe that came through."""

    number: int
    sent_s: float
    transit_s: float
    bytes: int


class EmulatedLink:
    """Two namespaces and the link between them. `near` → `far` is "up", `far` → `near` is "down"."""

    def __init__(
        self, near: Namespace, far: Namespace, router: asyncio.subprocess.Process, devices: Sequence[str]
    ) -> None:
        self.near, self.far, self.router = near, far, router
        self.near_device, self.far_device = devices
        number = os.getpid() % 250
        self.near_address, self.far_address = f"10.99.{number}.1", f"10.99.{number}.2"
        self.near_address6, self.far_address6 = "fd99::1", "fd99::2"

    async def tell(self, **step: Any) -> None:
        """Send the router a step: `both=…`, `up=…`, `down=…`, `at_ms=…`."""
        await self.tell_line(json.dumps(step))

    async def tell_line(self, line: str) -> None:
        """Send the router any line."""
        assert self.router.stdin is not None
        self.router.stdin.write(line.encode() + b"\n")
        await self.router.stdin.drain()

    async def told(self, event: str) -> dict[str, Any]:
        """The router's next line, which must be that event."""
        assert self.router.stdout is not None
        line = json.loads(await asyncio.wait_for(self.router.stdout.readline(), DEADLINE_S))
        assert line["event"] == event, line
        return dict(line)

    async def counters(self, at_ms: int = 0) -> dict[str, Any]:
        """The router's counters now, or once that time has come."""
        await self.tell(at_ms=at_ms, counters=True)
        return await self.told("counters")

    async def counters_until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first counters, of one line each 20 ms, that are as wanted."""
        async with asyncio.timeout(DEADLINE_S):
            told = await self.counters()
            while not reached(told):
                told = await self.counters(told["elapsed_ms"] + 20)
            return told

    async def have_entered(self, direction: Direction, count: int) -> dict[str, Any]:
        """Wait until so many packets have entered; the counters then."""
        return await self.counters_until(lambda told: told[direction]["entered"] >= count)

    async def become_empty(self) -> None:
        """Wait until nothing is under way."""
        await self.counters_until(lambda told: not told["up"]["inside"] + told["down"]["inside"])

    async def probe(
        self, direction: Direction, count: int, gap_s: float, size: int = 100, *, ipv6: bool = False
    ) -> list[Arrival]:
        """Send `count` datagrams of `size` bytes, one every `gap_s`; those that arrived, in order of arrival."""
        spaces = (self.near, self.far) if direction == "up" else (self.far, self.near)
        address = self.far_address if direction == "up" else self.near_address
        if ipv6:
            address = self.far_address6 if direction == "up" else self.near_address6
        async with _running(spaces[1], _RECEIVER, address) as receiver:
            assert receiver.stdout is not None
            assert await asyncio.wait_for(receiver.stdout.readline(), DEADLINE_S) == b"ready\n"
            async with _running(spaces[0], _SENDER, address, str(count), str(gap_s), str(size)) as sender:
                assert await asyncio.wait_for(sender.wait(), DEADLINE_S + count * gap_s) == 0
            await self.become_empty()
            out, _ = await asyncio.wait_for(receiver.communicate(b"\n"), DEADLINE_S)
        return [
            Arrival(number, sent / 1e9, (arrived - sent) / 1e9, length)
            for number, sent, arrived, length in json.loads(out)
        ]


@contextlib.asynccontextmanager
async def _running(space: Namespace, program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *space.enter_command, sys.executable, "-c", program, *arguments, stdin=pipe, stdout=pipe
    )
    try:
        yield child
    finally:
        await end(child)


async def end(child: asyncio.subprocess.Process) -> None:
    """Kill a child that is still there."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()


@contextlib.asynccontextmanager
async def emulated_link(
    *arguments: str, mtu: int = 1500, far_space: Namespace | None = None
) -> AsyncIterator[EmulatedLink]:
    """Two namespaces joined by a link, which at first does nothing to packets but carry them.

    Both are made, unless the caller has the far one already, which then keeps what other links it has.
    """
    devices = [f"nm{os.getpid() % 100_000}n{next(_NUMBERS)}" for _ in range(2)]
    with lone_namespace() as near, contextlib.nullcontext(far_space) if far_space else lone_namespace() as far:
        pipe = asyncio.subprocess.PIPE
        router = await asyncio.create_subprocess_exec(
            router_program(), "--near", devices[0], "--far", devices[1], *arguments,
            stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        try:
            # Before all other programs, where that is allowed: a router that waits for a CPU adds delay.
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(router.pid, os.SCHED_FIFO, os.sched_param(1))
            link = EmulatedLink(near, far, router, devices)
            await link.told("ready")
            near.take(devices[0], f"{link.near_address}/24", f"{link.near_address6}/64")
            far.take(devices[1], f"{link.far_address}/24", f"{link.far_address6}/64")
            for space, device in zip((near, far), devices, strict=True):
                space.run("ip", "link", "set", device, "mtu", str(mtu))
            yield link
        finally:
            await end(router)
