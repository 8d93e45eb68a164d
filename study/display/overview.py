"""What the user sees before a study runs: what it plans, and the time and room that it takes here."""

from __future__ import annotations

import torch

from study.config.study_config import StudyConfig
from study.execution.disk import room, size
from study.execution.estimate import Estimate, estimate
from study.execution.tuner import Resources
from study.plan.pace import duration
from study.plan.plan import Plan
from study.storage.location import Location
from trainables.data.datasets import Dataset, data_name

DAY = 86_400.0


def measured(config: StudyConfig, plan: Plan, dataset: Dataset, resources: Resources) -> Estimate:
    """Return the work that the plan still has to run, at the speed of this process."""
    device = torch.device("cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    return estimate(config, plan.missing(), dataset, device)


def print_plan(
    config: StudyConfig,
    plan: Plan,
    dataset: Dataset,
    work: Estimate,
    resources: Resources,
    epoch_limit: float,
    folder: Location,
) -> None:
    """Print cells, trials and epochs still pending, and the time and room they take."""
    seconds = work.wall_seconds(resources.concurrency, resources.gpus_per_trial)
    cells = len(config.architectures) * len(config.code_sizes)
    unit = "GPU" if resources.gpus_per_trial else "core"
    planned = ", ".join(f"{count} {phase}" for phase, count in work.trials.items())
    print(
        f"study {config.name} on {data_name(config.dataset)}: {cells} cells ({len(config.architectures)} architectures "
        f"x {len(config.code_sizes)} code sizes)"
    )
    print(f"  trials:    {plan.total} in all, {plan.done} done, to run: {planned or 'none'}")
    print(f"  epochs:    {work.epochs_at_most:,} at most; early stopping spares some of those of search")
    print(
        f"  at once:   {resources.concurrency} on "
        f"{f'{resources.gpus_per_trial:g} GPU each' if resources.gpus_per_trial else 'one core each'}"
    )
    hours = seconds / 3600 * resources.concurrency * (resources.gpus_per_trial or 1)
    print(f"  estimate:  {duration(seconds)} ({hours:.1f} {unit}-hours), measured on this machine")
    disk = room(plan.missing(), config, len(dataset.test))
    print(f"  disk:      {size(disk.rows + disk.weights)}, {size(disk.weights)} of them weights; a report adds some MB")
    print(f"  limit:     {duration(epoch_limit)} an epoch; then its trial starts again")
    print(f"  rows:      {folder}", flush=True)
    if seconds > DAY:
        print(
            "  This is over a day. Less: --preset sample, fewer --code-sizes, --architectures, --trials, --seeds or\n"
            "  --epochs; or let it run for a while with --time-budget HOURS and go on later with the same command.",
            flush=True,
        )
