"""The verdicts of `analysis.claims.findings`, on figures whose differences can be worked out by hand.

`GOOD` supports every claim at code size 10; each test changes a model or two. Three runs have t of 2 degrees of
freedom, whose two-sided p value is 1 - t / sqrt(t^2 + 2).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis.claims.claims import CLAIMS, DEFINED, THROUGH_CODE
from analysis.claims.findings import Finding, finding_tables, findings
from analysis.rendering import text as rendering
from analysis.results import StudyResults, load_studies, load_study
from tests.synthetic import write_synthetic_study

Figures = Mapping[tuple[str, str], Sequence[float]]

SQUARED, LINEAR, MLP = "reconstruction/squared_error", "linear_classifier/error", "mlp_classifier/error"
ACCURACY = "k_means/accuracy"
OTHER, MEAN_CODE = "other_switches/squared_error", "mean_code/squared_error"

GOOD: Figures = {
    ("model_1", SQUARED): (14.0, 14.2, 14.4),
    ("model_2", SQUARED): (15.0, 15.3, 15.3),
    ("model_3", SQUARED): (1.40, 1.42, 1.38),
    ("model_4", SQUARED): (12.0, 12.1, 12.5),
    ("classic_autoencoder", SQUARED): (12.0, 12.3, 12.6),
    ("pca", SQUARED): (26.71,),
    ("model_1", LINEAR): (9.0, 9.1, 9.2),
    ("model_2", LINEAR): (9.5, 9.7, 9.6),
    ("model_3", LINEAR): (16.0, 16.4, 16.2),
    ("model_4", LINEAR): (8.0, 8.0, 8.3),
    ("pca", LINEAR): (19.1,),
    **{(f"model_{number}", MLP): (5.0, 5.1, 5.2) for number in (1, 2, 3, 4)},
    ("pca", MLP): (8.0,),
    **{(f"model_{number}", ACCURACY): (0.60, 0.61, 0.62) for number in (1, 2, 3)},
    ("model_4", ACCURACY): (0.70, 0.72, 0.71),
    ("pca", ACCURACY): (0.53,),
    ("raw_pixels", ACCURACY): (0.55,),
    ("model_3", OTHER): (83.0, 82.0, 84.0),
    ("model_3", MEAN_CODE): (4.0, 4.1, 3.9),
    ("model_4", MEAN_CODE): (63.0, 62.0, 64.0),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Three runs a model and arm at code size 10, and controls."""
    folder = tmp_path_factory.mktemp("findings") / "study"
    return having(load_study(write_synthetic_study(folder, code_sizes=(10,), search_trials=1, mishaps={})), GOOD)


def having(results: StudyResults, figures: Figures, arms: Sequence[str] = ("tuned", "published")) -> StudyResults:
    """Return ``results`` with these test figures of the runs of seeds 1, 2, 3, in ``arms``."""
    scores = results.scores
    measured = scores["evaluator"].astype("str") + "/" + scores["metric"].astype("str")
    at = pd.Series(scores.index, index=[scores["trial_id"], scores["split"].astype("str"), measured])
    value = scores["value"].copy()
    for (name, figure), values in figures.items():
        size = 784 if name == "raw_pixels" else 10
        for arm in ("control",) if len(values) == 1 else arms:
            for number, new in enumerate(values, start=1):
                key = (f"confirm-{name}-{size}-{arm}-{number}", "test", figure)
                if key in at.index:  # nothing of the classic auto-encoder is published
                    value[at[key]] = new
    return dataclasses.replace(results, scores=scores.assign(value=value))


def without(results: StudyResults, **labels: str) -> StudyResults:
    """Return ``results`` without the trials of these labels, or without the scores."""
    trials, scores = results.trials, results.scores
    for column, label in labels.items():
        if column in trials:
            trials = trials[trials[column] != label]
        else:
            scores = scores[scores[column] != label]
    return dataclasses.replace(results, trials=trials, scores=scores[scores["trial_id"].isin(trials["trial_id"])])


def with_ended(results: StudyResults, trial_id: str, status: str) -> StudyResults:
    """Return ``results`` with one trial that came to nothing."""
    trials = results.trials.copy()
    trials.loc[trials["trial_id"] == trial_id, "status"] = status
    trials["full_budget"] &= trials["status"] == "complete"
    return dataclasses.replace(results, trials=trials, scores=results.scores[results.scores["trial_id"] != trial_id])


def with_ablation(results: StudyResults, name: str, factor: str, level: str, errors: Sequence[float]) -> StudyResults:
    """Return ``results`` with an ablation of the tuned arm that has these squared errors."""
    trials = results.trials[results.trials["trial_id"].str.startswith(f"confirm-{name}-10-tuned")].copy()
    scores = results.scores[results.scores["trial_id"].isin(trials["trial_id"])].copy()
    renamed = {old: f"ablate-{name}-{factor}-{level}-{number}" for number, old in enumerate(trials["trial_id"], 1)}
    trials = trials.assign(trial_id=trials["trial_id"].map(renamed), phase="ablate", factor=factor, level=level)
    trials["phase"] = trials["phase"].astype(results.trials["phase"].dtype)
    scores["trial_id"] = scores["trial_id"].map(renamed)
    of = (scores["evaluator"] == "reconstruction") & (scores["metric"] == "squared_error") & (scores["split"] == "test")
    scores.loc[of, "value"] = list(errors)
    return dataclasses.replace(
        results,
        trials=pd.concat([results.trials, trials], ignore_index=True),
        scores=pd.concat([results.scores, scores], ignore_index=True),
    )


def finding(results: StudyResults, number: int) -> Finding:
    """Return the finding on claim ``number``."""
    return findings(results)[number - 1]


def test_every_claim_is_a_record_with_source_comparison_and_rule() -> None:
    """Nine claims in order; the models that no public source defines are not among the deciding ones."""
    assert [claim.number for claim in CLAIMS] == list(range(1, 10))
    for claim in CLAIMS:
        assert claim.source.startswith(("[abstract", "[notes]"))
        assert all(text.endswith(".") for text in (claim.text, claim.comparison, claim.rule))
    assert DEFINED == ("model_1", "model_2", "model_3", "model_4")
    assert THROUGH_CODE == ("model_1", "model_2", "model_4")


@pytest.mark.parametrize("number", range(2, 9))
def test_a_claim_is_supported_where_all_of_its_comparisons_hold(rows: StudyResults, number: int) -> None:
    """In both arms; the classic auto-encoder has one."""
    found = finding(rows, number)
    arms = ("tuned",) if number == 7 else ("tuned", "published")
    assert (found.verdict, found.arms) == ("supported", dict.fromkeys(arms, "supported"))
    assert (found.missing, found.command) == ((), "")


CONTRADICTING: Mapping[int, Figures] = {
    2: {("model_2", SQUARED): (30.0, 30.3, 30.3)},
    3: {("model_1", ACCURACY): (0.40, 0.401, 0.402)},
    4: {("model_3", LINEAR): (40.0, 40.1, 40.2)},
    5: {("model_1", SQUARED): (10.0, 10.2, 10.4)},
    6: {("model_3", LINEAR): (7.0, 7.1, 7.3)},
    7: {("classic_autoencoder", SQUARED): (8.0, 8.2, 8.4)},  # with the margin 9.87, 10.05, 10.23
    8: {("model_1", SQUARED): (12.0, 14.0, 16.0)},  # deviation 2 of mean 14: 14 %
}


@pytest.mark.parametrize("number", CONTRADICTING)
def test_a_claim_is_contradicted_where_one_comparison_fails(rows: StudyResults, number: int) -> None:
    """One model on the other side is enough."""
    found = finding(having(rows, CONTRADICTING[number]), number)
    assert found.verdict == "contradicted"
    assert {each.arm for each in found.evidence if each.decides and each.outcome == "fails"} == set(found.arms)
    assert "; fails: " in found.reason


OPEN: Mapping[int, Figures] = {
    2: {("model_2", SQUARED): (20.0, 27.0, 30.0)},
    3: {("model_1", ACCURACY): (0.54, 0.55, 0.56)},
    4: {("model_3", LINEAR): (18.0, 19.0, 20.5)},
    5: {("model_1", SQUARED): (12.1, 12.0, 12.4)},
    6: {("model_3", LINEAR): (8.0, 8.3, 8.1)},
    7: {("classic_autoencoder", SQUARED): (10.4, 10.5, 10.9)},  # with the margin 12.03, 12.12, 12.48
}


@pytest.mark.parametrize("number", OPEN)
def test_a_claim_is_not_decided_where_an_interval_includes_no_difference(rows: StudyResults, number: int) -> None:
    """The interval of each open comparison holds zero."""
    found = finding(having(rows, OPEN[number]), number)
    assert found.verdict == "not decided"
    still = [each for each in found.evidence if each.decides and each.outcome == "open"]
    assert still and all(abs(each.difference) < each.half_width for each in still)


@pytest.mark.parametrize(
    ("absent", "claims", "missing"),
    [
        ({"architecture": "pca"}, (2, 3, 4, 7), "PCA at code size 10 (control)"),
        ({"architecture": "raw_pixels"}, (3,), "k-means accuracy of Raw pixels (control)"),
        ({"architecture": "model_4"}, (2, 3, 4, 5, 6, 7, 8), "Model 4 at code size 10 (tuned)"),
        ({"architecture": "model_3"}, (3, 4, 5, 6, 8), "Model 3 at code size 10 (tuned)"),
        (
            {"architecture": "classic_autoencoder"},
            (7,),
            "squared error of Classic auto-encoder at code size 10 (tuned)",
        ),
        ({"evaluator": "mlp_classifier"}, (4,), "MLP error (%) of Model 1 at code size 10 (tuned)"),
        ({"evaluator": "other_switches"}, (6,), "squared error with another image's switches of Model 3"),
    ],
)
def test_a_claim_is_not_testable_without_its_rows(
    rows: StudyResults, absent: dict[str, str], claims: Sequence[int], missing: str
) -> None:
    """Exactly the claims that need them; what is missing and the command are named."""
    found = findings(without(rows, **absent))
    assert (
        tuple(each.claim.number for each in found if 1 < each.claim.number < 9 and each.verdict != "supported")
        == claims
    )
    for number in claims:
        assert found[number - 1].verdict == "not testable"
        assert any(missing in text for text in found[number - 1].missing)
        assert found[number - 1].command.startswith("python study/launch.py --preset quick --phase search confirm")
    name = absent.get("architecture", "")
    if name.startswith("model"):
        assert found[claims[0] - 1].command.endswith(f"--architectures {name}")


def test_a_failing_comparison_contradicts_though_other_rows_are_missing(rows: StudyResults) -> None:
    """What one model does wrong no further row can mend."""
    found = finding(without(having(rows, CONTRADICTING[2]), architecture="model_1"), 2)
    assert (found.verdict, found.missing[0]) == ("contradicted", "squared error of Model 1 at code size 10 (tuned)")


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


def test_one_of_several_contradicts_only_when_holm_adjusted(rows: StudyResults) -> None:
    """Accuracy 0.035 ± 0.025 below the pixels' fails by itself; another comparison is left, so its p is doubled."""
    found = finding(having(rows, {("model_1", ACCURACY): (0.505, 0.515, 0.525)}), 3)
    test = next(each for each in found.evidence if (each.subject, each.reference) == ("Model 1", "Raw pixels"))
    t = 3.5 * math.sqrt(3)
    assert test.p_value == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert test.p_value < 0.05 < test.p_holm == pytest.approx(2 * test.p_value)
    assert (found.verdict, test.outcome) == ("not decided", "open")


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


def test_one_run_has_no_interval_and_decides_nothing(rows: StudyResults) -> None:
    """Stability asks for three runs, the command for them."""
    alone = dataclasses.replace(rows, trials=rows.trials[rows.trials["number"] <= 1])
    found = findings(alone)
    assert [each.verdict for each in found] == ["not testable"] + 6 * ["not decided"] + 2 * ["not testable"]
    assert "one pair of runs has no interval" in found[1].reason
    assert found[7].missing[0] == "3 runs of Model 1 at code size 10 (tuned)"
    assert "--seeds 3 --architectures model_1 model_2 model_3 model_4" in found[7].command


def test_arms_that_differ_leave_a_claim_open(rows: StudyResults) -> None:
    """Then training decides, not the model."""
    found = finding(having(rows, CONTRADICTING[2], arms=["published"]), 2)
    assert (found.verdict, found.arms) == ("not decided", {"tuned": "supported", "published": "contradicted"})


def test_every_code_size_decides(tmp_path: Path) -> None:
    """Model 2 is worse than PCA at one of two: 2.3 times 26.71 is less than 70."""
    results = load_study(write_synthetic_study(tmp_path / "s", code_sizes=(2, 10), search_trials=1, mishaps={}))
    assert finding(results, 2).verdict == "supported"
    at_2 = results.scores["trial_id"].str.startswith("confirm-model_2-2-") & (
        results.scores["metric"] == "squared_error"
    )
    value = results.scores["value"].mask(at_2, results.scores["value"] + 70)
    found = finding(dataclasses.replace(results, scores=results.scores.assign(value=value)), 2)
    assert found.verdict == "contradicted"
    assert {(each.subject, each.code_size) for each in found.evidence if each.outcome == "fails" and each.decides} == {
        ("Model 2", 2)
    }


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


def test_a_model_without_one_completed_run_leaves_claims_open(rows: StudyResults) -> None:
    """Its rows are not missing: no command would bring another outcome."""
    results = rows
    for number in (1, 2, 3):
        results = with_ended(results, f"confirm-model_1-10-tuned-{number}", "diverged")
    found = finding(results, 2)
    assert (found.arms["tuned"], found.missing) == ("not decided", ())
    assert "(no run of Model 1 completed)" in found.reason
    assert finding(results, 7).verdict == "supported"


BOTH, RELU = (11.0, 11.1, 11.6), (14.0, 14.2, 14.5)
"""Squared errors of model 4's ablations: 1, 1, 0.9 below and 2, 2.1, 2 above."""


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


@pytest.mark.parametrize("left", ["nothing", "control", "search", "classic_autoencoder"])
def test_a_study_that_has_just_begun_gives_verdicts_and_commands(rows: StudyResults, left: str) -> None:
    """Nothing is testable, and nothing breaks."""
    trials = rows.trials
    trials = trials[(trials["arm"] == left) | (trials["phase"] == left) | (trials["architecture"] == left)]
    scores = rows.scores[rows.scores["trial_id"].isin(trials["trial_id"])]
    found = findings(dataclasses.replace(rows, trials=trials, scores=scores))
    assert {each.verdict for each in found} == {"not testable"}
    assert all(each.command and each.missing for each in found[1:])
    assert all(rendering.format_markdown(table) for table in finding_tables(dataclasses.replace(rows, trials=trials)))


def test_the_first_claim_is_a_definition(rows: StudyResults) -> None:
    """It names the models at hand."""
    found = finding(without(rows, architecture="model_5"), 1)
    assert (found.verdict, found.command) == ("not testable", "")
    assert "Model 4, Unpool only" in found.reason


def test_findings_are_two_tables_in_every_format(rows: StudyResults) -> None:
    """One of verdicts, one of the comparisons behind them."""
    verdicts, comparisons = finding_tables(rows)
    assert list(verdicts.frame["verdict"]) == ["not testable", *7 * ["supported"], "not testable"]
    assert any(note.endswith("--phase ablate --factors loss activation") for note in verdicts.footnotes)
    for table in (verdicts, comparisons):
        assert len(list(rendering.format_lines(table))) == len(table.frame)
        for render in (rendering.format_csv, rendering.format_markdown, rendering.format_latex):
            assert render(table)


def test_studies_side_by_side_are_judged_each_by_itself(tmp_path: Path) -> None:
    """The second has no model 4."""
    for name, models in (("a", DEFINED), ("b", THROUGH_CODE[:2])):
        write_synthetic_study(
            tmp_path / name, name=name, architectures=models, code_sizes=(10,), search_trials=1, mishaps={}
        )
    results = load_studies([tmp_path / "a", tmp_path / "b"])
    verdicts = {(each.study, each.claim.number): each.verdict for each in findings(results)}
    assert (verdicts["a", 2], verdicts["b", 2]) == ("supported", "not testable")
    assert [column.name for column in finding_tables(results)[0].sections] == ["study"]
