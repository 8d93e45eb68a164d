"""How far a study is, from its rows alone: nothing is started and nothing written, also while a launcher runs it."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from study.config.ablations import FACTORS
from study.config.study_config import StudyConfig, rebuild_config
from study.display.commands import make_resuming_command
from study.execution.looks import make_plan
from study.plan.identity import check_study
from study.plan.pace import Pace, format_duration
from study.plan.plan import Plan
from study.plan.rounds import name_part
from study.storage.location import Location, parse_location
from study.storage.schema import PHASES
from study.storage.store import Store
from trainables.errors import InputError

_STATUSES = ("complete", "diverged", "failed")


def read_config_of(path: str) -> tuple[StudyConfig, Location]:
    """Return the configuration of the study in a folder, and the folder.

    It is that of the last launch, with the phases and factors that rows of earlier launches have.

    Raises:
        InputError: there is no study, one whose study.json tells too little of its configuration, or one whose rows
            cannot be read.
    """
    folder = parse_location(path)
    store = Store(folder)
    manifest = store.require_study()
    config = rebuild_config(manifest)
    if config is None:
        raise InputError(
            f"{folder}, whose study.json does not tell its whole configuration",
            "a study of this version",
            "give the flags of its launch, and --status or --missing without the folder",
        )
    return _join_phases(config, manifest, store.read_trials()), folder


def _join_phases(config: StudyConfig, manifest: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> StudyConfig:
    """Return ``config``, of the last launch, with the phases and factors that the rows are of.

    Ablations of older versions, which do not say what is ablated, are not planned (`rebuild_config`).
    """
    there = {(row["phase"], row.get("factor")) for row in rows}
    factors = config.factors if "ablate" in config.phases else ()
    if "factors" in manifest["config"]:
        factors += tuple(name for name in FACTORS if ("ablate", name) in there and name not in factors)
    begun = {phase for phase, _ in there if phase != "ablate" or factors}
    phases = tuple(phase for phase in PHASES if phase in begun or phase in config.phases)
    return dataclasses.replace(config, phases=phases, factors=factors or config.factors)


def _list_added_flags(config: StudyConfig, manifest: Mapping[str, Any]) -> list[str]:
    """Return the flags with which the last launch has the phases and factors of ``config``, earlier ones' too."""
    last = rebuild_config(manifest)
    if last is None or (set(last.phases), last.factors) == (set(config.phases), config.factors):
        return []
    factors = ["--factors", *config.factors] if config.factors != last.factors else []
    return ["--phase", *config.phases, *factors]


def print_status(config: StudyConfig, folder: Location, retry_failed: bool = False, typed: Sequence[str] = ()) -> None:
    """Print what is done by phase and cell, what is missing, what that will take, and who runs the study now.

    Args:
        config: of the study.
        folder: of its rows.
        retry_failed: whether trials that failed are missing, as for a launch that tries them anew.
        typed: the command that asks, where it names the folder in the place of the study's flags.

    Raises:
        InputError: the folder cannot be read, or the study cannot go on in it.
    """
    store, plan = _open_study(config, folder, retry_failed)
    rows = list(plan.rows.values())
    missing = plan.list_pending()
    done = f"{plan.done} of {plan.total} trials are done, {len(missing)} missing"
    print(f"study {config.name} on {config.dataset}: {done}")
    Console().print(_make_table(plan))
    for group in plan.find_lost_groups():
        print(f"no result: {group}; see column `reason` of trials")
    if blocked := len(plan.list_blocked()):
        print(f"{blocked} of the missing cannot run, since the search of their cell found nothing to confirm")
    unsearched = plan.list_unsearched_cells() if "search" not in config.phases else []
    if waiting := sum(planned.arm == "tuned" and planned.cell in unsearched for planned in missing):
        print(f"{waiting} of the missing wait for the search of their cell, which is not over: add search to --phase")
    if missing:
        print(f"time left: {_describe_time(plan, Pace(rows), rows)}")
    if config.until_decided:
        print(f"looks:     {describe_looks(plan)}")
    print(f"results:   {store.folder}")
    if not typed and (others := len(rows) - plan.done):
        told = shlex.quote(str(store.folder))
        print(f"           {others} of its trials are of other flags: --status {told} tells of all")
    holder = store.find_holder()
    idle = "nobody; to go on: the same command without --status" if missing and not typed else "nobody"
    print(f"run by:    {holder or idle}", flush=True)
    if missing and typed and not holder:
        manifest = store.require_study()
        added = _list_added_flags(config, manifest)
        resuming = make_resuming_command(config, folder, manifest, typed, retry_failed, added)
        print(f"next:      {resuming or 'the command of its launch goes on'}", flush=True)


def print_status_as_json(config: StudyConfig, folder: Location, retry_failed: bool = False) -> None:
    """Print what `print_status` does for a program: one object, times in seconds, counts as numbers.

    Raises:
        InputError: as `print_status`.
    """
    store, plan = _open_study(config, folder, retry_failed)
    parts = []
    for part, cell in plan.list_parts():
        planned, ended = plan.count_trials(part, cell)
        counts = {status: ended[status] for status in _STATUSES}
        parts.append(
            {"phase": part, "cell": str(cell), "planned": planned, **counts, "missing": planned - ended.total()}
        )
    found = {
        "study": config.name,
        "dataset": config.dataset,
        "rows": str(store.folder),
        "planned": plan.total,
        "done": plan.done,
        "missing": len(plan.list_pending()),
        "blocked": len(plan.list_blocked()),
        "without_result": [str(group) for group in plan.find_lost_groups()],
        "extended": dict(plan.extended),
        "seconds_left": Pace(plan.rows.values()).estimate_seconds(plan.count_left()),
        "run_by": store.find_holder(),
        "parts": parts,
    }
    print(json.dumps(found, indent=2))


def print_missing(config: StudyConfig, folder: Location, retry_failed: bool = False) -> None:
    """Print the ids of the trials that the rows lack and that can run, one a line, in the order of phases.

    Raises:
        InputError: as `print_status`.
    """
    _, plan = _open_study(config, folder, retry_failed)
    for planned in plan.list_runnable():
        print(planned.trial_id)


def _open_study(config: StudyConfig, folder: Location, retry_failed: bool) -> tuple[Store, Plan]:
    """Return the store of a study and its plan, over no rows where it has not begun."""
    store = Store(folder)
    manifest = store.read_manifest()
    if manifest is None:
        print(f"note: no study has begun at {store.folder}: all of it is missing", file=sys.stderr)
    else:
        _check(config, manifest, store.folder)
    return store, make_plan(config, store, manifest, retry_failed)


def _check(config: StudyConfig, manifest: dict[str, Any], folder: Location) -> None:
    """Refuse a folder that the study cannot go on in, with what tells of the study that is there."""
    try:
        check_study(config, manifest["dataset"]["sha256"], manifest, folder)
    except InputError as error:
        last = rebuild_config(manifest)
        if last is None or last == dataclasses.replace(config, phases=last.phases, factors=last.factors):
            raise
        there = f"--status {shlex.quote(str(folder))} tells of the study that is there"
        raise InputError(error.received, error.accepted, f"{there}; {error.remedy}") from None


def describe_looks(plan: Plan) -> str:
    """Say at how many seeds a study looks, and to how many its models have been brought by now."""
    extended = ", ".join(f"{name} to {seeds}" for name, seeds in plan.extended.items())
    return f"at {', '.join(map(str, plan.config.looks))} seeds; seeds added so far: {extended or 'none'}"


def _describe_time(plan: Plan, pace: Pace, rows: Iterable[Mapping[str, Any]]) -> str:
    seconds = pace.estimate_seconds(plan.count_left())
    if seconds is None:
        return "unknown until a trial ends; --dry-run measures an estimate"
    devices = Counter(str(row["device"]) for row in rows if row["device"])
    return (
        f"about {format_duration(seconds)} of one core or GPU ({', '.join(sorted(devices))}), by the time of the "
        f"{sum(devices.values())} trials that ended"
    )


def _make_table(plan: Plan) -> Table:
    """Return how many trials of each phase and cell ended, and how, without columns of zeros alone."""
    counts = {(part, cell): plan.count_trials(part, cell) for part, cell in plan.list_parts()}
    told = [name for name in _STATUSES if any(ended[name] for _, ended in counts.values())]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("phase", "cell"):
        table.add_column(name, overflow="fold")
    for name in ("done", *told, "missing"):
        table.add_column(name, justify="right")
    for (part, cell), (planned, ended) in counts.items():
        done, missing = f"{ended.total()}/{planned}", str(planned - ended.total())
        table.add_row(name_part(part, plan.config), str(cell), done, *(str(ended[name]) for name in told), missing)
    return table
