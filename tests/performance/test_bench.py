"""The table of all benchmarks: what of it needs no minutes is run."""

from __future__ import annotations

import bench
import pytest
import seeds_at_once
import torch
from training_speed import Speed

from trainables.models.architectures import STUDIED


def test_epochs_of_seeds_are_timed_by_turns_in_one_run() -> None:
    """One seed, three in turn, three at once; what a GPU adds is left out on a processor."""
    seen = seeds_at_once.measure_epochs("unpool_only", 3, seeds_at_once.pixels_of(200, torch.device("cpu")), 1)
    assert min(seen.one, seen.in_turn, seen.at_once) > 0
    assert seen.stock is seen.replayed is None


def test_a_row_stands_for_each_architecture_with_the_mean_of_the_convolutional_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The geometric mean of 1, 2, 4, 8, 16 and 32, worked by hand, is the root of 32; the classic one is left out."""
    ratios = iter([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 1000.0])
    monkeypatch.setattr(bench, "measure_speed", lambda name, *_, **__: Speed(name, 10.0, 20.0, next(ratios), 1e9))
    rows = list(bench.training())
    assert [row[0].split(",")[0] for row in rows[:-1]] == list(STUDIED)
    assert rows[-1][3] == f"{32**0.5:.2f}"


def test_what_the_scripts_say_becomes_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times the trials a minute; waits of a tenth of a second; five milliseconds a result.

    Stock trials took 4 s with 1,000 images and 2.5 s with 500, so both sides are compared on 333.
    """
    said: dict[str, dict[str, object]] = {
        "stock": {"trials_a_minute": 6.0, "between_seconds": 5.0, "trial_seconds": 2.0},
        "ours": {"trials_a_minute": 30.0, "between_seconds": 0.1, "between_most_seconds": 0.2, "trial_seconds": 1.0},
        "--slots": {
            "milliseconds_a_result": 5.0,
            "processor_milliseconds_a_result": 4.0,
            "trials": 1990,
            "mebibytes": [400.0, 410.0, 420.0],
            "files": 100,
        },
    }
    shares = {"busy_share": 0.02, "waiting_share": 0.01}
    asked = []

    def told(script: str, first: str, *rest: object) -> dict[str, object]:
        asked.append((first, *rest))
        sizing = {"--seconds": {"images": 1000, "trial_seconds": 4.0}, 500: {"images": 500, "trial_seconds": 2.5}}
        for argument, seen in sizing.items():
            if first == "stock" and argument in rest:
                return said[first] | seen
        return said[first] | shares

    monkeypatch.setattr(bench, "_json", told)
    rows = {row[0]: row for row in [*bench.orchestration(), *bench.scale()]}
    assert ("stock", "--images", 333, "--trials", 8) in asked
    assert ("ours", "--images", 333, "--trials", 40) in asked
    assert rows["trials a minute"][1:4] == ("6.0", "30.0", "5.0")
    assert rows["between two trials, s"][1:4] == ("5.00", "0.100", "50")
    assert rows["driver, search, writing, waiting"][2] == "3.0%"
    assert rows["simulated, ms of the driver a result"][2] == "5.00"
