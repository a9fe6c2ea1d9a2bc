"""Metrics: the reference's exact names, the engine's totals, the constant labels."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sfu import metrics as names
from sfu.metrics import Metrics, engine_histograms, engine_samples


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """`(name, label values that are not the same for all …)` -> value."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    found: dict[tuple[str, ...], float] = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = dict(sample.labels)
        assert (labels.pop("node_id"), labels.pop("node_type")) == ("ND_x", "SERVER")
        found[sample.name, *(labels[name] for name in sorted(labels))] = sample.value
    return found


def test_engine_totals_have_the_references_names() -> None:
    metrics = Metrics("ND_x", with_process=False)
    totals = {"packets_in": 5, "packets_out": 9, "retransmitted": 2, "bytes_out": 7, "dropped.muted": 3, "up_tracks": 1}
    metrics.add_source(lambda: engine_samples(totals))
    samples = scrape(metrics)
    assert samples["livekit_packet_total", "", "incoming", "initial"] == 5
    assert samples["livekit_packet_total", "", "outgoing", "initial"] == 9
    assert samples["livekit_packet_total", "", "outgoing", "retransmit"] == 2
    assert samples["livekit_packet_bytes", "", "outgoing", "initial"] == 7
    assert samples["plenum_packet_dropped_total", "muted"] == 3
    assert samples["plenum_engine", "up_tracks"] == 1
    totals["packets_in"] = 6
    assert scrape(metrics)["livekit_packet_total", "", "incoming", "initial"] == 6


def test_ratings_of_connections_are_histograms() -> None:
    metrics = Metrics("ND_x", with_process=False)
    scores = {"scores.1.0": 0, "scores.4.25": 2, "scores.4.5": 4, "score_sum_milli": 26_500}
    ratings = {"ratings.lost": 1, "ratings.poor": 0, "ratings.good": 2, "ratings.excellent": 3}
    totals = {**ratings, **scores}
    metrics.add_source(lambda: engine_samples(totals))
    metrics.add_histograms(lambda: engine_histograms(totals))
    samples = scrape(metrics)
    assert [samples["livekit_quality_rating_bucket", le] for le in ("0.0", "1.0", "2.0", "+Inf")] == [0, 2, 5, 6]
    assert (samples["livekit_quality_rating_count",], samples["livekit_quality_rating_sum",]) == (6, 11)
    assert [samples["livekit_quality_score_bucket", le] for le in ("1.0", "4.25", "4.5", "+Inf")] == [0, 2, 6, 6]
    assert (samples["livekit_quality_score_count",], samples["livekit_quality_score_sum",]) == (6, 26.5)
    assert not [name for name, *_ in samples if name.startswith("plenum_engine")]


def test_counters_and_gauges_add_up() -> None:
    metrics = Metrics("ND_x", with_process=False)
    metrics.add(names.ROOMS)
    metrics.add(names.ROOMS)
    metrics.add(names.ROOMS, by=-1)
    metrics.add(names.TRACK_PUBLISH, "AUDIO", "success")
    metrics.observe_room_duration(7)
    samples = scrape(metrics)
    assert samples["livekit_room_total",] == 1
    assert samples["livekit_participant_total",] == 0
    assert samples["livekit_room_duration_seconds_sum",] == 7
    assert samples["livekit_track_publish_counter", "AUDIO", "success"] == 1
    assert metrics.value(names.TRACK_PUBLISH, "AUDIO", "success") == 1


def test_the_process_is_measured_too() -> None:
    text = generate_latest(Metrics("ND_x").registry).decode()
    assert "process_resident_memory_bytes" in text
