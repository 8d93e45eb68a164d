"""Presets: named values from which a configuration starts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from study.config.factorial import make_factorial
from study.config.presets import PRESETS, change_preset, study_config
from study.config.study_config import PUBLISHED_EPOCHS
from study.plan.rounds import is_grid, list_rounds
from study.plan.trials import plan_trials
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN, STUDIED
from trainables.training.objectives import OBJECTIVES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_named_after_preset_and_data(preset: str) -> None:
    """The same command resumes the same folder."""
    config = study_config(preset)
    assert config.name == f"{preset}-{config.dataset}"
    own = {"factorial": tuple(row.name for row in make_factorial()), "objectives": ("model_4", "model_3")}
    assert config.architectures == own.get(preset, STUDIED)


PLANNED = {
    "quick": "7903572f7acaba55",
    "sample": "d5606f7ed6eeada4",
    "paper": "e74fbc6b2d6f7cdf",
    "reference": "288f653e91749cc1",
    "factorial": "26a538b9e72c8218",
    "objectives": "fe97ecebec6e7efa",
}
"""Digests of ids, seeds and epochs of the trials that each preset plans."""


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_plans_the_trials_that_it_always_planned(preset: str) -> None:
    """A study that was begun goes on: what is added to the tables is studied where it is asked for."""
    planned = plan_trials(study_config(preset))
    trials = "\n".join(f"{trial.trial_id} {trial.seed} {trial.epochs}" for trial in planned)
    assert hashlib.sha256(trials.encode()).hexdigest()[:16] == PLANNED[preset]


def test_the_papers_epochs_are_its_iterations() -> None:
    """20,000 steps of 100 of 60,000 images."""
    config = study_config("paper")
    assert config.epochs == config.published_epochs == PUBLISHED_EPOCHS == 20_000 * 100 // 60_000


def test_the_protocol_shows_what_each_preset_spends() -> None:
    """One table of docs/protocol.md, value by value."""
    shown = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name in PRESETS:
        config = study_config(name)
        rounds = ", ".join(
            f"{each.trials} x {each.epochs}" + (f" x {each.seeds} seeds" if each.seeds > 1 else "")
            for each in list_rounds(config)
        )
        epochs = str(config.epochs) + (f", {config.published_epochs}" if "published" in config.arms else "")
        sizes = ", ".join(map(str, config.code_sizes))
        seeds = "; ".join([str(config.seeds), *(f"{seeds} {arm} at {size}" for arm, size, seeds in config.seeds_at)])
        searched = f"{config.trials} by {'grid' if is_grid(config) else config.sampler}"
        recipe = config.recipe + (f"; {config.control_recipe} for controls" if config.control_recipe else "")
        spent = (", ".join(config.arms), sizes, searched, rounds, config.finalists, seeds, epochs, recipe)
        assert f"| `{name}` | {' | '.join(map(str, spent))} |" in shown


def test_a_change_that_is_none_leaves_the_presets_value() -> None:
    """Any other change takes its place, a zero too."""
    assert study_config("quick", seeds=None) == study_config("quick")
    assert study_config("quick", seeds=7, seed=0).seeds == 7


def test_a_number_of_seeds_that_is_asked_for_holds_everywhere() -> None:
    """A preset's exceptions are exceptions to its own number."""
    config = study_config("reference")
    expected = {"tuned": [5, 8, 5], "published": [3, 5, 3]}
    assert {arm: [config.count_seeds(arm, size) for size in (2, 10, 30)] for arm in config.arms} == expected
    asked = study_config("reference", seeds=2)
    assert {asked.count_seeds(arm, size) for arm in asked.arms for size in asked.code_sizes} == {2}
    both = study_config("reference", seeds=2, seeds_at=(("tuned", 10, 4),))
    assert [both.count_seeds("tuned", size) for size in (2, 10)] == [2, 4]


def test_an_unknown_preset_or_key_is_answered_with_those_there_are() -> None:
    """As a value that is not accepted is."""
    with pytest.raises(
        InputError, match=r"unknown preset 'fast'\n  accepted: quick, sample, paper, reference, factorial, objectives"
    ):
        study_config("fast")
    with pytest.raises(InputError, match=r"unknown key 'epochz'\n  accepted: name, preset, dataset"):
        study_config("quick", epochz=3)


def test_a_file_of_data_is_found_from_the_folder_of_what_names_it(tmp_path: Path) -> None:
    """Names of data sets are left as they are."""
    config = change_preset(PRESETS["quick"], {"dataset": "mine.npz"}, "mine", tmp_path)
    assert (config.dataset, config.name) == (str(tmp_path / "mine.npz"), "mine-mine")
    assert change_preset(PRESETS["quick"], {}, "mine", tmp_path).dataset == "digits"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my images (1).npz", "quick-my-images-1"),
        ("caf\u00e9.parquet", "quick-cafe"),
        ("\u5199\u771f.npz", "quick"),
        (f"{'a' * 200}.npz", f"quick-{'a' * 94}"),
        ("mine_2.0.npz", "quick-mine_2.0"),
    ],
)
def test_a_study_of_a_file_with_any_name_gets_one_that_a_folder_can_have(file: str, name: str, tmp_path: Path) -> None:
    """A name that already is one stays as it is, and one that is asked for is refused rather than changed."""
    assert study_config("quick", dataset=str(tmp_path / file)).name == name
    with pytest.raises(InputError, match="name 'my study'"):
        study_config("quick", name="my study")


def test_a_study_file_may_have_any_name() -> None:
    """What is derived of it is what rows and folder are called by."""
    for called in ("my study", "\u00e9tude"):
        config = change_preset(PRESETS["quick"], {}, called)
        assert re.fullmatch("(my-study|etude)", config.preset)
        assert config.name == f"{config.preset}-digits"


@pytest.mark.parametrize(
    "changes",
    [
        {"models": BUILT_IN["model_4"]},
        {"models": ["relu_tile"]},
        {"own_objectives": ["small_code"]},
        {"own_objectives": OBJECTIVES["denoising"]},
    ],
)
def test_what_is_no_list_of_rows_is_refused_in_words(changes: dict[str, Any]) -> None:
    """As one model without its brackets."""
    with pytest.raises(InputError, match="a list of rows"):
        study_config("quick", **changes)
