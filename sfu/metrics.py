"""Metrics: every name declared once, under the reference's names where it has one (protocol.md §10).

Owns the names, their labels and the scrape. Counters and gauges are plain numbers until somebody scrapes, so counting
costs a dictionary look-up; the engine's totals are read at scrape time. Dashboards made for the reference depend on
exact names, some of which prometheus-client would extend by `_total`: hence samples of our own making.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "PARTICIPANTS",
    "PARTICIPANT_JOIN",
    "REFUSED_JOINS",
    "ROOMS",
    "ROOM_DURATION_S",
    "SIGNAL",
    "SIGNAL_CLOSED",
    "TRACKS_PUBLISHED",
    "TRACK_PUBLISH",
    "TWIRP_STATUS",
    "Distribution",
    "Metrics",
    "Number",
    "Sample",
    "Source",
    "engine_histograms",
    "engine_samples",
]


@dataclass(frozen=True, slots=True)
class Number:
    """A counter or gauge: its name as it is scraped."""

    name: str
    kind: str
    """`counter` or `gauge`."""
    labels: tuple[str, ...]
    text: str


ROOMS = Number("livekit_room_total", "gauge", (), "Rooms that exist now.")
PARTICIPANTS = Number("livekit_participant_total", "gauge", (), "Participants that are active now.")
TRACKS_PUBLISHED = Number("livekit_track_published_total", "gauge", ("kind",), "Tracks that are published now.")
PARTICIPANT_JOIN = Number(
    "livekit_participant_join_total", "counter", ("state", "warp"), "Joins by how far they came (warp: always empty)."
)
TRACK_PUBLISH = Number("livekit_track_publish_counter", "counter", ("kind", "state"), "Published tracks.")
TWIRP_STATUS = Number(
    "livekit_node_twirp_request_status", "counter", ("service", "method", "status", "code"), "API requests."
)
SIGNAL_CLOSED = Number("plenum_signal_closed_total", "counter", ("reason",), "Signalling connections that we cut.")
SIGNAL = Number("plenum_signal", "gauge", ("value",), "Other values of signalling: sessions, frames.")
REFUSED_JOINS = Number("plenum_join_refused_total", "counter", ("status",), "Joins that were refused, by HTTP status.")

_PACKETS = Number(
    "livekit_packet_total", "counter", ("direction", "transmission", "country"), "RTP packets (country: always empty)."
)
_BYTES = Number("livekit_packet_bytes", "counter", _PACKETS.labels, "Bytes of RTP packets.")
_RTCP_LABELS = ("direction", "country")
_NACKS = Number("livekit_nack_total", "counter", _RTCP_LABELS, "Packets asked for again.")
_PLIS = Number("livekit_pli_total", "counter", _RTCP_LABELS, "Key-frame requests.")
_FIRS = Number("livekit_fir_total", "counter", _RTCP_LABELS, "Full intra requests.")
_DROPPED = Number("plenum_packet_dropped_total", "counter", ("reason",), "Packets that the engine dropped.")
_DATA = Number("plenum_data_messages_total", "counter", ("direction",), "Data messages.")
_ENGINE = Number("plenum_engine", "gauge", ("value",), "Other values of the engine, by its own names.")

_QUALITY_RATING = "livekit_quality_rating"
_QUALITY_SCORE = "livekit_quality_score"
_RATING_PREFIX, _SCORE_PREFIX, _SCORE_SUM = "ratings.", "scores.", "score_sum_milli"
# By the wire's numbers; the reference's buckets end below LOST.
_RATINGS = (("poor", 0), ("good", 1), ("excellent", 2), ("lost", 3))

ROOM_DURATION_S = "livekit_room_duration_seconds"
_DURATION_BUCKETS_S = (5, 10, 60, 300, 600, 1800, 3600, 7200, 18_000, 36_000)
_DROP_PREFIX = "dropped."

# Engine total -> metric and label values.
_ENGINE_TOTALS: dict[str, tuple[Number, tuple[str, ...]]] = {
    "packets_in": (_PACKETS, ("incoming", "initial", "")),
    "packets_out": (_PACKETS, ("outgoing", "initial", "")),
    "retransmitted": (_PACKETS, ("outgoing", "retransmit", "")),
    "bytes_in": (_BYTES, ("incoming", "initial", "")),
    "bytes_out": (_BYTES, ("outgoing", "initial", "")),
    "nacks": (_NACKS, ("incoming", "")),
    "plis": (_PLIS, ("incoming", "")),
    "firs": (_FIRS, ("incoming", "")),
    "data_messages_in": (_DATA, ("incoming",)),
    "data_messages_out": (_DATA, ("outgoing",)),
}

_Values = dict[tuple[str, ...], float]

Sample = tuple[Number, tuple[str, ...], float]
"""A number, its labels and its value."""

Source = Callable[[], Iterable[Sample]]
"""What is asked at each scrape."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: how many values lie up to each bound (the last: `+Inf`) and above the one before, and their sum."""

    name: str
    text: str
    counts: tuple[tuple[str, int], ...]
    total: float


class Metrics:
    """All metrics of this process; `registry` is what a scrape renders."""

    def __init__(self, node_id: str, *, with_process: bool = True) -> None:
        """Makes an empty set.

        Args:
            node_id: Label of every sample, with `node_type="SERVER"`, as the reference has it.
            with_process: Add the process's own CPU, memory and garbage collection.
        """
        self.registry = CollectorRegistry()
        self._constant = {"node_id": node_id, "node_type": "SERVER"}
        self._values: dict[Number, _Values] = {}
        self._sources: list[Source] = []
        self._histograms: list[Callable[[], Iterable[Distribution]]] = []
        self._durations = Histogram(
            ROOM_DURATION_S,
            "Life of rooms that ended, seconds.",
            labelnames=tuple(self._constant),
            buckets=_DURATION_BUCKETS_S,
            registry=self.registry,
        ).labels(**self._constant)
        self.registry.register(_Samples(self))
        if with_process:
            ProcessCollector(registry=self.registry)
            GCCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
        for gauge in (ROOMS, PARTICIPANTS):
            self.add(gauge, by=0)

    def add(self, number: Number, *labels: str, by: float = 1) -> None:
        """Adds to a counter or moves a gauge; `labels` in the order of the declaration."""
        values = self._values.setdefault(number, {})
        values[labels] = values.get(labels, 0) + by

    def value(self, number: Number, *labels: str) -> float:
        """What has been counted so far."""
        return self._values.get(number, {}).get(labels, 0)

    def observe_room_duration(self, duration_s: float) -> None:
        """A room ended."""
        self._durations.observe(duration_s)

    def add_source(self, source: Source) -> None:
        """Asks `source` for its values at each scrape."""
        self._sources.append(source)

    def add_histograms(self, source: Callable[[], Iterable[Distribution]]) -> None:
        """Asks `source` for its distributions at each scrape."""
        self._histograms.append(source)

    def families(self) -> Iterator[Metric]:
        """Everything that is counted here and by the sources, as prometheus-client wants it."""
        values = {number: dict(samples) for number, samples in self._values.items()}
        for source in self._sources:
            for number, labels, value in source():
                values.setdefault(number, {})[labels] = value
        for number, samples in values.items():
            yield self._family(number, samples)
        for made in self._histograms:
            for distribution in made():
                yield self._histogram(distribution)

    def _histogram(self, distribution: Distribution) -> Metric:
        below, buckets = 0, []
        for bound, count in distribution.counts:
            below += count
            buckets.append((bound, below))
        family = HistogramMetricFamily(distribution.name, distribution.text, labels=list(self._constant))
        family.add_metric(list(self._constant.values()), buckets, sum_value=distribution.total)
        return family

    def _family(self, number: Number, samples: _Values) -> Metric:
        # prometheus-client names a counter's family without `_total`; one that does not end so goes untyped.
        proper = number.kind == "gauge" or number.name.endswith("_total")
        family = Metric(
            number.name if number.kind == "gauge" else number.name.removesuffix("_total"),
            number.text,
            number.kind if proper else "unknown",
        )
        for labels, value in samples.items():
            named = dict(zip(number.labels, labels, strict=True))
            family.add_sample(number.name, {**named, **self._constant}, value)
        return family


class _Samples(Collector):
    """Hands the numbers of `Metrics` to a registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()

    def describe(self) -> list[Metric]:
        """Nothing: otherwise registering would read the engine once."""
        return []


def engine_samples(totals: Mapping[str, int]) -> Iterator[Sample]:
    """The engine's totals, by the names of `_engine.pyi`, as samples."""
    for name, total in totals.items():
        if name.startswith((_RATING_PREFIX, _SCORE_PREFIX)) or name == _SCORE_SUM:
            continue  # see `engine_histograms`
        if name.startswith(_DROP_PREFIX):
            yield _DROPPED, (name.removeprefix(_DROP_PREFIX),), total
        else:
            number, labels = _ENGINE_TOTALS.get(name, (_ENGINE, (name,)))
            yield number, labels, total


def engine_histograms(totals: Mapping[str, int]) -> Iterator[Distribution]:
    """How participants with media were rated, once for each and window (protocol.md §4.12)."""
    rated = {name: totals.get(_RATING_PREFIX + name, 0) for name, _ in _RATINGS}
    yield Distribution(
        _QUALITY_RATING,
        "Ratings of connections: 0 poor, 1 good, 2 excellent, 3 lost.",
        tuple(("+Inf" if name == "lost" else str(float(number)), rated[name]) for name, number in _RATINGS),
        sum(number * rated[name] for name, number in _RATINGS),
    )
    scores = [(name.removeprefix(_SCORE_PREFIX), n) for name, n in totals.items() if name.startswith(_SCORE_PREFIX)]
    yield Distribution(
        _QUALITY_SCORE,
        "The same as mean opinion scores, 1 to 4.5.",
        (*scores, ("+Inf", 0)),
        totals.get(_SCORE_SUM, 0) / 1000,
    )
