"""The set of models that may be the best holds the best one as often as it says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from family_wise_error import VARIANCES, WAYS, draw_runs, measure_error, reject_by_holm, tabulate

from analysis.stats.ranking import compare_all, compare_with, mark_models


def ranking_rows(values: Mapping[str, Sequence[float]], direction: str = "lower", code_size: int = 10) -> pd.DataFrame:
    """Return rows of one group as `compare_all` takes them, seeds from 1."""
    rows = [
        {
            "evaluator": "e",
            "metric": "m",
            "direction": direction,
            "study": "s",
            "code_size": code_size,
            "arm": "tuned",
            "architecture": name,
            "seed": seed,
            "value": value,
        }
        for name, runs in values.items()
        for seed, value in enumerate(runs, start=1)
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def marks_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the mark of every model."""
    return dict(mark_models(compare_all(rows)).set_index("architecture")["mark"])


THREE = {"a": [1.0, 2.0, 3.0], "b": [1.1, 1.8, 3.2], "far": [31.0, 32.1, 32.9]}


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_who_is_not_worse_than_any_other_may_be_the_best(direction: str) -> None:
    """Two models within their noise and one far off; the sense of the metric turns with its sign."""
    sign = 1.0 if direction == "lower" else -1.0
    rows = ranking_rows(THREE, direction)
    assert marks_of(rows.assign(value=sign * rows["value"])) == {"a": "tie", "b": "tie", "far": ""}


def test_the_best_is_best_where_all_others_are_worse_than_some_model() -> None:
    """Alone in the set of those that may be it."""
    assert marks_of(ranking_rows({**THREE, "a": [-30.0, -31.0, -32.0]})) == {"a": "best", "b": "", "far": ""}


def test_a_study_that_looks_is_judged_at_its_own_level() -> None:
    """Worse at 5 % is not at a millionth, and the interval is that of the level; another arm keeps its own."""
    rows = ranking_rows(THREE)
    found = compare_all(rows, {("s", "tuned"): 1e-6})
    assert compare_all(rows, {("s", "published"): 1e-6})["worse"].sum() == 2
    assert not found["worse"].any()
    (row,) = found[(found["architecture"] == "far") & (found["other"] == "a")].to_dict("records")
    interval = scipy.stats.ttest_ind(THREE["far"], THREE["a"], equal_var=False).confidence_interval(1 - 1e-6)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


def test_intervals_of_a_column_hold_together() -> None:
    """Each of two is Welch's at 97.5 %, Bonferroni's share; a model of two seeds has none, and takes no share."""
    rows = pd.concat([ranking_rows({**THREE, "few": [1.0, 2.0]}), ranking_rows({"b": [1.0, 2.0, 4.0]}, code_size=30)])
    found = {row["architecture"]: row for row in compare_with(rows, "a").to_dict("records")}
    assert sorted(found) == ["b", "far", "few"]  # at code size 30 there is no baseline
    for name in ("b", "far"):
        interval = scipy.stats.ttest_ind(THREE[name], THREE["a"], equal_var=False).confidence_interval(0.975)
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((interval.low, interval.high))
    assert found["few"]["difference"] == pytest.approx(-0.5)
    assert np.isnan(found["few"]["half_width"])
    looked = {row["architecture"]: row for row in compare_with(rows, "a", {("s", "tuned"): 0.01}).to_dict("records")}
    interval = scipy.stats.ttest_ind(THREE["b"], THREE["a"], equal_var=False).confidence_interval(0.995)
    assert looked["b"]["high"] == pytest.approx(interval.high)


def test_every_pair_is_tested_as_scipy_does_and_adjusted_over_the_column_alone() -> None:
    """Three pairs a code size, of models of unequal variance: another size leaves the p values as they are."""
    rows = ranking_rows(THREE)
    tests = compare_all(pd.concat([rows, ranking_rows({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.5]}, code_size=30)]))
    tests = tests[tests["code_size"] == 10]
    expected = {
        pair: scipy.stats.ttest_ind(THREE[pair[0]], THREE[pair[1]], equal_var=False)
        for pair in (("b", "a"), ("far", "a"), ("far", "b"))
    }
    found = {(row["architecture"], row["other"]): row for row in tests.to_dict("records")}
    assert set(found) == set(expected)
    p_values = sorted(test.pvalue for test in expected.values())
    adjusted = dict(zip(p_values, np.minimum(1, np.maximum.accumulate(np.multiply(p_values, [3, 2, 1]))), strict=True))
    for pair, test in expected.items():
        row = found[pair]
        assert row["difference"] == pytest.approx(np.mean(THREE[pair[0]]) - np.mean(THREE[pair[1]]))
        assert row["p_value"] == pytest.approx(test.pvalue)
        assert row["p_holm"] == pytest.approx(adjusted[test.pvalue])
        assert row["high"] == pytest.approx(test.confidence_interval(0.95).high)


def test_under_three_seeds_nobody_is_compared_or_marked() -> None:
    """However far apart they lie."""
    tests = compare_all(ranking_rows({"a": [1.0, 1.01], "b": [9.0, 9.01]}))
    assert tests["p_holm"].isna().all()
    assert set(mark_models(tests)["mark"]) == {""}


@pytest.mark.parametrize("rounding", [0.0, 1e-15])
def test_models_whose_scores_no_seed_changes_are_not_compared_with_each_other(rounding: float) -> None:
    """Errors of 8.3 and 8.4 % of few images, three times over, are no proof; with one that varies they are compared."""
    alike = {"a": [8.3, 8.3, 8.3 + rounding], "b": [8.4, 8.4 + rounding, 8.4]}
    tests = compare_all(ranking_rows({**alike, "c": [7.9, 8.9, 8.5]})).set_index(["architecture", "other"])
    columns = ["half_width", "low", "p_value", "p_holm"]
    assert tests.loc[("b", "a"), columns].isna().all()
    assert tests.drop(index=("b", "a"))[columns].notna().all(axis=None)
    assert not tests["worse"].any()
    assert marks_of(ranking_rows(alike)) == {"a": "", "b": ""}
    intervals = compare_with(ranking_rows({**alike, "c": [7.9, 8.9, 8.5]}), "a").set_index("architecture")
    assert intervals["half_width"].isna().to_dict() == {"b": True, "c": False}
    alone = compare_with(ranking_rows({"a": alike["a"], "c": [7.9, 8.9, 8.5]}), "a")["half_width"].item()
    assert intervals.loc["c", "half_width"] == pytest.approx(alone), "who is not compared takes no share of the level"


def test_beside_a_model_that_cannot_be_compared_nobody_is_best_alone() -> None:
    """It may be the best itself."""
    values = {"a": [1.0, 1.1, 1.2], "b": [9.0, 9.1, 9.2], "few": [0.0, 0.0]}
    assert marks_of(ranking_rows(values)) == {"a": "tie", "b": "", "few": ""}


@pytest.mark.parametrize(("seeds", "variances"), [*itertools.product((3, 5), ("equal", "1 : 4"))])
def test_chance_alone_is_called_a_difference_at_most_as_often_as_stated(seeds: int, variances: str) -> None:
    """A tenth of the simulations of docs/protocol.md."""
    for setting in VARIANCES[variances]:
        error, upper = measure_error(reject_by_holm(draw_runs(2000, seeds, setting)))
        assert upper < 0.055
        assert error > 0.01


def test_what_simulations_count_is_what_the_report_tests() -> None:
    """The pairs that Holm tells apart are those of the ranking, of the same runs."""
    runs = draw_runs(3, 3, VARIANCES["equal"][0], gap=12)
    for study, rejected in zip(runs, reject_by_holm(runs), strict=True):
        tests = compare_all(ranking_rows({str(model): list(values) for model, values in enumerate(study)}))
        assert tests["worse"].sum() == rejected.sum()
        assert rejected.any()


def test_other_ways_call_chance_a_difference_more_often() -> None:
    """Games-Howell at few seeds, the pooled variance where variances differ, the choice of the best mean."""
    equal, unequal = draw_runs(4000, 3, VARIANCES["equal"][0]), draw_runs(4000, 8, VARIANCES["1 : 4"][1])
    for way, runs in (("Games-Howell", equal), ("Tukey-Kramer", unequal), ("against the best mean, paired", equal)):
        assert measure_error(WAYS[way](runs))[0] > 0.055, way


def test_the_table_has_a_row_a_setting() -> None:
    """Seeds 3, 5, 8 by variances, and power that grows with the difference."""
    lines = tabulate(100).splitlines()
    assert len(lines) == 2 + 6
    powers = [[float(cell) for cell in line.split("|")[-4:-1]] for line in lines[2:]]
    assert all(row == sorted(row) for row in powers)
