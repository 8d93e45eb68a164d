"""Fast layers equal the stock ones, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.ops import convolution

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
        pytest.param((4, 12, 12), (4, 5, 17, 17), id="deconv1 by Fourier"),
        pytest.param((36, 8, 8), (36, 26, 5, 5), id="many maps by Fourier"),
        pytest.param((4, 28, 28), (4, 1, 1, 1), id="1x1 to one map"),
        pytest.param((3, 8, 8), (3, 5, 5, 5), id="stock"),
    ],
)
def test_deconvolution_equals_stock(maps: tuple[int, ...], weight: tuple[int, ...]) -> None:
    """Whichever way a deconvolution goes, it is conv_transpose2d."""
    assert_same(convolution.deconvolve, F.conv_transpose2d, drawn(BATCH, *maps), drawn(*weight), drawn(weight[1]))


@pytest.mark.parametrize(
    ("side", "weight"),
    [
        pytest.param(28, (8, 1, 9, 9), id="another layout in memory"),
        pytest.param(12, (36, 26, 5, 5), id="even side by Fourier"),
        pytest.param(15, (3, 2, 10, 10), id="odd side by Fourier"),
    ],
)
def test_convolution_equals_stock(side: int, weight: tuple[int, ...]) -> None:
    """Whichever way a convolution goes, it is conv2d."""
    assert_same(convolution.convolve, F.conv2d, drawn(BATCH, weight[1], side, side), drawn(*weight), drawn(weight[0]))


@pytest.mark.parametrize(
    ("side", "weight"),
    [
        pytest.param(28, (26, 1, 5, 5), id="an image by im2col"),
        pytest.param(12, (36, 26, 5, 5), id="many maps by Fourier"),
        pytest.param(12, (4, 3, 5, 5), id="few maps"),
        pytest.param(13, (4, 1, 5, 5), id="a last row and column without a window"),
    ],
)
def test_maxima_and_their_phases_equal_stock(side: int, weight: tuple[int, ...]) -> None:
    """Convolution and maxima at once are max_pool2d of conv2d, and a phase says where in its window a maximum was."""
    inputs = drawn(BATCH, weight[1], side, side), drawn(*weight), drawn(weight[0])
    assert_same(
        lambda *given: convolution.convolve_and_pool(*given)[0],
        lambda *given: F.max_pool2d(F.conv2d(*given), 2),
        *inputs,
    )
    convolved = side - weight[-1] + 1
    _, position = F.max_pool2d(F.conv2d(*inputs), 2, return_indices=True)
    _, phase = convolution.convolve_and_pool(*inputs)
    expected = position // convolved % 2 * 2 + position % convolved % 2
    assert (phase == expected).double().mean() > 0.999  # rounding may decide between near-equal values


def test_of_equal_values_the_first_is_the_maximum() -> None:
    """A flat image has its maxima top-left, and the gradient goes there, as in max_pool2d."""
    image = torch.zeros(1, 2, 6, 6, requires_grad=True)
    weight = torch.zeros(3, 2, 1, 1)
    weight[:, 0] = 1.0
    pooled, phase = convolution.convolve_and_pool(image, weight, torch.zeros(3))
    assert phase.unique().tolist() == [0]
    (gradient,) = torch.autograd.grad(pooled.sum(), image)
    assert gradient[0, 0, ::2, ::2].unique().tolist() == [3.0]
    assert gradient.sum() == gradient[0, 0, ::2, ::2].sum()


@pytest.mark.parametrize("weight", [(36, 26, 5, 5), (26, 1, 5, 5)])
def test_corner_unpooling_and_deconvolution_are_one(weight: tuple[int, ...]) -> None:
    """Top-left unpooling and a deconvolution of stride 1 are one of stride 2."""
    assert_same(
        convolution.unpool_and_deconvolve,
        lambda maps, kernel, bias: F.conv_transpose2d(corner_by_cells(maps), kernel, bias),
        drawn(BATCH, weight[0], 6, 6),
        drawn(*weight),
        drawn(weight[1]),
    )


@pytest.mark.parametrize("weight", [(36, 26, 5, 5), (3, 2, 5, 5), (26, 1, 5, 5)])
def test_unpooling_with_switches_and_deconvolution_equal_stock(weight: tuple[int, ...]) -> None:
    """Values go where the maxima of other maps were, as max_unpool2d puts them."""
    maxima = drawn(BATCH, weight[0], 12, 12, gradient=False)
    _, position = F.max_pool2d(maxima, 2, return_indices=True)
    phase = (position // 12 % 2 * 2 + position % 12 % 2).float()
    inputs = drawn(BATCH, weight[0], 6, 6), drawn(*weight), drawn(weight[1])
    torch.testing.assert_close(convolution.unpool(inputs[0], phase), F.max_unpool2d(inputs[0], position, (2, 2)))
    assert_same(
        lambda maps, kernel, bias: convolution.unpool_and_deconvolve(maps, kernel, bias, phase),
        lambda maps, kernel, bias: F.conv_transpose2d(F.max_unpool2d(maps, position, (2, 2)), kernel, bias),
        *inputs,
    )


def test_tile_unpooling_repeats_values_in_their_windows() -> None:
    """Average pooling gives them back."""
    values = drawn(BATCH, 5, 4, 4)
    tiled = convolution.unpool_tile(values)
    assert tiled[0, 0, :2, :2].unique().tolist() == [values[0, 0, 0, 0].item()]
    torch.testing.assert_close(F.avg_pool2d(tiled, 2), values)
