"""Time the models' layers, stock form and ours side by side on one core: ``python benchmarks/layer_speed.py``.

Forward and backward of a batch of 100, in processor time, the two forms in turn; medians, and the median of the ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.ops import convolution

BATCH, REPETITIONS = 100, 20

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]


def corner_then_deconvolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Unpool to the top-left cell, then deconvolve, both in stock form."""
    batch, count, side, _ = maps.shape
    unpooled = maps.new_zeros(batch, count, 2 * side, 2 * side)
    unpooled[:, :, ::2, ::2] = maps
    return F.conv_transpose2d(unpooled, weight, bias)


def pooled(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve, then take maxima, both in stock form."""
    return F.max_pool2d(F.conv2d(maps, weight, bias), 2)


LAYERS: tuple[tuple[str, Layer, Layer, tuple[int, int], tuple[int, ...]], ...] = (
    # name, stock form, our form, maps and side of the input, shape of the weight
    ("convolution 9x9, 8 to 4 maps of 20x20", F.conv2d, convolution.convolve, (8, 20), (4, 8, 9, 9)),
    (
        "convolution 5x5 of the image to 26 maps, maxima of 2x2",
        pooled,
        lambda *given: convolution.convolve_and_pool(*given)[0],
        (1, 28),
        (26, 1, 5, 5),
    ),
    (
        "convolution 5x5, 26 to 36 maps of 12x12, maxima of 2x2",
        pooled,
        lambda *given: convolution.convolve_and_pool(*given)[0],
        (26, 12),
        (36, 26, 5, 5),
    ),
    (
        "deconvolution 12x12 of 250 1x1 maps to 4",
        F.conv_transpose2d,
        convolution.deconvolve,
        (250, 1),
        (250, 4, 12, 12),
    ),
    ("deconvolution 17x17, 4 to 4 maps of 12x12", F.conv_transpose2d, convolution.deconvolve, (4, 12), (4, 4, 17, 17)),
    ("deconvolution 1x1, 4 maps of 28x28 to one", F.conv_transpose2d, convolution.deconvolve, (4, 28), (4, 1, 1, 1)),
    (
        "unpooling to the corner, deconvolution 5x5, 36 to 26 maps",
        corner_then_deconvolve,
        convolution.unpool_and_deconvolve,
        (36, 4),
        (36, 26, 5, 5),
    ),
    (
        "unpooling to the corner, deconvolution 5x5, 26 maps to one",
        corner_then_deconvolve,
        convolution.unpool_and_deconvolve,
        (26, 12),
        (26, 1, 5, 5),
    ),
)


def out_maps(stock: Layer, shape: tuple[int, ...]) -> int:
    """Return the out maps of a weight: its first axis where it convolves, the second where it deconvolves."""
    return shape[0] if stock in (F.conv2d, pooled) else shape[1]


def seconds(layer: Layer, inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the processor time of one forward and backward pass."""
    started = time.process_time()
    result = layer(*inputs)
    torch.autograd.grad(result.sum(), [value for value in inputs if value.requires_grad])
    return time.process_time() - started


def main() -> None:
    """Print a line a layer."""
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one core, forward and backward of a batch of {BATCH}")
    for name, stock, ours, (maps, side), shape in LAYERS:
        generator = torch.Generator().manual_seed(0)
        # The image itself needs no gradient.
        data = torch.randn(BATCH, maps, side, side, generator=generator).requires_grad_(maps > 1)
        weight = torch.randn(shape, generator=generator).requires_grad_()
        inputs = data, weight, torch.zeros(out_maps(stock, shape), requires_grad=True)
        pairs = [(seconds(stock, inputs), seconds(ours, inputs)) for _ in range(3 + REPETITIONS)][3:]
        theirs, mine = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{name:<60} {theirs:7.1f} ms {mine:7.1f} ms {ratio:6.1f}", flush=True)


if __name__ == "__main__":
    main()
