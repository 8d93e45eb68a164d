"""Rows that support every claim, and what changes them.

`GOOD` supports every claim at code size 10; each test changes a model or two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.claims.findings import Finding, findings
from analysis.results import StudyResults

Figures = Mapping[tuple[str, str], Sequence[float]]


SQUARED, LINEAR, MLP = "reconstruction/squared_error", "linear_classifier/error", "mlp_classifier/error"


ACCURACY, RAW_ACCURACY = "k_means_whitened/accuracy", "k_means/accuracy"


OTHER, MEAN_CODE = "other_switches/squared_error", "mean_code/squared_error"


GOOD: Figures = {
    ("model_1", SQUARED): (14.0, 14.2, 14.4),
    ("model_2", SQUARED): (15.0, 15.3, 15.3),
    ("model_3", SQUARED): (1.40, 1.42, 1.38),
    ("model_4", SQUARED): (12.0, 12.1, 12.4),
    ("classic_autoencoder", SQUARED): (12.0, 12.3, 12.6),
    ("pca", SQUARED): (26.71,),
    ("model_1", LINEAR): (9.0, 9.1, 9.2),
    ("model_2", LINEAR): (9.5, 9.7, 9.6),
    ("model_3", LINEAR): (16.0, 16.4, 16.2),
    ("model_4", LINEAR): (8.0, 8.0, 8.3),
    ("pca", LINEAR): (19.1,),
    **{(f"model_{number}", MLP): (5.0, 5.1, 5.2) for number in (1, 2, 3, 4)},
    ("pca", MLP): (8.0,),
    **{(f"model_{number}", ACCURACY): (0.60, 0.61, 0.62) for number in (1, 2, 3)},
    ("model_4", ACCURACY): (0.70, 0.72, 0.71),
    ("pca", ACCURACY): (0.53,),
    ("raw_pixels", RAW_ACCURACY): (0.55,),
    ("model_3", OTHER): (83.0, 82.0, 84.0),
    ("model_3", MEAN_CODE): (4.0, 4.1, 3.9),
    ("model_4", MEAN_CODE): (63.0, 62.0, 64.0),
}


CONTRADICTING: Mapping[int, Figures] = {
    2: {("model_2", SQUARED): (30.0, 30.3, 30.3)},
    3: {("model_1", ACCURACY): (0.40, 0.401, 0.402)},
    4: {("model_3", LINEAR): (40.0, 40.1, 40.2)},
    5: {("model_1", SQUARED): (10.0, 10.2, 10.4)},
    6: {("model_3", LINEAR): (7.0, 7.1, 7.3)},
    7: {("classic_autoencoder", SQUARED): (8.0, 8.2, 8.4)},  # with the margin 9.87, 10.05, 10.23
    8: {("model_1", SQUARED): (10.0, 14.0, 18.0)},  # deviation 4 of PCA's 26.71: 15 %, interval from 7.8 %
}


OPEN: Mapping[int, Figures] = {
    2: {("model_2", SQUARED): (20.0, 27.0, 30.0)},
    3: {("model_1", ACCURACY): (0.54, 0.55, 0.56)},
    4: {("model_3", LINEAR): (18.0, 19.0, 20.5)},
    5: {("model_1", SQUARED): (12.1, 12.0, 12.4)},
    6: {("model_3", LINEAR): (8.0, 8.3, 8.1)},
    7: {("classic_autoencoder", SQUARED): (10.4, 10.5, 10.9)},  # with the margin 12.03, 12.12, 12.48
    8: {("model_1", SQUARED): (12.0, 14.0, 16.0)},  # 7.5 %, interval 3.9 to 47 %
}


BOTH, RELU = (11.0, 11.1, 11.6), (14.0, 14.2, 14.5)


def having(results: StudyResults, figures: Figures, arms: Sequence[str] = ("tuned", "published")) -> StudyResults:
    """Return ``results`` with these test figures of the runs of seeds 1, 2, 3, in ``arms``."""
    scores = results.scores
    measured = scores["evaluator"].astype("str") + "/" + scores["metric"].astype("str")
    at = pd.Series(scores.index, index=[scores["trial_id"], scores["split"].astype("str"), measured])
    value = scores["value"].copy()
    for (name, figure), values in figures.items():
        size = 784 if name == "raw_pixels" else 10
        for arm in ("control",) if len(values) == 1 else arms:
            for number, new in enumerate(values, start=1):
                key = (f"confirm-{name}-{size}-{arm}-{number}", "test", figure)
                if key in at.index:  # nothing of the classic auto-encoder is published
                    value[at[key]] = new
    return dataclasses.replace(results, scores=scores.assign(value=value))


def without(results: StudyResults, **labels: str) -> StudyResults:
    """Return ``results`` without the trials of these labels, or without the scores."""
    trials, scores = results.trials, results.scores
    for column, label in labels.items():
        if column in trials:
            trials = trials[trials[column] != label]
        else:
            scores = scores[scores[column] != label]
    return dataclasses.replace(results, trials=trials, scores=scores[scores["trial_id"].isin(trials["trial_id"])])


def with_ended(results: StudyResults, trial_id: str, status: str) -> StudyResults:
    """Return ``results`` with one trial that came to nothing."""
    trials = results.trials.copy()
    trials.loc[trials["trial_id"] == trial_id, "status"] = status
    trials["full_budget"] &= trials["status"] == "complete"
    return dataclasses.replace(results, trials=trials, scores=results.scores[results.scores["trial_id"] != trial_id])


def with_ablation(
    results: StudyResults, name: str, factor: str, level: str, errors: Sequence[float], arm: str = "tuned"
) -> StudyResults:
    """Return ``results`` with an ablation that has these squared errors."""
    trials = results.trials[results.trials["trial_id"].str.startswith(f"confirm-{name}-10-{arm}")].copy()
    scores = results.scores[results.scores["trial_id"].isin(trials["trial_id"])].copy()
    renamed = {
        old: f"ablate-{name}-{arm}-{factor}-{level}-{number}" for number, old in enumerate(trials["trial_id"], 1)
    }
    trials = trials.assign(trial_id=trials["trial_id"].map(renamed), phase="ablate", factor=factor, level=level)
    trials["phase"] = trials["phase"].astype(results.trials["phase"].dtype)
    scores["trial_id"] = scores["trial_id"].map(renamed)
    of = (scores["evaluator"] == "reconstruction") & (scores["metric"] == "squared_error") & (scores["split"] == "test")
    scores.loc[of, "value"] = list(errors)
    return dataclasses.replace(
        results,
        trials=pd.concat([results.trials, trials], ignore_index=True),
        scores=pd.concat([results.scores, scores], ignore_index=True),
    )


def finding(results: StudyResults, number: int) -> Finding:
    """Return the finding on claim ``number``."""
    return findings(results)[number - 1]
