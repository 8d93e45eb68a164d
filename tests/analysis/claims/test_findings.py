"""The verdicts of `analysis.claims.findings`, on values whose differences can be worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis.claims.claims import DEFINED, THROUGH_CODE
from analysis.claims.evidence import compute_published_share
from analysis.claims.findings import RECIPES, findings, tabulate_findings
from analysis.rendering import text as rendering
from analysis.results import StudyResults, load_studies, load_study
from analysis.tables.table import Absent, Table
from tests.analysis.claims.changes import (
    ACCURACY,
    CONTRADICTING,
    OPEN,
    finding,
    having,
    without,
)
from tests.synthetic import write_synthetic_study


@pytest.mark.parametrize("number", range(2, 9))
def test_a_claim_is_supported_where_all_of_its_comparisons_hold(rows: StudyResults, number: int) -> None:
    """In both arms; the classic auto-encoder has one."""
    found = finding(rows, number)
    arms = ("tuned",) if number == 7 else ("published", "tuned")
    assert (found.verdict, found.arms) == ("supported", dict.fromkeys(arms, "supported"))
    assert (found.missing, found.command) == ((), "")


@pytest.mark.parametrize("number", CONTRADICTING)
def test_a_claim_is_contradicted_where_one_comparison_fails(rows: StudyResults, number: int) -> None:
    """One model on the other side is enough."""
    found = finding(having(rows, CONTRADICTING[number]), number)
    assert found.verdict == "contradicted"
    assert {each.arm for each in found.evidence if each.decides and each.outcome == "fails"} == set(found.arms)
    assert "; fails: " in found.reason
    assert " it is not so that " in found.sentence


@pytest.mark.parametrize("number", OPEN)
def test_a_claim_is_not_decided_where_an_interval_includes_no_difference(rows: StudyResults, number: int) -> None:
    """The interval of each open comparison holds zero."""
    found = finding(having(rows, OPEN[number]), number)
    assert found.verdict == "not decided"
    still = [each for each in found.evidence if each.decides and each.outcome == "open"]
    assert still and all(each.p_value > 0.05 for each in still)
    assert found.sentence.startswith(f"In {RECIPES[found.claim.arm]} at code size 10 these rows do not decide whether ")


@pytest.mark.parametrize(
    ("absent", "claims", "missing"),
    [
        ({"architecture": "pca"}, (2, 3, 4, 7, 8), "PCA at code size 10 (control)"),
        ({"architecture": "raw_pixels"}, (3,), "k-means accuracy (raw code) of Raw pixels (control)"),
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


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ({"architecture": "raw_pixels"}, "Rows for claim 3 are missing. To get them: python study/launch.py "),
        ({"architecture": "pca"}, "Rows for claims 2, 3, 4, 7 and 8 are missing. To get them: python study/launch.py "),
    ],
)
def test_missing_rows_are_listed_under_the_verdicts(rows: StudyResults, absent: dict[str, str], told: str) -> None:
    """One claim or several, with the command that makes the rows of all."""
    verdicts, *_ = tabulate_findings(without(rows, **absent))
    assert isinstance(verdicts, Table)
    assert any(note.startswith(told) for note in verdicts.footnotes)


def test_rows_without_whitened_clusters_are_judged_by_those_of_raw_codes(rows: StudyResults) -> None:
    """As rows of older versions are, and named so; a study of which some runs have no others is one of them."""
    (first, *_) = rows.trials.loc[rows.trials["trial_id"].str.startswith("confirm-model_1-10-tuned"), "trial_id"]
    whitened = rows.scores["evaluator"] == "k_means_whitened"
    continued = dataclasses.replace(rows, scores=rows.scores[~whitened | (rows.scores["trial_id"] != first)])
    for results, measure in (
        (rows, "k-means accuracy"),
        (continued, "k-means accuracy (raw code)"),
        (without(rows, evaluator="k_means_whitened"), "k-means accuracy (raw code)"),
    ):
        assert {each.measure for each in finding(results, 3).evidence} == {measure}


def test_pca_s_images_are_clipped_where_rows_have_them(rows: StudyResults) -> None:
    """Between 12 and 26.71 lies what model 4 does not reach."""
    pca = (rows.scores["trial_id"] == "confirm-pca-10-control-1") & (rows.scores["metric"] == "squared_error")
    clipped = rows.scores[pca].assign(metric="clipped_squared_error", value=12.05)
    found = finding(dataclasses.replace(rows, scores=pd.concat([rows.scores, clipped])), 2)
    assert finding(rows, 2).verdict == "supported"
    assert found.verdict == "contradicted"
    (model_4,) = [each for each in found.evidence if (each.subject, each.arm) == ("Model 4", "tuned")]
    assert model_4.difference == pytest.approx((12.0 + 12.1 + 12.4) / 3 - 12.05)


def test_a_failing_comparison_contradicts_though_other_rows_are_missing(rows: StudyResults) -> None:
    """What one model does wrong no further row can mend."""
    found = finding(without(having(rows, CONTRADICTING[2]), architecture="model_1"), 2)
    assert (found.verdict, found.missing[0]) == (
        "contradicted",
        "squared error of Model 1 at code size 10 (published)",
    )


def test_one_of_several_contradicts_only_when_holm_adjusted(rows: StudyResults) -> None:
    """Accuracy 0.035 ± 0.025 below the pixels' fails by itself; another comparison is left, so its p is doubled."""
    found = finding(having(rows, {("model_1", ACCURACY): (0.505, 0.515, 0.525)}), 3)
    test = next(each for each in found.evidence if (each.subject, each.reference) == ("Model 1", "Raw pixels"))
    t = 3.5 * math.sqrt(3)
    assert test.p_value == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert test.p_value < 0.05 < test.p_holm == pytest.approx(2 * test.p_value)
    assert (found.verdict, test.outcome) == ("not decided", "open")


def test_the_authors_recipe_decides_and_ours_stands_beside(rows: StudyResults) -> None:
    """The paper is about the one; only the classic auto-encoder is ours."""
    for arm, other in (("published", "tuned"), ("tuned", "published")):
        found = finding(having(rows, CONTRADICTING[2], arms=[arm]), 2)
        assert found.arms == {arm: "contradicted", other: "supported"}
        assert found.verdict == found.arms["published"]


def test_code_size_10_decides_and_the_matrix_shows_every_one(tmp_path: Path) -> None:
    """Model 2 is worse than PCA at code size 2: 2.3 times 26.71 is less than 70."""
    results = load_study(write_synthetic_study(tmp_path / "s", code_sizes=(2, 10), search_trials=1, mishaps={}))
    at_2 = results.scores["trial_id"].str.startswith("confirm-model_2-2-") & (
        results.scores["metric"] == "squared_error"
    )
    value = results.scores["value"].mask(at_2, results.scores["value"] + 70)
    changed = dataclasses.replace(results, scores=results.scores.assign(value=value))
    found = finding(changed, 2)
    assert (found.verdict, found.holding) == ("supported", "5 of 6; 5 of 6")
    matrix = tabulate_findings(changed)[1]
    assert isinstance(matrix, Table)
    of_claim = matrix.frame[(matrix.frame["claim"] == 2) & (matrix.frame["arm"] == "published")].set_index("subject")
    assert of_claim.loc["Model 2", "code_2"] == "0 of 1 hold, 1 fail"
    assert of_claim.loc["Model 2", "code_10"] == "1 of 1 hold"
    assert of_claim.loc["Model 5", "role"] == "shown"


def test_without_code_size_10_or_the_authors_recipe_there_is_no_verdict(tmp_path: Path) -> None:
    """What lacks is named, and the command that adds it; claim 7 is about our recipe."""
    write_synthetic_study(tmp_path / "a", code_sizes=(2,), search_trials=1, mishaps={})
    found = finding(load_study(tmp_path / "a"), 2)
    assert (found.verdict, found.missing[0]) == ("not testable", "confirmed runs at code size 10 (published)")
    assert found.command.endswith("--phase search confirm --code-sizes 10")
    write_synthetic_study(tmp_path / "b", code_sizes=(10,), arms=("tuned",), search_trials=1, mishaps={})
    tuned = load_study(tmp_path / "b")
    ours = finding(tuned, 2)
    assert (ours.arms, ours.holding) == ({"published": "not testable", "tuned": "supported"}, "—; 3 of 3")
    assert finding(tuned, 7).verdict != "not testable"


def test_a_study_without_the_papers_models_has_no_findings(tmp_path: Path) -> None:
    """The paper claims nothing of others."""
    write_synthetic_study(tmp_path / "s", architectures=("mine", "model_5"), code_sizes=(10,), search_trials=1)
    results = load_study(tmp_path / "s")
    assert findings(results) == []
    assert all(isinstance(table, Absent) and not table.reason for table in tabulate_findings(results))


@pytest.mark.parametrize("left", ["nothing", "control", "search", "classic_autoencoder"])
def test_a_study_that_has_just_begun_gives_verdicts_and_commands(rows: StudyResults, left: str) -> None:
    """Nothing is testable, and nothing breaks."""
    trials = rows.trials
    trials = trials[(trials["arm"] == left) | (trials["phase"] == left) | (trials["architecture"] == left)]
    scores = rows.scores[rows.scores["trial_id"].isin(trials["trial_id"])]
    found = findings(dataclasses.replace(rows, trials=trials, scores=scores))
    assert {each.verdict for each in found} == {"not testable"}
    assert all(each.command and each.missing for each in found[1:])
    assert all(
        rendering.format_markdown(table)
        for table in tabulate_findings(dataclasses.replace(rows, trials=trials))
        if isinstance(table, Table)
    )


def test_findings_are_three_tables_in_every_format(rows: StudyResults) -> None:
    """One of verdicts, one of models by code size, one of the comparisons behind them."""
    verdicts, matrix, comparisons = (table for table in tabulate_findings(rows) if isinstance(table, Table))
    assert list(verdicts.frame["verdict"]) == ["not testable", *7 * ["supported"], "not testable"]
    assert any(note.endswith("--phase ablate --factors loss activation") for note in verdicts.footnotes)
    for table in (verdicts, matrix, comparisons):
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
    verdicts_table = tabulate_findings(results)[0]
    assert isinstance(verdicts_table, Table)
    assert [column.name for column in verdicts_table.sections] == ["study"]


def test_a_published_arm_of_less_than_the_authors_training_says_nothing_of_the_paper(rows: StudyResults) -> None:
    """12 % of 20,000 steps of 100 images; our recipe stands beside it with the verdict that it had."""
    published = rows.trials["arm"] == "published"
    images = rows.trials["train_images"].mask(published, 60_000)
    trials = rows.trials.assign(train_images=images, epochs_planned=rows.trials["epochs_planned"].mask(published, 4))
    short = dataclasses.replace(rows, trials=trials)
    told = "not testable: 12 % of the authors' training"
    for before, after in zip(findings(rows), findings(short), strict=True):
        if "published" in after.arms:
            assert after.arms["published"] == told
            assert after.arms["tuned"] == before.arms["tuned"]
            assert after.verdict == told
            assert "the authors' recipe has had 12 % of the authors' training. In our recipe: " in after.sentence


@pytest.mark.parametrize(("epochs", "share"), [(33, 1.0), (32, 0.96), (4, 0.12)])
def test_the_authors_training_is_33_epochs_of_mnist(epochs: int, share: float) -> None:
    """20,000 steps of 100 images, rounded down to epochs."""
    values = {"phase": "confirm", "arm": "published", "epochs_planned": epochs, "train_images": 60_000}
    assert compute_published_share(pd.DataFrame([values])) == pytest.approx(share)
    assert compute_published_share(pd.DataFrame([values | {"arm": "tuned"}])) == 1.0


def test_a_control_by_another_recipe_is_no_comparison_of_architectures_alone(rows: StudyResults) -> None:
    """The verdict on the classic auto-encoder says so; others, which do not compare it, do not."""
    control = rows.trials["architecture"] == "classic_autoencoder"
    recipe = rows.trials["recipe"].astype("str").mask(~control & (rows.trials["arm"] == "tuned"), "muon")
    unequal = dataclasses.replace(rows, trials=rows.trials.assign(recipe=recipe))
    told = " Classic auto-encoder was trained by recipe modern, the ranked models by muon."
    assert finding(unequal, 7).sentence == finding(rows, 7).sentence + told
    assert finding(unequal, 5).sentence == finding(rows, 5).sentence
    assert finding(rows, 7).holding.startswith("—; "), "the authors' recipe has no such comparison"
