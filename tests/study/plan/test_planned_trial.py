"""What a planned trial is: the digest of a configuration, which is part of the name of what confirms it."""

from __future__ import annotations

import dataclasses
from typing import Any

from study.config.search_space import Cell
from study.plan.planned_trial import hash_configuration, make_trial_config
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
