"""What a planned trial is: the digest of a configuration, which is part of the name of what confirms it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from study.config.presets import study_config
from study.config.search_space import Cell
from study.plan.planned_trial import hash_configuration, make_trial_config
from study.plan.trials import plan_trials
from tests.studies import small_config


def test_every_setting_but_the_epochs_is_part_of_a_configuration() -> None:
    """Its digest changes with each, and is the same in every process."""
    config = small_config()
    base = make_trial_config(config, Cell("model_4", 10), "modern")
    assert hash_configuration(base) == hash_configuration(dataclasses.replace(base, epochs_planned=1))
    changes: dict[str, Any]
    changes = {"learning_rate": 0.02, "filters_1": 3, "filters_2": 3, "loss": "both", "batch_size": 7, "momentum": 0.5}
    digests = {hash_configuration(dataclasses.replace(base, **{name: value})) for name, value in changes.items()}
    assert len(digests | {hash_configuration(base)}) == len(changes) + 1


@pytest.mark.parametrize(
    ("preset", "digest"), [("quick", "98c6e49e8c692924"), ("reference", "ee6ea1deedbb2275")], ids=lambda value: value
)
def test_studies_without_other_objectives_plan_the_trials_that_they_planned_before(preset: str, digest: str) -> None:
    """Their ids are those of the version before, so that finished studies go on as they are."""
    ids = "\n".join(planned.trial_id for planned in plan_trials(study_config(preset, with_umap=False)))
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == digest
    reconstruction = make_trial_config(study_config("reference"), Cell("model_4", 10), "modern")
    assert hash_configuration(reconstruction) == "b07a6832"
    assert hash_configuration(dataclasses.replace(reconstruction, objective="denoising")) != "b07a6832"
