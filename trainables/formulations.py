"""Layers computed faster than the stock ones: the same functions, to rounding, in values and gradients.

The models are small, with few maps and large kernels, which stock convolutions serve badly: on one processor core they
run at 5 to 15 % of the speed of a matrix product. Each function here names the stock form that it equals; tests compare
both directions. Maps are ``(batch, maps, side, side)`` float32 throughout.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FFT_KERNEL = 12
"""Kernel side from which a deconvolution on a processor goes by FFT: 17x17 on 12x12 maps takes 16 ms instead of 70."""


class _ImageConvolution(torch.autograd.Function):
    """A convolution of images, whose own gradient nobody needs; the weight's is one matrix product over patches.

    The stock layer's weight gradient for one input map takes three times as long on a processor.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(images, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.weight_shape = inputs[1].shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (images,) = ctx.saved_tensors
        patches = F.unfold(images, ctx.weight_shape[-1])
        product = torch.matmul(gradient.flatten(2), patches.transpose(1, 2))
        return None, product.sum(0).view(ctx.weight_shape)


def convolve(maps: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """Return ``conv2d(maps, weight, bias, stride)``; weight is ``(out_maps, in_maps, kernel, kernel)``."""
    if stride == 1 and weight.shape[1] == 1 and not maps.requires_grad and maps.device.type == "cpu":
        product: Tensor = _ImageConvolution.apply(maps, weight)  # type: ignore[no-untyped-call]
        return product + bias.view(-1, 1, 1)
    return F.conv2d(maps, weight, bias, stride=stride)


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
    return F.conv_transpose2d(maps, weight, bias)


def unpool_corner_and_deconvolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``conv_transpose2d(unpool(maps, "corner"), weight, bias)`` without the products with zeros.

    A value in the top-left cell of its window followed by a deconvolution of stride 1 is a deconvolution of stride 2
    with output padding 1, so the last row and column of the output see the bias alone.
    """
    in_maps, out_maps, kernel, _ = weight.shape
    if out_maps == 1 and maps.device.type == "cpu":
        # One output map: the taps of all positions by one matrix product, then added where they overlap.
        side = 2 * maps.shape[-1] + kernel - 1
        taps = torch.matmul(weight.view(in_maps, -1).t(), maps.flatten(2))
        return F.fold(taps, (side, side), kernel, stride=2) + bias.view(-1, 1, 1)
    return F.conv_transpose2d(maps, weight, bias, stride=2, output_padding=1)


class _MaxPool(torch.autograd.Function):
    """2x2 maxima by comparing four slices, 12 times faster than the stock layer on a processor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> tuple[Tensor, Tensor]:
        top_left, top_right = maps[..., 0::2, 0::2], maps[..., 0::2, 1::2]
        low_left, low_right = maps[..., 1::2, 0::2], maps[..., 1::2, 1::2]
        # Strict comparisons keep the first of equal values, as the stock layer does.
        top, top_is_right = torch.maximum(top_left, top_right), top_right > top_left
        low, low_is_right = torch.maximum(low_left, low_right), low_right > low_left
        is_low = low > top
        position = torch.where(is_low, low_is_right.to(torch.uint8) + 2, top_is_right.to(torch.uint8))
        return torch.maximum(top, low), position

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:
        (position,) = ctx.saved_tensors
        return unpool_switches(gradient, position)


def max_pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maxima of 2x2 windows and their positions.

    Args:
        maps: of even side; the stock layer's trailing odd row never occurs here.

    Returns:
        ``max_pool2d(maps, 2)`` and, of the same shape, uint8 positions in the window: 0 and 1 in the top row, 2 and 3
        below. These are the switches.
    """
    values, position = _MaxPool.apply(maps)  # type: ignore[no-untyped-call]
    return values, position


def average_pool(maps: Tensor) -> Tensor:
    """Return ``avg_pool2d(maps, 2)``."""
    return 0.25 * (maps[..., 0::2, 0::2] + maps[..., 0::2, 1::2] + maps[..., 1::2, 0::2] + maps[..., 1::2, 1::2])


def unpool_switches(values: Tensor, position: Tensor) -> Tensor:
    """Return ``max_unpool2d``: each value at its ``position`` in a 2x2 window, zeros elsewhere."""
    cells = [values * (position == cell) for cell in range(4)]
    return _interleave(*cells)


def unpool_corner(values: Tensor) -> Tensor:
    """Return each value in the top-left cell of its 2x2 window, zeros elsewhere."""
    zeros = torch.zeros_like(values)
    return _interleave(values, zeros, zeros, zeros)


def unpool_tile(values: Tensor) -> Tensor:
    """Return each value in all four cells of its 2x2 window."""
    return _interleave(values, values, values, values)


def _interleave(top_left: Tensor, top_right: Tensor, low_left: Tensor, low_right: Tensor) -> Tensor:
    top = torch.stack((top_left, top_right), dim=-1)
    low = torch.stack((low_left, low_right), dim=-1)
    return torch.stack((top, low), dim=-3).flatten(-2).flatten(-3, -2)
