"""Which models may be the best, and which are worse than another.

A mean that is lowest by luck is no result. Within a group (study, code size and arm) and metric, which is a column of
a table as it is printed, every ranked model is compared with every other by Welch's test, p values Holm-adjusted over
these pairs, at 5 %. A model that no other is better than may be the best: with a chance of 95 % the set of these holds
the model that is. Testing against the lowest mean alone would not keep that chance, since luck has chosen it
(`benchmarks/family_wise_error.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.results import StudyResults
from analysis.stats.aggregate import GROUP, ROUNDING
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, make_contrast
from analysis.stats.intervals import holm, summarise
from analysis.stats.metrics import is_past_code

METRIC = ["evaluator", "metric"]
_CONTEST = [*METRIC, "direction", *GROUP]


def select_ranked(results: StudyResults, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``scores`` that may be ranked: of models that share the parameter budget, by their codes."""
    unranked = [name for name, row in results.models.items() if not row.ranked]
    ranked = (scores["arm"] != "control") & ~scores["architecture"].isin(unranked)
    return scores[ranked & ~is_past_code(scores)]


def compare_all(scores: pd.DataFrame, levels: Mapping[tuple[str, str], float] = MappingProxyType({})) -> pd.DataFrame:
    """Return the test of each pair of models of a group, by every metric.

    Args:
        scores: rows of the models to rank, with evaluator, metric, direction (lower or higher), study, code_size, arm,
            architecture and value.
        levels: by study and arm, where a test is not judged at `SIGNIFICANCE`.

    Returns:
        One row a metric, group and pair: evaluator, metric, direction, `GROUP`, architecture, other (the one with the
        better mean), difference (architecture minus other) with half_width, low, high, p_value, p_holm, n (seeds of
        the one that has fewer) and ``worse``. Where that is under `MINIMUM_SEEDS`, or no seed changes either model's
        value (`find_constant`), there is no test: NaN.
    """
    means = summarise(scores, [*_CONTEST, "architecture"])
    means = means[[*_CONTEST, "architecture", "mean", "deviation", "n"]]
    sign = pd.Series(1.0, means.index).mask(means["direction"] == "higher", -1.0)
    means = means.assign(
        place=(sign * means["mean"]).groupby([means[key] for key in _CONTEST], observed=True).rank("first")
    )
    pairs = means.merge(means, on=_CONTEST, suffixes=("", "_other"))
    pairs = pairs[pairs["place"] > pairs["place_other"]].rename(columns={"architecture_other": "other"})
    parts = (pairs[[name, f"{name}_other"]].to_numpy(dtype="float64") for name in ("mean", "deviation", "n"))
    contrast = make_contrast([1.0, -1.0], *parts)
    places = zip(pairs["study"].astype("str"), pairs["arm"].astype("str"), strict=True)
    level = np.array([levels.get(place, SIGNIFICANCE) for place in places])
    tests = pairs[[*_CONTEST, "architecture", "other"]].assign(
        n=pairs[["n", "n_other"]].min(axis=1),
        difference=contrast.value,
        half_width=contrast.half_width(1 - level),
        p_value=contrast.p_value(),
    )
    few = tests["n"] < MINIMUM_SEEDS
    constant = find_constant(contrast.standard_error, pairs["mean"].abs() + pairs["mean_other"].abs())
    tests[["half_width", "p_value"]] = tests[["half_width", "p_value"]].mask(few | constant)
    tests = tests.assign(
        low=tests["difference"] - tests["half_width"],
        high=tests["difference"] + tests["half_width"],
        p_holm=adjust_p_values(tests, _CONTEST),
    )
    tests = tests.assign(worse=tests["p_holm"] < level)
    return tests.sort_values([*_CONTEST, "architecture", "other"], ignore_index=True)


def compare_with(
    scores: pd.DataFrame, baseline: str, levels: Mapping[tuple[str, str], float] = MappingProxyType({})
) -> pd.DataFrame:
    """Return how far each other model of a group is from ``baseline`` by every metric, with simultaneous intervals.

    All intervals of a group and metric hold together with 95 % or more: each is Welch's at a level that is Bonferroni's
    share for one of them.

    Args:
        scores: as of `compare_all`.
        baseline: the architecture that is subtracted.
        levels: as of `compare_all`.

    Returns:
        One row a metric, group and model: evaluator, metric, direction, `GROUP`, architecture, difference
        (architecture minus ``baseline``), half_width, low, high and n. No interval under `MINIMUM_SEEDS`, or where no
        seed changes either model's value: NaN.
    """
    means = summarise(scores, [*_CONTEST, "architecture"]).astype({"architecture": "str"})
    means = means[[*_CONTEST, "architecture", "mean", "deviation", "n"]]
    own = means["architecture"] == baseline
    pairs = means[~own].merge(means[own].drop(columns="architecture"), on=_CONTEST, suffixes=("", "_baseline"))
    parts = (pairs[[name, f"{name}_baseline"]].to_numpy(dtype="float64") for name in ("mean", "deviation", "n"))
    contrast = make_contrast([1.0, -1.0], *parts)
    n = pairs[["n", "n_baseline"]].min(axis=1)
    constant = find_constant(contrast.standard_error, pairs["mean"].abs() + pairs["mean_baseline"].abs())
    tested = (n >= MINIMUM_SEEDS) & ~constant
    count = tested.groupby([pairs[key] for key in _CONTEST], observed=True).transform("sum").clip(lower=1)
    places = zip(pairs["study"].astype("str"), pairs["arm"].astype("str"), strict=True)
    level = np.array([levels.get(place, SIGNIFICANCE) for place in places])
    width = pd.Series(contrast.half_width(1 - level / count), pairs.index).where(tested)
    return pairs[[*_CONTEST, "architecture"]].assign(
        n=n,
        difference=contrast.value,
        half_width=width,
        low=contrast.value - width,
        high=contrast.value + width,
    )


def mark_models(tests: pd.DataFrame, by: Sequence[str] = _CONTEST) -> pd.DataFrame:
    """Return one row a group of ``by`` and ranked model with ``mark``: ``best`` (alone), ``tie`` (may be it), or none.

    A model without a test has no mark, and beside one nobody is called best alone.
    """
    sides = pd.concat(
        [tests, tests.drop(columns="architecture").rename(columns={"other": "architecture"}).assign(worse=False)]
    )
    sides = sides.assign(tested=sides["p_holm"].notna())
    models = sides.groupby([*by, "architecture"], observed=True).agg({"worse": "any", "tested": ["any", "all"]})
    models.columns = pd.Index(["worse", "tested", "complete"])
    models = models.reset_index()
    models = models.assign(kept=models["tested"] & ~models["worse"])
    groups = models.groupby(list(by), observed=True)
    alone = (groups["kept"].transform("sum") == 1) & groups["complete"].transform("all")
    mark = models["kept"].map({True: "tie", False: ""}).mask(models["kept"] & alone, "best")
    return models.assign(mark=mark).drop(columns=["worse", "tested", "complete", "kept"])


def find_constant(spread: ArrayLike, scale: ArrayLike) -> NDArray[np.bool_]:
    """Return which tests have a ``spread`` of 0 but for rounding, beside values as large as ``scale``.

    They are not made. Errors come in steps of one test image, so a few runs may agree: taken for a deviation of 0,
    that would make any difference certain.
    """
    return np.asarray(np.asarray(spread, dtype=np.float64) <= ROUNDING * np.asarray(scale, dtype=np.float64))


def adjust_p_values(tests: pd.DataFrame, family: Sequence[str], column: str = "p_value") -> pd.Series[float]:
    """Return ``column`` Holm-adjusted over the tests of each ``family``; NaN where there was no test."""
    tested = tests[column].notna()
    p_values = tests.loc[tested, column].groupby([tests.loc[tested, key] for key in family], observed=True)
    return p_values.transform(lambda values: pd.Series(holm(values), values.index)).reindex(tests.index)
