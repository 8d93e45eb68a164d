"""Configurations that are wrong: whatever is given, a plan or one screen that says what is accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import operator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from study import launch
from study.config.ablations import FACTORS
from study.config.presets import PRESETS, study_config
from study.config.search_space import SAMPLERS
from study.config.study_config import SEARCH_METRICS, TRAINED_ARMS, StudyConfig
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.storage.schema import PHASES
from tests.faults.launches import assert_ended_in_words
from tests.studies import exit_status
from trainables.data.datasets import DATASETS
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN
from trainables.training.objectives import OBJECTIVES
from trainables.trial_config import RECIPES

# What a shell can pass: any characters but NUL.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)
NUMBERS = st.one_of(
    st.integers(-3, 900).map(str),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "1e5", "0x10", "١٢", "1_000", "9" * 5000, "-0", " 7 ", "1.5", "nan", "inf", "1e-400"]),
)


def names(accepted: Any) -> st.SearchStrategy[str]:
    """Return mostly right names, and anything."""
    return st.one_of(st.sampled_from(sorted(accepted)), st.sampled_from(sorted(accepted)), WORDS)


def several(words: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Return one to four words."""
    return st.lists(words, min_size=1, max_size=4)


FLAGS: dict[str, st.SearchStrategy[list[str]]] = {
    "--preset": names(PRESETS).map(lambda word: [word]),
    "--phase": several(names(PHASES)),
    "--dataset": names(DATASETS).map(lambda word: [word]),
    "--architectures": several(names(BUILT_IN)),
    "--objectives": several(names(OBJECTIVES)),
    "--models": WORDS.map(lambda word: [word]),
    "--code-sizes": several(NUMBERS),
    "--arms": several(names(TRAINED_ARMS)),
    "--published-epochs": NUMBERS.map(lambda word: [word]),
    "--recipe": names(RECIPES).map(lambda word: [word]),
    "--trials": NUMBERS.map(lambda word: [word]),
    "--seeds": NUMBERS.map(lambda word: [word]),
    "--until-decided": st.just([]),
    "--epochs": NUMBERS.map(lambda word: [word]),
    "--seed": NUMBERS.map(lambda word: [word]),
    "--factors": several(names(FACTORS)),
    "--name": WORDS.map(lambda word: [word]),
    "--results-dir": WORDS.map(lambda word: [word]),
    "--data-dir": WORDS.map(lambda word: [word]),
    "--address": WORDS.map(lambda word: [word]),
    "--concurrency": NUMBERS.map(lambda word: [word]),
    "--gpus-per-trial": NUMBERS.map(lambda word: [word]),
    "--time-budget": NUMBERS.map(lambda word: [word]),
    "--epoch-limit": NUMBERS.map(lambda word: [word]),
    "--retry-failed": st.just([]),
    "--yes": st.just([]),
    "--optuna-storage": WORDS.map(lambda word: [word]),
    "--no-report": st.just([]),
    "--quiet": st.just([]),
    "--verbose": st.just([]),
    "--dry-run": st.just([]),
    "--status": st.one_of(st.just([]), WORDS.map(lambda word: [word])),
    "--json": st.just([]),
    "--missing": st.one_of(st.just([]), WORDS.map(lambda word: [word])),
    "--reproduce": st.tuples(WORDS, WORDS).map(list),
}
LINES = st.lists(st.sampled_from(sorted(FLAGS)), max_size=4, unique=True).flatmap(
    lambda flags: st.tuples(*(FLAGS[flag].map(functools.partial(operator.add, [flag])) for flag in flags))
)
PAST_PARSING = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def has_a_plan(config: StudyConfig) -> bool:
    """Whether the configuration plans trials, or is refused as a plan since it plans none."""
    if next(plan_trials(config), None) is None:
        with pytest.raises(InputError, match="no trial"):
            Plan(config, ())
    return True


def test_every_flag_of_the_command_line_is_tried() -> None:
    """A new flag needs its values here."""
    flags = {word for action in launch.make_parser()._actions for word in action.option_strings}
    assert set(FLAGS) == flags - {"-h", "--help"}


@pytest.mark.fault("wrong flags, by property (2,000 command lines)")
@PAST_PARSING
@given(LINES)
@example((["--code-sizes", "784"],))
@example((["--name", "n" * 300],))
@example((["--results-dir", "r" * 300],))
@example((["--concurrency", "1000000000"],))
@example((["--trials", "9" * 5000],))
def test_any_command_line_makes_a_plan_or_one_screen_of_what_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: tuple[list[str], ...]
) -> None:
    """Exit status 2 without a traceback, and no folder, half made or whole."""
    monkeypatch.chdir(tmp_path)
    planned_configs: list[StudyConfig] = []

    def run(arguments: Any) -> int:
        planned_configs.append(launch.make_config(arguments))
        return 0

    monkeypatch.setattr(launch, "_run", run)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = exit_status([word for words in line for word in words])
    if status == 0 and planned_configs:
        assert has_a_plan(planned_configs[0])
    elif status == 0:
        assert "--preset" in out.getvalue()  # a word of the line was -h
    else:
        assert status == 2
        assert out.getvalue() == ""
        assert_ended_in_words(err.getvalue())
        assert 0 < len(err.getvalue().splitlines()) <= 30
        assert len(err.getvalue()) < 4_000
    assert list(tmp_path.iterdir()) == []


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.lists(WORDS, max_size=3), st.binary(max_size=5)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": WORDS,
    "preset": names(PRESETS),
    "dataset": names(DATASETS),
    "architectures": several(names(BUILT_IN)).map(tuple),
    "code_sizes": st.lists(st.integers(-1, 900), max_size=4).map(tuple),
    "objectives": several(names(OBJECTIVES)).map(tuple),
    "objectives_at": st.lists(st.tuples(names(BUILT_IN), several(names(OBJECTIVES)).map(tuple)), max_size=2).map(tuple),
    "own_objectives": st.just(()),
    "phases": several(names(PHASES)).map(tuple),
    "arms": several(names(TRAINED_ARMS)).map(tuple),
    "recipe": names(RECIPES),
    "control_recipe": st.one_of(st.none(), names(RECIPES)),
    "finalists": st.integers(),
    "validation_seeds": st.integers(),
    "generation_size": st.integers(),
    "sampler": names(SAMPLERS),
    "search_metric": names(SEARCH_METRICS),
    "multiply_adds_budget": st.one_of(st.none(), st.integers()),
    "published_epochs": st.integers(),
    "trials": st.integers(),
    "seeds": st.integers(),
    "seeds_at": st.lists(st.tuples(names(TRAINED_ARMS), st.integers(1, 40), st.integers(1, 9)), max_size=3).map(tuple),
    "epochs": st.integers(),
    "batch_size": st.one_of(st.none(), st.integers()),
    "weight_decay": st.one_of(st.none(), st.floats()),
    "with_umap": st.booleans(),
    "until_decided": st.booleans(),
    "seed": st.integers(),
    "factors": several(names(FACTORS)).map(tuple),
    "ablated_architectures": several(names(BUILT_IN)).map(tuple),
    "ablated_code_size": st.integers(),
    "models": st.just(()),
}


def test_every_field_of_a_configuration_is_tried() -> None:
    """A new field needs its values here."""
    assert set(VALUES) == {field.name for field in dataclasses.fields(StudyConfig)}


@pytest.mark.fault("wrong fields of a configuration, by property (2,000 configurations)")
@PAST_PARSING
@given(
    st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True).flatmap(
        lambda fields: st.fixed_dictionaries({field: st.one_of(VALUES[field], ANYTHING) for field in fields})
    )
)
def test_any_field_of_a_configuration_is_accepted_or_refused_with_what_is(changes: dict[str, Any]) -> None:
    """A configuration that was made has a plan."""
    values = dataclasses.asdict(study_config("quick", phases=PHASES, trials=2, seeds=1)) | changes
    try:
        config = StudyConfig(**values)
    except InputError as error:
        assert error.accepted and error.remedy
        assert len(str(error)) < 2_000
        return
    assert has_a_plan(config)
    assert config.as_dict()["name"] == config.name
