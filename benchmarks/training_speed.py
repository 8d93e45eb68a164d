"""Compare the speed of training on one core: the opponent's stock layers against ours, by architecture.

::

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --architectures model_4 --repetitions 9

One thread each. Short epochs of both alternate with a matrix product of 1,024 x 1,024 in the same process, so that
other work on the machine hits all alike; medians are printed, of the ratio too. The share is that of useful
multiply-adds (three times those of a forward pass, without products with unpooling's zeros) in the product's speed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from stock_model import StockTraining
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder
from trainables.models.layers import list_layers
from trainables.training.training import Training, scale_pixels
from trainables.trial_config import RECIPES

IMAGES = 1_000
"""Images of an epoch that is timed."""

PRODUCT_SIDE = 1_024


@dataclass(frozen=True, slots=True)
class Speed:
    """Trained images per second of one core, their ratio, and the multiply-adds per second of a matrix product."""

    architecture: str
    stock: float
    ours: float
    ratio: float
    product: float

    def share(self, images_a_second: float) -> float:
        """Return the useful multiply-adds of so many images as a share of the matrix product's."""
        return images_a_second * 3 * useful_multiply_adds(self.architecture) / self.product


def useful_multiply_adds(name: str, code_size: int = 10) -> int:
    """Return the multiply-adds of a forward pass for one image without the products with unpooling's zeros."""
    total = 0
    after_unpooling = False
    row = BUILT_IN[name]
    zeros = isinstance(row, ConvolutionalAutoencoder) and row.unpooling in ("corner", "switches")
    for layer in list_layers(row, code_size):
        total += layer.multiply_adds // (4 if after_unpooling and zeros else 1)
        after_unpooling = layer.kind == "unpool"
    return total


def measure_speed(name: str, recipe: str, pixels: Tensor, repetitions: int) -> Speed:
    """Time epochs of ``pixels``, (images, side, side) uint8, by turns."""
    trial_config = RECIPES[recipe].trial_config(BUILT_IN[name], 10, 1_000)
    contender, champion = StockTraining(trial_config, scale_pixels(pixels)), Training(trial_config, 1, pixels)
    square = torch.randn(PRODUCT_SIDE, PRODUCT_SIDE)
    contestants: list[Callable[[], object]] = [contender.train_epoch, champion.train_epoch, lambda: square @ square]
    times: list[list[float]] = [[], [], []]
    for repetition in range(1 + repetitions):
        for contestant, taken in zip(contestants, times, strict=True):
            started = time.perf_counter()
            contestant()
            if repetition:  # The first one warms up.
                taken.append(time.perf_counter() - started)
    images = len(pixels) // trial_config.batch_size * trial_config.batch_size
    stock_seconds, our_seconds, product_seconds = (statistics.median(taken) for taken in times)
    ratio = statistics.median(stock / ours for stock, ours in zip(*times[:2], strict=True))
    return Speed(name, images / stock_seconds, images / our_seconds, ratio, PRODUCT_SIDE**3 / product_seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each architecture and the geometric mean of the convolutional ones' ratios."""
    parser = argparse.ArgumentParser(description="Compare the speed of training on one core.")
    parser.add_argument("--architectures", nargs="+", default=list(BUILT_IN), choices=list(BUILT_IN))
    parser.add_argument("--recipe", default="modern", choices=["modern", "caffe"])
    parser.add_argument("--repetitions", type=int, default=5, help="epochs of 1,000 images (default: %(default)s)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    pixels = torch.from_numpy(load_dataset("digits").training.pixels[:IMAGES].copy())
    print("| images/s of a core | stock | ours | ratio | share of matrix product, stock | ours |")
    print("|---|--:|--:|--:|--:|--:|")
    ratios = []
    for name in arguments.architectures:
        speed = measure_speed(name, arguments.recipe, pixels, arguments.repetitions)
        if isinstance(BUILT_IN[name], ConvolutionalAutoencoder):
            ratios.append(speed.ratio)
        print(
            f"| {name} | {speed.stock:,.0f} | {speed.ours:,.0f} | {speed.ratio:.2f} | "
            f"{speed.share(speed.stock):.0%} | {speed.share(speed.ours):.0%} |",
            flush=True,
        )
    if ratios:
        mean = math.exp(statistics.mean(map(math.log, ratios)))
        print(f"| geometric mean of {len(ratios)} convolutional | | | {mean:.2f} | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
