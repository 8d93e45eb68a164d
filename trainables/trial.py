"""The Ray Tune Trainable: hands the reports of `run_trial` to Tune, one a step, in an actor that is used again.

A step that hangs ends its process, which Tune takes for a failed attempt, like any worker that dies.
"""

from __future__ import annotations

import faulthandler
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.run_trial import TrialBatch, run_trial
from trainables.training.devices import prepare

START_LIMIT = 600.0
"""Seconds after which a worker that is not ready is taken to hang: in a driver of a GPU, or at a lock of kernels."""


class TrialError(Exception):
    """What a worker raised, in one line of plain text: kind, message and place; any process can read it."""


class BatchTrainable(tune.Trainable):
    """Runs the `TrialBatch` in ``config["batch"]``; a step is an epoch of one of its seeds.

    Pass by ``tune.with_parameters`` the data and the seconds that an epoch may take, measuring included.
    """

    def setup(self, config: dict[str, Any], dataset: Dataset, epoch_limit: float) -> None:  # type: ignore[override]
        """Keep the data, which stays in the node's object store, and prepare the first trial."""
        self._dataset, self._epoch_limit = dataset, epoch_limit
        with _ended_after(max(epoch_limit, START_LIMIT)):
            prepare(find_device())
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Drop everything of the trial before and prepare the next."""
        self._batch: TrialBatch = new_config["batch"]
        self._ended = 0
        held = self.trial_resources.required_resources if self.trial_resources else {}
        devices_held = held.get("GPU") or held.get("CPU", 1.0)
        with _ended_after(self._epoch_limit), _tell_in_one_line():
            self._reports = run_trial(self._batch, self._dataset, find_device(), devices_held)
        return True

    def step(self) -> dict[str, Any]:
        """Return the next report, of an epoch and a seed."""
        with _ended_after(self._epoch_limit), _tell_in_one_line():
            report = next(self._reports)
        self._ended += report.outcome is not None
        return {"report": report, "done": self._ended == len(self._batch.trials)}


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End this process where the block takes longer: by a thread of C, also where the interpreter hangs."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def _tell_in_one_line() -> Iterator[None]:
    """Raise what goes wrong as a `TrialError`.

    An exception of any kind would reach the driver as a pickle, if it can be pickled at all.
    """
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines()
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
        raise TrialError(f"{message[:400]} ({Path(place.filename).name}:{place.lineno})") from None


def find_device() -> torch.device:
    """Return the device that Ray gave to this worker: its GPU where it got one or a share of one, else the processor.

    Raises:
        InputError: Ray gave a GPU that this node's PyTorch cannot use.
    """
    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError(
            "Ray gave this trial a GPU, but PyTorch finds none on its node",
            "a node whose PyTorch is built for its GPU's driver",
            "install a CUDA build of PyTorch there, or run with --gpus-per-trial 0",
        )
    return torch.device("cuda")
