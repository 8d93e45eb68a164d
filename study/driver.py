"""Runs what a plan has pending: on Ray, with an estimate before, progress meanwhile, and rows as each trial ends."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from study.config.options import RunOptions
from study.config.study_file import format_study_file
from study.display.dashboard import Mirror
from study.display.dry_run import print_first_configurations, print_plan
from study.display.live import choose_progress
from study.execution import cluster
from study.execution.estimate import Estimate, estimate_around, estimate_plan
from study.execution.looks import make_plan
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.execution.tuner import Resources, run_plan
from study.plan.plan import Plan
from study.signals import Drain, NotStarted, count_on
from study.storage import provenance
from study.storage.store import Store
from trainables.data.images import Dataset

LEAST_EPOCH_LIMIT = 1_800.0
EPOCH_LIMIT_FACTOR = 20
"""An epoch that takes longer than the least limit, and the estimate so many times, is taken for one that hangs."""

LONG = 1_800.0
"""Seconds of a launch from which who sits before a terminal is asked whether to start it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a launch ran: the plan as it stands then, when Ray began to start, and the estimate from then to the end."""

    plan: Plan
    began: float
    estimate: float


def check_resources(options: RunOptions) -> None:
    """Refuse what this machine cannot give, where trials would run on it.

    Raises:
        InputError: GPUs are asked for and there is none.
    """
    if cluster.choose_address(options.address) == "local":
        cluster.find_local_resources(options.gpus_per_trial, options.concurrency)


def print_estimate(plan: Plan, options: RunOptions, dataset: Dataset, store: Store) -> None:
    """Print a plan, an estimate and the first configurations, for the cluster that a launch would join if it answers.

    It starts nothing and writes nothing.

    Raises:
        InputError: the cluster would not take the launch, or this machine has no GPU where one is asked for.
    """
    address, planned_for = cluster.choose_address(options.address), ""
    try:
        if address == "local":
            resources = cluster.find_local_resources(options.gpus_per_trial, options.concurrency)
        else:
            with cluster.connect(address, options.gpus_per_trial, options.concurrency, wait=False) as resources:
                planned_for = f"  The plan is for the cluster at {address}, at the speed of this machine."
    except cluster.NoClusterError as error:
        resources = cluster.find_local_resources(options.gpus_per_trial, options.concurrency)
        planned_for = f"  The plan is for this machine: {error.received}."
    work = estimate_plan(plan.config, plan, dataset, resources)
    around, epoch_limit = estimate_around(plan.config, dataset, options.report), _choose_epoch_limit(options, work)
    print_plan(plan.config, plan, dataset, work, around, resources, epoch_limit, store.folder)
    if planned_for:
        print(textwrap.fill(planned_for, 80, subsequent_indent="  "))
    print_first_configurations(plan)


def run_pending(
    plan: Plan, options: RunOptions, store: Store, dataset: Dataset, manifest: Mapping[str, Any], drain: Drain
) -> Ran:
    """Run the plan's pending trials and write their rows, and those that looks at them add.

    Return what came of it: a plan with nothing pending, or that of when the time was up or a drain was asked for.

    Args:
        plan: with something pending.
        options: where and how.
        store: of the study, locked.
        dataset: that the plan names.
        manifest: study.json of this launch, written when the cluster is known to take the study.
        drain: whether to let running trials end and start no other.

    Raises:
        InputError: the cluster cannot be joined, or lacks what was asked for; nothing was written.
    """
    address, config = cluster.choose_address(options.address), plan.config
    shown = _ask_to_start(plan, options, store, dataset) if options.ask and address == "local" else False
    began, around = time.monotonic(), estimate_around(config, dataset, options.report)
    with cluster.connect(address, options.gpus_per_trial, options.concurrency, options.verbosity) as resources:
        cluster.send_by_value(config.list_own_functions())
        store.open(manifest, format_study_file(config))
        # Asked once: the trials of later looks run the code that Ray was given now, whatever is committed meanwhile.
        made_by = provenance.versions(), provenance.git_state()
        columns = make_provenance_columns(config.name, manifest["study_sha256"], dataset, *made_by)
        end = None if options.time_budget is None else time.monotonic() + options.time_budget * 3600
        work, expected = estimate_plan(config, plan, dataset, resources), around
        while not drain.asked:
            expected += work.wall_seconds(resources)
            epoch_limit = _choose_epoch_limit(options, work)
            if options.verbosity != "quiet" and not shown:
                print_plan(config, plan, dataset, work, around, resources, epoch_limit, store.folder)
            _run_planned(plan, options, store, dataset, columns, resources, epoch_limit, end, drain)
            if not plan.exhausted or not config.until_decided:
                break
            if (looked := make_plan(config, store, manifest)).exhausted:
                break
            plan, shown = looked, False  # of which something is pending, also where nobody may run it any more
            count_on(plan, options.report)
            if end is not None and time.monotonic() >= end:
                break
            work = estimate_plan(config, plan, dataset, resources)
    store.compact()
    return Ran(plan, began, expected)


def _ask_to_start(plan: Plan, options: RunOptions, store: Store, dataset: Dataset) -> bool:
    """Show the plan of a launch that will take long, and ask; return whether it was shown.

    Raises:
        NotStarted: the answer is no.
    """
    resources = cluster.find_local_resources(options.gpus_per_trial, options.concurrency)
    work = estimate_plan(plan.config, plan, dataset, resources)
    around = estimate_around(plan.config, dataset, options.report)
    if around + work.wall_seconds(resources) < LONG:
        return False
    limit = _choose_epoch_limit(options, work)
    print_plan(plan.config, plan, dataset, work, around, resources, limit, store.folder)
    try:
        answer = input("Start it now? It can be stopped and resumed at any time. [y/N] ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise NotStarted
    return True


def _run_planned(
    plan: Plan,
    options: RunOptions,
    store: Store,
    dataset: Dataset,
    columns: Mapping[str, Any],
    resources: Resources,
    epoch_limit: float,
    end: float | None,
    drain: Drain,
) -> None:
    """Run what ``plan`` has pending, until it is done, time is up or a drain was asked for."""
    finished = list(plan.rows.values())
    progress = choose_progress(plan, resources.concurrency, store.folder, options.verbosity, finished)
    url = options.optuna_storage
    mirror = Mirror(url, plan, store.folder, progress) if url else nullcontext()
    with store.writing(), progress, mirror:
        recorder = TrialRecorder(plan, store, progress, columns)
        seconds = None if end is None else max(1.0, end - time.monotonic())
        run_plan(recorder, dataset, resources, epoch_limit, seconds, drain, options.verbosity == "verbose")


def _choose_epoch_limit(options: RunOptions, work: Estimate) -> float:
    """Return the seconds after which an epoch is taken for one that hangs.

    By default far above the estimate: cores may be slower elsewhere or shared, search tries wider models than the
    measured ones, and the measuring of a trial's codes belongs to its last epoch.
    """
    if options.epoch_limit is not None:
        return options.epoch_limit * 60
    return LEAST_EPOCH_LIMIT + EPOCH_LIMIT_FACTOR * work.epoch_seconds
