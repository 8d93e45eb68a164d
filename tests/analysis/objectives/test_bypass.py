"""The finding on model 3's bypass comes out each way, by its rule, on rows whose differences can be worked out."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import scipy.stats

from analysis.objectives.bypass import RULE, STATEMENT, judge_bypass
from analysis.rendering.text import format_markdown
from analysis.results import StudyResults, load_studies, load_study
from analysis.tables.table import Absent, Table
from study.storage.schema import table_of
from tests.analysis.objectives.studies import name_trial, write_study

ROOT = Path(__file__).resolve().parents[3]
SQUARED, MEAN_CODE, LINEAR = "reconstruction/squared_error", "mean_code/squared_error", "linear_classifier/error"
INCREASE = {"more": (12.0, 12.2, 12.4), "alike": (4.0, 4.15, 4.35), "less": (2.0, 2.1, 2.3), "plain": (4.0, 4.1, 4.4)}
ERROR = {"less": (8.0, 8.3, 8.1), "alike": (16.1, 16.2, 16.5), "more": (24.0, 24.1, 24.5), "plain": (16.0, 16.2, 16.4)}
"""Increase of squared error by the mean code and linear error of three seeds, beside those of plain model 3."""

Ways = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Model 3 by plain reconstruction and what-where at code size 10."""
    folder = tmp_path_factory.mktemp("bypass") / "study"
    return load_study(write_study(folder, {"model_3": ("what_where",)}, code_sizes=(10,), codes=False))


def having(
    study: StudyResults, ways: Ways, increases: Mapping[str, Sequence[float]] = INCREASE, prefix: str = ""
) -> StudyResults:
    """Return ``study`` where the weak, middle and strong strength have these increases and linear errors."""
    runs = {("reconstruction", "none"): ("plain", "plain")}
    runs |= dict(zip([("what_where", place) for place in ("weak", "middle", "strong")], ways, strict=True))
    values = {
        (prefix + name_trial("model_3", *run, number), key): value
        for run, (increase, error) in runs.items()
        for number in (1, 2, 3)
        for key, value in {
            SQUARED: 1.0,
            MEAN_CODE: 1.0 + increases[increase][number - 1],
            LINEAR: ERROR[error][number - 1],
        }.items()
    }
    scores = study.scores
    measured = scores["evaluator"].astype("str") + "/" + scores["metric"].astype("str")
    keys = zip(scores["trial_id"], measured, strict=True)
    new = [values.get(key, value) for key, value in zip(keys, scores["value"], strict=True)]
    return dataclasses.replace(study, scores=scores.assign(value=new))


def judged(results: StudyResults) -> Table:
    """Return the finding, which must be there."""
    table = judge_bypass(results)
    assert isinstance(table, Table), table
    return table


@pytest.mark.parametrize(
    ("ways", "verdicts", "conclusion"),
    [
        ([("more", "less")] * 3, ["supported"] * 3, f"Supported: {STATEMENT}, at 3 of 3 strengths."),
        (
            [("less", "less"), ("alike", "less"), ("more", "less")],
            ["contradicted", "not decided", "supported"],
            f"Supported: {STATEMENT}, at 1 of 3 strengths.",
        ),
        (
            [("less", "less"), ("more", "more"), ("alike", "more")],
            ["contradicted"] * 3,
            f"Contradicted: it is not so that {STATEMENT}, at any of the three strengths.",
        ),
        (
            [("less", "more"), ("more", "more"), ("more", "alike")],
            ["contradicted", "contradicted", "not decided"],
            f"Not decided whether {STATEMENT}: 2 of 3 strengths contradict it, none supports it.",
        ),
        (
            [("alike", "alike")] * 3,
            ["not decided"] * 3,
            f"Not decided whether {STATEMENT}: 0 of 3 strengths contradict it, none supports it.",
        ),
    ],
)
def test_the_finding_comes_out_as_its_rule_says(
    study: StudyResults, ways: Ways, verdicts: list[str], conclusion: str
) -> None:
    """Strength by strength: both have to lie on the statement's side, and one on the other one is enough against it."""
    table = judged(having(study, ways))
    assert table.frame["verdict"].tolist() == verdicts
    assert table.footnotes == (conclusion,)
    assert conclusion in format_markdown(table)


def test_differences_are_by_welch_and_p_values_adjusted_over_the_strengths(study: StudyResults) -> None:
    """As scipy gives them: the smallest of three p values is multiplied by 3."""
    table = judged(having(study, [("more", "less"), ("alike", "alike"), ("less", "alike")]))
    rows = table.frame.set_index("place")
    p_values = {
        place: scipy.stats.ttest_ind(INCREASE[way], INCREASE["plain"], equal_var=False)
        for place, way in (("weak", "more"), ("middle", "alike"), ("strong", "less"))
    }
    first = p_values["weak"]
    assert rows.loc["weak", "mean_code_increase_difference"] == pytest.approx(12.2 - 12.5 / 3)
    assert rows.loc["weak", "mean_code_increase_difference_p_value"] == pytest.approx(first.pvalue)
    assert rows.loc["weak", "mean_code_increase_difference_p_holm"] == pytest.approx(3 * first.pvalue)
    assert rows.loc["strong", "mean_code_increase_difference_p_holm"] == pytest.approx(2 * p_values["strong"].pvalue)
    interval = first.confidence_interval(0.95)
    half_width = rows.loc["weak", "mean_code_increase_difference_half_width"]
    assert half_width == pytest.approx((interval.high - interval.low) / 2)
    assert rows["mean_code_increase_difference_mark"].tolist() == ["significant", "", "significant"]


def test_a_difference_that_holds_before_the_adjustment_alone_decides_nothing(study: StudyResults) -> None:
    """By itself its p is 0.04, beside two other strengths 0.13."""
    close = INCREASE | {"more": (4.5, 4.9, 5.1)}
    table = judged(having(study, [("more", "less"), ("alike", "less"), ("alike", "less")], close))
    weak = table.frame.set_index("place").loc["weak"]
    assert weak["mean_code_increase_difference_p_value"] < 0.05 < weak["mean_code_increase_difference_p_holm"]
    assert weak["verdict"] == "not decided"


def test_two_seeds_decide_nothing(study: StudyResults) -> None:
    """Differences are shown, without interval and test."""
    two = dataclasses.replace(study, trials=study.trials[study.trials["number"] != 3])
    table = judged(having(two, [("more", "less")] * 3))
    assert table.frame["verdict"].tolist() == ["not decided"] * 3
    assert table.frame["mean_code_increase_difference_half_width"].isna().all()
    assert (table.frame["linear_classifier_error_difference"] < -7).all()


def test_the_rule_stands_in_the_finding_and_in_the_protocol(results: StudyResults) -> None:
    """Word by word, so that neither can change alone."""
    assert RULE in judged(results).caption
    assert RULE in " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())


def test_differences_that_no_seed_changes_decide_nothing(study: StudyResults) -> None:
    """A deviation of 0 would make them certain."""
    table = judged(having(study, [("more", "less")] * 3, {"more": (12.0,) * 3, "plain": (4.0,) * 3}))
    assert table.frame["verdict"].tolist() == ["not decided"] * 3
    assert table.frame["mean_code_increase_difference_p_holm"].isna().all()


@pytest.mark.parametrize(
    "lost",
    [
        {"objective": "reconstruction"},
        {"objective": "what_where"},
        {"evaluator": "linear_classifier"},
        {"evaluator": "mean_code"},
    ],
)
def test_there_is_no_finding_without_both_of_its_sides(study: StudyResults, lost: dict[str, str]) -> None:
    """Plain model 3, what-where, or either of the two scores; then the report says nothing of it."""
    ((column, value),) = lost.items()
    name = "trials" if column in study.trials else "scores"
    frame = getattr(study, name)
    found = judge_bypass(dataclasses.replace(study, **{name: frame[frame[column] != value]}))
    assert isinstance(found, Absent) and found.reason == ""


def test_another_code_size_is_not_judged(study: StudyResults) -> None:
    """The rule is about 10 units."""
    sizes = {name: study.trials[name] * 0 + 2 for name in ("code_size", "base_code_size")}
    assert isinstance(judge_bypass(dataclasses.replace(study, trials=study.trials.assign(**sizes))), Absent)


def test_each_study_has_its_own_finding(study: StudyResults, tmp_path: Path) -> None:
    """Named in its footnote, its p values adjusted by themselves."""
    shutil.copytree(study.path, tmp_path / "other")
    manifest = (tmp_path / "other" / "study.json").read_text(encoding="utf-8")
    (tmp_path / "other" / "study.json").write_text(manifest.replace('"name": "synthetic"', '"name": "other"'))
    trials = pq.read_table(tmp_path / "other" / "trials").to_pylist()
    renamed = table_of("trials", [row | {"study": "other"} for row in trials])
    pq.write_table(renamed, tmp_path / "other" / "trials" / "compacted.parquet")
    both = load_studies([study.path, tmp_path / "other"])
    changed = having(having(both, [("more", "less")] * 3, prefix="synthetic:"), [("less", "more")] * 3, prefix="other:")
    table = judged(changed)
    first, second = table.footnotes
    assert first.startswith("synthetic: Supported: ") and second.startswith("other: Contradicted: ")
    alone = judged(having(study, [("more", "less")] * 3)).frame
    name = "mean_code_increase_difference_p_holm"
    assert table.frame.loc[table.frame["study"] == "synthetic", name].tolist() == pytest.approx(alone[name].tolist())
