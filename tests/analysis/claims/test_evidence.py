"""Comparisons paired by seed are those worked out by hand, and say why there is none."""

from __future__ import annotations

import dataclasses
import math

import pytest

from analysis.claims.findings import findings
from analysis.results import StudyResults
from tests.analysis.claims.changes import (
    finding,
    with_ended,
)


def test_figures_of_a_comparison_are_those_worked_out_by_hand(rows: StudyResults) -> None:
    """Model 4 minus model 1: -2.0, -2.1, -1.9, so -2 with a deviation of 0.1 and t = 20 sqrt(3)."""
    found = finding(rows, 5)
    test = next(each for each in found.evidence if each.reference == "Model 1" and each.measure == "squared error")
    t = 20 * math.sqrt(3)
    assert (test.n, test.outcome) == (3, "holds")
    assert test.difference == pytest.approx(-2.0)
    assert test.half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert test.p_value == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert found.reason.startswith("Tuned arm: 8 of 8 comparisons hold; least certain: ")


def test_one_run_has_no_interval_and_decides_nothing(rows: StudyResults) -> None:
    """Stability asks for three runs, the command for them."""
    alone = dataclasses.replace(rows, trials=rows.trials[rows.trials["number"] <= 1])
    found = findings(alone)
    assert [each.verdict for each in found] == ["not testable"] + 6 * ["not decided"] + 2 * ["not testable"]
    assert "one pair of runs has no interval" in found[1].reason
    assert found[7].missing[0] == "3 runs of Model 1 at code size 10 (tuned)"
    assert "--seeds 3 --architectures model_1 model_2 model_3 model_4" in found[7].command


def test_a_model_without_one_completed_run_leaves_claims_open(rows: StudyResults) -> None:
    """Its rows are not missing: no command would bring another outcome."""
    results = rows
    for number in (1, 2, 3):
        results = with_ended(results, f"confirm-model_1-10-tuned-{number}", "diverged")
    found = finding(results, 2)
    assert (found.arms["tuned"], found.missing) == ("not decided", ())
    assert "(no run of Model 1 completed)" in found.reason
    assert finding(results, 7).verdict == "supported"
