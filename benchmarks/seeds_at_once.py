"""Compare seeds trained as one batched model with the same seeds in turn and, on a GPU, with stock training.

::

    python benchmarks/seeds_at_once.py
    python benchmarks/seeds_at_once.py --device cuda --seeds 8 --images 50000

Epochs of all alternate in one process; medians are printed. On a GPU a single seed is trained by the captured step
too, and its epochs are compared with stock ones and with replaying the captured step alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from stock_model import StockTraining
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN, STUDIED
from trainables.training.batched import BatchedTraining
from trainables.training.devices import prepare
from trainables.training.training import Training, scale_pixels
from trainables.trial_config import RECIPES


@dataclass(frozen=True, slots=True)
class Epochs:
    """Seconds of an epoch: of one seed, of all one after the other, of all at once; on a GPU of two others too."""

    architecture: str
    seeds: int
    one: float
    in_turn: float
    at_once: float
    stock: float | None = None
    replayed: float | None = None


def measure_epochs(name: str, seeds: int, pixels: Tensor, repetitions: int) -> Epochs:
    """Time epochs of ``pixels``, (images, side, side) uint8 on the device, alternately."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 10, 1_000)
    on_gpu = pixels.device.type == "cuda"

    def alone(seed: int) -> Training | BatchedTraining:
        training = Training(trial_config, seed, pixels)
        return BatchedTraining([training]) if on_gpu else training

    single, turns = alone(0), [alone(seed) for seed in range(1, 1 + seeds)]
    batch = BatchedTraining([Training(trial_config, seed, pixels) for seed in range(1, 1 + seeds)])
    contestants: dict[str, Callable[[], object]] = {
        "one": single.train_epoch,
        "in_turn": lambda: [training.train_epoch() for training in turns],
        "at_once": batch.train_epoch,
    }
    if isinstance(single, BatchedTraining):
        contestants["stock"] = StockTraining(trial_config, scale_pixels(pixels)).train_epoch
        contestants["replayed"] = single.replay_epoch
    times: dict[str, list[float]] = {what: [] for what in contestants}
    for repetition in range(1 + repetitions):
        for what, contestant in contestants.items():
            _wait(pixels.device)
            started = time.perf_counter()
            contestant()
            _wait(pixels.device)
            if repetition:
                times[what].append(time.perf_counter() - started)
    return Epochs(name, seeds, **{what: statistics.median(taken) for what, taken in times.items()})


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def pixels_of(images: int, device: torch.device) -> Tensor:
    """Return so many digits, repeated where there are fewer, on the device."""
    pixels = torch.from_numpy(load_dataset("digits").training.pixels.copy())
    return pixels.repeat(1 + images // len(pixels), 1, 1)[:images].to(device)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each architecture."""
    parser = argparse.ArgumentParser(description="Compare seeds at once with seeds in turn.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--architectures", nargs="+", default=list(STUDIED), choices=list(BUILT_IN))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--images", type=int, default=400, help="of an epoch (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args(argv)
    device = torch.device(arguments.device)
    prepare(device)
    pixels = pixels_of(arguments.images, device)
    print(
        f"| {arguments.seeds} seeds, s an epoch | one seed | in turn | at once | in turn / at once | stock | replayed |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in arguments.architectures:
        seen = measure_epochs(name, arguments.seeds, pixels, arguments.repetitions)
        others = " | ".join("" if value is None else f"{value:.4f}" for value in (seen.stock, seen.replayed))
        print(
            f"| {name} | {seen.one:.4f} | {seen.in_turn:.4f} | {seen.at_once:.4f} | "
            f"{seen.in_turn / seen.at_once:.2f} | {others} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
