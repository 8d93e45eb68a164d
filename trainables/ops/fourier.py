"""Convolutions by the discrete Fourier transform, written as matrix products.

A convolution of maps is, at every frequency, one small complex matrix product over maps; the transforms of sides this
small (12 to 28) are products with constant tables of cosines and sines, which run near the speed of the machine where
an FFT of thousands of small images does not. Coefficients are pairs (real part, negated imaginary part), of half the
frequencies: ``frequencies(side) = side * (side // 2 + 1)`` rows. Tensors hold the batch last: ``(side, side, maps,
batch)``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

Coefficients = tuple[Tensor, Tensor]


def convolve(maps: Tensor, weight: Tensor, side: int) -> Tensor:
    """Return the circular convolution of period ``side``, ``(side, side, out_maps, batch)``.

    Args:
        maps: ``(y, x, in_maps, batch)``, no larger than the period.
        weight: ``(y, x, out_maps, in_maps)``.
        side: the period; the full convolution where it is at least both sides together less one.
    """
    (maps_re, maps_im), (weight_re, weight_im) = _transform(maps, side), _transform(weight, side)
    re = torch.baddbmm(torch.bmm(weight_re, maps_re), weight_im, maps_im, alpha=-1)
    im = torch.baddbmm(torch.bmm(weight_re, maps_im), weight_im, maps_re)
    return _transform_back((re, im), side, side)


def correlate(maps: Tensor, weight: Tensor) -> Tensor:
    """Return what a convolution layer computes, without padding: ``(side - kernel + 1, same, out_maps, batch)``.

    Args:
        maps: ``(side, side, in_maps, batch)``.
        weight: ``(kernel, kernel, out_maps, in_maps)``.
    """
    side = maps.shape[0]
    (maps_re, maps_im), (weight_re, weight_im) = _transform(maps, side), _transform(weight, side)
    # The weight's coefficients conjugated. Wrapped-around values fall behind the valid ones and are not computed.
    re = torch.baddbmm(torch.bmm(weight_re, maps_re), weight_im, maps_im)
    im = torch.baddbmm(torch.bmm(weight_re, maps_im), weight_im, maps_re, alpha=-1)
    return _transform_back((re, im), side, side - weight.shape[0] + 1)


def _transform(block: Tensor, side: int) -> Coefficients:
    """Return the coefficients of ``(y, x, rows, columns)``, zero-padded to ``side``: (frequencies, rows, columns)."""
    height, width, rows, columns = block.shape
    half = side // 2 + 1
    cos_y, sin_y = _make_tables(side, height)
    cos_x, sin_x = _make_tables(side, width)
    block = block.reshape(height, width, rows * columns)
    re = torch.matmul(cos_x[:half], block).view(height, -1)
    im = torch.matmul(sin_x[:half], block).view(height, -1)
    return (
        torch.addmm(cos_y @ re, sin_y, im, alpha=-1).view(-1, rows, columns),
        torch.addmm(cos_y @ im, sin_y, re).view(-1, rows, columns),
    )


def _transform_back(coefficients: Coefficients, side: int, kept: int) -> Tensor:
    """Return the first ``kept`` rows and columns of the real block with these coefficients."""
    re, im = (part.view(side, -1) for part in coefficients)
    rows, columns = coefficients[0].shape[1:]
    cos, sin = (table.t() for table in _make_tables(side, kept))
    weighted_cos, weighted_sin = _make_inverse_tables(side, kept)
    half = side // 2 + 1
    block_re = torch.addmm(cos @ re, sin, im).view(kept, half, -1)
    block_im = torch.addmm(cos @ im, sin, re, alpha=-1).view(kept, half, -1)
    block = torch.matmul(weighted_cos, block_re) + torch.matmul(weighted_sin, block_im)
    return block.view(kept, kept, rows, columns)


@lru_cache
@torch.inference_mode(False)  # They are kept, and gradients may flow through them later.
def _make_tables(side: int, length: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of 2 pi k y / side, each ``(side, length)``."""
    turns = torch.arange(side)[:, None] * torch.arange(length) % side
    angles = turns.double() * (2 * math.pi / side)
    return angles.cos().float(), angles.sin().float()


@lru_cache
@torch.inference_mode(False)
def _make_inverse_tables(side: int, kept: int) -> tuple[Tensor, Tensor]:
    """Return tables ``(kept, half)`` of the last inverse step: mirrored frequencies counted, scaled by the area."""
    half = torch.arange(side // 2 + 1)
    counted = torch.where((half == 0) | (2 * half == side), 1.0, 2.0) / side**2
    return tuple((table[: len(half)].t() * counted).contiguous() for table in _make_tables(side, kept))  # type: ignore[return-value]
