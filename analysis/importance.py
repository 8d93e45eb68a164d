"""Importance of the hyperparameters, from the rows of search trials alone.

Losses of different cells cannot be compared, so what counts is a trial's rank within its cell; ranks of many cells can
then be put together, which a search of few trials a cell needs. A trial that was stopped early ranks behind every
complete one: it was stopped because it was worse at the same epoch, and leaving it out would hide the bad settings.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

HYPERPARAMETERS = ("learning_rate", "filters_1", "filters_2")

MINIMUM_TRIALS = 20
"""Ranked trials below which the best fifth are too few for a distribution."""

MAXIMUM_TRIALS = 1_000
"""Trials of one evaluation; of more, an even sample over the ranks is taken."""

TARGET_QUANTILE = 0.2

_CELL = ["study", "architecture", "code_size"]
_RANK_OF_STATUS = {"complete": 0, "pruned": 1, "diverged": 2}


def importances(trials: pd.DataFrame) -> pd.DataFrame:
    """Return study, architecture, hyperparameter, importance (its share of 1) and n (trials).

    ``architecture`` is empty for all models of a study together. Models with fewer than `MINIMUM_TRIALS` are left out,
    and so are those without filter counts to search.
    """
    ranked = rank_in_cell(trials)
    rows = []
    for study, of_study in ranked.groupby("study", observed=True):
        groups = [("", of_study), *of_study.groupby("architecture", observed=True)]
        for architecture, group in groups:
            if len(group) >= MINIMUM_TRIALS:
                for hyperparameter, importance in ped_anova(group).items():
                    rows.append((study, str(architecture), hyperparameter, importance, len(group)))
    return pd.DataFrame(rows, columns=["study", "architecture", "hyperparameter", "importance", "n"])


def rank_in_cell(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the search trials that can be ranked, with ``rank`` from 0 (best of its cell) to 1.

    Complete trials come first, by validation loss; then those stopped early, the ones that went further first; then
    those that diverged. A trial that failed says nothing of its settings.
    """
    searched = trials[(trials["phase"] == "search") & trials["status"].isin(_RANK_OF_STATUS)]
    searched = searched.dropna(subset=list(HYPERPARAMETERS))
    status = searched["status"].astype("str").map(_RANK_OF_STATUS)
    searched = searched[(status == 2) | searched["validation_cross_entropy"].notna()]
    order = pd.DataFrame(
        {
            "status": status,
            "epochs": -searched["epochs"].fillna(0).astype("float64"),
            "loss": searched["validation_cross_entropy"].fillna(np.inf),
        }
    )
    order.loc[order["status"] == 0, "epochs"] = 0.0
    place = searched.assign(**order.add_prefix("_")).sort_values(["_status", "_epochs", "_loss", "number"])
    position = place.groupby(_CELL, observed=True).cumcount()
    size = place.groupby(_CELL, observed=True)["number"].transform("size")
    return place.assign(rank=position / (size - 1).clip(lower=1))[[*_CELL, *HYPERPARAMETERS, "rank"]]


def ped_anova(ranked: pd.DataFrame) -> dict[str, float]:
    """Return the importance of each hyperparameter over the trials ``ranked``, which sum to 1."""
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

    if len(ranked) > MAXIMUM_TRIALS:
        places = np.linspace(0, len(ranked) - 1, MAXIMUM_TRIALS).round().astype(int)
        ranked = ranked.sort_values("rank").iloc[places]
    # A hyperparameter that did not vary has no distribution to compare.
    varied = [name for name in HYPERPARAMETERS if ranked[name].min() < ranked[name].max()]
    distributions: dict[str, BaseDistribution] = {}
    for name in varied:
        low, high = ranked[name].min(), ranked[name].max()
        distributions[name] = (
            FloatDistribution(float(low), float(high), log=True)
            if name == "learning_rate"
            else IntDistribution(int(low), int(high), log=True)
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        optuna_study = optuna.create_study()
        optuna_study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: _plain(row[name], name) for name in varied},
                    distributions=distributions,
                    value=float(row["rank"]),
                )
                for row in ranked[[*varied, "rank"]].to_dict("records")
            ]
        )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TARGET_QUANTILE)
        found = optuna.importance.get_param_importances(optuna_study, evaluator=evaluator) if varied else {}
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(found.get(name, 0.0)) for name in HYPERPARAMETERS}


def _plain(value: object, name: str) -> float | int:
    return float(value) if name == "learning_rate" else int(value)  # type: ignore[arg-type, call-overload]
