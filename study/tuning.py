"""One Tuner runs the plan: it is asked for the next trial owed and writes the rows of each that ends."""

from __future__ import annotations

import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from study.ledger import Ledger
from study.stopping import CellStopping
from trainables.datasets import Dataset
from trainables.run import Outcome, Report
from trainables.trial import Trial

RETRIES = 2
"""Times that a trial whose worker died is started again, from its beginning, before it is `failed`."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial holds and how many run at once."""

    gpus_per_trial: float
    concurrency: int


class PlanSearcher(Searcher):
    """Gives Tune the next trial that the ledger owes; Optuna is asked inside, one study a cell."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # no metric: controls report none, and Optuna is told by rows
        self._ledger = ledger

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None to be asked later, or FINISHED."""
        taken = self._ledger.take()
        if taken is None:
            return str(Searcher.FINISHED) if self._ledger.plan.exhausted else None
        owed, settings = taken
        return {"spec": owed.spec(settings)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the ledger learned from the rows when they were committed."""


class RowWriter(tune.Callback):
    """Takes the reports out of Tune's results and commits trials that end, in whichever way."""

    def __init__(self, ledger: Ledger, stopping: CellStopping) -> None:
        self._ledger, self._stopping = ledger, stopping

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass the report on; a trial that early stopping ended has no outcome of its own."""
        report: Report = result.pop("report")
        self._ledger.receive(report)
        if trial.trial_id in self._stopping.pruned and self._ledger.holds(report.trial_id):
            self._ledger.commit(report.trial_id, Outcome("pruned", "behind the other trials of its cell"))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Commit as failed what the trial still owed, with the worker's error as reason."""
        for run in trial.config["spec"].runs:
            if self._ledger.holds(run.trial_id):
                self._ledger.commit(run.trial_id, Outcome("failed", _reason(trial)))


def run_plan(
    ledger: Ledger, stopping: CellStopping, dataset: Dataset, resources: Resources, time_budget: float | None
) -> None:
    """Run what the ledger owes on the Ray that this process is connected to, until it is done or time is up.

    Args:
        ledger: what is owed.
        stopping: early stopping, shown the search trials that are done already.
        dataset: put into Ray's object store once.
        resources: of a trial.
        time_budget: seconds after which no trial goes on, or None; a trial that is cut off is owed again.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # Rows are written by RowWriter alone.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C ends at once: what is not written is owed again.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # Progress is shown by `progress` alone.
    gpus = resources.gpus_per_trial
    trainable = tune.with_resources(
        tune.with_parameters(Trial, dataset=dataset), {"cpu": 1, "gpu": gpus} if gpus else {"cpu": 1}
    )
    with tempfile.TemporaryDirectory(prefix="cae-study-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(ledger),
                scheduler=stopping,
                num_samples=-1,
                max_concurrent_trials=resources.concurrency,
                reuse_actors=True,
                time_budget_s=time_budget,
                trial_dirname_creator=lambda trial: trial.trial_id,
                trial_name_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                # Tune wants a folder of its own; nothing in it is ever read.
                storage_path=folder,
                verbose=0,
                callbacks=[RowWriter(ledger, stopping)],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _reason(trial: Any) -> str:
    """Return the kind and the first line of what the worker raised.

    Tune keeps the error in a file of this process; its copy in Tune's storage, which `Trial.get_error` reads, may come
    later than the trial's end.
    """
    if trial.pickled_error_file is None:
        return Path(trial.error_file).read_text().strip().splitlines()[-1][:500]
    error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
    cause = getattr(error, "cause", None) or error  # what the worker raised, inside what Ray made of it
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else 'no message'}"[:500]
