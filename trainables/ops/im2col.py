"""Convolutions as matrix products over windows, with the batch last in memory: ``(maps, side, side, batch)``.

Copying and adding windows then moves runs of a whole batch, and the products are large. Four pixels that are pooled, or
unpooled, together see a window one pixel larger than the kernel; one product serves their four phases: top-left,
top-right, bottom-left, bottom-right, numbered 0 to 3.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of each of the four pixels that are pooled together."""


def place_at_phases(weight: Tensor) -> Tensor:
    """Return ``(..., kernel, kernel)`` moved to each phase of a window: ``(4, ..., kernel + 1, kernel + 1)``."""
    return torch.stack([F.pad(weight, (x, 1 - x, y, 1 - y)) for y, x in PHASES])


def extract_windows(image: Tensor, kernel: int, stride: int) -> Tensor:
    """Return every window of ``(side, side, batch)``, as ``(kernel * kernel, places * places * batch)``."""
    places = (image.shape[0] - kernel) // stride + 1
    down, right, one = image.stride()
    shape = (kernel, kernel, places, places, image.shape[-1])
    return image.as_strided(shape, (down, right, stride * down, stride * right, one)).reshape(kernel * kernel, -1)


class AddWindows(torch.autograd.Function):
    """Adds overlapping windows ``(kernel, kernel, maps, places, places, batch)``, two pixels apart, into maps.

    The result is ``(maps, side, side, batch)`` with side 2 (places - 1) + kernel; what no window covers is 0.
    """

    @staticmethod
    def forward(ctx: Any, windows: Tensor, side: int) -> Tensor:
        """Add the windows."""
        kernel, _, maps, places, _, batch = windows.shape
        ctx.shape = windows.shape
        result = windows.new_zeros(maps, side, side, batch)
        for y in range(kernel):
            for x in range(kernel):
                result[:, y : y + 2 * places : 2, x : x + 2 * places : 2] += windows[y, x]
        return result

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, None]:
        """Read each window where it was added."""
        gradient = incoming[0].contiguous()
        maps, down, right, one = gradient.stride()
        strides = (down, right, maps, 2 * down, 2 * right, one)
        return gradient.as_strided(ctx.shape, strides).contiguous(), None


class MaximumOfPhases(torch.autograd.Function):
    """Takes the maximum over the first axis, of four, and its phase; of equal ones the first, as max pooling does.

    What is true is 1.0 and what is false 0.0: a product of floats takes a fifth of the time of one with booleans.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maxima and their phases, float32."""
        right_above, right_below, low = values.new_empty(3, *values.shape[1:])
        torch.gt(values[1], values[0], out=right_above)
        torch.gt(values[3], values[2], out=right_below)
        above, below = torch.maximum(values[0], values[1]), torch.maximum(values[2], values[3])
        torch.gt(below, above, out=low)
        phase = torch.lerp(right_above, right_below, low).add_(low, alpha=2)
        ctx.save_for_backward(right_above, right_below, low)
        ctx.mark_non_differentiable(phase)
        return torch.maximum(above, below, out=above), phase

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> Tensor:
        """Send each gradient to its maximum."""
        gradient = incoming[0]
        right_above, right_below, low = ctx.saved_tensors
        result = gradient.new_empty(4, *gradient.shape)
        below = gradient * low
        above = gradient - below
        torch.mul(above, right_above, out=result[1])
        torch.sub(above, result[1], out=result[0])
        torch.mul(below, right_below, out=result[3])
        torch.sub(below, result[3], out=result[2])
        return result
