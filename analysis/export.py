"""Convert the rows of a study to what other tools open.

::

    python analysis/export.py results/quick-digits --optuna sqlite:///study.db     # optuna-dashboard sqlite:///study.db
    python analysis/export.py results/quick-digits --tensorboard events            # tensorboard --logdir events
    python analysis/export.py results/quick-digits --csv trials.csv                # one row a trial
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results import StudyResults, load_study
from trainables.errors import InputError

SETTINGS = ("learning_rate", "filters_1", "filters_2")
"""What is searched."""

LOSSES = ("train_cross_entropy", "train_squared_error", "validation_cross_entropy", "validation_squared_error")
"""Figures of an epoch."""

_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL", "failed": "FAIL"}


def main(argv: Sequence[str] | None = None) -> int:
    """Write what was asked for; return the exit status: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="export.py", description="Convert the rows of a study for other tools.")
    parser.add_argument("results", metavar="RESULTS", help="folder or URI of a study with its study.json")
    parser.add_argument("--optuna", metavar="URL", help="storage of Optuna, such as sqlite:///study.db")
    parser.add_argument("--tensorboard", metavar="DIR", help="folder of event files, new or empty")
    parser.add_argument("--csv", metavar="FILE", help="table of trials with their settings, outcome and scores")
    arguments = parser.parse_args(argv)
    writers: dict[str, Callable[[StudyResults, str], str]] = {
        "optuna": write_optuna,
        "tensorboard": write_tensorboard,
        "csv": write_csv,
    }
    asked = {name: target for name in writers if (target := getattr(arguments, name))}
    if not asked:
        parser.error("nothing to write: give --optuna, --tensorboard or --csv")
    try:
        results = load_study(arguments.results)
        for problem in results.problems:
            print(f"note: {problem}")
        for name, target in asked.items():
            print(f"{name}: {target}, {writers[name](results, target)}", flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write_optuna(results: StudyResults, url: str) -> str:
    """Add the search of every cell to a storage of Optuna, as one study, and say how much was added.

    Trials are in order, with their parameters, the validation cross-entropy of every epoch, and their state: complete,
    pruned, or fail for those that diverged or failed. Trials that are there already are left as they are, so the same
    call adds what has ended since.

    Raises:
        InputError: there is no search, or the storage cannot be opened or written.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    search = results.trials[results.trials["phase"] == "search"].sort_values("number")
    if search.empty:
        raise InputError(
            f"{results.path} has no trial of phase search", "a study with a search", "run its search first"
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    curves = dict(list(results.epochs.groupby("trial_id")))
    added = 0
    try:
        storage = optuna.storages.get_storage(url)
        for (architecture, code_size), trials in search.groupby(["architecture", "code_size"], observed=True):
            optuna_study = optuna.create_study(
                storage=storage,
                study_name=f"{results.studies[0].name}/{architecture}-code{code_size}",
                direction="minimize",
                load_if_exists=True,
            )
            there = {trial.user_attrs.get("trial_id") for trial in optuna_study.get_trials(deepcopy=False)}
            distributions = _distributions(trials, results.manifest)
            for row in trials[~trials["trial_id"].isin(there)].to_dict("records"):
                optuna_study.add_trial(_optuna_trial(row, curves.get(row["trial_id"]), distributions))
                added += 1
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"--optuna {url}: {str(error).splitlines()[0]}",
            "a storage of Optuna that can be written, such as sqlite:///study.db",
            "check the address; a folder in it must exist",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
    return f"{added} of {len(search)} search trials added"


def write_tensorboard(results: StudyResults, folder: str) -> str:
    """Write a folder of events for each trial: its losses by epoch, its scores after the last, its settings.

    Raises:
        InputError: the folder holds something already, or cannot be written.
    """
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    accepted = "a folder that is new or empty"
    curves = dict(list(results.epochs.groupby("trial_id")))
    scores = dict(list(results.scores.groupby("trial_id")))
    try:
        if Path(folder).exists() and any(Path(folder).iterdir()):
            raise InputError(f"--tensorboard {folder}: holds files already", accepted, "choose another folder")
        for row in results.trials.to_dict("records"):
            trial_id = row["trial_id"]
            with SummaryWriter(str(Path(folder) / trial_id)) as writer:
                time = row["started_at"].timestamp() if pd.notna(row["started_at"]) else 0.0
                last = row["epochs"] if pd.notna(row["epochs"]) else 0  # a control trains none
                for epoch in curves.get(trial_id, results.epochs[:0]).sort_values("epoch").to_dict("records"):
                    time += epoch["seconds"] if pd.notna(epoch["seconds"]) else 0.0
                    for name in (*LOSSES, "learning_rate"):
                        if pd.notna(epoch[name]):
                            writer.add_scalar(name, epoch[name], epoch["epoch"], time)
                for score in scores.get(trial_id, results.scores[:0]).to_dict("records"):
                    tag = f"{score['split']}_{score['evaluator']}/{score['metric']}"
                    writer.add_scalar(tag, score["value"], last, time)
                settings = {name: row[name] for name in ("phase", "arm", "architecture", "code_size", "status")}
                settings |= {name: row[name] for name in SETTINGS if pd.notna(row[name])}
                for summary in hparams(settings, {name: row[name] for name in LOSSES if pd.notna(row[name])}):
                    writer.file_writer.add_summary(summary)
    except OSError as error:
        raise InputError(
            f"--tensorboard {folder}: {error.strerror or error}", accepted, "choose another one"
        ) from error
    return f"{len(results.trials)} trials"


def write_csv(results: StudyResults, file: str) -> str:
    """Write one row a trial: every column of `trials`, then its scores as ``split_evaluator_metric``.

    Raises:
        InputError: the file cannot be written.
    """
    names = results.scores[["split", "evaluator", "metric"]].astype("str").agg("_".join, axis="columns")
    wide = results.scores.assign(name=names).pivot_table(index="trial_id", columns="name", values="value")
    frame = results.trials.merge(wide, on="trial_id", how="left")
    try:
        frame.to_csv(file, index=False)
    except OSError as error:
        raise InputError(
            f"--csv {file}: {error.strerror or error}", "a file in a folder that exists", "choose another"
        ) from error
    return f"{len(frame)} trials with {len(frame.columns)} columns"


def _distributions(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ranges that were searched, from study.json, wide enough for all values."""
    from optuna.distributions import FloatDistribution, IntDistribution

    identity, recipe = manifest.get("identity", {}), manifest["config"].get("recipe")
    rates = identity.get("recipes", {}).get(recipe, {}).get("learning_rate_range", [])
    counts = identity.get("filters_range", [])
    ranges: dict[str, Any] = {}
    for name in SETTINGS:
        values = [*trials[name].dropna().tolist(), *(rates if name == "learning_rate" else counts)]
        kind = FloatDistribution if name == "learning_rate" else IntDistribution
        if trials[name].notna().any():
            ranges[name] = kind(min(values), max(values), log=True)
    return ranges


def _optuna_trial(row: Mapping[Any, Any], curve: pd.DataFrame | None, distributions: Mapping[str, Any]) -> Any:
    """Return a search trial as Optuna has it."""
    from optuna.trial import TrialState, create_trial

    state = TrialState[_STATES[row["status"]]]
    values: dict[int, float] = {}
    if curve is not None:
        known = curve.dropna(subset=["validation_cross_entropy"])
        values = dict(zip(known["epoch"].tolist(), known["validation_cross_entropy"].tolist(), strict=True))
    told = ("trial_id", "number", "seed", "status", "reason", "epochs", "parameters", "seconds", "device", "host")
    trial = create_trial(
        state=state,
        value=None if state == TrialState.FAIL else row["validation_cross_entropy"],
        params={name: row[name] for name in distributions},
        distributions=dict(distributions),
        intermediate_values=values,
        user_attrs={name: row[name] for name in told if pd.notna(row[name])},
    )
    # Optuna has times of the clock on the wall.
    trial.datetime_start, trial.datetime_complete = (
        time.to_pydatetime().astimezone().replace(tzinfo=None) if pd.notna(time) else None
        for time in (row["started_at"], row["finished_at"])
    )
    return trial


if __name__ == "__main__":
    sys.exit(main())
