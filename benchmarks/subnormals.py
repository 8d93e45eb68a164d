"""What it saves to flush subnormal numbers: epochs of MNIST with and without, alternately.

::

    python benchmarks/subnormals.py                    # minutes; needs the files of MNIST
    python benchmarks/subnormals.py --images 1_000     # of the first images alone: too few to saturate

The first configuration was tried by a search: its saturated units leave many such numbers. The others are published
points. Each side trains from the same seed, on a core, and their losses are compared as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import torch

from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN
from trainables.training.devices import prepare
from trainables.training.training import Training, move_pixels
from trainables.trial_config import RECIPES, TrialConfig

CPU = torch.device("cpu")
EPOCHS = 2
SEED = 500_001


def list_configurations() -> list[TrialConfig]:
    """Return what is trained, recipe ``muon`` at code size 10."""
    found = RECIPES["muon"].trial_config(
        BUILT_IN["unpool_only"], 10, EPOCHS, learning_rate=0.015954, filters=(17, 7), batch_size=100
    )
    published = [RECIPES["muon"].trial_config(BUILT_IN[name], 10, EPOCHS) for name in ("unpool_only", "model_4")]
    return [dataclasses.replace(found, weight_decay=0.031319), *published]


def main() -> None:
    """Print processor seconds per epoch of both sides, and the loss of the last epoch."""
    parser = argparse.ArgumentParser(description="Compare epochs with subnormal numbers kept and flushed.")
    parser.add_argument("--images", type=int, default=50_000, help="of MNIST's training images (default: %(default)s)")
    prepare(CPU)
    pixels = move_pixels(load_dataset("mnist").search_train.pixels[: parser.parse_args().images], CPU)
    plain = Training.train_epoch.__wrapped__  # type: ignore[attr-defined]
    print("| model | filters | epoch | kept (s) | flushed (s) | ratio | cross-entropy kept | flushed |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for config in list_configurations():
        sides = [Training(config, SEED, pixels) for _ in range(2)]
        for _ in range(EPOCHS):
            seconds, losses = [], []
            for side, step in zip(sides, (plain, Training.train_epoch), strict=True):
                started = time.thread_time()
                losses.append(step(side).train_cross_entropy)
                seconds.append(time.thread_time() - started)
            filters = f"{config.filters_1}, {config.filters_2}"
            print(
                f"| {config.architecture} | {filters} | {sides[0].epoch} | {seconds[0]:.1f} | {seconds[1]:.1f} | "
                f"{seconds[0] / seconds[1]:.2f} | {losses[0]:.3f} | {losses[1]:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
