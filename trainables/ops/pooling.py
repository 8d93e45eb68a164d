"""Pooling and unpooling of 2x2 windows where stock layers have no form of their own, on any device.

A *phase* says where in its window a maximum was: 0 to 3 are top-left, top-right, bottom-left, bottom-right. Maps are
``(batch, maps, side, side)``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_with_phases(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``max_pool2d(maps, 2)`` and the phases of the maxima, uint8; of equal values the first is the maximum."""
    pooled, position = F.max_pool2d(maps, 2, return_indices=True)
    side = maps.shape[-1]
    return pooled, (position // side % 2 * 2 + position % side % 2).to(torch.uint8)


def unpool(values: Tensor, phase: Tensor) -> Tensor:
    """Return each value in the cell ``phase`` of its 2x2 window, zeros elsewhere: ``max_unpool2d``."""
    cells = [values * torch.eq(phase, number).to(values.dtype) for number in range(4)]
    top, bottom = torch.stack(cells[:2], -1), torch.stack(cells[2:], -1)
    return torch.stack((top, bottom), -3).flatten(-2).flatten(-3, -2)


def unpool_tile(values: Tensor) -> Tensor:
    """Return each value in all four cells of its 2x2 window."""
    return values.repeat_interleave(2, -1).repeat_interleave(2, -2)
