"""A study's configuration: what it refuses, and what follows from its fields."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from study.config.presets import study_config
from study.config.search_space import Cell
from tests.studies import small_config
from trainables.errors import FieldError
from trainables.models.architectures import BUILT_IN, CONTROLS, TRAINED_CONTROLS
from trainables.trial_config import RECIPES


@pytest.mark.parametrize(
    ("field", "value", "received", "accepted"),
    [
        ("trials", 100_001, "trials 100001", "a whole number from 1 to 100,000"),
        ("seeds", 1.0, "seeds 1.0", "a whole number from 1 to 1,000"),
        ("seeds_at", (("tuned", 10, 0),), "seeds_at 0", 'a list of [arm, code size, seeds], such as ["tuned", 10, 8]'),
        ("seeds_at", (("control", 10, 3),), None, 'a list of [arm, code size, seeds], such as ["tuned", 10, 8]'),
        ("seed", -1, "seed -1", "a whole number from 0 to 1,000,000,000"),
        ("batch_size", "20", "batch_size '20'", "a whole number from 1 to 1,000"),
        ("ablated_code_size", 785, "ablated_code_size 785", "a whole number from 1 to 784"),
        ("code_sizes", (2, True), "code_sizes True", "a list of at least one, whole numbers from 1 to 784"),
        ("phases", (), "phases ()", "a list of: search, confirm, ablate"),
        ("phases", ("train",), "unknown phase 'train'", "search, confirm, ablate"),
        ("weight_decay", "much", "weight_decay 'much'", "a number from 0 to 1"),
        ("weight_decay", 1.5, "weight_decay 1.5", "a number from 0 to 1"),
        ("weight_decay", True, "weight_decay True", "a number from 0 to 1"),
        ("recipe", "secret", "unknown recipe 'secret'", "caffe, modern, muon"),
        ("arms", ("control",), "unknown arm 'control'", "tuned, published"),
        ("sampler", "grid", "unknown sampler 'grid'", "random, tpe, multivariate_tpe, gp"),
        ("search_metric", "error", "unknown search metric 'error'", "cross_entropy, squared_error"),
        ("search_metric", 3, "search_metric 3", "one of: cross_entropy, squared_error"),
        ("finalists", 9, "finalists 9", "a whole number from 1 to 8"),
        (
            "finalists",
            1,
            "finalists 1 of 3 trials, which would be trial 0 whatever the search finds",
            "a whole number from 2 to 8, since trial 0 is one of them",
        ),
        ("generation_size", 0, "generation_size 0", "a whole number from 1 to 1,000"),
        ("multiply_adds_budget", 0, "multiply_adds_budget 0", "a whole number from 1 to 1,000,000,000,000"),
        ("name", ".hidden", "name '.hidden'", "letters, digits, '-', '_' and '.', not starting with '.', at most 100"),
        ("name", "a" * 101, None, "letters, digits, '-', '_' and '.', not starting with '.', at most 100"),
        ("models", (3,), "models 3", "rows of models, as docs/extending.md shows"),
        ("architectures", ("pca",), "unknown architecture 'pca'", ", ".join((*BUILT_IN, *TRAINED_CONTROLS))),
    ],
)
def test_a_value_that_is_not_accepted_is_told_with_what_is(
    field: str, value: Any, received: str | None, accepted: str
) -> None:
    """In three parts, and with the field, by which a file's line is found."""
    with pytest.raises(FieldError) as raised:
        dataclasses.replace(study_config("quick"), **{field: value})
    error = raised.value
    assert error.field == field
    assert error.accepted == accepted
    assert error.received == received or (received is None and len(error.received) < 80)
    assert error.remedy


def test_the_authors_recipe_takes_no_other_weight_decay() -> None:
    """The published arm has it as it is; any other recipe takes one, 0 too, and keeps the rest."""
    with pytest.raises(FieldError, match="with recipe caffe"):
        study_config("quick", recipe="caffe", weight_decay=0.1)
    for decay in (0, 0.03):
        recipe = study_config("quick", recipe="muon", weight_decay=decay).tuned_recipe
        assert recipe == dataclasses.replace(RECIPES["muon"], weight_decay=decay, weight_decay_range=None)
    assert study_config("quick", recipe="muon").tuned_recipe is RECIPES["muon"]


def test_a_configuration_is_a_value() -> None:
    """It compares, travels, cannot be changed, and is plain in study.json."""
    config = study_config("quick", code_sizes=[2, 10])
    assert pickle.loads(pickle.dumps(config)) == config == study_config("quick", code_sizes=(2, 10))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seeds = 4  # type: ignore[misc]
    values = config.as_dict()
    assert (values["code_sizes"], values["models"], values["seeds"]) == ([2, 10], [], 3)


def test_seeds_of_search_and_confirmation_never_meet() -> None:
    """A million belong to a base seed: confirmations count from its start, search trials from its middle."""
    config = study_config("quick", seed=3)
    assert (config.confirm_seed(1), config.confirm_seed(1_000)) == (3_000_001, 3_001_000)
    assert (config.search_seed(0), config.search_seed(99_999)) == (3_500_000, 3_599_999)
    assert (config.validation_seed(1), config.validation_seed(100)) == (3_250_001, 3_250_100)
    assert study_config("quick", seed=4).confirm_seed(1) > config.search_seed(99_999)


def test_ablated_cells_are_those_that_the_study_has() -> None:
    """At its own code size where it lacks the one asked for."""
    config = study_config("quick", architectures=("model_4", "model_5"), code_sizes=(4, 16))
    assert config.ablated_cells == (Cell("model_4", 4),)
    assert study_config("quick", code_sizes=(4, 10)).ablated_cells[0] == Cell("model_1", 10)


def test_rows_are_found_by_name() -> None:
    """Built in ones and controls; those of the user's own see tests/trainables/models/test_custom.py."""
    config = study_config("quick")
    assert config.find_row("model_2") is config.architecture("model_2") is BUILT_IN["model_2"]
    assert config.find_row("pca") is CONTROLS["pca"]


def test_every_trial_of_a_search_has_a_seed_of_its_own_and_none_is_that_of_a_confirmation() -> None:
    """Nor do studies of two base seeds share any."""
    config, other = small_config(trials=9), small_config(trials=9, seed=1)
    searched = [config.search_seed(number) for number in range(9)]
    confirmed = [config.confirm_seed(number) for number in range(1, 6)]
    assert len(set(searched + confirmed)) == 14
    assert not {other.search_seed(number) for number in range(9)} & set(searched + confirmed)


@pytest.mark.parametrize("changes", [{"objectives": ("moment_matching",)}, {"architectures": ("model_4", "siamese")}])
def test_batches_of_one_image_are_refused_where_images_are_compared(changes: dict[str, Any]) -> None:
    """A discrepancy of one code, and a pair of one image, are nothing that could be learned."""
    with pytest.raises(FieldError, match="batch_size 1 with objective"):
        study_config("quick", batch_size=1, **changes)
    assert study_config("quick", batch_size=2, **changes).batch_size == 2
    assert study_config("quick", batch_size=1).batch_size == 1
