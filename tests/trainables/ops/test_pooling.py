"""Pooling and unpooling equal PyTorch's own, in values and in gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainables.ops.pooling import pool_with_phases, unpool, unpool_tile


def test_phases_say_where_max_pool2d_found_its_maxima() -> None:
    """Of maps with a last row and column that belong to no window."""
    maps = torch.randn(3, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    pooled, phase = pool_with_phases(maps)
    torch.testing.assert_close(pooled, F.max_pool2d(maps, 2))
    windows = maps[..., :8, :8].unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    torch.testing.assert_close(windows.gather(-1, phase.long().unsqueeze(-1)).squeeze(-1), pooled)
    assert phase.unique().tolist() == [0, 1, 2, 3]


def test_of_equal_values_the_first_is_the_maximum() -> None:
    """A flat map has its maxima top-left."""
    assert pool_with_phases(torch.ones(1, 2, 6, 6))[1].unique().tolist() == [0]


def test_unpooling_with_phases_is_max_unpool2d() -> None:
    """Values and gradients."""
    maps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    _, position = F.max_pool2d(maps, 2, return_indices=True)
    _, phase = pool_with_phases(maps)
    values = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    ours, stock = unpool(values, phase), F.max_unpool2d(values, position, [2, 2])
    torch.testing.assert_close(ours, stock)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3))
    gradients = [torch.autograd.grad(result, values, direction, retain_graph=True)[0] for result in (ours, stock)]
    torch.testing.assert_close(*gradients)


def test_tile_unpooling_repeats_values_in_their_windows() -> None:
    """Average pooling gives them back."""
    values = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(4))
    tiled = unpool_tile(values)
    assert tiled[0, 0, :2, :2].unique().tolist() == [values[0, 0, 0, 0].item()]
    torch.testing.assert_close(F.avg_pool2d(tiled, 2), values)
