"""Windows: taken out of images and added into them, and maxima with their phases."""

from __future__ import annotations

import torch

from trainables.ops import im2col


def test_windows_are_columns_of_neighbouring_pixels() -> None:
    """A 2x2 kernel on 3x3 pixels has four places, row by row."""
    image = torch.arange(9.0).view(3, 3, 1)
    columns = im2col.extract_windows(image, 2, stride=1)
    assert columns.t().tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]


def test_added_windows_overlap_and_the_gradient_is_read_where_they_lie() -> None:
    """Two windows of three pixels, two apart, share the third of five pixels; there the gradient is read twice."""
    windows = torch.ones(3, 3, 1, 2, 2, 1, requires_grad=True)
    added = im2col.AddWindows.apply(windows, 6)
    row = torch.tensor([1.0, 1, 2, 1, 1, 0])
    assert added[0, ..., 0].tolist() == (row[:, None] * row).tolist()
    incoming = torch.arange(36.0).view(1, 6, 6, 1)
    (gradient,) = torch.autograd.grad(added, windows, incoming)
    assert gradient[:, :, 0, 1, 0, 0].tolist() == incoming[0, 2:5, :3, 0].tolist()


def test_a_kernel_stands_at_each_phase_of_a_larger_window() -> None:
    """Top-left, top-right, bottom-left, bottom-right."""
    placed = im2col.place_at_phases(torch.ones(1, 1))
    assert placed.flatten(1).tolist() == torch.eye(4).tolist()


def test_a_maximum_comes_with_its_phase_and_sends_the_gradient_there() -> None:
    """Of equal values the first counts."""
    values = torch.tensor([[1.0, 0, 0, 0, 2], [0, 3, 0, 0, 2], [0, 0, 2, 0, 2], [0, 0, 0, 9, 2]], requires_grad=True)
    maxima, phases = im2col.MaximumOfPhases.apply(values)
    assert maxima.tolist() == [1, 3, 2, 9, 2]
    assert phases.tolist() == [0, 1, 2, 3, 0]
    (gradient,) = torch.autograd.grad(maxima.sum(), values)
    assert gradient.argmax(0).tolist() == [0, 1, 2, 3, 0]
    assert gradient.sum() == 5
