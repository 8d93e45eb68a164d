"""Means, intervals and paired tests against SciPy and against values worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import ArrayLike

from analysis.stats.intervals import (
    Floats,
    compare_pairs,
    effect_size,
    holm,
    p_value,
    paired_difference,
    summarise,
)

SAMPLES = 200_000


def mean_interval(values: ArrayLike) -> tuple[Floats, Floats]:
    """Return mean and half width of ``values (..., n)``: those of their differences from 0."""
    difference = paired_difference(values, np.zeros_like(values))
    return difference.mean, difference.half_width


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.93), ("logistic", 0.93), ("uniform", 0.92)])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_interval_covers_the_mean_as_often_as_stated(n: int, draw: str, least: float) -> None:
    """Runs are not quite normal: longer tails do no harm; of evenly spread values three cover a little less."""
    generator = np.random.default_rng([n, len(draw)])
    samples = getattr(generator, draw)(size=(SAMPLES, n))
    mean, half_width = mean_interval(samples)
    coverage = float((np.abs(mean - {"uniform": 0.5}.get(draw, 0.0)) <= half_width).mean())
    print(f"coverage of the 95 % interval, {draw}, n = {n}: {coverage:.3f}")
    assert least <= coverage <= 0.98


def test_interval_of_one_two_three_is_the_one_worked_out_by_hand() -> None:
    """Mean 2, deviation 1, t of 2 degrees of freedom 4.3027, over the root of 3."""
    mean, half_width = mean_interval([1.0, 2.0, 3.0])
    assert mean == pytest.approx(2.0)
    assert half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


def test_intervals_agree_with_scipy_on_every_row() -> None:
    """Leading axes are independent samples."""
    samples = np.random.default_rng(0).normal(size=(4, 2, 6))
    mean, half_width = mean_interval(samples)
    low, high = scipy.stats.t.interval(0.95, 5, samples.mean(-1), scipy.stats.sem(samples, axis=-1))
    np.testing.assert_allclose(mean - half_width, low)
    np.testing.assert_allclose(mean + half_width, high)


def test_one_run_has_no_interval() -> None:
    """No width is better than a made-up one."""
    mean, half_width = mean_interval([[5.0], [7.0]])
    assert mean.tolist() == [5.0, 7.0]
    assert np.isnan(half_width).all()
    frame = pd.DataFrame({"model": ["a"], "value": [5.0]})
    assert summarise(frame, ["model"])[["half_width", "low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("values", [[1.0, np.nan], [1.0, np.inf], []])
def test_values_that_are_not_finite_or_not_there_are_refused(values: list[float]) -> None:
    """A diverged run is counted elsewhere, never averaged."""
    with pytest.raises(ValueError, match=r"not finite|at least one"):
        paired_difference(values, values)


def test_summarise_refuses_values_that_are_not_finite() -> None:
    """The frame's form of the same rule."""
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        summarise(pd.DataFrame({"model": ["a", "a"], "value": [1.0, np.nan]}), ["model"])


def test_paired_difference_agrees_with_scipy() -> None:
    """Difference, interval and p value of the paired t test."""
    generator = np.random.default_rng(1)
    first, second = generator.normal(1, size=7), generator.normal(size=7)
    found = paired_difference(first, second)
    expected = scipy.stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx((first - second).mean())
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.mean - found.half_width == pytest.approx(interval.low)
    assert found.mean + found.half_width == pytest.approx(interval.high)


def test_pairing_takes_out_what_the_seeds_share() -> None:
    """Values that differ by seed a hundred times more than by model are told apart."""
    seeds = np.array([0.0, 100.0, -50.0])
    worse = seeds + np.array([1.0, 1.1, 0.9])
    assert paired_difference(worse, seeds).p_value < 0.01
    assert scipy.stats.ttest_ind(worse, seeds).pvalue > 0.9


def test_pairs_of_different_shapes_are_refused() -> None:
    """Broadcasting would pair runs of different seeds."""
    with pytest.raises(ValueError, match="equal shapes"):
        paired_difference([1.0, 2.0], [1.0])


def test_effect_size_is_d_z_with_hedges_factor() -> None:
    """Differences 1, 2, 3: d_z is 2, and the factor at 2 degrees of freedom is 1 / 1.77245 (the root of pi)."""
    assert paired_difference([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).effect_size == pytest.approx(2 / np.sqrt(np.pi))


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


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [1.1], [-0.1], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(p_values: list[float]) -> None:
    """A missing test is not a test of the family."""
    with pytest.raises(ValueError, match="p values are numbers"):
        holm(p_values)


def test_summarise_agrees_with_mean_interval_in_every_group() -> None:
    """Groups of different sizes, one of a single run."""
    frame = pd.DataFrame({"model": list("aaabbc"), "value": [1.0, 2.0, 4.0, 5.0, 9.0, 3.0]})
    groups = summarise(frame, ["model"]).set_index("model")
    assert groups["n"].to_dict() == {"a": 3, "b": 2, "c": 1}
    for model, values in frame.groupby("model")["value"]:
        mean, half_width = mean_interval(values)
        assert groups.loc[model, "mean"] == pytest.approx(mean)
        np.testing.assert_allclose(groups.loc[model, "half_width"], half_width)
    assert groups.loc["b", ["minimum", "maximum"]].tolist() == [5.0, 9.0]


def test_paired_agrees_with_paired_difference_over_common_seeds() -> None:
    """A seed that one side lacks takes no part, nor does a run without a seed."""
    first = pd.DataFrame(
        {"model": ["x"] * 5, "seed": pd.array([1, 2, 3, 9, None], "Int64"), "value": [1.0, 2, 4, 8, 7]}
    )
    second = pd.DataFrame({"seed": pd.array([3, 2, 1, None], "Int64"), "value": [0.5, 0.25, 0.0, 3.0]})
    row = compare_pairs(first, second, pair=["seed"], by=["model"]).iloc[0]
    expected = paired_difference([1.0, 2.0, 4.0], [0.0, 0.25, 0.5])
    assert row["n"] == 3
    assert (row["difference"], row["p_value"]) == pytest.approx((expected.mean, expected.p_value))
    assert (row["half_width"], row["effect_size"]) == pytest.approx((expected.half_width, expected.effect_size))


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
