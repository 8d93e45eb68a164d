"""Connects to Ray: a local one by default, a running cluster on request; finds out how many trials run at once."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import ray
import torch

import trainables
from study.tuning import Resources
from trainables.errors import InputError


def local_resources(gpus_per_trial: float | None, concurrency: int | None) -> Resources:
    """Return how many trials run at once on this machine; by default one a GPU, or one a core where there is none.

    Raises:
        InputError: GPUs are asked for and there is none.
    """
    return _resources(len(os.sched_getaffinity(0)), torch.cuda.device_count(), gpus_per_trial, concurrency)


def cluster_address(requested: str | None) -> str:
    """Return the address of the Ray to use: ``local`` unless one is requested by flag or by RAY_ADDRESS."""
    return requested or os.environ.get("RAY_ADDRESS") or "local"


def connect(address: str, gpus_per_trial: float | None, concurrency: int | None) -> Resources:
    """Start or join Ray and return how many trials run at once on it.

    Raises:
        InputError: there is no cluster at the address, or it lacks the GPUs asked for.
    """
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        # The code that trials run is the code as it is now, whatever is edited while the study runs.
        "runtime_env": {"py_modules": [str(Path(trainables.__file__).parent)]},
    }
    if address == "local":
        resources = local_resources(gpus_per_trial, concurrency)
        ray.init(
            address="local",
            num_cpus=max(resources.concurrency, 1),
            include_dashboard=False,
            **options,
        )
        return resources
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address!r} ({error})",
            "the address of a running cluster, or 'auto' on one of its nodes",
            "start one (ray up cluster.yaml), or leave --address and RAY_ADDRESS out to run here",
        ) from error
    found = ray.cluster_resources()
    return _resources(int(found.get("CPU", 0)), int(found.get("GPU", 0)), gpus_per_trial, concurrency)


def _resources(cores: int, gpus: int, gpus_per_trial: float | None, concurrency: int | None) -> Resources:
    if gpus_per_trial is None:
        gpus_per_trial = 1 if gpus else 0
    if gpus_per_trial > gpus:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g} where there {'is no GPU' if not gpus else f'are {gpus} GPUs'}",
            f"from 0 to {gpus}",
            "leave --gpus-per-trial out, or run where there are GPUs",
        )
    slots = int(gpus / gpus_per_trial) if gpus_per_trial else cores
    return Resources(gpus_per_trial, concurrency or max(1, slots))
