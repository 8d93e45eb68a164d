"""One launch of a study, from its configuration to its report.

``run(study_config("quick"), RunOptions())`` is ``python study/launch.py --preset quick``, for scripts and notebooks.
Ray and PyTorch are imported when there is something to run.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.claims.rules import DIGEST, digest_rules
from analysis.optuna_export import check_storage, write_optuna
from analysis.results import StudyResults, load_study
from study.config.module_space import check_modules
from study.config.options import RunOptions
from study.config.study_config import StudyConfig
from study.config.study_file import format_study_file
from study.display.commands import make_command, suggest_report
from study.plan.identity import check_study, digest_of, next_manifest
from study.plan.pace import Pace, format_duration, format_range
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.signals import Drain, count_on
from study.storage.location import parse_location
from study.storage.store import Store
from trainables.data.datasets import count_missing_bytes, load_dataset, make_stand_in
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.evaluation.clustering import require_umap
from trainables.models.architectures import IMAGE_SIZE

if TYPE_CHECKING:
    from study.driver import Ran


def load_study_data(config: StudyConfig, data_dir: Path | None) -> Dataset:
    """Return the images and labels of a study, downloaded where they are not here.

    Raises:
        InputError: they cannot be had, do not fit the models, or are too few for a batch; or what is to measure them
            is not installed.
    """
    if config.with_umap:
        require_umap()
    dataset = load_dataset(config.dataset, data_dir)
    _check_data(config, dataset)
    return dataset


def _check_data(config: StudyConfig, dataset: Dataset) -> None:
    """Refuse images that do not fit the models, or are too few for a batch.

    Raises:
        InputError: with what does not fit.
    """
    side = dataset.training.pixels.shape[1]
    if side != IMAGE_SIZE:
        raise InputError(
            f"{config.dataset} has images of {side}x{side}",
            f"{IMAGE_SIZE}x{IMAGE_SIZE}",
            "enlarge or pad them, as docs/extending.md (Data) shows",
        )
    supervised = [row.name for row in config.list_controls() if row.supervised]
    if supervised and dataset.training.labels is None:
        raise InputError(
            f"architecture {supervised[0]} with {config.dataset}, which has no labels",
            "data with labels: it is trained with them",
            "leave it out of --architectures, or give labels",
        )
    batch_size, images = config.batch_size or config.tuned_recipe.batch_size, len(dataset.search_train)
    if batch_size > images:
        raise InputError(
            f"batch_size {batch_size} with {images} training images of the search",
            "a batch no larger than the training set",
            "choose a smaller batch_size in a study file, or give more images",
        )
    check_modules(config)


def describe(config: StudyConfig, options: RunOptions) -> None:
    """Print the plan, an estimate for this machine and the first configurations; start nothing and write nothing.

    Raises:
        InputError: something given cannot be used, as by `run`.
    """
    from study.display.dry_run import format_size
    from study.driver import print_estimate
    from study.execution.looks import make_plan

    store = Store(parse_location(options.results_dir) / config.name)
    begun = store.read_manifest()
    if config.with_umap:
        require_umap()
    if missing := count_missing_bytes(config.dataset, options.data_dir):
        print(f"note: {config.dataset} is not here: a launch downloads {format_size(missing)} of it first")
        dataset = make_stand_in(config.dataset)
        if begun is not None:
            dataset = dataclasses.replace(dataset, sha256=begun["dataset"]["sha256"])
        _check_data(config, dataset)
    else:
        dataset = load_study_data(config, options.data_dir)
    if begun is not None:
        check_study(config, dataset.sha256, begun, store.folder)
    plan = make_plan(config, store, begun, options.retry_failed)
    _require_search(plan, begun)
    print_estimate(plan, options, dataset, store)


@dataclass(frozen=True, slots=True)
class Launched:
    """How a launch ended.

    Attributes:
        status: 0, or 1 where something has no result; the exit status of study/launch.py.
        folder: or URI of the rows.
    """

    status: int
    folder: str

    def load(self) -> StudyResults:
        """Return the study's rows as pandas frames."""
        return load_study(self.folder)


def run(config: StudyConfig, options: RunOptions) -> Launched:
    """Run what the study still has to run, then write its report; return how it ended.

    Raises:
        InputError: something given cannot be used; nothing was started.
    """
    store = Store(parse_location(options.results_dir) / config.name)
    begun = store.read_manifest() is not None  # refuses what cannot be reached before data is fetched
    dataset = load_study_data(config, options.data_dir)
    if not begun:
        from study.driver import check_resources

        check_resources(options)  # refuses before anything is written
    if options.optuna_storage:
        check_storage(options.optuna_storage)
    with store, Drain() as drain:
        return Launched(_run(config, options, store, dataset, drain), str(store.folder))


def _run(config: StudyConfig, options: RunOptions, store: Store, dataset: Dataset, drain: Drain) -> int:
    from study.execution.looks import make_plan

    earlier = store.read_manifest()
    manifest = next_manifest(config, dataset, earlier, store.folder)
    if earlier is None:
        manifest[DIGEST] = digest_rules()
    plan = make_plan(config, store, earlier, options.retry_failed)
    count_on(plan, options.report)
    _require_search(plan, earlier)
    if plan.exhausted:
        if earlier is None or digest_of(manifest | {"launches": []}) != digest_of(earlier | {"launches": []}):
            store.open(manifest, format_study_file(config))  # which removes what a stopped writer left
            store.compact()
        else:
            store.tidy()
        blocked = f", {len(plan.list_blocked())} cannot run" if plan.list_blocked() else ""
        print(f"study {config.name}: {plan.done} of {plan.total} trials are done already{blocked}")
    else:
        from study.driver import run_pending

        ran = run_pending(plan, options, store, dataset, manifest, drain)
        return _conclude(ran.plan, store, options, ran)
    return _conclude(plan, store, options)


def _require_search(plan: Plan, earlier: Mapping[str, Any] | None) -> None:
    """Refuse what follows from a search that is neither planned nor over; one that is over without a result is told.

    Refuse as well a search that is smaller than that of study.json, ``earlier``, whose winners were confirmed: others
    would take their place.

    Raises:
        InputError: with the first of its cells, or with what became smaller.
    """
    config, unsearched = plan.config, plan.list_unsearched_cells()
    if "search" not in config.phases and unsearched:
        raise InputError(
            f"phase {' '.join(config.phases)} without a finished search of {config.trials} configurations of "
            f"{unsearched[0]}",
            "phase search first, or a folder that holds its rows",
            "add search to --phase, or give the --trials that were searched",
        )
    if any(row["phase"] != "search" and row["arm"] == "tuned" for row in plan.rows.values()):
        known = (earlier or {}).get("config", {})
        for name in ("trials", "finalists", "validation_seeds"):
            if (now := getattr(config, name)) < (before := known.get(name, 0)):
                raise InputError(
                    f"{name} {now} in a study of which winners of a search with {name} {before} were confirmed",
                    f"{name} {before} or more: of fewer another configuration may win, and take their place",
                    f"give {name} as before, or choose another --name",
                )


def _conclude(plan: Plan, store: Store, options: RunOptions, ran: Ran | None = None) -> int:
    """Print what is missing, write the report and return the exit status; nothing runs any more.

    Of trials that ``ran`` to the plan's end it says how long all took, the report included.
    """
    timed = ran if plan.exhausted and options.verbosity != "quiet" else None
    plan.running.clear()  # What was cut off is pending.
    reported = 0
    if (finished := store.read_trials()) and options.report:
        from analysis import report  # SciPy and matplotlib, which rows alone need not wait for

        # What the launch was for comes first.
        first = ["--tables", "ablations"] if plan.config.phases == ("ablate",) else []
        reported = report.main([str(store.folder), "--output", str(store.folder / "report"), *first])
    if timed is not None:
        taken = format_duration(time.monotonic() - timed.began)
        print(f"time:   {taken}; the estimate was {format_range(timed.estimate)}")
    print(f"results: {store.folder}")
    if runnable := plan.list_runnable():
        print(f"{len(runnable)} of {plan.total} trials are still pending; the same command goes on with them")
        print(f"next:   {make_command(options) or 'the same call of run'}")
    elif reported:
        print(f"next:   {make_command(options) or 'the same call of run'}  # makes the report")
    elif not plan.find_lost_groups():
        print(f"next:   {suggest_report(store.folder, options)}")
        ablating = dataclasses.replace(plan.config, phases=("ablate",))
        if options.command and "ablate" not in plan.config.phases and any(plan_trials(ablating, finished)):
            ablations = Plan(ablating, finished)
            seconds = Pace(finished).estimate_seconds(ablations.count_left())
            takes = f"about {format_duration(seconds)} of a core or GPU, " if seconds else ""
            ablated = [name for name in plan.config.ablated_architectures if name in plan.config.architectures]
            print(f"then:   {make_command(options, 'ablate')}  # {takes}of {', '.join(ablated)}")
    if failed := sum(row["status"] == "failed" for row in plan.rows.values()):
        print(f"failed: {failed}; column `reason` of trials says why, --retry-failed tries them anew")
    # Last, since a storage that fails ends the launch with a message.
    if options.optuna_storage and any(row["phase"] == "search" for row in finished):
        write_optuna(load_study(str(store.folder)), options.optuna_storage)
    if lost := plan.find_lost_groups():
        blocked = plan.list_blocked()
        print(
            f"error: no trial of {'; '.join(map(str, lost[:10]))}{' and others' if lost[10:] else ''} gave a result"
            f"{f', so {len(blocked)} others cannot run' if blocked else ''}: see column `reason` of trials; "
            "--retry-failed tries them anew",
            file=sys.stderr,
        )
        return 1
    return reported
