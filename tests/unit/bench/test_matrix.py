"""The network matrix without a network: its cells, the figures of made-up runs, the store and the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.matrix.cells import ALL_CELLS, SMOKE_CELLS, Cell, CellError, chosen
from bench.matrix.figures import FIGURES, figures_of, reasons_not_to_count
from bench.matrix.store import Store, counts
from bench.matrix.table import judged, markdown, medians

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["at", "height", "frames", "freezes", "frozen_s", "played", "concealed"]
EQUAL = dict.fromkeys((figure.key for figure in FIGURES), 10.0)


def row(at_ms: int, frames: float, *, concealed: float = 0, freezes: float = 0, frozen_s: float = 0) -> list[float]:
    """A sample of a picture of 720 lines and of sound at 48 kHz."""
    return [at_ms, 720, frames, freezes, frozen_s, 48 * at_ms + 100_000, concealed]


def run(rows: list[list[float]], **other: Any) -> dict[str, Any]:
    """A run as the stage records it, on a machine with CPU to spare."""
    layers = [{"rid": rid, "frames": 0, "shortOfCpuS": 0} for rid in "qhf"]
    later = [layer | {"frames": 200} for layer in layers]
    usual: dict[str, Any] = {
        "cell": "blackout",
        "disturbed_s": 0,
        "camera_fps": 20,
        "samples": {"columns": COLUMNS, "rows": rows},
        "messages": {"reliable": [[0, 5]], "lossy": [[0, 5], [40, None]]},
        "publisher": [
            {"at": 0, "sourceFrames": 0, "layers": layers},
            {"at": 10_000, "sourceFrames": 200, "layers": later},
        ],
        "lag": {who: {"ticks": 200, "late": 0, "worstMs": 20} for who in ("publisher", "subscriber")},
        "router": {"late": 0, "packets": 1000},
        "client_cpu_s": 4.0,
        "server_cpu_s": 0.5,
        "machine_idle": 0.5,
    }
    return usual | other


def steady(until_ms: int = 10_000) -> list[list[float]]:
    return [row(at, at / 50) for at in range(-250, until_ms + 1, 250)]


def test_there_are_48_cells_with_names_of_their_own() -> None:
    assert len(ALL_CELLS) == 48 == len({cell.name for cell in ALL_CELLS})
    assert len(SMOKE_CELLS) == 6
    assert set(SMOKE_CELLS) <= set(ALL_CELLS)
    assert all(chosen([cell.name]) == (cell,) for cell in ALL_CELLS)


def test_a_choice_leaves_open_what_it_does_not_name() -> None:
    assert len(chosen(["loss=5"])) == 9
    assert chosen(["blackout", "loss=20,rate=300"]) == (
        *(Cell(20, delay, 300_000) for delay in (0, 50, 200)),
        Cell(delay_ms=20, event="blackout"),
    )


@pytest.mark.parametrize("choice", ["loss=3", "los=5", "", "flood", "loss=5;delay=50"])
def test_a_choice_of_nothing_is_refused(choice: str) -> None:
    with pytest.raises(CellError):
        chosen(["address", choice])


def test_the_figures_of_a_run_without_faults() -> None:
    told = figures_of(run(steady()))
    assert told.fps == pytest.approx(20)
    assert (told.freezes, told.frozen_s, told.recovery_s, told.concealed_percent) == (0, 0, 0, 0)
    assert (told.height, told.reliable_percent, told.lossy_percent) == (720, 100, 50)
    assert told.client_cpu_percent == pytest.approx(40, rel=0.05)


def test_a_picture_that_stands_at_the_end_is_a_freeze() -> None:
    rows = [row(at, min(at, 4000) / 50, freezes=1, frozen_s=0.4) for at in range(0, 10_001, 250)]
    rows[0][3:5] = [0, 0]
    told = figures_of(run(rows))
    assert told.freezes == 2
    assert told.frozen_s == pytest.approx(6.4)


def test_recovery_counts_from_the_end_of_the_disturbance() -> None:
    rows = [row(at, max(0, at - 6_500) / 50) for at in range(0, 12_001, 250)]
    told = figures_of(run(rows, disturbed_s=5.0))
    assert told.recovery_s == pytest.approx(1.25, abs=0.3), "ten pictures within a second"
    rows = [row(at, max(0, at - 9_800) / 50) for at in range(0, 12_001, 250)]
    assert figures_of(run(rows, disturbed_s=5.0)).recovery_s == 7, "not within the measurement"


def test_a_good_second_alone_is_no_recovery() -> None:
    rows = [row(at, (at if at < 2_000 else max(2_000, at - 4_000)) / 50) for at in range(-250, 14_001, 250)]
    assert figures_of(run(rows)).recovery_s == pytest.approx(5.5, abs=0.3)


def test_without_sound_there_is_no_recovery() -> None:
    rows = [row(at, at / 50, concealed=40 * max(0, at)) for at in range(-250, 10_001, 250)]
    told = figures_of(run(rows))
    assert told.concealed_percent == pytest.approx(100 * 40 / 48)
    assert told.recovery_s == 10


def test_what_was_sent_at_the_end_is_not_counted() -> None:
    messages = {"reliable": [[-10, None], [1, 5], [8_500, None]], "lossy": []}
    told = figures_of(run(steady(), messages=messages))
    assert (told.reliable_percent, told.lossy_percent) == (100, 0)


def test_a_run_without_samples_has_no_figures() -> None:
    with pytest.raises(ValueError, match="no sample"):
        figures_of(run([row(-250, 0)]))


def test_a_machine_with_cpu_to_spare_counts() -> None:
    assert reasons_not_to_count(run(steady())) == []


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"machine_idle": 0.01}, "no CPU to spare"),
        ({"router": {"late": 30, "packets": 1000}}, "30 of 1000 packets"),
        ({"camera_fps": 30}, "the camera gave 20.0"),
        ({"lag": {w: {"ticks": 200, "late": 1, "worstMs": 900} for w in ("publisher", "subscriber")}}, "900 ms"),
    ],
)
def test_a_machine_short_of_cpu_does_not(spoiled: dict[str, Any], reason: str) -> None:
    assert any(reason in found for found in reasons_not_to_count(run(steady(), **spoiled)))


def test_a_layer_that_was_held_back_by_cpu_does_not_count() -> None:
    spoiled = run(steady())
    spoiled["publisher"][1]["layers"][2] |= {"shortOfCpuS": 3.0, "frames": 90}
    assert reasons_not_to_count(spoiled) == [
        "layer f was encoded at 9.0 pictures a second",
        "layer f was limited by CPU",
    ]


def test_within_a_tenth_or_the_noise_two_servers_are_equal() -> None:
    assert str(judged(EQUAL, EQUAL | {"fps": 10.9, "concealed_percent": 9.6, "client_cpu_percent": 1.0})) == "equal"
    verdict = judged(EQUAL | {"fps": 12.0, "frozen_s": 12.0}, EQUAL)
    assert (verdict.better, verdict.worse) == (("fps",), ("frozen s",))
    assert str(verdict) == "**worse**: frozen s; better: fps"
    assert str(judged(EQUAL | {"freezes": 0.0}, EQUAL | {"freezes": 1.0})) == "equal", "the noise of a small number"
    verdict = judged(EQUAL | {"freezes": 1.0}, EQUAL | {"freezes": 0.0})
    assert (str(verdict), verdict.worse) == ("equal (below: freezes)", ()), "the same from the other side is named"


def test_a_figure_that_means_little_beside_another_gives_way_to_it() -> None:
    more_and_smaller = EQUAL | {"fps": 20.0, "height": 5.0}
    assert str(judged(more_and_smaller, EQUAL)) == "better: fps (below: lines)"
    assert str(judged(EQUAL, more_and_smaller)) == "**worse**: fps"
    assert str(judged(EQUAL | {"height": 5.0}, EQUAL)) == "**worse**: lines", "of as many pictures"
    assert str(judged(EQUAL | {"freezes": 20.0, "frozen_s": 2.0}, EQUAL)) == "better: frozen s (below: freezes)"
    assert str(judged(EQUAL | {"freezes": 20.0, "frozen_s": 20.0}, EQUAL)) == "**worse**: freezes, frozen s"


def told(cell: str, fps: float, *short: str) -> dict[str, Any]:
    about = {"cell": cell, "at": "2026-01-01T00:00:00", "version": "v", "machine": "m", "short": [*short]}
    return about | {"figures": EQUAL | {"fps": fps}}


def test_the_median_is_of_the_runs_that_count() -> None:
    runs = [told("address", 10), told("address", 12), told("address", 30), told("address", 99, "no CPU")]
    assert medians([*runs, {"cell": "address", "failed": "no picture"}])["fps"] == 12
    assert medians(runs[3:]) == {}


def test_the_store_keeps_all_and_forgets_what_it_is_told_to(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert (store.servers(), store.runs("a")) == ([], [])
    for cell in ("address", "reorder", "address"):
        store.add("a", told(cell, 1))
    assert store.servers() == ["a"]
    assert len(store.runs_of("a", "address")) == 2
    assert all(counts(kept) for kept in Store(tmp_path / "results").runs("a"))
    store.forget("a", {"address"})
    assert [kept["cell"] for kept in store.runs("a")] == ["reorder"]


def test_the_table_has_both_servers_and_says_who_is_better() -> None:
    ours = [told("reorder", 20), told("address", 5), told("loss=0,delay=0,rate=0", 5, "no CPU")]
    theirs = [told("reorder", 10), told("address", 10), told("loss=0,delay=0,rate=0", 5)]
    page = markdown({"plenum": ours, "other": theirs}, {"address": "for a good reason"})
    lines = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert "| 20.0 / 10.0 |" in lines["10 % of the packets overtaken by three others, 50 ms"]
    assert lines["10 % of the packets overtaken by three others, 50 ms"].endswith("| better: fps |")
    assert lines["another address, 20 ms"].endswith("| **worse**: fps |")
    assert "0 (+1 not counted) / 1" in lines["0 %, 0 ms, no limit"]
    assert "in 1, worse in 1, not comparable in 1 cells; worse in something by the tenth alone in 1." in page
    assert "- another address, 20 ms: for a good reason" in page


def test_the_table_of_one_server_judges_nothing() -> None:
    page = markdown({"plenum": [told("reorder", 20)]}, {})
    assert "## plenum\n" in page
    assert "better" not in page.split("## plenum")[1]
