"""The Ray Tune Trainable: hands the reports of `run_trial` to Tune, one a step, in an actor that is used again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ray
import torch
from ray import tune

from trainables.datasets import Dataset
from trainables.errors import InputError
from trainables.run import Report, TrialSpec, run_trial


class Trial(tune.Trainable):
    """Runs the `TrialSpec` in ``config["spec"]``; a step is an epoch. Pass the data by ``tune.with_parameters``."""

    _dataset: Dataset
    _spec: TrialSpec
    _reports: Iterator[Report]

    def setup(self, config: dict[str, Any], dataset: Dataset) -> None:  # type: ignore[override]
        """Keep the data, which stays in the node's object store, and prepare the first trial."""
        # One thread a trial and as many trials as cores beats several threads a trial on models this small.
        torch.set_num_threads(1)
        self._dataset = dataset
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Drop everything of the trial before and prepare the next."""
        self._spec = new_config["spec"]
        held = self.trial_resources.required_resources if self.trial_resources else {}
        devices_held = held.get("GPU") or held.get("CPU", 1.0)
        self._reports = run_trial(self._spec, self._dataset, granted_device(), devices_held)
        return True

    def step(self) -> dict[str, Any]:
        """Train an epoch and return its report, with the figure that early stopping compares."""
        report = next(self._reports)
        result: dict[str, Any] = {"report": report}
        if report.epoch is not None:
            result["epoch"] = report.epoch.epoch
            result["validation_cross_entropy"] = report.epoch.validation_cross_entropy
        result["done"] = report.outcome is not None and report.trial_id == self._spec.runs[-1].trial_id
        return result


def granted_device() -> torch.device:
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
