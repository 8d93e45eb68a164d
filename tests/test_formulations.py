"""Fast layers equal the stock ones, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import formulations

BATCH = 3


def corner_by_cells(maps: Tensor) -> Tensor:
    """Zeros but for the top-left cell of every 2x2 window, written cell by cell."""
    result = maps.new_zeros(*maps.shape[:2], 2 * maps.shape[2], 2 * maps.shape[3])
    result[..., ::2, ::2] = maps
    return result


def assert_same(ours: Callable[..., Tensor], stock: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Compare values and the gradients of every input that has one, at double the stock layer's rounding."""
    leaves = [value for value in inputs if value.requires_grad]
    results = [function(*inputs) for function in (ours, stock)]
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)
    direction = torch.randn(results[0].shape, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad(result, leaves, direction) for result in results]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def drawn(*shape: int, gradient: bool = True) -> Tensor:
    """Return Gaussian values that depend on the shape alone."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).requires_grad_(gradient)


@pytest.mark.parametrize(
    ("maps", "weight"),
    [
        pytest.param((250, 1, 1), (250, 4, 12, 12), id="deconv2 of a 1x1 map"),
        pytest.param((250, 1, 1), (250, 36, 4, 4), id="unpool decoder's deconv2"),
        pytest.param((4, 12, 12), (4, 4, 17, 17), id="deconv1 by FFT"),
        pytest.param((4, 28, 28), (4, 1, 1, 1), id="1x1 to one map"),
        pytest.param((36, 8, 8), (36, 26, 5, 5), id="stock"),
    ],
)
def test_deconvolution_equals_stock(maps: tuple[int, ...], weight: tuple[int, ...]) -> None:
    """Whichever way a deconvolution goes, it is conv_transpose2d."""
    assert_same(formulations.deconvolve, F.conv_transpose2d, drawn(BATCH, *maps), drawn(*weight), drawn(weight[1]))


@pytest.mark.parametrize("weight", [(26, 1, 5, 5), (8, 1, 9, 9), (36, 26, 5, 5)])
def test_convolution_equals_stock(weight: tuple[int, ...]) -> None:
    """Another layout in memory changes no value."""
    assert_same(formulations.convolve, F.conv2d, drawn(BATCH, weight[1], 28, 28), drawn(*weight), drawn(weight[0]))


@pytest.mark.parametrize("weight", [(36, 26, 5, 5), (26, 1, 5, 5)])
def test_fused_corner_unpooling_equals_unpooling_then_deconvolution(weight: tuple[int, ...]) -> None:
    """Top-left unpooling and a deconvolution of stride 1 are one of stride 2."""
    assert_same(
        formulations.unpool_corner_and_deconvolve,
        lambda maps, kernel, bias: F.conv_transpose2d(corner_by_cells(maps), kernel, bias),
        drawn(BATCH, weight[0], 6, 6),
        drawn(*weight),
        drawn(weight[1]),
    )


def test_corner_unpooling_puts_values_top_left_and_reads_the_gradient_there() -> None:
    """Zeros elsewhere; what happens elsewhere does not reach the value."""
    values = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    unpooled = formulations.unpool_corner(values)
    expected = [[1.0, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert unpooled[0, 0].tolist() == expected
    incoming = torch.arange(16.0).view(1, 1, 4, 4)
    (gradient,) = torch.autograd.grad(unpooled, values, incoming)
    assert gradient[0, 0].tolist() == [[0.0, 2.0], [8.0, 10.0]]


def test_tile_unpooling_repeats_values_in_their_windows() -> None:
    """Average pooling gives them back."""
    values = drawn(BATCH, 5, 4, 4)
    tiled = formulations.unpool_tile(values)
    assert tiled[0, 0, :2, :2].unique().tolist() == [values[0, 0, 0, 0].item()]
    torch.testing.assert_close(F.avg_pool2d(tiled, 2), values)
