"""The configurations that each phase of a plan begins with, every setting resolved."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from study.plan.plan import Plan
from study.plan.trials import PlannedTrial

SHOWN = 3
"""Groups of trials of a phase and arm; the others are counted."""

_WIDTH = 80


def print_first_configurations(plan: Plan) -> None:
    """Print the first pending trial of a few groups of each phase: one in full, of the next what differs.

    A search suggests its trial for this, so the plan must not run afterwards.
    """
    firsts: dict[tuple[str, str], list[PlannedTrial]] = {}
    seen = set()
    for planned in plan.missing():
        if planned.group not in seen:
            seen.add(planned.group)
            firsts.setdefault((planned.phase, planned.arm), []).append(planned)
    if firsts:
        print("first configurations:")
    for trials in firsts.values():
        before: Mapping[str, Any] = {}
        for planned in trials[:SHOWN]:
            print(f"  {planned.trial_id}{'' if planned.seed is None else f', seed {planned.seed}'}")
            before = _print_settings(plan, planned, before)
        if len(trials) > SHOWN:
            print(f"  and {len(trials) - SHOWN} more like these")


def _print_settings(plan: Plan, planned: PlannedTrial, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Print the settings of a trial that are others than ``before``; return what the next is compared with."""
    if not plan.can_start(planned):
        changed = "" if planned.level is None else f" with {planned.factor} {planned.level.label}"
        print(f"    best of search-{planned.cell}{changed}: not known yet")
        return before
    trial_config = plan.trial_config(planned)
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
