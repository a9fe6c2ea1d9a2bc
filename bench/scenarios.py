"""What is measured, one function each: load on the server, its CPU time and memory meanwhile."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.machine import cpu_s_of, memory_bytes_of

if TYPE_CHECKING:
    from bench.server import Server
    from bench.tools import LoadRun, Tools

__all__ = [
    "Audience",
    "Contrast",
    "DataFanout",
    "FlatOut",
    "Joins",
    "Yardsticks",
    "contrast_builds",
    "contrast_estimation",
    "contrast_voices",
    "measure_audience",
    "measure_data",
    "measure_flat_out",
    "measure_joins",
    "measure_yardsticks",
]

_VIDEO_BPS = 1_500_000
_PACKETS_PER_FRAME = 8
_FLAT_OUT_S = 4
_SETTLE_S = 1.0
_ROOM_SIZE = 4
_PAIRS = 3
_CONTRAST_SUBSCRIBERS = 100
_VOICE_SUBSCRIBERS = 50
_MANY_VOICES = 100
_LEAST_WITH_ESTIMATION = 0.6
_LEAST_WITH_MANY_VOICES = 1 / 3
_LEAST_OF_OTHER_BUILD = 0.9


@dataclass(frozen=True)
class Yardsticks:
    """What this machine can do, whoever serves."""

    send_packets_per_cpu_s: float
    """U: a bare `sendto` loop, 1,150 bytes, loopback."""
    connect_cpu_ms: float
    """C: one in-process connect of two associations, building included."""


@dataclass(frozen=True)
class Audience:
    """One video to many subscribers."""

    subscribers: int
    packets_per_cpu_s: float
    """Packets that arrived at subscribers per CPU-second of the server."""
    server_cpu_share: float
    """Of one core."""
    lost: int
    delay_ms: dict[str, float]
    memory_per_participant_bytes: float
    client_cpu_share: float


@dataclass(frozen=True)
class FlatOut:
    """The engine alone, as fast as it takes frames."""

    subscribers: int
    packets_per_cpu_s: float
    datagrams_per_send_call: float


@dataclass(frozen=True)
class Joins:
    """Participants joining rooms of four, connected and idle."""

    participants: int
    cpu_ms_per_join: float
    memory_per_participant_bytes: float
    idle_cpu_ms_per_s: float
    """Of one participant."""
    connect_ms: dict[str, float]


@dataclass(frozen=True)
class DataFanout:
    """Reliable messages of 100 bytes from one to twenty."""

    receivers: int
    messages: int
    cpu_us_per_message: float
    delay_ms: dict[str, float]


@dataclass(frozen=True)
class Contrast:
    """The same work done two ways, in turns: packets per CPU-second of each run."""

    name: str
    with_it: list[float]
    without_it: list[float]
    least_ratio: float

    @property
    def ratio(self) -> float:
        """Median with it to median without."""
        return statistics.median(self.with_it) / statistics.median(self.without_it)


@dataclass
class _Probe:
    """CPU time and memory of the server at each event of the load client."""

    pid: int
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: str) -> None:
        self.cpu_s[event] = cpu_s_of(self.pid)
        self.memory_bytes[event] = memory_bytes_of(self.pid)

    def cpu_between(self, first: str, last: str) -> float:
        return self.cpu_s[last] - self.cpu_s[first]


async def measure_yardsticks(tools: Tools) -> Yardsticks:
    """U and C."""
    send = await tools.yardstick("send")
    connect = await tools.yardstick("connect")
    return Yardsticks(
        send_packets_per_cpu_s=send["packets"] / send["cpu_s"],
        connect_cpu_ms=connect["cpu_s"] / connect["connections"] * 1000,
    )


async def measure_flat_out(tools: Tools, subscribers: int) -> FlatOut:
    """The engine's thread with real sockets, without signalling; nothing waits for a clock."""
    line = await tools.yardstick("forward", str(subscribers), str(_PACKETS_PER_FRAME), str(_FLAT_OUT_S))
    counters = line["counters"]
    return FlatOut(
        subscribers=subscribers,
        packets_per_cpu_s=line["packets"] / line["cpu_s"],
        datagrams_per_send_call=counters["udp_sent"] / counters["udp_send_calls"],
    )


async def measure_audience(tools: Tools, server: Server, subscribers: int, seconds: int) -> Audience:
    """One publisher's 1.5 Mbit/s, 30 frames a second."""
    arguments = ["--subscribers", str(subscribers), "--video-bps", str(_VIDEO_BPS), "--duration", str(seconds)]
    probe, run = await _run(tools, server, f"audience-{subscribers}", arguments)
    cpu_s = probe.cpu_between("measuring", "measured")
    memory_bytes = probe.memory_bytes["measured"] - probe.memory_bytes["before"]
    return Audience(
        subscribers=subscribers,
        packets_per_cpu_s=run.packets / cpu_s,
        server_cpu_share=cpu_s / run.seconds,
        lost=run.lost,
        delay_ms=run.delay_ms,
        memory_per_participant_bytes=memory_bytes / (subscribers + 1),
        client_cpu_share=run.client_cpu_s / run.seconds,
    )


async def contrast_estimation(tools: Tools, plain: Server, estimating: Server, seconds: int) -> Contrast:
    """One video to many, by servers that differ in send-side estimation with pacing alone."""
    contrast = Contrast("with send-side estimation", [], [], _LEAST_WITH_ESTIMATION)
    for _ in range(_PAIRS):
        for server, figures in ((plain, contrast.without_it), (estimating, contrast.with_it)):
            audience = await measure_audience(tools, server, _CONTRAST_SUBSCRIBERS, seconds)
            figures.append(audience.packets_per_cpu_s)
    return contrast


async def contrast_voices(tools: Tools) -> Contrast:
    """The engine flat out: subscribers with a hundred audio tracks beside subscribers with one."""
    contrast = Contrast(f"{_MANY_VOICES} audio tracks each, to one each", [], [], _LEAST_WITH_MANY_VOICES)
    for _ in range(_PAIRS):
        for tracks, figures in ((1, contrast.without_it), (_MANY_VOICES, contrast.with_it)):
            line = await tools.yardstick("voices", str(_VOICE_SUBSCRIBERS), str(tracks), str(_FLAT_OUT_S))
            figures.append(line["packets"] / line["cpu_s"])
    return contrast


async def contrast_builds(tools: Tools, other: Tools) -> Contrast:
    """The engine flat out, beside another build's."""
    contrast = Contrast("engine flat out, to the other build's", [], [], _LEAST_OF_OTHER_BUILD)
    for _ in range(_PAIRS):
        for build, figures in ((other, contrast.without_it), (tools, contrast.with_it)):
            figures.append((await measure_flat_out(build, _CONTRAST_SUBSCRIBERS)).packets_per_cpu_s)
    return contrast


async def measure_joins(tools: Tools, server: Server, participants: int, seconds: int) -> Joins:
    """All join one after another, a few at a time; then they stay idle."""
    arguments = ["--publishers", "0", "--subscribers", str(participants), "--room-size", str(_ROOM_SIZE)]
    probe, run = await _run(tools, server, "joins", [*arguments, "--duration", str(seconds)])
    memory_bytes = probe.memory_bytes["measured"] - probe.memory_bytes["before"]
    return Joins(
        participants=participants,
        cpu_ms_per_join=probe.cpu_between("before", "joined") / participants * 1000,
        memory_per_participant_bytes=memory_bytes / participants,
        idle_cpu_ms_per_s=probe.cpu_between("measuring", "measured") / run.seconds / participants * 1000,
        connect_ms=run.connect_ms,
    )


async def measure_data(tools: Tools, server: Server, receivers: int, seconds: int) -> DataFanout:
    """A hundred messages a second."""
    arguments = ["--subscribers", str(receivers), "--data-rate", "100", "--duration", str(seconds)]
    probe, run = await _run(tools, server, "data", arguments)
    return DataFanout(
        receivers=receivers,
        messages=run.messages,
        cpu_us_per_message=probe.cpu_between("measuring", "measured") / max(run.messages, 1) * 1e6,
        delay_ms=run.delay_ms,
    )


async def _run(tools: Tools, server: Server, room: str, arguments: list[str]) -> tuple[_Probe, LoadRun]:
    probe = _Probe(server.pid)
    # What the run before left behind has to be gone, or it would be charged to this one.
    await asyncio.sleep(_SETTLE_S)
    probe("before")
    run = await tools.load([*server.load_arguments(), "--room", room, *arguments], probe)
    return probe, run
