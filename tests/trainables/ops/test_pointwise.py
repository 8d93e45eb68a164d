"""Pooling and unpooling of windows on arrays small enough to see."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.ops.engine import load_kernels

pytestmark = pytest.mark.skipif(load_kernels().instruction_set == "plain", reason="a machine without the engine")

NO_PHASES = np.zeros(0, np.uint8)


def test_values_are_spread_over_their_windows() -> None:
    """Of maps of 3x3, whose last row and column belong to no window and stay as they are."""
    values, out = np.array([8, 4], np.float32), np.full(3 * 3 * 2, 7, np.float32)
    load_kernels().pointwise.spread(values, NO_PHASES, out, 1, 3, 2, np.float32(0.25))
    assert out.reshape(3, 3, 2)[..., 0].tolist() == [[2, 2, 7], [2, 2, 7], [7, 7, 7]]
    assert out.reshape(3, 3, 2)[..., 1].tolist() == [[1, 1, 7], [1, 1, 7], [7, 7, 7]]


def test_values_go_to_the_cell_of_their_phase() -> None:
    """Zeros go to the others."""
    values, phases, out = np.array([8, 4], np.float32), np.array([1, 2], np.uint8), np.full(8, 7, np.float32)
    load_kernels().pointwise.spread(values, phases, out, 1, 2, 2, np.float32(0))
    assert out.reshape(2, 2, 2).tolist() == [[[0, 0], [8, 0]], [[0, 4], [0, 0]]]


def test_an_average_is_that_of_its_window() -> None:
    """Of maps of 3x3."""
    values, out = np.arange(9, dtype=np.float32), np.zeros(1, np.float32)
    load_kernels().pointwise.average(values, NO_PHASES, np.zeros(4, np.float32), out, 1, 3, 1)
    assert out.tolist() == [(0 + 1 + 3 + 4) / 4]


def test_sums_are_over_images() -> None:
    """A row for each map."""
    out = np.zeros(2, np.float32)
    load_kernels().pointwise.sum_images(np.arange(6, dtype=np.float32), out, 3)
    assert out.tolist() == [3, 12]
