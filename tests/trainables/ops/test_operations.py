"""The places that each place of a result is made of, worked out by hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from trainables.ops.operations import Operation, Taps, list_taps


def pair(taps: Taps, place: int) -> list[tuple[int, int]]:
    """Return the taps of one place."""
    start, q, t = taps
    return list(
        zip(q[start[place] : start[place + 1]].tolist(), t[start[place] : start[place + 1]].tolist(), strict=True)
    )


def test_a_convolution_takes_a_window() -> None:
    """Of 4x4 maps by a kernel of 2x2 with stride 2: the last window begins at place 10."""
    taps = list_taps("conv", 2, 4, 2, 2, windows=False)
    assert pair(taps, 3) == [(10, 0), (11, 1), (14, 2), (15, 3)]


def test_a_deconvolution_takes_what_reaches_its_place() -> None:
    """Of 2x2 maps to 3x3: the middle has all four, each by another weight; a corner has one."""
    taps = list_taps("deconv", 3, 2, 2, 1, windows=False)
    assert sorted(pair(taps, 4)) == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert pair(taps, 0) == [(0, 0)]


def test_unpooling_to_a_corner_leaves_the_last_row_and_column_without_taps() -> None:
    """They see the bias alone."""
    start, _, _ = list_taps("deconv", 6, 2, 3, 2, windows=False)
    counts = np.diff(start).reshape(6, 6)
    assert not counts[5].any()
    assert not counts[:, 5].any()
    assert (counts[:5, :5] > 0).all()


def test_the_cells_of_a_window_follow_each_other() -> None:
    """Of 5x5 results, whose last row belongs to no window, by a kernel of 1x1."""
    start, q, _ = list_taps("conv", 5, 5, 1, 1, windows=True)
    assert start.tolist() == list(range(17))
    assert q[:8].tolist() == [0, 1, 5, 6, 2, 3, 7, 8]


def test_taps_are_the_sum_that_stock_layers_compute() -> None:
    """A deconvolution of stride 2, added up tap by tap."""
    maps, weight = torch.randn(3, 3), torch.randn(4, 4)
    expected = F.conv_transpose2d(maps[None, None], weight[None, None], stride=2, output_padding=1)[0, 0]
    taps = list_taps("deconv", 9, 3, 4, 2, windows=False)
    found = [sum(float(maps.flatten()[q] * weight.flatten()[t]) for q, t in pair(taps, place)) for place in range(81)]
    torch.testing.assert_close(torch.tensor(found).view(9, 9), expected)


def test_products_are_layers_that_use_a_weight_once() -> None:
    """Those between single values and maps as large as the kernel."""
    assert Operation("conv", 36, 4, 250, 1, 4, 1, "sigmoid").is_product
    assert Operation("deconv", 250, 1, 36, 4, 4, 1, "sigmoid").is_product
    assert not Operation("conv", 36, 5, 250, 1, 4, 2, "sigmoid").is_product
    assert not Operation("deconv", 4, 12, 4, 28, 17, 1, "sigmoid").is_product
