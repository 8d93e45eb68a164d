"""One launch of a study, from its configuration to its report."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
import torch

from study import cluster, provenance
from study.config import StudyConfig, digest_of
from study.estimate import estimate
from study.plan import Plan, skipped_levels
from study.progress import Progress, duration
from study.rows import SCHEMA_VERSION
from study.space import Cell
from study.stopping import CellStopping
from study.store import Store
from study.tuning import Ledger, Resources, provenance_columns, run_plan
from trainables.datasets import Dataset, load_dataset
from trainables.errors import InputError

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Options:
    """Where a study runs and writes; none of it changes what is studied. ``time_budget`` is in hours."""

    results_dir: Path
    data_dir: Path | None = None
    address: str | None = None
    concurrency: int | None = None
    gpus_per_trial: float | None = None
    time_budget: float | None = None


def describe(config: StudyConfig, options: Options) -> None:
    """Print the plan and an estimate of its time on this machine; start nothing and write nothing."""
    dataset = load_dataset(config.dataset, options.data_dir)
    resources = cluster.local_resources(options.gpus_per_trial, options.concurrency)
    store = Store(options.results_dir / config.name)
    manifest = store.read_manifest()
    plan = Plan(config, store.finished() if manifest else ())
    _print_plan(config, plan, dataset, resources, options)


def run(config: StudyConfig, options: Options) -> int:
    """Run what the study still owes, then write its report; return the exit status.

    Raises:
        InputError: something given cannot be used; nothing was started.
    """
    dataset = load_dataset(config.dataset, options.data_dir)
    store = Store(options.results_dir / config.name)
    manifest = _manifest(config, dataset, store.read_manifest(), store.folder)
    address = cluster.cluster_address(options.address)
    if address == "local":
        cluster.local_resources(options.gpus_per_trial, options.concurrency)  # refuses before anything is written
    finished = store.finished() if store.folder.exists() else []
    plan = Plan(config, finished)
    if "search" not in config.phases and (unsearched := plan.cells_without_result()):
        raise InputError(
            f"phases {' '.join(config.phases)} without a finished search of {unsearched[0]}",
            "phase search first, or a folder that holds its rows",
            "add search to --phase",
        )
    store.open(manifest)
    if not plan.missing():
        print(f"study {config.name}: all {plan.total} trials are done already")
        return _conclude(plan, store)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    resources = cluster.connect(address, options.gpus_per_trial, options.concurrency)
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray put its own in its place, which ends without a word.
    try:
        _print_plan(config, plan, dataset, resources, options)
        stopping = CellStopping(config.epochs)
        searched = {row["trial_id"]: row for row in finished if row["phase"] == "search"}
        for trial_id, curve in store.curves(set(searched)).items():
            row = searched[trial_id]
            values = [epoch["validation_cross_entropy"] for epoch in curve]
            stopping.replay(Cell(row["architecture"], row["code_size"]), trial_id, values)
        columns = provenance_columns(
            config.name, manifest["study_sha256"], dataset, provenance.versions(), provenance.git_state()
        )
        ledger = Ledger(plan, store, Progress(plan, resources.concurrency), columns)
        seconds = None if options.time_budget is None else options.time_budget * 3600
        run_plan(ledger, stopping, dataset, resources, seconds)
    finally:
        ray.shutdown()
    store.compact()
    return _conclude(plan, store)


def _manifest(config: StudyConfig, dataset: Dataset, earlier: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
    """Return study.json with this launch added.

    Raises:
        InputError: the folder belongs to a study of another identity.
    """
    identity = config.identity(dataset.sha256)
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "study_sha256": digest_of(identity),
        "identity": identity,
        "config": config.as_dict(),
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "train_images": len(dataset.training),
            "validation_images": len(dataset.validation),
            "test_images": len(dataset.test),
        },
        "skipped_levels": skipped_levels(config),
    }
    launches: list[dict[str, Any]] = []
    commit, dirty = provenance.git_state()
    if earlier is not None:
        if earlier["study_sha256"] != manifest["study_sha256"]:
            raise InputError(
                f"{folder} belongs to another study: {'; '.join(_differences(earlier['identity'], identity))}",
                "the data, splits, recipe, space, epochs and seed that the study began with",
                "choose another --name for this study, or repeat the earlier settings",
            )
        launches = earlier["launches"]
        if launches and launches[-1]["git_commit"] != commit:
            print(
                f"warning: this study was begun with other code ({launches[-1]['git_commit']}); "
                "each row says which code made it",
                file=sys.stderr,
            )
    launch = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": provenance.versions(),
        **provenance.machine(),
    }
    return manifest | {"launches": [*launches, launch]}


def _differences(earlier: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in sorted(earlier.keys() | now.keys()):
        before, after = earlier.get(name), now.get(name)
        # Tuples became lists in study.json.
        after = list(after) if isinstance(after, tuple) else after
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name} was {_short(before)}, is {_short(after)}")
    return found


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, dict) else "given" if value else "absent"
    return text if len(text) <= 20 else f"{text[:12]}..."


def _print_plan(config: StudyConfig, plan: Plan, dataset: Dataset, resources: Resources, options: Options) -> None:
    missing = plan.missing()
    device = torch.device("cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    work = estimate(config, missing, dataset, device)
    seconds = work.device_seconds / resources.concurrency
    cells = len(config.architectures) * len(config.code_sizes)
    unit = "GPU" if resources.gpus_per_trial else "core"
    owed = ", ".join(f"{count} {phase}" for phase, count in work.trials.items())
    print(
        f"study {config.name} on {dataset.name}: {cells} cells ({len(config.architectures)} architectures x "
        f"{len(config.code_sizes)} code sizes)"
    )
    print(f"  trials:    {plan.total} in all, {plan.done} done, to run: {owed or 'none'}")
    print(f"  epochs:    {work.epochs_at_most:,} at most; early stopping spares some of those of search")
    print(
        f"  at once:   {resources.concurrency} on "
        f"{f'{resources.gpus_per_trial:g} GPU each' if resources.gpus_per_trial else 'one core each'}"
    )
    print(f"  estimate:  {duration(seconds)} ({work.device_seconds / 3600:.1f} {unit}-hours), measured on this machine")
    print(f"  rows:      {options.results_dir / config.name}", flush=True)
    if seconds > DAY:
        print(
            "  This is over a day. Less: --preset sample, fewer --code-sizes, --architectures, --trials, --seeds or\n"
            "  --epochs; or let it run for a while with --time-budget HOURS and go on later with the same command.",
            flush=True,
        )


def _conclude(plan: Plan, store: Store) -> int:
    """Print what is missing, write the report and return the exit status."""
    from analysis import report

    missing = plan.missing()
    without = plan.cells_without_result()
    if store.finished():
        report.main([str(store.folder)])
    print(f"rows:   {store.folder}")
    if missing:
        print(f"{len(missing)} of {plan.total} trials are still owed; the same command goes on with them")
    if without:
        print(
            f"no search trial of {', '.join(map(str, without))} trained its full budget: see column `reason` of trials",
            file=sys.stderr,
        )
        return 1
    return 0
