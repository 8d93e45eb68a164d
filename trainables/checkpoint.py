"""Weights of a trained model as one safetensors file that says itself what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN, Architecture
from trainables.models.autoencoder import Autoencoder
from trainables.models.custom import dump_row, restore_row
from trainables.training.objectives import OBJECTIVES, Objective
from trainables.training.training import make_model
from trainables.trial_config import TrialConfig


def pack_weights(model: Autoencoder, trial_config: TrialConfig, trial_id: str) -> bytes:
    """Return the weights with the row and settings that rebuild the module, as the bytes of a safetensors file."""
    header = {
        "trial_id": trial_id,
        "architecture": dump_row(model.architecture),
        "settings": trial_config.as_dict(),
        "image_size": model.image_size,
    }
    # Copies, since the file holds no tensor twice and a module of the user's own may use one in two places.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    return safetensors.torch.save(state, metadata={"cae_study": json.dumps(header)})


def load_checkpoint(
    path: str | Path, objectives: Sequence[Objective] = (), models: Sequence[Architecture] = ()
) -> Autoencoder:
    """Return the trained module of a weights file, in evaluation mode, on the processor.

    By trial or by cell: `study.models.load_model`.

    Args:
        path: of the file.
        objectives: the user's own, with one of which it may have been trained.
        models: the user's own, one of whose modules it may be.

    Raises:
        InputError: there is no such file, or it was not written by `pack_weights`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weights file {path}", "RESULTS/weights/TRIAL_ID.safetensors", "check the path")
    return unpack_weights(path.read_bytes(), str(path), objectives, models)[0]


def unpack_weights(
    content: bytes, received: str, objectives: Sequence[Objective] = (), models: Sequence[Architecture] = ()
) -> tuple[Autoencoder, TrialConfig]:
    """Return the module of the bytes of a weights file, which the user called ``received``, and its settings.

    Raises:
        InputError: they were not made by `pack_weights`, or the objective or module is an own one that is not given.
    """
    if not isinstance(objectives, Sequence) or not isinstance(models, Sequence):
        raise InputError("an objective or a model by itself", "lists: objectives=[...], models=[...]", "give lists")
    known = {**OBJECTIVES, **{each.name: each for each in objectives}}
    try:
        state = safetensors.torch.load(content)
        # Eight bytes say how long the header is, which is JSON. Source: the description of the safetensors format.
        size = int.from_bytes(content[:8], "little")
        header: dict[str, Any] = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["cae_study"])
        trial_config = TrialConfig(**header["settings"])
        # A user's own row stands in the file itself, which so needs no other; of a module all but the factory.
        own = trial_config.architecture not in BUILT_IN and "architecture" in header
        row = restore_row(header["architecture"], models) if own else trial_config.variant()
        objective, image_size = known.get(trial_config.objective), header["image_size"]
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{received} is not a weights file of a study ({str(error).splitlines()[0]})",
            "a file of RESULTS/weights",
            "train the trial again",
        ) from error
    if objective is None:
        raise InputError(
            f"{received} was trained by objective {trial_config.objective}, which is not built in",
            ", ".join(known),
            "give the objectives of your own file, as docs/extending.md shows",
        )
    model = make_model(trial_config, image_size, row, objective)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise InputError(
            f"{received} has other weights than {row.name} as it is built now: {' '.join(lines[1:2] or lines)[:200]}",
            "the model as it was when it was trained",
            "give the module as it was, or train it again",
        ) from None
    return model.eval().requires_grad_(False), trial_config
