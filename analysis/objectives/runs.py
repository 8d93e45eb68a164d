"""Which runs trained a model by which objective at which strength, and what they scored.

A model by an objective is a cell of its own; where the strength of the objective is ablated, its three strengths are
one confirmed configuration. Compared are the objectives of one model at one code size, where there are several. The
objectives that ablations change from plain reconstruction are not among them: they stand in the table of ablations.
"""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from analysis.results import StudyResults, list_objectives, split_model
from analysis.stats.aggregate import select_test_scores
from analysis.stats.metrics import INCREASE, MEAN_CODE, SQUARED_ERROR, Metric, select_metric

STRENGTHS = ("weak", "middle", "strong")
"""The three of each objective, as the levels of the ablation are called; the middle one is what is confirmed."""

NO_STRENGTH = "none"
"""Stands in their place where an objective has no strength, as plain reconstruction."""

OF_OBJECTIVES = "objective"
"""The evaluator of the scores that some objectives have alone."""
FIRST = tuple(Metric(OF_OBJECTIVES, metric) for metric in ("kl_divergence", "active_units", "bound"))
"""Those of them that come first, and are shown where space is short."""

MODEL = ["study", "model", "code_size"]
"""What objectives are compared within: ``model`` is the architecture, whatever it was trained by."""

RUN = [*MODEL, "arm", "objective", "place"]
"""What runs are summarised by; ``place`` is one of `STRENGTHS`, or `NO_STRENGTH`."""


@lru_cache(maxsize=2)  # a table, a finding and three figures show them
def collect_runs(results: StudyResults) -> pd.DataFrame:
    """Return the tuned trials of models that have several objectives, one row each.

    Columns: trial_id, `RUN`, architecture (as in other frames, named after the objective), strength, status, collapsed,
    full_budget. The order of ``model``, ``objective`` and ``place`` is that of tables.
    """
    trials = results.trials[results.trials["arm"] == "tuned"]
    ablated = (trials["phase"] == "ablate") & (trials["factor"] == "objective_strength") & trials["round"].isna()
    trials = trials[(trials["phase"] == "confirm") | ablated.fillna(False)]
    parts = [split_model(results.models, name) for name in trials["architecture"].astype("str")]
    confirmed = trials["objective_strength"].notna().map({True: "middle", False: NO_STRENGTH})
    names = [*dict.fromkeys((*results.models, *sorted({model for model, _ in parts})))]
    runs = trials[["trial_id", "study", "arm", "architecture", "status", "collapsed", "full_budget"]].assign(
        code_size=trials["base_code_size"].fillna(trials["code_size"]).astype("int64"),
        model=pd.Categorical([model for model, _ in parts], names, ordered=True),
        objective=pd.Categorical([objective for _, objective in parts], [*list_objectives(results)], ordered=True),
        place=pd.Categorical(
            trials["level"].where(trials["phase"] == "ablate", confirmed), [NO_STRENGTH, *STRENGTHS], ordered=True
        ),
        strength=trials["objective_strength"],
    )
    several = runs.groupby(MODEL, observed=True)["objective"].transform("nunique") > 1
    return runs[several].reset_index(drop=True)


@lru_cache(maxsize=2)
def collect_scores(results: StudyResults) -> pd.DataFrame:
    """Return the scores on test images of `collect_runs` that had their full budget, one row a trial and metric.

    To what was measured is added by how much the mean code in the place of its own raises a run's squared error.
    """
    columns = ["trial_id", "evaluator", "metric", "unit", "direction", "value"]
    runs = collect_runs(results)
    scores = runs[runs["full_budget"]].merge(select_test_scores(results)[columns], on="trial_id")
    scores = scores.astype({"evaluator": "str", "metric": "str", "unit": "str", "direction": "str"})
    own = select_metric(scores, SQUARED_ERROR).set_index("trial_id")["value"]
    replaced = select_metric(scores, MEAN_CODE)
    increase = replaced.assign(
        metric=INCREASE.metric,
        direction=INCREASE.direction,
        value=replaced["value"] - replaced["trial_id"].map(own).astype("float64"),
    )
    return pd.concat([scores, increase.dropna(subset="value")], ignore_index=True)
