"""What a kind of device decides about training: what computes layers, seeds at once, how exactly it multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainables.ops.engine import load_kernels
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, Objective

SEEDS_AT_ONCE = {"cpu": 1, "cuda": 8}
"""Seeds of one configuration that one trial trains as a batched model.

A GPU waits for launches, which several seeds share. A core has no time to share: there the engine trains one seed
after another sooner (docs/performance.md).
"""


def prepare(device: torch.device) -> None:
    """Have this thread compute on one core, and the process with full float32 products, so that devices agree.

    Kernels are loaded.
    """
    # One thread a trial and as many trials as cores beats several threads a trial on models this small.
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # PyTorch's default lets convolutions alone round to 10 bits.
    else:
        load_kernels()


@contextmanager
def flush_subnormals() -> Iterator[None]:
    """Take numbers below 1.2e-38 for 0 on this thread, in PyTorch and in kernels, where the processor can.

    Saturated units leave gradients that small, and a core computes with each a hundred times as slowly.
    """
    flushed = not torch.tensor(1e-38).mul(0.1).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


def name_engine(device: torch.device, objective: Objective = OBJECTIVES[RECONSTRUCTION]) -> str:
    """Return what computes layers on ``device``: kernels for ``avx512`` or ``avx2``, or ``plain`` layers of PyTorch.

    ``uncaptured`` are plain layers on a GPU whose steps no graph replays, since the objective does not allow it.
    """
    if device.type == "cpu":
        return "plain" if objective.plain else load_kernels().instruction_set
    return "plain" if objective.shared else "uncaptured"


def describe_engine(device: torch.device) -> str:
    """Return the same in words, with what it took to have the kernels."""
    return load_kernels().report if device.type == "cpu" else "plain, PyTorch's own layers: trials run on GPUs"
