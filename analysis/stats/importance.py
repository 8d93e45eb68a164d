"""Importance of the hyperparameters, from the rows of search trials alone.

Losses of different cells cannot be compared, so what counts is a trial's rank within its cell; ranks of many cells can
then be put together, which a search of few trials a cell needs. A trial that was stopped early ranks behind every
complete one: it was stopped because it was worse at the same epoch, and leaving it out would hide the bad settings.
Of a search by rounds the first round counts, in which every trial trains alike. Trial 0, which is no draw, is left out,
and so is a grid: a single good point beside draws would make important whatever it differs in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.results import SEARCHED

MINIMUM_TRIALS = 20
"""Ranked trials below which the best fifth are too few for a distribution."""

MAXIMUM_TRIALS = 500
"""Trials of one evaluation; of more, an even sample over the ranks is taken."""

TARGET_QUANTILE = 0.2

HYPERPARAMETERS = (SEARCHED[0], "weight_decay", *SEARCHED[1:])
"""Those that may have an importance; the weight decay where it was searched, which depends on the recipe."""

_CELL = ["study", "architecture", "code_size"]
_PLACE_OF_STATUS = {"complete": 0, "pruned": 1, "diverged": 2}


def compute_importances(trials: pd.DataFrame) -> pd.DataFrame:
    """Return study, architecture, hyperparameter, importance (its share of 1) and n (trials).

    ``architecture`` is empty for all models of a study together. Models with fewer than `MINIMUM_TRIALS` are left out,
    and so are those of `list_left_out`.
    """
    ranked = rank_in_cell(trials)
    rows = []
    for study, of_study in ranked.groupby("study", observed=True):
        names = [name for name in HYPERPARAMETERS if name in SEARCHED or of_study[name].min() < of_study[name].max()]
        for architecture, group in [("", of_study), *of_study.groupby("architecture", observed=True)]:
            if len(group) >= MINIMUM_TRIALS:
                for hyperparameter, importance in ped_anova(group, names).items():
                    rows.append((study, str(architecture), hyperparameter, importance, len(group)))
    return pd.DataFrame(rows, columns=["study", "architecture", "hyperparameter", "importance", "n"])


def list_left_out(trials: pd.DataFrame) -> list[str]:
    """Return the models that were searched and have no filter counts: a share among fewer is another figure."""
    searched = trials[trials["phase"] == "search"]
    counts = searched.groupby("architecture", observed=True)["filters_1"].count()
    return [str(name) for name, count in counts.items() if count == 0]


def rank_in_cell(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the drawn search trials that can be ranked, with ``rank`` from 0 (best of its cell) to 1.

    Complete trials come first, by ``search_value``; then those stopped early, the ones that went further first; then
    those that diverged. A trial that failed says nothing of its settings. Each hyperparameter is given as its place in
    the range that was tried for its model, from 0 to 1 on a logarithmic scale: models differ in their ranges. A weight
    decay of 0 is at its lower end.
    """
    searched = trials[(trials["phase"] == "search") & trials["status"].isin(list(_PLACE_OF_STATUS))]
    drawn = (searched["number"] > 0) & (searched["sampler"].fillna("") != "grid") & (searched["round"].fillna(1) == 1)
    searched = searched[drawn]
    searched = searched.dropna(subset=list(SEARCHED))
    status = searched["status"].astype("str").map(_PLACE_OF_STATUS)
    unknown = searched["search_value"].isna() & (status < _PLACE_OF_STATUS["diverged"])
    searched = searched.assign(
        _status=status,
        _epochs=-searched["epochs"].fillna(0).astype("float64").mask(status == 0, 0.0),
        _loss=searched["search_value"].fillna(np.inf),
    )[~unknown].sort_values(["_status", "_epochs", "_loss", "number"])
    cells = searched.groupby(_CELL, observed=True)
    ranked = searched[_CELL].assign(rank=cells.cumcount() / (cells["number"].transform("size") - 1).clip(lower=1))
    for name in HYPERPARAMETERS:
        values = searched[name].astype("float64").where(searched[name] > 0).map(math.log, na_action="ignore")
        of_model = values.groupby([searched["study"], searched["architecture"]], observed=True)
        low, high = of_model.transform("min"), of_model.transform("max")
        ranked[name] = ((values - low) / (high - low)).where(high > low, 0.5).fillna(0.0)
    return ranked


def ped_anova(ranked: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return the importance of the hyperparameters ``names`` over the trials ``ranked``, which sum to 1."""
    import optuna

    if len(ranked) > MAXIMUM_TRIALS:
        places = np.linspace(0, len(ranked) - 1, MAXIMUM_TRIALS).round().astype(int)
        ranked = ranked.sort_values("rank").iloc[places]
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        optuna_study = optuna.create_study()
        for *values, rank in ranked[[*names, "rank"]].itertuples(index=False):
            params = dict(zip(names, map(float, values), strict=True))
            optuna_study.add_trial(
                optuna.trial.create_trial(params=params, distributions=distributions, value=float(rank))
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TARGET_QUANTILE)
    found = optuna.importance.get_param_importances(optuna_study, evaluator=evaluator)
    return {name: float(found[name]) for name in names}
