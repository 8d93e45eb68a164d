"""Learning rates of an ablation's levels: one that changes what a rate means is trained with its own.

Otherwise another activation, say, would pay for a rate that was searched for the base. Its own is chosen from a grid of
three around the one that the level leaves, by trainings of the full budget on the validation split with one seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.config.ablations import Level
from study.config.search_space import RATE_FACTORS, Cell
from study.config.study_config import StudyConfig
from study.plan.planned_trial import PlannedTrial


def plan_rates(
    config: StudyConfig, cell: Cell, factor: str, level: Level, configuration: str | None
) -> list[PlannedTrial]:
    """Return the trials by which the learning rate of a level is chosen, from the base with that digest."""
    return [
        PlannedTrial(
            "ablate",
            "tuned",
            cell,
            number,
            config.validation_seed(1),
            config.epochs,
            factor,
            level,
            configuration=configuration,
            rate_factor=rate_factor,
            round=1,
        )
        for number, rate_factor in enumerate(RATE_FACTORS)
    ]


def choose_rate(planned: list[PlannedTrial], rows: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the factor of the learning rate that reached most, of `plan_rates`; None before all of them have ended.

    Where none completed it is that of the rate which the level leaves: that the level diverges is then its result.
    """
    if not all(trial.trial_id in rows for trial in planned):
        return None
    return min(planned, key=lambda trial: get_loss(rows[trial.trial_id])).rate_factor


def get_loss(row: Mapping[str, Any]) -> float:
    """Return what a trial reached on validation images in the loss that it minimises; infinite if it did not complete.

    Of both losses together it is the cross-entropy, whatever the search of the base minimises.
    """
    if row["status"] != "complete":
        return float("inf")
    return float(row["validation_squared_error" if row["loss"] == "euclidean" else "validation_cross_entropy"])
