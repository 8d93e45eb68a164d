"""What the user sees before a study runs: what it plans, the time and room that it takes here, its first trials."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import torch

from analysis.stats.metrics import find_search_metric
from study.config.study_config import SEARCH_METRICS, StudyConfig
from study.display.status import describe_looks
from study.execution.estimate import Estimate, estimate_room
from study.execution.tuner import Resources
from study.plan.pace import format_duration, format_range
from study.plan.plan import Plan
from study.plan.planned_trial import PlannedTrial
from study.plan.rounds import is_grid, list_rounds, name_part
from study.plan.trials import list_cells, list_skipped_cells
from study.storage.location import Location
from trainables.data.datasets import data_name
from trainables.data.images import Dataset
from trainables.training.devices import describe_engine
from trainables.training.objectives import RECONSTRUCTION

SHOWN = 3
"""Groups of trials of a phase and arm; the others are counted."""

_WIDTH = 80

DAY = 86_400.0


def print_plan(
    config: StudyConfig,
    plan: Plan,
    dataset: Dataset,
    work: Estimate,
    around: float,
    resources: Resources,
    epoch_limit: float,
    folder: Location,
) -> None:
    """Print cells, trials and epochs still pending, and the time, with the seconds ``around`` them, and room."""
    trials_seconds = work.wall_seconds(resources)
    seconds = trials_seconds + around
    cells = list_cells(config)
    objectives = {cell.objective for cell in cells}
    what = f"{_count(len(config.architectures), 'architecture')} x {_count(len(config.code_sizes), 'code size')}"
    what += f", by {len(objectives)} objectives" if objectives != {RECONSTRUCTION} else ""
    unit = "GPU" if resources.gpus_per_trial else "core"
    planned = "; ".join(f"{count} {name_part(part, config)}" for part, count in work.trials.items())
    epochs = "; ".join(f"{count:,} {name_part(part, config)}" for part, count in work.epochs.items())
    print(f"study {config.name} on {data_name(config.dataset)}: {_count(len(cells), 'cell')} ({what})")
    for skipped in list_skipped_cells(config):
        _print_fact("left out", f"{skipped['architecture']} by {skipped['objective']}: {skipped['reason']}")
    blocked = f", {len(plan.list_blocked())} cannot run" if plan.list_blocked() else ""
    _print_fact("trials", f"{plan.total} in all, {plan.done} done, to run: {planned or 'none'}{blocked}")
    _print_fact("epochs", f"{sum(work.epochs.values()):,}{f': {epochs}' if epochs else ''}")
    tuned = cells and "tuned" in config.arms
    if tuned and "search" in config.phases:
        _print_fact("search", describe_search(config))
    if tuned and "ablate" in config.phases:
        _print_fact("ablated", describe_ablated(config))
    if config.until_decided:
        _print_fact("looks", describe_looks(plan))
    each = f"{resources.gpus_per_trial:g} GPU each" if resources.gpus_per_trial else "one core each"
    _print_fact("at once", f"{resources.concurrency} trials, {each}")
    hours = trials_seconds / 3600 * (resources.count_gpus() or resources.concurrency)
    _print_fact("engine", describe_engine(torch.device("cuda" if resources.gpus_per_trial else "cpu")))
    _print_fact("estimate", f"{format_range(seconds)} ({format_work(hours, unit)}), measured on this machine")
    disk = estimate_room(plan.list_runnable(), config, len(dataset.test))
    weights, all_of_it = format_size(disk.weights), format_size(disk.rows + disk.weights)
    _print_fact("disk", f"{all_of_it}, {weights} of them weights; a report adds some MB")
    _print_fact("limit", f"{format_duration(epoch_limit)} per epoch, then its trial is restarted")
    print(f"  results:   {folder}", flush=True)  # whole, to be copied
    if seconds > DAY:
        print(
            "  This is over a day. Less: --preset sample, fewer --code-sizes, --architectures,\n"
            "  --trials, --seeds or --epochs; or let it run for a while with\n"
            "  --time-budget HOURS and go on later with the same command.",
            flush=True,
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _print_fact(name: str, fact: str) -> None:
    """Print a line of the plan, or several where it is long; paths in it stay whole."""
    lines = textwrap.TextWrapper(_WIDTH, f"  {name + ':':11}", " " * 13, break_long_words=False, break_on_hyphens=False)
    print(lines.fill(fact))


def describe_search(config: StudyConfig) -> str:
    """Return what chooses the settings of a cell's search trials, and how long they train, round by round."""
    chosen = "a grid" if is_grid(config) else f"{config.sampler}, {config.generation_size} at a time"
    if config.search_metric != SEARCH_METRICS[0]:
        chosen += f", for the lowest validation {find_search_metric(config.search_metric).label}"
    rounds = []
    for each in list_rounds(config):
        seeds = f" with {each.seeds} seeds each" if each.seeds > 1 else ""
        rounds.append(f"{each.trials} for {_count(each.epochs, 'epoch')}{seeds}")
    return f"{_count(config.trials, 'configuration')} per cell by {chosen}: {', then '.join(rounds)}"


def describe_ablated(config: StudyConfig) -> str:
    """Return what phase ablate takes, and where others are asked for."""
    cells = config.ablated_cells
    taken = ", ".join(dict.fromkeys(cell.architecture for cell in cells)) or "none"
    others = [name for name in config.searched_architectures if name not in config.ablated_architectures]
    told = f"{taken} at code size {cells[0].code_size}" if cells else taken
    return f"{told}; not {', '.join(others)}: ablated_architectures of a study file" if others else told


def print_first_configurations(plan: Plan) -> None:
    """Print the first trial that can still run of a few groups of each phase: one in full, of the next what differs.

    A search suggests its trial for this, so the plan must not run afterwards.
    """
    firsts: dict[tuple[str, str], list[PlannedTrial]] = {}
    seen = set()
    for planned in plan.list_runnable():
        if planned.group not in seen:
            seen.add(planned.group)
            firsts.setdefault((planned.phase, planned.arm), []).append(planned)
    if firsts:
        print("first configurations:")
    for trials in firsts.values():
        before: Mapping[str, Any] = {}
        for planned in trials[:SHOWN]:
            print(f"  {planned.trial_id}, seed {planned.seed}")
            before = _print_settings(plan, planned, before)
        if len(trials) > SHOWN:
            print(f"  and {len(trials) - SHOWN} more like these")


def _print_settings(plan: Plan, planned: PlannedTrial, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Print the settings of a trial that are others than ``before``; return what the next is compared with."""
    if not plan.can_start(planned):
        changed = "" if planned.level is None else f" with {planned.factor} {planned.level.label}"
        known = f"best of search-{planned.cell}{changed}: not known yet"
        print(textwrap.fill(known, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False))
        return before
    trial_config = plan.resolve_config(planned)
    if trial_config is None:
        print("    trains nothing")
        return before
    values = {name: value for name, value in trial_config.as_dict().items() if value is not None}
    words = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()]
    if before:
        words = [word for word, name in zip(words, values, strict=True) if values[name] != before.get(name)]
        words = ["as above" if not words else "as above but", *words]
    print(textwrap.fill(" ".join(words), _WIDTH, initial_indent="    ", subsequent_indent="    "))
    return values


def format_work(hours: float, unit: str) -> str:
    """Return the time of all cores or GPUs together: ``6.7 core-hours``, below a tenth of one ``3.2 core-minutes``."""
    return f"{hours:.1f} {unit}-hours" if hours >= 0.1 else f"{hours * 60:.2g} {unit}-minutes"


def format_size(count: int) -> str:
    """Return bytes as a person would say them: ``340 kB``, ``12 MB``, ``3.4 GB``."""
    if count < 999_500:
        return f"{count / 1e3:.0f} kB"
    if count < 999_500_000:
        return f"{count / 1e6:.0f} MB" if count >= 9_950_000 else f"{count / 1e6:.1f} MB"
    return f"{count / 1e9:.1f} GB"
