"""Layers computed faster than in their stock form: the same functions, to rounding, in values and gradients.

The models are small, with few maps and large kernels, which stock layers serve badly: on a processor core they run at 5
to 15 % of the speed of a matrix product. Each function names the stock form that it equals; tests compare both
directions. Maps are ``(batch, maps, side, side)`` float32 throughout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FFT_KERNEL = 12
"""Kernel side from which a deconvolution on a processor goes by FFT: a third of the stock time for 17x17 on 12x12."""


def convolve(maps: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """Return ``conv2d(maps, weight, bias, stride)``; weight is ``(out_maps, in_maps, kernel, kernel)``."""
    return F.conv2d(_laid_out(maps), _laid_out(weight), bias, stride=stride)


def deconvolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``conv_transpose2d(maps, weight, bias)``; weight is ``(in_maps, out_maps, kernel, kernel)``."""
    kernel = weight.shape[-1]
    if maps.shape[-1] == 1:
        product = maps.flatten(1) @ weight.flatten(1)
        return product.view(-1, *weight.shape[1:]) + bias.view(-1, 1, 1)
    if kernel == 1 and weight.shape[1] == 1:
        return (maps * weight[:, 0]).sum(1, keepdim=True) + bias.view(-1, 1, 1)
    if kernel >= FFT_KERNEL and maps.device.type == "cpu":
        side = maps.shape[-1] + kernel - 1
        spectrum = torch.einsum(
            "nihw,iohw->nohw", torch.fft.rfft2(maps, s=(side, side)), torch.fft.rfft2(weight, s=(side, side))
        )
        result: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
        return result + bias.view(-1, 1, 1)
    return F.conv_transpose2d(_laid_out(maps), _laid_out(weight), bias)


def unpool_corner_and_deconvolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``conv_transpose2d(unpool_corner(maps), weight, bias)`` without the products with zeros.

    A value in the top-left cell of its window followed by a deconvolution of stride 1 is a deconvolution of stride 2
    with output padding 1, so the last row and column of the output see the bias alone.
    """
    return F.conv_transpose2d(_laid_out(maps), _laid_out(weight), bias, stride=2, output_padding=1)


def unpool_corner(values: Tensor) -> Tensor:
    """Return each value in the top-left cell of its 2x2 window, zeros elsewhere."""
    zeros = torch.zeros_like(values)
    return (
        torch.stack((torch.stack((values, zeros), -1), torch.stack((zeros, zeros), -1)), -3).flatten(-2).flatten(-3, -2)
    )


def unpool_tile(values: Tensor) -> Tensor:
    """Return each value in all four cells of its 2x2 window."""
    return values.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _laid_out(maps: Tensor) -> Tensor:
    """Return ``maps`` with the maps of a pixel side by side in memory, which a processor's vectors need.

    Pooling and convolutions then take a half to an eighth of the time; the values do not change. (``contiguous`` would
    leave a single map as it is, and the stock layer would take its slow way.)
    """
    return maps.to(memory_format=torch.channels_last) if maps.device.type == "cpu" else maps
