"""Convert the rows of a study to what other tools open.

::

    python analysis/export.py results/quick-digits --optuna sqlite:///study.db     # optuna-dashboard sqlite:///study.db
    python analysis/export.py results/quick-digits --tensorboard events            # tensorboard --logdir events
    python analysis/export.py results/quick-digits --csv trials.csv                # one row a trial
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from analysis.optuna_export import write_optuna
from analysis.results import SEARCHED, StudyResults, load_study
from study.storage.schema import LOSSES
from trainables.errors import InputError

SETTINGS = (*SEARCHED, "weight_decay", "module_settings")
"""What a search may choose of a trial, as its event files say it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write what was asked for; return the exit status: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="export.py", description="Convert the rows of a study for other tools.")
    parser.add_argument("results", metavar="RESULTS", help="folder or URI of a study with its study.json")
    parser.add_argument(
        "--optuna", metavar="URL", help="storage of Optuna: sqlite:///study.db, or a journal file, study.log"
    )
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
    split, evaluator, metric = (results.scores[name].astype("str") for name in ("split", "evaluator", "metric"))
    names = split + "_" + evaluator + "_" + metric
    wide = results.scores.assign(name=names).pivot_table(index="trial_id", columns="name", values="value")
    frame = results.trials.merge(wide, on="trial_id", how="left")
    try:
        frame.to_csv(file, index=False)
    except OSError as error:
        raise InputError(
            f"--csv {file}: {error.strerror or error}", "a file in a folder that exists", "choose another"
        ) from error
    return f"{len(frame)} trials with {len(frame.columns)} columns"


if __name__ == "__main__":
    sys.exit(main())
