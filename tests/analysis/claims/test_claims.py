"""What decides a claim, claim by claim, on values whose differences can be worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest

from analysis.claims.claims import CLAIMS, DEFINED, THROUGH_CODE
from analysis.results import StudyResults
from tests.analysis.claims.changes import (
    BOTH,
    LINEAR,
    RELU,
    SQUARED,
    finding,
    having,
    with_ablation,
    with_ended,
    without,
)


def test_every_claim_is_a_record_with_source_comparison_and_rule() -> None:
    """Nine claims in order; the models that no public source defines are not among the deciding ones."""
    assert [claim.number for claim in CLAIMS] == list(range(1, 10))
    for claim in CLAIMS:
        assert claim.source.startswith(("[abstract", "[notes]"))
        assert all(text.endswith(".") for text in (claim.text, claim.comparison, claim.rule))
    assert DEFINED == ("model_1", "model_2", "model_3", "model_4")
    assert THROUGH_CODE == ("model_1", "model_2", "model_4")


def test_models_that_no_public_source_defines_and_reconstruction_by_switches_decide_nothing(
    rows: StudyResults,
) -> None:
    """They fail beside the rule."""
    worse = {("model_5", SQUARED): (40.0, 40.1, 40.2), ("model_3", SQUARED): (50.0, 50.1, 50.2)}
    found = finding(having(rows, worse), 2)
    assert found.verdict == "supported"
    assert "beside the rule fails: Model 3 at code size 10, squared error against PCA: +23.4" in found.reason
    better = {("model_5", SQUARED): (9.0, 9.1, 9.2), ("unpool_only", LINEAR): (2.0, 2.1, 2.2)}
    assert finding(having(rows, better), 5).verdict == "supported"


def test_the_best_of_three_pays_for_the_choice(rows: StudyResults) -> None:
    """Model 4 minus 0.9 classic minus 2.671: -1.471, -1.641, -1.511; p three times the one of t."""
    (test,) = finding(rows, 7).evidence
    deviation = math.sqrt((0.07**2 + 0.10**2 + 0.03**2) / 2)
    t = 1.541 / (deviation / math.sqrt(3))
    assert (test.subject, test.reference) == ("Model 4", "Classic auto-encoder and margin")
    assert test.difference == pytest.approx(-1.541)
    assert test.p_value == pytest.approx(3 * (1 - t / math.sqrt(t**2 + 2)))
    assert test.half_width == pytest.approx(7.648868 * deviation / math.sqrt(3), rel=1e-4)  # t at 1 - 0.05 / 6


def test_a_run_that_diverges_or_collapses_is_not_stable(rows: StudyResults) -> None:
    """Two of three converge."""
    diverged = finding(with_ended(rows, "confirm-model_1-10-tuned-2", "diverged"), 8)
    assert (diverged.arms["tuned"], diverged.arms["published"]) == ("contradicted", "supported")
    assert "(2 of 3 runs converged)" in diverged.reason
    trials = rows.trials.assign(collapsed=rows.trials["trial_id"] == "confirm-model_2-10-published-3")
    assert finding(dataclasses.replace(rows, trials=trials), 8).arms["published"] == "contradicted"


def test_a_run_that_failed_says_nothing_of_training(rows: StudyResults) -> None:
    """Two runs are left, which are too few to call the model stable or not."""
    found = finding(with_ended(rows, "confirm-model_1-10-tuned-2", "failed"), 8)
    assert (found.arms["tuned"], found.command) == ("not decided", "")


@pytest.mark.parametrize(
    ("both", "relu", "verdict"),
    [
        (BOTH, RELU, "supported"),
        (RELU, RELU, "contradicted"),
        (BOTH, BOTH, "contradicted"),
        ((12.0, 12.2, 12.4), RELU, "not decided"),
    ],
)
def test_advice_is_judged_by_ablations(
    rows: StudyResults, both: Sequence[float], relu: Sequence[float], verdict: str
) -> None:
    """Both losses have to be better, ReLU worse; model 3 is shown."""
    results = with_ablation(rows, "model_4", "loss", "both", both)
    results = with_ablation(results, "model_4", "activation", "relu", relu)
    results = with_ablation(results, "model_3", "activation", "relu", (0.5, 0.5, 0.6))
    found = finding(results, 9)
    assert (found.verdict, found.arms) == (verdict, {"tuned": verdict})
    assert [each.subject for each in found.evidence] == [
        "Model 4 with loss both",
        "Model 3 with activation relu",
        "Model 4 with activation relu",
    ]


def test_advice_without_its_ablations_names_the_factors(rows: StudyResults) -> None:
    """Only those that lack."""
    assert finding(rows, 9).command.endswith("--phase ablate --factors loss activation")
    found = finding(with_ablation(rows, "model_4", "loss", "both", BOTH), 9)
    assert (found.verdict, found.missing) == ("not testable", ("ablation of activation to relu (tuned)",))
    assert found.command.endswith("--phase ablate --factors activation")


def test_the_first_claim_is_a_definition(rows: StudyResults) -> None:
    """It names the models at hand."""
    found = finding(without(rows, architecture="model_5"), 1)
    assert (found.verdict, found.command) == ("not testable", "")
    assert "Model 4, Unpool only" in found.reason
