"""Launches a study whose workers meet faults: ``python tests/faults/faulty.py '{"TRIAL_ID": ["exception", 1]}' FLAGS``.

The first argument says which trials meet which fault and in how many of their attempts; the rest goes to the command
line of the product. The faults happen in the workers: Ray ships this script's class to them by value.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

import study.execution.tuner
from study import launch
from trainables.run_trial import Report, TrialBatch
from trainables.trial import BatchTrainable

PLANNED: dict[str, tuple[str, int]] = json.loads(sys.argv[1])
ATTEMPTS = Path(os.environ["CAE_STUDY_ATTEMPTS"])
"""Folder with one file a trial, which is a byte longer after each attempt."""

EPOCH_LIMIT = 6.0
"""Seconds; what the launches of the tests are given as ``--epoch-limit``."""


class Unpicklable(Exception):
    """An exception that holds what no process can send to another."""

    def __init__(self) -> None:
        super().__init__("injected: this cannot be sent")
        self.lock = threading.Lock()


def run_out_of_memory() -> None:
    """Ask for more memory than this process may have."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, resource.RLIM_INFINITY))
    torch.ones(2**28)


def fail_in_evaluation() -> None:
    """Let the evaluation of this trial raise."""
    import trainables.evaluation.evaluate

    def evaluate_codes(*_: Any, **__: Any) -> None:
        raise ValueError("injected in evaluation")

    vars(trainables.evaluation.evaluate)["evaluate_codes"] = evaluate_codes


def meet(fault: str) -> None:
    """Do to this worker what ``fault`` names."""
    if fault == "exception":
        raise RuntimeError("injected in training\nwith a second line")
    if fault == "unpicklable":
        raise Unpicklable
    if fault == "cuda":
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    if fault == "memory":
        run_out_of_memory()
    if fault == "more than the machine has":
        held = torch.ones(psutil.virtual_memory().total // 10 // 4)
        time.sleep(60)
        del held
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(0)
    if fault == "evaluation":
        fail_in_evaluation()
    if fault == "hang":
        time.sleep(3600)
    if fault == "hang_in_c":
        re.match("(a+)+$", "a" * 60 + "b")  # takes for ever, and no other thread of the process may run


class FaultyTrial(BatchTrainable):
    """The product's Trainable, but for the faults that are planned for its trial."""

    _begun: bool

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Note that the next step is the first of an attempt; a worker may die or raise here, once for a trial."""
        trial_id = new_config["batch"].trials[0].trial_id
        fault, met = PLANNED.get(trial_id, ("", 0))[0], ATTEMPTS / f"reset-{trial_id}"
        if fault.endswith("in reset") and not met.exists():
            met.touch()
            if fault == "raise in reset":
                raise OSError("injected in reset")
            os._exit(0)
        self._begun = False
        return super().reset_config(new_config)

    def step(self) -> dict[str, Any]:
        """Prepare the fault before the first step."""
        if not self._begun:
            self._begin()
        return super().step()

    def _begin(self) -> None:
        trial_id = self._batch.trials[0].trial_id
        with open(ATTEMPTS / trial_id, "ab") as file:
            file.write(b".")
        fault, times = PLANNED.get(trial_id, ("", 0))
        met = (ATTEMPTS / trial_id).stat().st_size <= times
        if met and fault == "diverge":
            super().reset_config({"batch": diverging(self._batch)})
        elif met:
            self._reports = after(fault, self._reports)
        # The launch has a short limit, for trials that hang; on a busy machine others take longer.
        self._epoch_limit = EPOCH_LIMIT * (1 if met and fault.startswith("hang") else 100)
        self._begun = True


def diverging(batch: TrialBatch) -> TrialBatch:
    """Return the trial with an infinite learning rate."""
    assert batch.trial_config is not None
    changes: dict[str, Any] = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "second_moment_decay": None,
        "gradient_norm_limit": None,
    }
    return replace(batch, trial_config=replace(batch.trial_config, learning_rate=float("inf"), **changes))


def after(fault: str, reports: Iterator[Report]) -> Iterator[Report]:
    """Yield the reports after meeting the fault, where a worker computes them."""
    meet(fault)
    yield from reports


if __name__ == "__main__":
    vars(study.execution.tuner)["BatchTrainable"] = FaultyTrial
    sys.exit(launch.main(sys.argv[2:]))
