"""Compare trials side by side on one GPU, each in a process of its own, with one trial alone.

::

    python benchmarks/gpu_shares.py
    nvidia-cuda-mps-control -d; python benchmarks/gpu_shares.py; echo quit | nvidia-cuda-mps-control

Without CUDA MPS a GPU gives its time to one process after another; with it kernels of several run at once. The table
says what ``--gpus-per-trial`` 1/N is worth in training: epochs a second of all N together.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

import torch
from seeds_at_once import pixels_of

from trainables.models.architectures import BUILT_IN
from trainables.training.batched import BatchedTraining
from trainables.training.devices import prepare
from trainables.training.training import Training
from trainables.trial_config import RECIPES


def train_on_demand(pipe: Connection, describe_device: str, architecture: str, seeds: int, images: int) -> None:
    """Prepare a training, say so, and train for as many seconds as are asked for; return epochs a second each time."""
    device = torch.device(describe_device)
    prepare(device)
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[architecture], 10, 1_000_000)
    pixels = pixels_of(images, device)
    batch = BatchedTraining([Training(trial_config, seed, pixels) for seed in range(1, 1 + seeds)])
    batch.train_epoch()
    pipe.send("ready")
    while seconds := pipe.recv():
        started, epochs = time.perf_counter(), 0
        while (taken := time.perf_counter() - started) < seconds:
            batch.train_epoch()
            epochs += 1
        pipe.send(epochs / taken)


def measure_shares(
    device: str, architecture: str, at_once: Sequence[int], seeds: int, images: int, seconds: float
) -> dict[int, float]:
    """Return epochs a second of all trials together, by how many run at once."""
    processes = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for _ in range(max(at_once)):
        here, there = processes.Pipe()
        arguments = (there, device, architecture, seeds, images)
        workers.append(processes.Process(target=train_on_demand, args=arguments, daemon=True))
        workers[-1].start()
        there.close()  # so that a worker that dies is noticed here
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()
    rates = {}
    for count in at_once:
        for pipe in pipes[:count]:
            pipe.send(seconds)
        rates[count] = sum(pipe.recv() for pipe in pipes[:count])
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.send(0)
        worker.join()
    return rates


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each number of trials at once."""
    parser = argparse.ArgumentParser(description="Compare trials side by side on one GPU with one alone.")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--architecture", default="model_4", choices=list(BUILT_IN))
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seeds", type=int, default=1, help="of each trial (default: %(default)s)")
    parser.add_argument("--images", type=int, default=50_000, help="of an epoch (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default: %(default)s)")
    given = parser.parse_args(argv)
    rates = measure_shares(given.device, given.architecture, given.at_once, given.seeds, given.images, given.seconds)
    print("| trials at once | epochs/s together | times one |\n|--:|--:|--:|")
    for count, rate in rates.items():
        print(f"| {count} | {rate:.2f} | {rate / rates[given.at_once[0]]:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
