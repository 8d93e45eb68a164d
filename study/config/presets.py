"""Presets: named values of a study's configuration, from which a launch or a study file starts."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from study.config.factorial import make_factorial
from study.config.study_config import StudyConfig
from trainables.data.datasets import data_name, is_own_data
from trainables.errors import FieldError
from trainables.models.architectures import STUDIED, Architecture
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, Objective

_MNIST: Mapping[str, Any] = {"dataset": "mnist", "architectures": STUDIED, "recipe": "modern"}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Minutes on two cores without a download; small batches, since 1,437 images make few steps.
        "quick": {
            "dataset": "digits",
            "architectures": STUDIED,
            "code_sizes": (10,),
            "arms": ("tuned",),
            "recipe": "modern",
            "trials": 3,
            "finalists": 2,
            "validation_seeds": 2,
            "seeds": 3,
            "epochs": 8,
            "batch_size": 32,
        },
        # Three to four hours on two cores. The classic auto-encoder keeps `modern`: to orthogonalise its weights takes
        # many times as long as its training step.
        "sample": {
            **_MNIST,
            "recipe": "muon",
            "control_recipe": "modern",
            "code_sizes": (10,),
            "arms": ("tuned",),
            "trials": 9,
            "finalists": 2,
            "validation_seeds": 2,
            "seeds": 5,
            "epochs": 12,
        },
        # The paper's own: 20,000 iterations of 100 images are 33 epochs.
        "paper": {
            **_MNIST,
            "code_sizes": (2, 10, 30),
            "arms": ("tuned", "published"),
            "trials": 30,
            "finalists": 3,
            "validation_seeds": 3,
            "seeds": 5,
            "epochs": 33,
            "published_epochs": 33,
        },
        # Most seeds at the code size by which claims are judged.
        "reference": {
            **_MNIST,
            "recipe": "muon",
            "control_recipe": "modern",
            "code_sizes": (2, 10, 30),
            "arms": ("tuned", "published"),
            "trials": 12,
            "finalists": 3,
            "validation_seeds": 3,
            "seeds": 5,
            "seeds_at": (("tuned", 10, 8), ("published", 2, 3), ("published", 30, 3)),
            "with_umap": True,
            "epochs": 33,
            "published_epochs": 33,
        },
        # Pooling crossed with unpooling, all else alike: a grid of three rates for each, tried in full with one seed.
        "factorial": {
            **_MNIST,
            "architectures": (),
            "models": make_factorial(),
            "code_sizes": (10,),
            "arms": ("tuned",),
            "trials": 3,
            "finalists": 3,
            "validation_seeds": 1,
            "seeds": 5,
            "epochs": 33,
        },
        # Model 4 by every objective, model 3 where switches are needed; three strengths of each, the rate searched at
        # the middle one. Code size 2 is for pictures.
        "objectives": {
            **_MNIST,
            "architectures": ("model_4", "model_3"),
            "objectives": tuple(name for name in OBJECTIVES if name != "what_where"),
            "objectives_at": (("model_3", (RECONSTRUCTION, "what_where")),),
            "code_sizes": (10, 2),
            "phases": ("search", "confirm", "ablate"),
            "factors": ("objective_strength",),
            "arms": ("tuned",),
            "trials": 3,
            "finalists": 3,
            "validation_seeds": 1,
            "seeds": 3,
            "seeds_at": (("tuned", 10, 5), ("tuned", 2, 1)),
            "epochs": 10,
        },
    }
)
"""What each preset spends: the table of docs/protocol.md shows the same values."""


def study_config(preset: str, **changes: Any) -> StudyConfig:
    """Return the configuration of ``preset`` with ``changes``; a change that is None leaves the preset's value.

    Models of one's own join those of the preset, unless ``architectures`` says which are meant, and so do objectives.

    Raises:
        InputError: there is no such preset, or a value is not accepted.
    """
    if preset not in PRESETS:
        raise FieldError("preset", f"unknown preset {preset!r:.60}", ", ".join(PRESETS), "choose one of these")
    return change_preset(PRESETS[preset], {name: value for name, value in changes.items() if value is not None}, preset)


def change_preset(
    preset: Mapping[str, Any], changes: Mapping[str, Any], called: str, folder: Path = Path()
) -> StudyConfig:
    """Return the configuration of a preset's values with ``changes``, named after what it is ``called`` and its data.

    A file of data of one's own is looked for from ``folder`` on.
    """
    values = {"preset": _derive_name(called)} | dict(preset) | dict(changes)
    for name, kind, example in (("models", Architecture, "MODELS"), ("own_objectives", Objective, "OBJECTIVES")):
        given = values.get(name) or ()
        if not isinstance(given, list | tuple) or not all(isinstance(each, kind | Mapping) for each in given):
            raise FieldError(name, f"{name} {given!r:.60}", f"a list of rows, as {example} in a file", "give a list")
    if "models" in preset and "models" in changes:
        values["models"] = (*preset["models"], *(row for row in changes["models"] if row not in preset["models"]))
    if "seeds" in changes and "seeds_at" not in changes:
        values["seeds_at"] = ()  # Asked for are so many everywhere.
    if "objectives" in changes and "objectives_at" not in changes:
        values["objectives_at"] = ()  # Likewise, of every architecture.
    if "architectures" in preset and "architectures" not in changes:
        values["architectures"] += tuple(row.name for row in values.get("models", ()))
    if values.get("own_objectives") and "objectives" not in changes:
        planned = preset.get("objectives", (RECONSTRUCTION,))
        values["objectives"] = (*planned, *(each.name for each in values["own_objectives"]))
    dataset: Any = values.get("dataset")
    if is_own_data(dataset):
        values["dataset"] = os.path.abspath(folder / os.path.expanduser(dataset))
    values.setdefault("name", _derive_name(f"{called}-{data_name(dataset)}" if isinstance(dataset, str) else called))
    return StudyConfig(**values)


def _derive_name(text: str) -> str:
    """Return the name of a study that comes from names of files, whose other characters become hyphens."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", letters).lstrip(".").rstrip("-")[:100] or "study"
