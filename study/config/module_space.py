"""The search space of a module of the user's own: Optuna's distributions by name, and the budgets that it keeps to.

The file of a study has it as ``[space.NAME]``, a record may have it itself::

    [space.residual]
    width = { distribution = "IntDistribution", low = 8, high = 32, log = true }
    dropout = { distribution = "FloatDistribution", low = 0.0, high = 0.5 }
    depth = { distribution = "CategoricalDistribution", choices = [1, 2] }
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study.config.search_space import PARAMETER_BUDGET, Cell
from study.config.study_config import StudyConfig
from trainables.errors import InputError
from trainables.models.architectures import Architecture, ModuleAutoencoder
from trainables.trial_config import TrialConfig

DISTRIBUTIONS: dict[str, Callable[..., BaseDistribution]] = {
    kind.__name__: kind for kind in (IntDistribution, FloatDistribution, CategoricalDistribution)
}

_WHOLE, _NUMBER = (int,), (int, float)
_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    "IntDistribution": {"low": _WHOLE, "high": _WHOLE, "step": _WHOLE, "log": (bool,)},
    "FloatDistribution": {"low": _NUMBER, "high": _NUMBER, "step": _NUMBER, "log": (bool,)},
    "CategoricalDistribution": {"choices": (list,)},
}
_ACCEPTED = {
    "IntDistribution": "low and high, whole numbers; log = true or step, a whole number, where it is wanted",
    "FloatDistribution": "low and high, numbers; log = true or step, a number, where it is wanted",
    "CategoricalDistribution": "choices, a list of numbers, texts or booleans",
}

_TAKEN = (*(field.name for field in dataclasses.fields(TrialConfig)), "budget_share", "filters_ratio")
"""Names that other settings of a trial have."""


def make_distributions(row: Architecture) -> dict[str, BaseDistribution]:
    """Return what the search of a model chooses by Optuna besides what every model has, by name; none of most.

    Raises:
        InputError: there is no such distribution or setting, or search trial 0 would lie outside.
    """
    if not isinstance(row, ModuleAutoencoder):
        return {}
    if taken := sorted(set(row.settings) & {*_TAKEN}):
        raise InputError(
            f"{row.name}: a setting called {taken[0]}, as one that every trial has",
            f"names of its own, none of {', '.join(_TAKEN)}",
            "give the argument of build another name",
        )
    made: dict[str, BaseDistribution] = {}
    for name, values in row.space.items():
        if name not in row.settings:
            raise InputError(
                f"{row.name}: a space of {name}, which is none of its settings",
                ", ".join(row.settings) or "no setting, since the model has none",
                f"add {name} to settings, with the value that is tried first, or leave it out of the space",
            )
        made[name] = _make_distribution(f"{row.name}: {name}", values)
        first = row.settings[name]
        if not _holds(made[name], first):
            raise InputError(
                f"{row.name}: {name} {first!r:.60} in settings, which lies outside its space",
                f"a value of {made[name]}",
                "begin with another value, or widen the space",
            )
    return made


def check_modules(config: StudyConfig) -> None:
    """Build the modules of a study as they are first tried and as large as they can be, and refuse what cannot train.

    Of each setting the end of its range is taken that makes the module largest, one setting after the other.

    Raises:
        InputError: one raises or gives wrong shapes, or leaves a budget.
    """
    budgets = {"parameters": PARAMETER_BUDGET, "multiply_adds": config.multiply_adds_budget}
    for row in config.models:
        if isinstance(row, ModuleAutoencoder) and row.name in config.architectures:
            for code_size in config.code_sizes:
                for what, budget in budgets.items():
                    if budget is not None:
                        _check_budget(row, code_size, what, budget)


def _check_budget(row: ModuleAutoencoder, code_size: int, what: str, budget: int) -> None:
    # PyTorch takes seconds to import, which a study without such modules need not wait for.
    from trainables.models.module import measure_module

    settings = dict(row.settings)
    largest = getattr(measure_module(row, code_size, settings), what)
    for name, distribution in make_distributions(row).items():
        for value in _list_ends(distribution):
            tried = settings | {name: value}
            size = getattr(measure_module(row, code_size, tried), what)
            if size > largest:
                settings, largest = tried, size
    if largest > budget:
        told = ", ".join(f"{name} {value}" for name, value in settings.items())
        raise InputError(
            f"{Cell(row.name, code_size)} has {largest:,} {what.replace('_', '-')}{f' at {told}' if told else ''}",
            f"at most {budget:,}, the budget of all models that are ranked",
            f"make it smaller, narrow [space.{row.name}], or choose smaller code sizes",
        )


def _list_ends(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.low, distribution.high


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    wanted = (int,) if isinstance(distribution, IntDistribution) else (int, float)
    return type(value) in wanted and distribution._contains(distribution.to_internal_repr(value))


def _make_distribution(what: str, values: Mapping[str, Any]) -> BaseDistribution:
    given = dict(values)
    called = given.pop("distribution", None)
    if called not in DISTRIBUTIONS:
        raise InputError(
            f"{what}: distribution {called!r:.60}",
            f"a table with distribution = one of: {', '.join(DISTRIBUTIONS)}",
            "see docs/extending.md",
        )
    kinds = _KINDS[called]
    try:
        # Optuna rounds in silence, as the low end 1.5 of whole numbers.
        if wrong := [name for name, each in given.items() if type(each) not in kinds.get(name, ())]:
            raise ValueError(f"{wrong[0]} = {given[wrong[0]]!r:.60}")
        return DISTRIBUTIONS[called](
            **{name: tuple(each) if name == "choices" else each for name, each in given.items()}
        )
    except (TypeError, ValueError) as error:
        message = str(error).splitlines()[0]
        raise InputError(f"{what}: {called}: {message[:200]}", _ACCEPTED[called], "correct it") from None
