"""From what the pages counted to the figures of one run, and the reasons not to count it. Pure: no clock, no client.

A raw run is what `stage` recorded: the samples of the subscriber's page (four a second), the messages sent with their
delays, the publisher's counters at both ends of the measurement, CPU seconds. Times are milliseconds since the
condition began.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CAMERA", "FIGURES", "Figure", "Figures", "figures_of", "reasons_not_to_count"]

CAMERA = "1280 × 720, 20 pictures a second"
"""What is published, for readers; `stage` has the numbers."""
STALL_S = 0.5
"""A picture that stands for so long at the end is a freeze: WebRTC counts one only when it is over."""
STEADY_S = 3
STEADY_FPS = 10.0
STEADY_CONCEALED = 0.1
LAST_SENT_S = 2.0
"""Messages sent later than so long before the end of a measurement are not counted: they had no time to arrive."""


@dataclass(frozen=True)
class Figure:
    """One column: its name, unit and digits, which way is better, and how large a difference means nothing."""

    key: str
    title: str
    digits: int
    more_is_better: bool
    noise: float
    """Below this difference two values are equal, whatever their ratio."""
    judged: bool = True
    beside: str | None = None
    """The key of the figure that counts alone where the two disagree."""


FIGURES = (
    Figure("freezes", "freezes", 0, more_is_better=False, noise=1.0, beside="frozen_s"),
    Figure("frozen_s", "frozen s", 1, more_is_better=False, noise=0.3),
    Figure("fps", "fps", 1, more_is_better=True, noise=0.5),
    Figure("height", "lines", 0, more_is_better=True, noise=0.0, beside="fps"),
    Figure("concealed_percent", "concealed %", 1, more_is_better=False, noise=0.5),
    Figure("recovery_s", "recovery s", 1, more_is_better=False, noise=0.5),
    Figure("reliable_percent", "reliable %", 0, more_is_better=True, noise=1.0),
    Figure("lossy_percent", "lossy %", 0, more_is_better=True, noise=2.0),
    # Not judged: who shows fewer and smaller pictures needs less.
    Figure("client_cpu_percent", "client CPU %", 0, more_is_better=False, noise=2.0, judged=False),
    Figure("server_cpu_percent", "server CPU %", 1, more_is_better=False, noise=1.0, judged=False),
)


@dataclass(frozen=True)
class Figures:
    """What one run showed."""

    freezes: float
    """Freezes as WebRTC counts them, and one more for a picture that stands at the end."""
    frozen_s: float
    """How long all of them took."""
    fps: float
    """Decoded pictures a second, over the whole measurement."""
    height: float
    """Lines of the picture, the mean over the time in which pictures came."""
    concealed_percent: float
    """Share of the sound that was invented for want of packets."""
    recovery_s: float
    """From the end of the disturbance until three seconds in a row have ten pictures each and at most a tenth of the
    sound concealed; the rest of the measurement when there were none."""
    reliable_percent: float
    """Reliable messages that arrived within the measurement, of those sent up to two seconds before its end."""
    lossy_percent: float
    """The same of lossy messages."""
    client_cpu_percent: float
    """Both browsers, percent of one core."""
    server_cpu_percent: float

    def to_json(self) -> dict[str, float]:
        """As plain numbers by key."""
        return asdict(self)


def figures_of(run: dict[str, Any]) -> Figures:
    """The figures of a raw run; ValueError when it has no sample on both sides of its beginning."""
    columns = run["samples"]["columns"]
    samples = [dict(zip(columns, row, strict=True)) for row in run["samples"]["rows"]]
    before = [s for s in samples if s["at"] <= 0]
    within = [s for s in samples if s["at"] > 0]
    if not before or not within:
        raise ValueError("no sample before, or none after the beginning")
    samples = [before[-1], *within]
    first, last = samples[0], samples[-1]
    seconds = (last["at"] - first["at"]) / 1000
    freezes, frozen_s = _freezes(samples)
    return Figures(
        freezes=freezes,
        frozen_s=frozen_s,
        fps=(last["frames"] - first["frames"]) / seconds,
        height=_height(samples),
        concealed_percent=100 * _concealed(first, last),
        recovery_s=_recovery_s(samples, 1000 * run["disturbed_s"]),
        reliable_percent=_delivered_percent(run["messages"]["reliable"], last["at"]),
        lossy_percent=_delivered_percent(run["messages"]["lossy"], last["at"]),
        client_cpu_percent=100 * run["client_cpu_s"] / seconds,
        server_cpu_percent=100 * run["server_cpu_s"] / seconds,
    )


Sample = dict[str, float]


def _concealed(first: Sample, last: Sample) -> float:
    played = last["played"] - first["played"]
    # Where nothing is played, all of it is missing.
    return (last["concealed"] - first["concealed"]) / played if played else 1.0


def _freezes(samples: list[Sample]) -> tuple[float, float]:
    first, last = samples[0], samples[-1]
    count = last["freezes"] - first["freezes"]
    total_s = last["frozen_s"] - first["frozen_s"]
    newest = next(s for s in samples if s["frames"] == last["frames"])
    standing_s = (last["at"] - newest["at"]) / 1000
    return (count + 1, total_s + standing_s) if standing_s >= STALL_S else (count, total_s)


def _height(samples: list[Sample]) -> float:
    lines = [now["height"] for before, now in itertools.pairwise(samples) if now["frames"] > before["frames"]]
    return sum(lines) / len(lines) if lines else 0.0


def _recovery_s(samples: list[Sample], since_ms: float) -> float:
    for first in samples:
        # A second may begin just before the condition does: what that does not disturb is recovered at once.
        seconds = [first["at"] + 1000 * number for number in range(STEADY_S)]
        if first["at"] >= since_ms - 300 and all(_is_steady(samples, begin) for begin in seconds):
            return max(0.0, first["at"] - since_ms) / 1000
    return max(0.0, samples[-1]["at"] - since_ms) / 1000


def _is_steady(samples: list[Sample], begin_ms: float) -> bool:
    """Whether that second has enough pictures and sound; false when it was not measured whole."""
    first = next((s for s in samples if s["at"] >= begin_ms), None)
    later = next((s for s in samples if s["at"] >= begin_ms + 1000), None)
    if first is None or later is None:
        return False
    fps = 1000 * (later["frames"] - first["frames"]) / (later["at"] - first["at"])
    return fps >= STEADY_FPS and _concealed(first, later) <= STEADY_CONCEALED


def _delivered_percent(messages: list[tuple[float, float | None]], end_ms: float) -> float:
    due = [delay for sent, delay in messages if 0 <= sent < end_ms - 1000 * LAST_SENT_S]
    return 100 * sum(delay is not None for delay in due) / len(due) if due else 0.0


def reasons_not_to_count(run: dict[str, Any]) -> list[str]:
    """Why the machine, and not the server or the link, may have made this run what it is; empty: it counts."""
    before, after = run["publisher"]
    seconds = (after["at"] - before["at"]) / 1000
    found = []
    camera_fps = (after["sourceFrames"] - before["sourceFrames"]) / seconds
    if camera_fps < 0.85 * run["camera_fps"]:
        found.append(f"the camera gave {camera_fps:.1f} pictures a second")
    encoded = {layer["rid"]: layer for layer in after["layers"]}
    for layer in before["layers"]:
        now = encoded.get(layer["rid"], layer)
        fps = (now["frames"] - layer["frames"]) / seconds
        if fps < 0.7 * run["camera_fps"]:
            found.append(f"layer {layer['rid']} was encoded at {fps:.1f} pictures a second")
        if now["shortOfCpuS"] - layer["shortOfCpuS"] > 0.05 * seconds:
            found.append(f"layer {layer['rid']} was limited by CPU")
    for who in ("publisher", "subscriber"):
        lag = run["lag"][who]
        if lag["late"] > 0.02 * lag["ticks"] or lag["worstMs"] > 500:
            found.append(f"the {who}'s page stood still for up to {lag['worstMs']:.0f} ms")
    if run["router"]["late"] > 0.02 * run["router"]["packets"]:
        found.append(f"{run['router']['late']} of {run['router']['packets']} packets left the link late")
    if run["machine_idle"] < 0.05:
        found.append("the machine had no CPU to spare")
    return found
