"""What a device decides about training."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import torch

from trainables.models.architectures import BUILT_IN
from trainables.training.devices import SEEDS_AT_ONCE, flush_subnormals
from trainables.training.objectives import OBJECTIVES
from trainables.training.training import Step, StepLosses, Training, move_pixels
from trainables.trial_config import RECIPES


def test_a_trial_has_one_thread_and_full_products() -> None:
    """In a process of its own, since both hold for all of it."""
    code = (
        "import torch\n"
        "from trainables.training.devices import prepare\n"
        "prepare(torch.device('cpu'))\n"
        "print(torch.get_num_threads(), torch.get_float32_matmul_precision())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "highest"]


def multiply_to_subnormal() -> float:
    """Return the product of two numbers that is below the smallest of full precision: 1e-39."""
    return torch.tensor(1e-38).mul(0.1).item()


def test_subnormal_numbers_are_zero_while_a_core_trains_and_not_after() -> None:
    """Saturated units leave many, and a core takes five times as long for an epoch with them."""
    seen = []

    def look(step: Step) -> StepLosses:
        seen.append(multiply_to_subnormal())
        return OBJECTIVES["reconstruction"].find_losses(step)

    pixels = np.random.default_rng(0).integers(0, 255, (20, 28, 28), np.uint8)
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["unpool_only"], 2, 1, batch_size=10)
    objective = dataclasses.replace(OBJECTIVES["reconstruction"], find_losses=look)
    assert multiply_to_subnormal() > 0
    Training(trial_config, 0, move_pixels(pixels, torch.device("cpu")), objective=objective).train_epoch()
    assert seen == [0, 0]
    assert multiply_to_subnormal() > 0


def test_a_thread_that_flushed_subnormal_numbers_before_does_so_after() -> None:
    """What a program chose for itself holds again, whatever ends the training."""
    torch.set_flush_denormal(True)
    try:
        with flush_subnormals():
            pass
        assert multiply_to_subnormal() == 0
    finally:
        torch.set_flush_denormal(False)


def test_a_core_trains_one_seed_after_another() -> None:
    """There the fast layers are sooner done; a GPU shares its launches among seeds."""
    assert SEEDS_AT_ONCE["cpu"] == 1 < SEEDS_AT_ONCE["cuda"]
