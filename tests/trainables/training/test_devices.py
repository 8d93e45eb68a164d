"""What a device decides about training."""

from __future__ import annotations

import subprocess
import sys

from trainables.training.devices import SEEDS_AT_ONCE


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


def test_a_core_trains_one_seed_after_another() -> None:
    """There the fast layers are sooner done; a GPU shares its launches among seeds."""
    assert SEEDS_AT_ONCE["cpu"] == 1 < SEEDS_AT_ONCE["cuda"]
