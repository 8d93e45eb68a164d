"""One Tuner runs the plan: it is asked for the next pending trial and writes the rows of each that ends."""

from __future__ import annotations

import copy
import logging
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from study.execution.capacity import count_trials_on_gpu
from study.execution.local import replaced
from study.execution.recorder import TrialRecorder
from study.plan.pace import format_duration
from study.signals import Drain
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.run_trial import Outcome, Report, Trial
from trainables.training.devices import SEEDS_AT_ONCE
from trainables.trial import BatchTrainable, TrialError

MOST_TRIALS_AT_ONCE = 10_000
"""More than any cluster holds."""

RETRIES = 2
"""Times that a trial whose worker died is started again, from its beginning, before it is `failed`."""

NODE_DEATHS = 10
"""Times that it is started again besides because its node died, which is no fault of the trial's."""


DEAD_STARTS = 6
"""Workers in a row that may end before they run a trial; then it is not their trials that are at fault."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial holds and how many run at once.

    ``follow``, where there is one, says how many by now, on a cluster whose nodes come and go.
    """

    gpus_per_trial: float
    concurrency: int
    follow: Callable[[], int] | None = None

    def at_once(self) -> int:
        """Return how many trials to keep going now, at least one."""
        return max(1, self.follow()) if self.follow else self.concurrency

    def count_gpus(self) -> int:
        """Return the GPUs that trials hold at once: as many share one as it holds before the next has any."""
        if 0 < self.gpus_per_trial < 1:
            return math.ceil(self.concurrency / count_trials_on_gpu(self.gpus_per_trial))
        return int(self.gpus_per_trial) * self.concurrency


class PlanSearcher(Searcher):
    """Gives Tune the next pending trial of the recorder; Optuna is asked inside, one study a cell.

    It limits how many go on at once by itself: Tune's own limit is fixed for a whole run.
    """

    def __init__(self, recorder: TrialRecorder, seeds_at_once: int, at_once: Callable[[], int], drain: Drain) -> None:
        super().__init__()  # no metric: controls report none, and Optuna is told by rows
        self._recorder, self._seeds_at_once, self._at_once, self._drain = recorder, seeds_at_once, at_once, drain
        self._going_on: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None to be asked later, or FINISHED."""
        if self._drain.asked:
            return str(Searcher.FINISHED)
        if len(self._going_on) >= self._at_once():
            return None
        batch = self._recorder.take(self._seeds_at_once)
        if batch is None:
            return str(Searcher.FINISHED) if self._recorder.plan.exhausted else None
        self._going_on.add(trial_id)
        return {"batch": batch}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Make place for another; the recorder learned from the rows when they were committed."""
        self._going_on.discard(trial_id)


class InOrder(FIFOScheduler):
    """Trials in the order in which they were handed out; after SIGUSR1 none of those that wait for a worker."""

    def __init__(self, drain: Drain) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._drain = drain

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Leave the order to the controller, which starts what waits; Tune's own choice goes through all trials ever.

        It is asked at every result, so that choice would take longer and longer.
        """
        if self._drain.asked:
            for trial in [each for each in tune_controller.get_live_trials() if each.status == TuneTrial.PENDING]:
                tune_controller.stop_trial(trial)


class RowWriter(tune.Callback):
    """Takes the reports out of Tune's results and commits trials that end, in whichever way.

    It counts by itself how often a trial has failed. Tune would count the death of a node like any other, end for good
    a trial whose worker dies or raises as it is made ready for it, and take one event for two where a worker dies then.
    """

    def __init__(self, recorder: TrialRecorder, epoch_limit: float, drain: Drain) -> None:
        self._recorder, self._epoch_limit, self._drain = recorder, epoch_limit, drain
        self._heard: dict[str, float] = {}  # when each trial in Tune that has begun was heard of last
        self._failures: Counter[str] = Counter()  # attempts of each of our trials that count
        self._node_deaths: Counter[str] = Counter()
        self._dead_starts, self._last_words = 0, ""
        self._recovered = "", -1  # the last trial that Tune set to start again, and in which of its steps

    def setup(self, *_: Any, **__: Any) -> None:
        """Answer SIGUSR1 in Tune's place, which has just taken it, to cut off what runs."""
        self._drain.listen()

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Let time go by, many times a second.

        Raises:
            InputError: no worker starts here.
        """
        self._recorder.progress.tick()
        if self._dead_starts >= DEAD_STARTS:
            raise InputError(
                f"{self._dead_starts} workers of Ray in a row ended while they started; the last: {self._last_words}",
                "a machine on which Ray's workers start",
                "look for what ends them: memory, limits, antivirus, the environment; the same command goes on",
            )

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Note when an attempt begins: its worker has started."""
        self._dead_starts = 0
        self._heard[trial.trial_id] = time.monotonic()
        trial.run_metadata.num_failures = self._count_failures(trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass the report on."""
        self._heard[trial.trial_id] = time.monotonic()
        # Its arrays lie in Ray's object store. Once that has died, Ray's core ends the process that lets go of one,
        # even while rows wait for a disk.
        report: Report = copy.deepcopy(result.pop("report"))
        self._recorder.receive(report)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Say why an attempt ended; Tune starts the next, of what has not ended."""
        self._recovered = trial.trial_id, iteration
        self._say_again(trial, self._reason(trial))
        self._end_attempt(trial)
        trial.run_metadata.num_failures = self._count_failures(trial)
        if held := self._list_held(trial):  # A batch without trials would have nothing to report.
            trial.config["batch"] = replace(trial.config["batch"], trials=held)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Commit a trial as failed, with the reason of its last attempt, or let it be handed out anew where it is not.

        Of several seeds the one that fails may be any: each gets attempts alone.
        """
        reason, told = self._reason(trial), self._recovered == (trial.trial_id, iteration)
        again = told or self._end_attempt(trial)
        held = self._list_held(trial)
        if not told and (again or len(held) > 1):
            self._say_again(trial, reason)
        self._heard.pop(trial.trial_id, None)
        _empty(trial)
        if again and held:
            self._recorder.give_back(replace(trial.config["batch"], trials=held))
        elif len(held) > 1:
            for each in held:
                del self._failures[each.trial_id]
                self._recorder.give_back(replace(trial.config["batch"], trials=(each,)))
        else:
            for each in held:
                self._recorder.commit(each.trial_id, Outcome("failed", reason))
                self._forget(each.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Drop what was kept of the trial here, and its results in Tune, which keeps all trials to the end."""
        self._heard.pop(trial.trial_id, None)
        for each in trial.config["batch"].trials:
            self._forget(each.trial_id)
        _empty(trial)

    def _end_attempt(self, trial: Any) -> bool:
        """Count the attempt that just ended; return whether another may follow.

        No failure of the trial's is the death of a node, nor that of a worker that had not yet begun.
        """
        reason, held = self._reason(trial), self._list_held(trial)
        began, of_node = self._heard.pop(trial.trial_id, None) is not None, node_died(self._read_errors(trial))
        for each in held:
            if of_node:
                self._node_deaths[each.trial_id] += 1
                self._failures[each.trial_id] += self._node_deaths[each.trial_id] > NODE_DEATHS
            else:
                self._failures[each.trial_id] += began
        if not began and not of_node:
            self._dead_starts, self._last_words = self._dead_starts + 1, reason
        return self._count_failures(trial) <= RETRIES

    def _say_again(self, trial: Any, reason: str) -> None:
        for each in self._list_held(trial):
            self._recorder.progress.attempt_failed(each.trial_id, reason)

    def _count_failures(self, trial: Any) -> int:
        return max((self._failures[each.trial_id] for each in self._list_held(trial)), default=0)

    def _list_held(self, trial: Any) -> tuple[Trial, ...]:
        """Return what the trial of Tune's has still to do."""
        return tuple(each for each in trial.config["batch"].trials if self._recorder.holds(each.trial_id))

    def _forget(self, trial_id: str) -> None:
        self._failures.pop(trial_id, None)
        self._node_deaths.pop(trial_id, None)

    def _reason(self, trial: Any) -> str:
        """Return why the attempt ended that just did."""
        silence = time.monotonic() - self._heard.get(trial.trial_id, time.monotonic())
        return find_reason(self._read_errors(trial), silence, self._epoch_limit)

    def _read_errors(self, trial: Any) -> str:
        return Path(trial.error_file).read_text()


def _empty(trial: Any) -> None:
    """Drop the results of a trial of Tune's; where there is none, Tune asks the worker."""
    trial.run_metadata.last_result = {"done": True}
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def run_plan(
    recorder: TrialRecorder,
    dataset: Dataset,
    resources: Resources,
    epoch_limit: float,
    time_budget: float | None,
    drain: Drain,
    verbose: bool = False,
) -> None:
    """Run what is pending in the recorder on the Ray that this process is connected to, until it is done or time is up.

    Args:
        recorder: what is planned.
        dataset: put into Ray's object store once.
        resources: of a trial.
        epoch_limit: seconds that an epoch, with the measuring after the last, may take before its worker is ended.
        time_budget: seconds after which no trial goes on, or None; a trial that is cut off is pending again.
        drain: whether to let running trials end and start no other.
        verbose: let Tune log what it does.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # Rows are written by RowWriter alone.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C ends at once: what is not written is pending again.
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # A line for each says why, and `reason` in the rows.
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1e12"  # Nor is Tune's own state kept, which grows with every trial.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # Progress is shown by `progress` alone.
    # How each trial ended is said and written already.
    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    # Every trial that is handed out waits in Ray, where a cluster that can grow sees it; by default one would.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_TRIALS_AT_ONCE)
    gpus = resources.gpus_per_trial
    trainable = tune.with_resources(
        tune.with_parameters(BatchTrainable, dataset=dataset, epoch_limit=epoch_limit),
        {"cpu": 1, "gpu": gpus} if gpus else {"cpu": 1},
    )
    with tempfile.TemporaryDirectory(prefix="cae-study-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(recorder, SEEDS_AT_ONCE["cuda" if gpus else "cpu"], resources.at_once, drain),
                scheduler=InOrder(drain),
                num_samples=-1,
                reuse_actors=True,
                time_budget_s=time_budget,
                trial_dirname_creator=lambda trial: trial.trial_id,
                trial_name_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                # Tune wants a folder of its own; nothing in it is ever read.
                storage_path=folder,
                verbose=0,
                callbacks=[RowWriter(recorder, epoch_limit, drain)],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        with _losses_are_of_actors():
            tuner.fit()


_OF_NODES = ("node has died", "node was terminated", "is unavailable", "due to node failure")
"""Ray's words where a node died, or can no longer be reached."""


def node_died(errors: str) -> bool:
    """Whether the last attempt ended because a node died, rather than a worker on it, by ``errors`` as below."""
    raised, told = _read_last(errors)
    return not raised and any(words in told for words in _OF_NODES)


def find_reason(errors: str, silence: float, epoch_limit: float) -> str:
    """Return, on one line, why the last attempt ended of those in ``errors``, Tune's text file of a trial.

    Tune keeps the exceptions beside it as pickles, which are not read: what workers say of themselves is text.

    Args:
        errors: of all attempts.
        silence: seconds since the trial was heard of.
        epoch_limit: seconds after which a silent worker ends itself.
    """
    raised, told = _read_last(errors)
    if not raised and silence >= epoch_limit and not node_died(errors):
        return f"no report for {format_duration(silence)}; an epoch may take {format_duration(epoch_limit)}"
    return raised or told or "its worker died without a word"


def _read_last(errors: str) -> tuple[str, str]:
    """Return what the worker of the last attempt raised, if it did, and Ray's own words, a line each."""
    last = errors.rpartition("Failure # ")[2]
    _, raised, told = last.rpartition(f"{TrialError.__name__}: ")
    # Ray's words on a worker or a node that died: that it did, fields that are indented, and the cause.
    lines = [line.strip() for line in last.splitlines()[1:] if line.strip() and not line.startswith("\t")]
    words = " ".join(lines[1:] or lines).partition(" Some common causes")[0][:500]
    return told.splitlines()[0] if raised else "", words


@contextmanager
def _losses_are_of_actors() -> Iterator[None]:
    """Let an attempt end as by the death of its worker where Ray ended it for want of memory, or lost its result.

    Tune knows of errors of actors and of tasks alone, and ends as a whole at any other.
    """
    usual = RayActorManager._actor_task_failed

    def fail(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        of_actor = isinstance(exception, RayActorError | RayTaskError)
        usual(manager, tracked_actor_task, exception if of_actor else RayActorError(error_msg=str(exception)))

    with replaced(RayActorManager, {"_actor_task_failed": fail}):
        yield
