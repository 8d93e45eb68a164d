"""Compare the speed of training on one core: stock layers, the commit before the engine, and ours, by architecture.

::

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --architectures model_4 --repetitions 9

One thread each. Short epochs of all alternate with matrix products of 1,024 x 1,024, so that other work on the machine
hits all alike; times are those of the processor. Medians are printed, of the ratios too. The share is that of useful
multiply-adds (three times those of a forward pass, without products with unpooling's zeros) in the speed of the faster
product, PyTorch's own or oneDNN's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from earlier import COMMIT, EarlierTraining, start_earlier
from stock_model import StockTraining
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN, STUDIED, ConvolutionalAutoencoder
from trainables.models.layers import list_layers
from trainables.run_trial import describe_device
from trainables.training.devices import describe_engine, name_engine, prepare
from trainables.training.training import Training, scale_pixels
from trainables.trial_config import RECIPES

IMAGES = 1_000
"""Images of an epoch that is timed."""

PRODUCT_SIDE = 1_024


@dataclass(frozen=True, slots=True)
class Speed:
    """Trained images per second of one core, ratios of them, and the multiply-adds per second of a matrix product."""

    architecture: str
    stock: float
    ours: float
    ratio: float
    product: float
    earlier: float | None = None
    earlier_ratio: float | None = None

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


def measure_speed(
    name: str, recipe: str, pixels: Tensor, repetitions: int, earlier: EarlierTraining | None = None
) -> Speed:
    """Time epochs of ``pixels``, (images, side, side) uint8, alternately; ``earlier`` has as many images."""
    trial_config = RECIPES[recipe].trial_config(BUILT_IN[name], 10, 1_000)
    contender, champion = StockTraining(trial_config, scale_pixels(pixels)), Training(trial_config, 1, pixels)
    square = torch.randn(PRODUCT_SIDE, PRODUCT_SIDE)
    one_dnn = torch.ops.mkldnn._linear_pointwise
    contestants: list[Callable[[], object]] = [
        contender.train_epoch,
        champion.train_epoch,
        lambda: square @ square,
        lambda: one_dnn(square, square, None, "none", [], ""),
    ]
    times: list[list[float]] = [[] for _ in contestants]
    earlier_times: list[float] = []
    for repetition in range(1 + repetitions):
        seconds = earlier.train_epoch(name) if earlier else 0.0
        if repetition:  # The first one warms up.
            earlier_times.append(seconds)
        for contestant, taken in zip(contestants, times, strict=True):
            started = time.process_time()
            contestant()
            if repetition:
                taken.append(time.process_time() - started)
    images = len(pixels) // trial_config.batch_size * trial_config.batch_size
    stock_seconds, our_seconds, *product_seconds = (statistics.median(taken) for taken in times)
    return Speed(
        name,
        images / stock_seconds,
        images / our_seconds,
        _compare(times[0], times[1]),
        PRODUCT_SIDE**3 / min(product_seconds),
        images / statistics.median(earlier_times) if earlier else None,
        _compare(earlier_times, times[1]) if earlier else None,
    )


def _compare(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return the median of the turns' ratios."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def average_ratios(ratios: Sequence[float | None]) -> str:
    """Return the geometric mean of ratios as a text; none where there are none."""
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{statistics.geometric_mean(known):.2f}" if known else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each architecture and the geometric mean of the convolutional ones' ratios."""
    parser = argparse.ArgumentParser(description="Compare the speed of training on one core.")
    parser.add_argument("--architectures", nargs="+", default=list(STUDIED), choices=list(BUILT_IN))
    parser.add_argument("--recipe", default="modern", choices=["modern", "caffe"])
    parser.add_argument("--repetitions", type=int, default=5, help="epochs of 1,000 images (default: %(default)s)")
    arguments = parser.parse_args(argv)
    cpu = torch.device("cpu")
    prepare(cpu)
    print(f"{describe_device(cpu)}, {describe_engine(cpu)}\n")
    pixels = torch.from_numpy(load_dataset("digits").training.pixels[:IMAGES].copy())
    print(
        f"| images/s of a core, {name_engine(cpu)} | stock | {COMMIT} | ours | x stock | x {COMMIT} | share of peak |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    speeds = []
    with start_earlier(arguments.recipe, IMAGES) as earlier:
        for name in arguments.architectures:
            speed = measure_speed(name, arguments.recipe, pixels, arguments.repetitions, earlier)
            if isinstance(BUILT_IN[name], ConvolutionalAutoencoder):
                speeds.append(speed)
            before = (f"{speed.earlier:,.0f}", f"{speed.earlier_ratio:.2f}") if speed.earlier else ("", "")
            print(
                f"| {name} | {speed.stock:,.0f} | {before[0]} | {speed.ours:,.0f} | {speed.ratio:.2f} | {before[1]} | "
                f"{speed.share(speed.ours):.0%} (stock {speed.share(speed.stock):.0%}) |",
                flush=True,
            )
    means = (average_ratios([getattr(speed, kind) for speed in speeds]) for kind in ("ratio", "earlier_ratio"))
    print(f"| geometric mean of {len(speeds)} convolutional | | | | {' | '.join(means)} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
