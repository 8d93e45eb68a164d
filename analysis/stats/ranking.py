"""Which model is best, and which cannot be told apart from it.

A mean that is lowest by luck is no result. The best of a group (study, code size and arm) is called so only where it
is better than every other ranked model of the group in paired t tests by seed, Holm-adjusted over all groups of its
study and metric, at 5 %.
"""

from __future__ import annotations

import pandas as pd

from analysis.results import StudyResults
from analysis.stats.aggregate import GROUP
from analysis.stats.intervals import compare_pairs, holm, summarise
from analysis.stats.metrics import is_past_code

SIGNIFICANCE = 0.05

METRIC = ["evaluator", "metric"]
_CONTEST = [*METRIC, "direction", *GROUP]


def select_ranked(results: StudyResults, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``scores`` that may be ranked: of models that share the parameter budget, by their codes."""
    unranked = [name for name, row in results.models.items() if not row.ranked]
    ranked = (scores["arm"] != "control") & ~scores["architecture"].isin(unranked)
    return scores[ranked & ~is_past_code(scores)]


def compare_with_best(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the test of each model against the best of its group, by every metric.

    Args:
        scores: rows of the models to rank, with evaluator, metric, direction (lower or higher), study, code_size, arm,
            architecture, seed and value.

    Returns:
        One row a metric, group and model that is not the best: evaluator, metric, direction, `GROUP`, architecture,
        best, n (seeds in common), difference (model minus best) with half_width, low, high, p_value, p_holm,
        effect_size and ``worse``. Without two seeds in common there is no test, and no p value.
    """
    means = summarise(scores, [*_CONTEST, "architecture"])
    best = (_sign(means) * means["mean"]).groupby([means[key] for key in _CONTEST], observed=True).idxmin()
    top = means.loc[best, [*_CONTEST, "architecture"]].rename(columns={"architecture": "best"})
    with_best = scores.merge(top, on=_CONTEST)
    is_best = with_best["architecture"] == with_best["best"]
    others, key = with_best[~is_best], [*_CONTEST, "architecture", "best"]
    tests = compare_pairs(others, with_best[is_best], pair=[*_CONTEST, "seed"], by=key)
    tests = others[key].drop_duplicates().merge(tests, on=key, how="left")
    tests["p_holm"] = adjust_p_values(tests, ["study", *METRIC])
    worse = (tests["p_holm"] < SIGNIFICANCE) & (_sign(tests) * tests["difference"] > 0)
    return tests.assign(worse=worse).sort_values(key, ignore_index=True)


def mark_models(tests: pd.DataFrame) -> pd.DataFrame:
    """Return one row a metric, group and ranked model with ``mark``: ``best``, ``tie`` (with the best), or nothing.

    Where a test is missing for want of seeds, nobody is called best.
    """
    tests = tests.assign(tied=tests["p_holm"].notna() & ~tests["worse"])
    others = tests.assign(mark=tests["tied"].map({True: "tie", False: ""}))
    groups = tests.groupby([*_CONTEST, "best"], observed=True).agg({"worse": "all", "tied": "any"}).reset_index()
    groups["mark"] = groups["tied"].map({True: "tie", False: ""}).mask(groups["worse"], "best")
    columns = [*METRIC, *GROUP, "architecture", "mark"]
    return pd.concat([others[columns], groups.rename(columns={"best": "architecture"})[columns]], ignore_index=True)


def adjust_p_values(tests: pd.DataFrame, family: list[str]) -> pd.Series[float]:
    """Return column ``p_value`` Holm-adjusted over the tests of each ``family``; NaN where there was no test."""
    tested = tests["p_value"].notna()
    p_values = tests.loc[tested, "p_value"].groupby([tests.loc[tested, key] for key in family], observed=True)
    return p_values.transform(lambda values: pd.Series(holm(values), values.index)).reindex(tests.index)


def _sign(frame: pd.DataFrame) -> pd.Series[float]:
    return pd.Series(1.0, frame.index).mask(frame["direction"] == "higher", -1.0)
