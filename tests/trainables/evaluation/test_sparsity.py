"""Sparsity, dimension and dead units of a code, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trainables.evaluation.sparsity import count_dead_units, gini_index, hoyer_sparsity, participation_ratio


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 2 - 10 / math.sqrt(30)),  # (2 - l1 / l2) / (2 - 1)
        ([3.0, -4.0], (math.sqrt(2) - 7 / 5) / (math.sqrt(2) - 1)),
        ([0.0, 0.0, -7.0, 0.0], 1.0),
        ([2.0, -2.0, 2.0], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([5.0], 0.0),
        ([[0.0, 1.0], [1.0, 1.0]], 0.5),
    ],
)
def test_hoyer_sparsity_agrees_with_hand_worked_values(values: list[Any], expected: float) -> None:
    """Signs do not matter, rows are averaged, zeros and single values count as 0."""
    assert hoyer_sparsity(values) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.0, 1.0, 3.0, 2.0], 0.25),  # 1 - 2 (1 x 3.5 + 2 x 2.5 + 3 x 1.5 + 4 x 0.5) / (10 x 4)
        ([3.0, -4.0], 1 / 14),  # 1 - 2 (3 x 1.5 + 4 x 0.5) / (7 x 2)
        ([0.0, 0.0, -7.0, 0.0], 0.75),
        ([2.0, -2.0, 2.0], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([5.0], 0.0),
        ([[0.0, 1.0], [1.0, 1.0]], 0.25),
    ],
)
def test_gini_index_agrees_with_hand_worked_values(values: list[Any], expected: float) -> None:
    """Order and signs do not matter, rows are averaged, zeros count as 0."""
    assert gini_index(values) == pytest.approx(expected, abs=1e-12)


def test_sparsity_does_not_depend_on_scale() -> None:
    """Not even where squares would leave the range of numbers."""
    row = np.array([1.0, 2.0, 3.0, 4.0])
    for factor in (1e-200, 1e200):
        assert hoyer_sparsity(factor * row) == pytest.approx(hoyer_sparsity(row))
        assert gini_index(factor * row) == pytest.approx(gini_index(row))


def test_participation_ratio_agrees_with_hand_worked_values() -> None:
    """Variances 4 : 1 give (4 + 1)^2 / (16 + 1), whatever the axes and the mean."""
    cross = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert participation_ratio(cross) == pytest.approx(25 / 17)
    assert participation_ratio(1e-3 * cross @ turn + 5) == pytest.approx(25 / 17)


def test_participation_ratio_counts_equal_directions() -> None:
    """One for a line, three for a cube, none for a point."""
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    assert participation_ratio(cube) == pytest.approx(3)
    assert participation_ratio(np.outer(np.arange(5.0), [1.0, 2.0, -1.0])) == pytest.approx(1)
    assert participation_ratio(np.full((5, 3), 0.3, np.float32)) == 0.0


def test_dead_units_are_judged_by_the_unit_that_varies_most() -> None:
    """Deviations 1, 0.02 and 0.005 of the largest, and one that is constant but for rounding."""
    signs = np.resize([1.0, -1.0], 100)
    codes = np.stack([signs, 0.02 * signs, 0.005 * signs + 3, np.full(100, 0.3)], axis=1).astype(np.float32)
    assert count_dead_units(codes) == 2
    assert count_dead_units(codes * np.float32(1e-6)) == 2
    assert count_dead_units(codes[:, :1]) == 0


def test_units_that_differ_by_rounding_are_all_dead() -> None:
    """A collapsed code is computed in batches, whose results differ in the last digit."""
    codes = np.full((100, 4), 0.7, np.float32)
    codes[::2] = np.nextafter(codes[::2], np.float32(1))
    assert count_dead_units(codes) == 4
    assert participation_ratio(codes) == 0.0
