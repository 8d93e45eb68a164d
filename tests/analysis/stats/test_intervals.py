"""Means, intervals and paired tests against SciPy and against values worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import ArrayLike

from analysis.stats.intervals import (
    compare_pairs,
    effect_size,
    half_width,
    holm,
    p_value,
    summarise,
)

SAMPLES = 200_000


def compare(first: ArrayLike, second: ArrayLike) -> pd.Series:
    """Return the comparison of runs of equal place."""
    one, other = (
        pd.DataFrame({"value": np.asarray(each)}).assign(model="x", seed=range(np.size(each)))
        for each in (first, second)
    )
    return compare_pairs(one, other, pair=["seed"], by=["model"]).iloc[0]


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.93), ("logistic", 0.93), ("uniform", 0.92)])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_interval_covers_the_mean_as_often_as_stated(n: int, draw: str, least: float) -> None:
    """Runs are not quite normal: longer tails do no harm; of evenly spread values three cover a little less."""
    generator = np.random.default_rng([n, len(draw)])
    samples = getattr(generator, draw)(size=(SAMPLES, n))
    errors = np.abs(samples.mean(axis=-1) - {"uniform": 0.5}.get(draw, 0.0))
    coverage = float((errors <= half_width(samples.std(axis=-1, ddof=1), n)).mean())
    print(f"coverage of the 95 % interval, {draw}, n = {n}: {coverage:.3f}")
    assert least <= coverage <= 0.98


def test_interval_of_one_two_three_is_the_one_worked_out_by_hand() -> None:
    """Mean 2, deviation 1, t of 2 degrees of freedom 4.3027, over the root of 3."""
    row = summarise(pd.DataFrame({"model": "a", "value": [1.0, 2.0, 3.0]}), ["model"]).iloc[0]
    assert row["mean"] == pytest.approx(2.0)
    assert row["half_width"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


def test_one_run_has_no_interval() -> None:
    """No width is better than a made-up one."""
    frame = pd.DataFrame({"model": ["a"], "value": [5.0]})
    assert summarise(frame, ["model"])[["half_width", "low", "high"]].isna().all(axis=None)


def test_summarise_refuses_values_that_are_not_finite() -> None:
    """The frame's form of the same rule."""
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        summarise(pd.DataFrame({"model": ["a", "a"], "value": [1.0, np.nan]}), ["model"])


def test_comparisons_of_pairs_agree_with_scipy() -> None:
    """Difference, interval and p value of the paired t test."""
    generator = np.random.default_rng(1)
    first, second = generator.normal(1, size=7), generator.normal(size=7)
    found = compare(first, second)
    expected = scipy.stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found["difference"] == pytest.approx((first - second).mean())
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))


def test_pairing_takes_out_what_the_seeds_share() -> None:
    """Values that differ by seed a hundred times more than by model are told apart."""
    seeds = np.array([0.0, 100.0, -50.0])
    worse = seeds + np.array([1.0, 1.1, 0.9])
    assert compare(worse, seeds)["p_value"] < 0.01
    assert scipy.stats.ttest_ind(worse, seeds).pvalue > 0.9


def test_effect_size_is_d_z_with_hedges_factor() -> None:
    """Differences 1, 2, 3: d_z is 2, and the factor at 2 degrees of freedom is 1 / 1.77245 (the root of pi)."""
    assert compare([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])["effect_size"] == pytest.approx(2 / np.sqrt(np.pi))


def test_effect_size_is_absent_where_it_is_undefined() -> None:
    """Two pairs have no unbiased effect size, and differences that do not vary have none at all."""
    assert np.isnan(effect_size(1.0, 1.0, 2))
    assert np.isnan(effect_size(1.0, 0.0, 5))


def test_differences_that_do_not_vary_have_p_of_0_or_1() -> None:
    """The limits of the t test; one pair has no p value."""
    assert p_value([1.0, 0.0], [0.0, 0.0], [3, 3]).tolist() == [0.0, 1.0]
    assert np.isnan(p_value(0.0, np.nan, 1))


def test_holm_gives_the_values_worked_out_by_hand() -> None:
    """.01 x 3, .03 x 2, and .04 x 1 raised to its predecessor's .06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [1.1], [-0.1], 0.1])
def test_holm_refuses_what_is_no_p_value(p_values: list[float] | float) -> None:
    """A missing test is not a test of the family."""
    with pytest.raises(ValueError, match="p values are numbers"):
        holm(p_values)


def test_every_group_has_the_interval_of_scipy() -> None:
    """Groups of different sizes, one of a single run."""
    frame = pd.DataFrame({"model": list("aaabbc"), "value": [1.0, 2.0, 4.0, 5.0, 9.0, 3.0]})
    groups = summarise(frame, ["model"]).set_index("model")
    assert groups["n"].to_dict() == {"a": 3, "b": 2, "c": 1}
    for model in "ab":
        values = frame.loc[frame["model"] == model, "value"]
        expected = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
        assert list(groups.loc[model, ["low", "high"]]) == pytest.approx(expected)
    assert list(groups.loc["b", ["minimum", "maximum"]]) == [5.0, 9.0]


def test_only_common_seeds_are_compared() -> None:
    """A seed that one side lacks takes no part, nor does a run without a seed."""
    first = pd.DataFrame(
        {"model": ["x"] * 5, "seed": pd.array([1, 2, 3, 9, None], "Int64"), "value": [1.0, 2, 4, 8, 7]}
    )
    second = pd.DataFrame({"seed": pd.array([3, 2, 1, None], "Int64"), "value": [0.5, 0.25, 0.0, 3.0]})
    row = compare_pairs(first, second, pair=["seed"], by=["model"]).iloc[0]
    expected = scipy.stats.ttest_rel([1.0, 2.0, 4.0], [0.0, 0.25, 0.5])
    assert (row["n"], row["difference"]) == (3, pytest.approx((1.0 + 1.75 + 3.5) / 3))
    assert (row["p_value"], row["high"]) == pytest.approx((expected.pvalue, expected.confidence_interval().high))


def test_a_pair_that_is_ambiguous_is_refused() -> None:
    """Two values of one seed on the second side would be paired twice."""
    frame = pd.DataFrame({"seed": [1, 1], "model": ["x", "x"], "value": [0.0, 1.0]})
    with pytest.raises(pd.errors.MergeError):
        compare_pairs(frame, frame, pair=["seed"], by=["model"])


def test_thousands_of_groups_take_no_loop() -> None:
    """Twenty thousand of them, in well under three seconds."""
    groups, n = 20_000, 5
    frame = pd.DataFrame({"cell": np.repeat(np.arange(groups), n), "seed": np.tile(np.arange(n), groups)})
    frame["value"] = np.random.default_rng(3).normal(size=len(frame))
    started = time.perf_counter()
    assert len(summarise(frame, ["cell"])) == groups
    assert len(compare_pairs(frame, frame.assign(value=0.0), pair=["cell", "seed"], by=["cell"])) == groups
    assert time.perf_counter() - started < 3
