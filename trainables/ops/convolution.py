"""Layers computed faster than in their stock form: the same functions, to rounding, in values and gradients.

The models are small, with few maps and large kernels, which stock layers serve badly: on a processor core they run at 5
to 15 % of the speed of a matrix product. Each function names the stock form that it equals; tests compare both
directions. Maps are ``(batch, maps, side, side)`` float32 throughout; on a processor they lie in memory with the batch
last, as matrix products over windows and Fourier coefficients want it. Which form a layer takes depends on its sizes
alone, so that the same trial takes the same one everywhere: docs/training.md has the times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.ops import fourier, im2col

FOURIER_KERNEL = 9
"""Kernel side from which a processor transforms: 9x9 of 8 to 4 maps takes three quarters of the stock time."""

FOURIER_PRODUCTS = 400
"""In maps times out maps from which it does with a smaller kernel: 5x5 of 16 to 16 is slower so, 20 to 20 is faster."""


def convolve(maps: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """Return ``conv2d(maps, weight, bias, stride)``; weight is ``(out_maps, in_maps, kernel, kernel)``."""
    if maps.device.type != "cpu":
        return F.conv2d(maps, weight, bias, stride=stride)
    if stride == 1 and _use_fourier(weight):
        block = fourier.correlate(maps.permute(2, 3, 1, 0), weight.permute(2, 3, 0, 1))
        return block.permute(3, 2, 0, 1) + bias.view(-1, 1, 1)
    return F.conv2d(_to_channels_last(maps), _to_channels_last(weight), bias, stride=stride)


def convolve_and_pool(maps: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``max_pool2d(conv2d(maps, weight, bias), 2)`` and the phase of each maximum in its window.

    Phases are 0.0 to 3.0: 2 x row + column. Of equal values the first is the maximum, as in the stock layer.
    """
    if maps.device.type != "cpu":
        pooled, position = F.max_pool2d(F.conv2d(maps, weight, bias), 2, return_indices=True)
        side = maps.shape[-1] - weight.shape[-1] + 1
        return pooled, (position // side % 2 * 2 + position % side % 2).to(maps.dtype)
    side = maps.shape[-1] - weight.shape[-1] + 1
    if maps.shape[1] == 1 and side % 2 == 0:
        # A window of one pixel more than the kernel holds all four values that a maximum is taken of.
        columns = im2col.extract_windows(maps[:, 0].permute(1, 2, 0).contiguous(), weight.shape[-1] + 1, stride=2)
        rows = im2col.place_at_phases(weight[:, 0]).flatten(2)
        windows = torch.matmul(rows, columns).view(4, len(weight), side // 2, side // 2, -1)
    else:
        even = side // 2 * 2
        convolved = convolve(maps, weight, torch.zeros_like(bias)).permute(1, 2, 3, 0)
        windows = torch.stack([convolved[:, y:even:2, x:even:2] for y, x in im2col.PHASES])
    pooled, phase = im2col.MaximumOfPhases.apply(windows)  # type: ignore[no-untyped-call]
    return pooled.permute(3, 0, 1, 2) + bias.view(-1, 1, 1), phase.permute(3, 0, 1, 2)


def deconvolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``conv_transpose2d(maps, weight, bias)``; weight is ``(in_maps, out_maps, kernel, kernel)``."""
    kernel = weight.shape[-1]
    if maps.shape[-1] == 1:
        product = (weight.flatten(1).t() @ maps.flatten(1).t()).view(*weight.shape[1:], -1)
        return product.permute(3, 0, 1, 2) + bias.view(-1, 1, 1)
    if kernel == 1 and weight.shape[1] == 1:
        return (maps * weight[:, 0]).sum(1, keepdim=True) + bias.view(-1, 1, 1)
    if maps.device.type != "cpu":
        return F.conv_transpose2d(maps, weight, bias)
    if _use_fourier(weight):
        side = maps.shape[-1] + kernel - 1
        block = fourier.convolve(maps.permute(2, 3, 1, 0), weight.permute(2, 3, 1, 0), side)
        return block.permute(3, 2, 0, 1) + bias.view(-1, 1, 1)
    return F.conv_transpose2d(_to_channels_last(maps), _to_channels_last(weight), bias)


def unpool_and_deconvolve(maps: Tensor, weight: Tensor, bias: Tensor, phase: Tensor | None = None) -> Tensor:
    """Return ``conv_transpose2d(unpool(maps, phase), weight, bias)`` without most of the products with zeros.

    A value in the top-left cell of its window (``phase`` None) followed by a deconvolution of stride 1 is a
    deconvolution of stride 2 with output padding 1, so the last row and column of the output see the bias alone.
    """
    out_maps, kernel = weight.shape[1], weight.shape[-1]
    if maps.device.type != "cpu":
        if phase is None:
            return F.conv_transpose2d(maps, weight, bias, stride=2, output_padding=1)
        return deconvolve(unpool(maps, phase), weight, bias)
    if phase is not None and out_maps > 1:
        return deconvolve(unpool(maps, phase), weight, bias)
    values = maps.permute(1, 2, 3, 0)
    if phase is None:
        rows = weight.permute(2, 3, 1, 0)
    else:
        # Each value stands in one of four rows, those of the phases that it has not are 0.
        values = _separate_phases(values, phase.permute(1, 2, 3, 0))
        rows = im2col.place_at_phases(weight).permute(3, 4, 2, 0, 1)
        kernel += 1
    places, batch = maps.shape[-1], len(maps)
    product = rows.reshape(kernel * kernel * out_maps, -1) @ values.reshape(-1, places * places * batch)
    side = 2 * places + weight.shape[-1] - 1
    windows = product.view(kernel, kernel, out_maps, places, places, batch)
    added: Tensor = im2col.AddWindows.apply(windows, side)  # type: ignore[no-untyped-call]
    return added.permute(3, 0, 1, 2) + bias.view(-1, 1, 1)


def unpool(values: Tensor, phase: Tensor) -> Tensor:
    """Return each value in the cell ``phase`` of its 2x2 window, zeros elsewhere: ``max_unpool2d``."""
    top_left, top_right, bottom_left, bottom_right = _separate_phases(values, phase).unbind(0)
    top, bottom = torch.stack((top_left, top_right), -1), torch.stack((bottom_left, bottom_right), -1)
    return torch.stack((top, bottom), -3).flatten(-2).flatten(-3, -2)


def unpool_tile(values: Tensor) -> Tensor:
    """Return each value in all four cells of its 2x2 window."""
    return values.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _separate_phases(values: Tensor, phase: Tensor) -> Tensor:
    """Return ``(4, *values.shape)``: each value at its phase, zeros at the others."""
    return torch.stack([values * torch.eq(phase, number).to(values.dtype) for number in range(len(im2col.PHASES))])


def _use_fourier(weight: Tensor) -> bool:
    first, second, kernel = weight.shape[:3]
    return min(first, second) > 1 and (kernel >= FOURIER_KERNEL or first * second >= FOURIER_PRODUCTS)


def _to_channels_last(maps: Tensor) -> Tensor:
    """Return ``maps`` with the maps of a pixel side by side in memory, which the stock layers' vectors need.

    They then take a half to an eighth of the time; the values do not change. (``contiguous`` would leave a single map
    as it is, and the stock layer would take its slow way.)
    """
    return maps.to(memory_format=torch.channels_last)
