"""Looks at a study that adds seeds until its headline is decided: when, and what each may spend of the 5 %.

Who adds seeds until something is found finds it too often. So the numbers of seeds are set before the first look, and
the chance of calling luck a difference is shared out among the looks: by share t of the last look's seeds, ``f(t)`` of
it has been spent, and a look is judged at what it adds to that. Looks are not counted on to agree, so the sum holds
whatever they have in common, and little is spent while there are few seeds: the last look is nearly as sharp as if it
were the only one.

Source: Lan and DeMets, "Discrete sequential boundaries for clinical trials", 1983; ``f`` is their first function, which
is like O'Brien and Fleming's boundary.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from study.config.study_config import StudyConfig
from study.plan.rounds import Rows, is_search_over
from study.plan.trials import plan_trials
from study.storage.location import Location
from trainables.errors import InputError

LEVEL = 0.05
"""What all looks of a study spend together."""

DECLARED = "looks"
"""What study.json calls them."""


def spend(share: float, level: float = LEVEL) -> float:
    """Return how much of ``level`` is spent when a ``share`` of the last look's seeds is there, from above 0 to 1.

    Half of it on either side, as is usual for tests that have two.
    """
    normal = NormalDist()
    return 4 - 4 * normal.cdf(normal.inv_cdf(1 - level / 4) / share**0.5)


def share_level(looks: Sequence[int]) -> list[float]:
    """Return at which level each of ``looks`` is judged; they sum up to `LEVEL`."""
    spent = [0.0, *(spend(seeds / looks[-1]) for seeds in looks)]
    return [after - before for before, after in itertools.pairwise(spent)]


def declare_looks(config: StudyConfig) -> dict[str, Any] | None:
    """Return what study.json says of the looks before the first: what is compared, seeds and levels; None for none."""
    if not config.until_decided:
        return None
    return {
        "architectures": list(config.searched_architectures),
        "code_sizes": list(config.code_sizes),
        "seeds_first": [config.count_seeds("tuned", size) for size in config.code_sizes],
        "seeds": list(config.looks),
        "spending": "Lan and DeMets, like O'Brien and Fleming",
        "levels": share_level(config.looks),
    }


def check_looks(
    config: StudyConfig, earlier: Mapping[str, Any] | None, rows: Collection[Mapping[str, Any]], folder: Location
) -> None:
    """Refuse looks other than those that study.json, ``earlier``, declares, and any that are declared too late.

    The order of models and code sizes is no part of what is compared.

    Raises:
        InputError: with what is there and what to do.
    """
    declared, asked = (earlier or {}).get(DECLARED), declare_looks(config)
    if _sort_cells(declared) == _sort_cells(asked):
        return
    if declared is not None:
        raise InputError(
            f"{folder} was begun with looks at {_join(declared['seeds'])} seeds of {_join(declared['architectures'])} "
            f"at code sizes {_join(declared['code_sizes'])}; this launch has "
            + (f"looks at {_join(asked['seeds'])} seeds, or other cells" if asked else "none"),
            "the looks that were declared before the first",
            "repeat --until-decided with the earlier seeds, architectures and code sizes, or choose another --name",
        )
    seen = sum(row["phase"] == "confirm" and row["arm"] == "tuned" for row in rows)
    if seen:
        raise InputError(
            f"--until-decided for {folder}, of which {seen} confirmed runs can be seen already",
            "a study without confirmed runs, since looks are declared before the first",
            "choose another --name, or add seeds to every cell by --seeds: p values are then after looking",
        )


def has_look_ended(config: StudyConfig, rows: Rows, extended: Mapping[str, int]) -> bool:
    """Whether all has ended that a look judges: confirmed runs of the tuned arm, and controls.

    Cells whose search found nothing to confirm are not waited for.
    """
    confirming = dataclasses.replace(config, phases=("confirm",))
    return all(
        planned.trial_id in rows
        for planned in plan_trials(confirming, rows.values(), extended)
        if planned.arm == "control"
        or (planned.arm == "tuned" and (planned.configuration or not is_search_over(config, planned.cell, rows)))
    )


def _sort_cells(looks: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the looks with their models and code sizes in one order, without levels: those that are declared hold.

    They follow from the seeds; another version of Python works them out with another last digit.
    """
    if looks is None:
        return None
    sizes = sorted(zip(looks["code_sizes"], looks["seeds_first"], strict=True))
    return {
        **looks,
        "architectures": sorted(looks["architectures"]),
        "code_sizes": sizes,
        "seeds_first": None,
        "levels": None,
    }


def _join(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
