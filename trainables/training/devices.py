"""What a kind of device decides about training: how many seeds are trained at once, and how exactly it multiplies."""

from __future__ import annotations

import torch

SEEDS_AT_ONCE = {"cpu": 1, "cuda": 8}
"""Seeds of one configuration that one trial trains as a batched model.

A GPU waits for launches, which several seeds share. A core has no time to share: there the fast layers of
`convolution` train one seed after another sooner (docs/performance.md).
"""


def prepare(device: torch.device) -> None:
    """Set what holds for the whole process: one thread, and full float32 products, so that devices agree."""
    # One thread a trial and as many trials as cores beats several threads a trial on models this small.
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # PyTorch's default lets convolutions alone round to 10 bits.
