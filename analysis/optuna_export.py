"""The searches of a study as studies of Optuna, made from rows: what optuna-dashboard opens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results import COORDINATES, SEARCHED, StudyResults
from study.storage.location import hide_credentials
from study.storage.schema import OPTUNA_STATES
from trainables.errors import InputError
from trainables.models.architectures import Architecture, Control

JOURNALS = (".log", ".journal")
"""How the name of a journal file ends; every other storage is the URL of a database."""


def check_storage(url: str) -> None:
    """Open a storage, making it where there is none.

    Raises:
        InputError: it cannot be opened.
    """
    with open_storage(url):
        pass


def write_optuna(results: StudyResults, url: str) -> str:
    """Add the search of every cell to a storage of Optuna, a study a round, and say how much was added.

    Values of two rounds cannot be compared: they train fewer or more epochs. Trials are in order, with their
    parameters, what the search minimises after every epoch (attribute ``metric`` of the study names its column), and
    their state: complete, pruned, or fail for those that diverged or failed. Trials that are there already are left as
    they are, so the same call adds what has ended since.

    Raises:
        InputError: there is no search, or the storage cannot be opened or written.
    """
    search = results.trials[results.trials["phase"] == "search"].sort_values("number")
    if search.empty:
        raise InputError(
            f"{results.path} has no trial of phase search", "a study with a search", "run its search first"
        )
    column = f"validation_{results.studies[0].search_metric}"
    curves = dict(list(results.epochs.groupby("trial_id")))
    added = 0
    with open_storage(url) as storage:
        import optuna

        rounds = search["round"].fillna(0).astype("int64")
        cells = search.groupby(["architecture", "code_size", rounds], observed=True)
        for (architecture, code_size, each), trials in cells:
            optuna_study = optuna.create_study(
                storage=storage,
                study_name=f"{results.studies[0].name}/{architecture}-code{code_size}"
                + (f"-round{each}" if each else ""),
                direction="minimize",
                load_if_exists=True,
            )
            optuna_study.set_user_attr("metric", column)
            began = optuna_study.user_attrs.get("study_sha256", results.manifest.get("study_sha256"))
            if began != results.manifest.get("study_sha256"):
                raise InputError(
                    f"Optuna storage {hide_credentials(url)}: has trials of another study called "
                    f"{results.studies[0].name}",
                    "a storage of this study's, or one without a study of that name",
                    "give another storage, or delete that study from it",
                )
            optuna_study.set_user_attr("study_sha256", began)
            there = {trial.user_attrs.get("trial_id") for trial in optuna_study.get_trials(deepcopy=False)}
            distributions = _distributions(trials, results.manifest)
            own = _make_own_distributions(results.models.get(str(architecture)))
            for row in trials[~trials["trial_id"].isin(there)].to_dict("records"):
                curve = curves.get(row["trial_id"], results.epochs[:0])[["epoch", column]].dropna()
                values = dict(zip(curve["epoch"].tolist(), curve[column].tolist(), strict=True))
                optuna_study.add_trial(_optuna_trial(row, values, distributions, own))
                added += 1
    return f"{added} of {len(search)} search trials added"


@contextmanager
def open_storage(url: str) -> Iterator[Any]:
    """Give the storage of Optuna at a URL or in a journal file; what goes wrong with it is an InputError."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage: JournalStorage | RDBStorage | None = None
    try:
        storage = JournalStorage(JournalFileBackend(url)) if Path(url).suffix in JOURNALS else RDBStorage(url)
        yield storage
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"Optuna storage {hide_credentials(url)}: {str(error).splitlines()[0]}",
            "one that can be written: sqlite:///study.db, another database's URL, or a journal file, study.log",
            "check the address, that its folder exists, and that no other program keeps it locked",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()  # Python 3.13 warns of databases that are left open.


def _distributions(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ranges that were searched, from study.json, wide enough for all values.

    The coordinates of a search by rounds, the filter counts themselves of one before.
    """
    from optuna.distributions import FloatDistribution, IntDistribution

    # A control may have a recipe of its own.
    identity, recipe = manifest.get("identity", {}), next(iter(trials["recipe"].dropna()), None)
    of_recipe = identity.get("recipes", {}).get(recipe, {})
    limits = {name: of_recipe.get(f"{name}_range", []) for name in ("learning_rate", "weight_decay")}
    limits |= {name: identity.get(f"{name}_range", []) for name in COORDINATES}
    limits |= dict.fromkeys(("filters_1", "filters_2"), identity.get("filters_range", []))
    ranges: dict[str, Any] = {}
    decays = ("weight_decay",) if limits["weight_decay"] else ()
    filters = COORDINATES if trials["budget_share"].notna().any() else SEARCHED[1:]
    for name in SEARCHED[:1] + decays + filters:
        values = [*trials[name].dropna().tolist(), *limits[name]]
        kind = IntDistribution if name in SEARCHED[1:] else FloatDistribution
        if trials[name].notna().any():
            ranges[name] = kind(min(values), max(values), log=name != "budget_share")
    return ranges


def _make_own_distributions(row: Architecture | Control | None) -> dict[str, Any]:
    """Return what the search of a module of the user's own chose besides."""
    from optuna import distributions

    return {
        name: getattr(distributions, values["distribution"])(
            **{key: each for key, each in values.items() if key != "distribution"}
        )
        for name, values in getattr(row, "space", {}).items()
    }


def _optuna_trial(
    row: Mapping[Any, Any], values: dict[int, float], distributions: Mapping[str, Any], own: Mapping[str, Any]
) -> Any:
    """Return a search trial as Optuna has it, with what was reached after each epoch.

    ``own`` are distributions of settings of a module of the user's own.
    """
    from optuna.trial import TrialState, create_trial

    state = TrialState[OPTUNA_STATES[row["status"]]]
    settings = json.loads(row["module_settings"]) if own else {}
    told = (
        "trial_id",
        "number",
        "round",
        "sampler",
        "filters_1",
        "filters_2",
        "seed",
        "status",
        "reason",
        "epochs",
        "parameters",
        "seconds",
        "device",
        "host",
    )
    trial = create_trial(
        state=state,
        value=None if state == TrialState.FAIL else row["search_value"],
        params={name: row[name] for name in distributions} | {name: settings[name] for name in own},
        distributions={**distributions, **own},
        intermediate_values=values,
        user_attrs={name: row[name] for name in told if pd.notna(row[name])},
    )
    # Optuna has times of the clock on the wall.
    trial.datetime_start, trial.datetime_complete = (
        time.to_pydatetime().astimezone().replace(tzinfo=None) if pd.notna(time) else None
        for time in (row["started_at"], row["finished_at"])
    )
    return trial
