"""What decides a claim, claim by claim, on values whose differences can be worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from analysis.claims.claims import CLAIMS, DEFINED, THROUGH_CODE
from analysis.claims.evidence import NO_PUBLISHED_ABLATIONS
from analysis.results import StudyResults, load_study
from tests.analysis.claims.changes import (
    ACCURACY,
    BOTH,
    GOOD,
    LINEAR,
    RELU,
    SQUARED,
    finding,
    having,
    with_ablation,
    with_ended,
    without,
)
from tests.synthetic import write_synthetic_study


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
    assert "also fails, outside the claim: Model 3 at code size 10, squared error against PCA: +23.4" in found.reason
    better = {("model_5", SQUARED): (9.0, 9.1, 9.2), ("unpool_only", LINEAR): (2.0, 2.1, 2.2)}
    assert finding(having(rows, better), 5).verdict == "supported"


def test_the_best_of_three_pays_for_the_choice(rows: StudyResults) -> None:
    """Model 4 against 0.9 classic and a tenth of PCA's 26.71, by SciPy: p three times, level 1 - 0.05 / 3."""
    (test,) = finding(rows, 7).evidence
    bar = [0.9 * value + 2.671 for value in GOOD["classic_autoencoder", SQUARED]]
    expected = scipy.stats.ttest_ind(GOOD["model_4", SQUARED], bar, equal_var=False)
    interval = expected.confidence_interval(1 - 0.05 / 3)
    assert (test.subject, test.reference) == ("Model 4", "Classic auto-encoder and margin")
    assert test.difference == pytest.approx((interval.low + interval.high) / 2)
    assert test.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert test.p_value == pytest.approx(3 * expected.pvalue)


def test_the_spread_is_judged_by_its_chi_square_interval(rows: StudyResults) -> None:
    """In percent of PCA's error, by SciPy; supported only where the whole interval lies below the limit."""
    values = 100 * np.array(GOOD["model_1", SQUARED]) / 26.71
    (test,) = [each for each in finding(rows, 8).evidence if (each.subject, each.arm) == ("Model 1", "published")]
    low, high = (math.sqrt(2 * values.var(ddof=1) / scipy.stats.chi2.ppf(tail, 2)) for tail in (0.975, 0.025))
    assert high < 5
    assert test.note.startswith(f"95 % interval of the spread {low:.2g} to {high:.2g};")
    assert test.difference == pytest.approx(values.std(ddof=1) - 5)
    assert test.p_value == pytest.approx(2 * scipy.stats.chi2.cdf(2 * values.var(ddof=1) / 25, 2))
    # Its own mean is small where a model is good: 5 % of 1.4 would be 0.07, of PCA's error it is 1.3.
    good = having(rows, {("model_3", SQUARED): (1.2, 1.4, 1.6)})
    assert finding(good, 8).verdict == "supported"


def test_a_code_of_two_units_need_not_beat_the_pixels(tmp_path: Path) -> None:
    """That comparison is shown at code size 2, and decides at 10."""
    results = load_study(write_synthetic_study(tmp_path / "s", code_sizes=(2, 10), search_trials=1, mishaps={}))
    decides = {
        (each.reference, each.code_size): each.decides
        for each in finding(results, 3).evidence
        if each.subject == "Model 1"
    }
    assert decides == {("PCA", 2): True, ("Raw pixels", 2): False, ("PCA", 10): True, ("Raw pixels", 10): True}


@pytest.mark.parametrize("number", [3, 4])
def test_what_holds_without_model_3_is_said_beside(rows: StudyResults, number: int) -> None:
    """It counts, since the paper counts it."""
    figures = {("model_3", ACCURACY): (0.30, 0.301, 0.302), ("model_3", LINEAR): (40.0, 40.1, 40.2)}
    found = finding(having(rows, figures), number)
    assert found.verdict == "contradicted"
    assert found.sentence.endswith(
        " (without Model 3: supported). In our recipe: contradicted (without Model 3: supported)."
    )
    alike = finding(rows, number)
    assert (alike.verdict, alike.apart) == ("supported", {"tuned": "", "published": ""})


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
@pytest.mark.parametrize("arm", ["published", "tuned"])
def test_advice_is_judged_by_ablations(
    rows: StudyResults, both: Sequence[float], relu: Sequence[float], verdict: str, arm: str
) -> None:
    """Both losses have to be better, ReLU worse, in the authors' recipe; ours is beside it, and model 3 is shown."""
    results = with_ablation(rows, "model_4", "loss", "both", both, arm)
    results = with_ablation(results, "model_4", "activation", "relu", relu, arm)
    results = with_ablation(results, "model_3", "activation", "relu", (0.5, 0.5, 0.6), arm)
    found = finding(results, 9)
    assert found.arms == {"published": "not testable", "tuned": "not testable"} | {arm: verdict}
    assert found.verdict == found.arms["published"]
    assert [each.subject for each in found.evidence if each.arm == arm] == [
        "Model 4 with loss both",
        "Model 3 with activation relu",
        "Model 4 with activation relu",
    ]


def test_ablations_pair_by_seed(rows: StudyResults) -> None:
    """By SciPy's paired test, which Welch's is far from."""
    found = finding(with_ablation(rows, "model_4", "loss", "both", BOTH), 9)
    (test,) = [each for each in found.evidence if each.subject == "Model 4 with loss both"]
    expected = scipy.stats.ttest_rel(BOTH, GOOD["model_4", SQUARED])
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.p_value < 0.01 < scipy.stats.ttest_ind(BOTH, GOOD["model_4", SQUARED], equal_var=False).pvalue


def test_advice_without_its_ablations_names_the_factors(rows: StudyResults) -> None:
    """Only those that lack and that a command can make: no phase trains ablations in the authors' recipe."""
    assert finding(rows, 9).command.endswith("--phase ablate --factors loss activation")
    found = finding(with_ablation(rows, "model_4", "loss", "both", BOTH), 9)
    assert (found.verdict, found.missing) == (
        "not testable",
        (NO_PUBLISHED_ABLATIONS, "ablation of activation to relu (tuned)"),
    )
    assert found.command.endswith("--phase ablate --factors activation")
    whole = with_ablation(rows, "model_4", "loss", "both", BOTH)
    assert finding(with_ablation(whole, "model_4", "activation", "relu", RELU), 9).command == ""


def test_the_first_claim_is_a_definition(rows: StudyResults) -> None:
    """No result says whether it holds."""
    found = finding(without(rows, architecture="model_5"), 1)
    assert (found.verdict, found.command) == ("not testable", "")
    assert found.sentence.startswith("Not testable by results: what the graphs are is computed")
