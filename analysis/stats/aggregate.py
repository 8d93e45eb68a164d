"""The cells of a study in numbers: runs counted, scores summarised over seeds.

A cell is an architecture and a code size; here each arm of it, and each study where several are compared, is a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import lru_cache

import pandas as pd

from analysis.results import StudyResults, join_scores, select_confirmed
from analysis.stats.intervals import summarise

GROUP = ["study", "code_size", "arm"]
"""What models are compared within."""
CELL = [*GROUP, "architecture"]

ROUNDING = 1e-9
"""Share of their mean by which equal values may differ that several machines have computed."""


@lru_cache(maxsize=2)  # joined once for all tables, since there may be millions
def select_test_scores(results: StudyResults) -> pd.DataFrame:
    """Return the scores on test images with what they belong to, one row a trial, evaluator and metric."""
    scores = results.scores
    return join_scores(dataclasses.replace(results, scores=scores[scores["split"] == "test"]))


@lru_cache(maxsize=2)
def select_confirmed_scores(results: StudyResults) -> pd.DataFrame:
    """Return those of `select_test_scores` that tables are made of."""
    return select_confirmed(select_test_scores(results))


def count_runs(results: StudyResults, phase: str = "confirm", by: Sequence[str] = CELL) -> pd.DataFrame:
    """Return one row a group of ``by``: runs, and how many complete, pruned, diverged, failed, collapsed, converged.

    A run has converged when it is complete and has not collapsed. Controls are not counted: they train nothing. Nor are
    the runs by which an ablation chose a learning rate.
    """
    trials = results.trials[(results.trials["phase"] == phase) & (results.trials["arm"] != "control")]
    if phase == "ablate":
        trials = trials[trials["round"].isna()]
    statuses = ("complete", "pruned", "diverged", "failed")
    flags = trials[list(by)].assign(
        runs=1,
        **{status: trials["status"] == status for status in statuses},
        collapsed=trials["collapsed"],
        converged=(trials["status"] == "complete") & ~trials["collapsed"],
    )
    return flags.groupby(list(by), observed=True).sum().astype("Int64").reset_index()


def summarise_groups(frame: pd.DataFrame, by: Sequence[str] = CELL, value: str = "value") -> pd.DataFrame:
    """Return `summarise`'s one row a group of ``by``, which holds the arm.

    A control's value that no seed changes, such as PCA's squared error, is computed and not drawn: it has neither n nor
    an interval over seeds.
    """
    groups = summarise(frame, by, value).astype({"n": "Int64"})
    drawn = groups["deviation"] > ROUNDING * groups["mean"].abs()  # as far as several values say it
    over_seeds = ["n", "half_width", "low", "high"]
    groups[over_seeds] = groups[over_seeds].mask((groups["arm"] == "control") & ~drawn)
    return groups


def name_estimate(groups: pd.DataFrame, name: str, by: Sequence[str] = CELL) -> pd.DataFrame:
    """Return what makes an estimate called NAME of ``groups``: NAME, NAME_half_width, NAME_low, NAME_high, NAME_n."""
    columns = {"mean": name} | {part: f"{name}_{part}" for part in ("half_width", "low", "high", "n")}
    return groups[[*by, *columns]].rename(columns=columns)


def estimate_means(frame: pd.DataFrame, name: str, by: Sequence[str] = CELL, value: str = "value") -> pd.DataFrame:
    """Return one row a group of ``by`` with the mean of ``value`` as an estimate called ``name``."""
    return name_estimate(summarise_groups(frame, by, value), name, by)


def join_frames(frames: Iterable[pd.DataFrame], by: Sequence[str] = CELL) -> pd.DataFrame:
    """Join frames of one row a group side by side; a group of any frame is there, in the order of tables."""
    first, *others = frames
    for other in others:
        first = first.merge(other, on=list(by), how="outer")
    return first.sort_values(list(by), ignore_index=True)


def add_labels(results: StudyResults, frame: pd.DataFrame) -> pd.DataFrame:
    """Add the shown name of each row's model as ``label``."""
    return frame.assign(label=frame["architecture"].astype("str").map(results.get_label))
