"""The one contrast that is looked at first: squared error as a share of PCA's, averaged over the code sizes.

A single column often cannot tell models apart that are apart at every code size: here all columns of squared error
count together, each in units of what a code of its size achieves without training. Every pair of ranked models ends as
one of three: ``better`` (Welch's test with Satterthwaite's degrees of freedom, Holm-adjusted over the pairs),
``equivalent`` within `MARGIN` (two one-sided tests, Holm-adjusted likewise), or ``undecided``.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.results import StudyResults
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, Contrast, count_deciding_seeds, make_contrast
from analysis.stats.intervals import summarise
from analysis.stats.metrics import CLIPPED_SQUARED_ERROR, SQUARED_ERROR, select_metric
from analysis.stats.ranking import adjust_p_values, mark_models, select_ranked
from study.storage.schema import ARMS

MARGIN = 0.05
"""Models are equivalent that differ by less than this share of PCA's squared error.

Source: ours. Models gain about half of PCA's error, so it is a tenth of what they gain, as claim 7 allows.
"""

SCOPE = ["study", "arm", "code_sizes"]
"""What models are compared within: ``code_sizes`` is a text such as ``2, 10, 30``, averaged over, or one of them."""


def get_pca_errors(results: StudyResults) -> pd.DataFrame:
    """Return PCA's squared error by study and code_size as ``pca``, and whether its images were ``clipped`` to [0, 1].

    Clipped where a study has that at every code size, since no model's image leaves [0, 1].
    """
    scores = select_confirmed_scores(results)
    scores = scores[scores["architecture"] == "pca"].astype({"study": "str"})
    key = ["study", "code_size"]
    plain, clipped = (
        select_metric(scores, metric).groupby(key)["value"].mean() for metric in (SQUARED_ERROR, CLIPPED_SQUARED_ERROR)
    )
    parts = []
    for study in plain.index.unique("study"):
        own = plain[[study]]
        use = bool(own.index.isin(clipped.index).all())
        parts.append((clipped if use else plain).reindex(own.index).rename("pca").reset_index().assign(clipped=use))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*key, "pca", "clipped"])


@lru_cache(maxsize=2)
def compare_headline(results: StudyResults) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the models and the pairs of them, over all code sizes together and, where there are several, at each.

    Returns:
        One row a `SCOPE` and model: architecture, share (of PCA's squared error) with half_width, low, high, n (seeds
        of its cell that has fewest) and mark; a model under `MINIMUM_SEEDS` seeds at a code size of the scope has NaN.
        One row a `SCOPE` and pair: architecture, other (the one with the lower mean), difference with half_width, low,
        high, p_value, p_holm, p_equivalent (adjusted), outcome, ``possible`` (the largest difference in the interval)
        and seeds (that would decide what is undecided; absent beyond a thousand).
    """
    errors = select_ranked(results, select_metric(select_confirmed_scores(results), SQUARED_ERROR))
    errors = errors.astype({"study": "str", "arm": "str", "architecture": "str"}).merge(
        get_pca_errors(results), on=["study", "code_size"]
    )
    cells = summarise(
        errors.assign(share=errors["value"] / errors["pca"].astype("float64")),
        ["study", "arm", "architecture", "code_size"],
        "share",
    )
    order = {name: place for place, name in enumerate(results.models)}
    models: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    cells["arm"] = pd.Categorical(cells["arm"], ARMS, ordered=True)
    for (study, arm), group in cells.groupby(["study", "arm"], observed=True, sort=True):
        sizes = sorted(group["code_size"].unique())
        for scope in [sizes, *([size] for size in sizes if len(sizes) > 1)]:
            labels = {"study": study, "arm": arm, "code_sizes": ", ".join(map(str, scope))}
            found = _select_comparable(group, scope)
            names = sorted(group["architecture"].unique(), key=lambda name: order.get(name, len(order)))
            models += [labels | {"architecture": name} | _describe_model(found.get(name), len(scope)) for name in names]
            pairs += [labels | pair for pair in _compare_pairs(found, len(scope))]
    columns = [*SCOPE, "architecture", "other", "difference", "half_width", "low", "high", "p_value", "p_equivalent"]
    frame = pd.DataFrame(pairs, columns=[*columns, "possible", "seeds"]).astype({"seeds": "Int64"})
    frame["p_holm"] = adjust_p_values(frame, SCOPE)
    frame["p_equivalent"] = adjust_p_values(frame, SCOPE, "p_equivalent")
    outcome = pd.Series("undecided", frame.index)
    outcome = outcome.mask(frame["p_equivalent"] < SIGNIFICANCE, "equivalent").mask(
        frame["p_holm"] < SIGNIFICANCE, "better"
    )
    frame = frame.assign(outcome=outcome, worse=outcome == "better")
    frame["seeds"] = frame["seeds"].where(outcome == "undecided")
    marked = mark_models(frame, SCOPE)
    shown = pd.DataFrame(models, columns=[*SCOPE, "architecture", "share", "half_width", "low", "high", "n"])
    shown = shown.merge(marked, on=[*SCOPE, "architecture"], how="left").fillna({"mark": ""})
    # Beside a model that cannot be compared nobody is called best alone.
    incomplete = shown["share"].isna().groupby([shown[key] for key in SCOPE]).transform("any")
    return shown.assign(mark=shown["mark"].mask(incomplete & (shown["mark"] == "best"), "tie")), frame


def _select_comparable(cells: pd.DataFrame, sizes: list[int]) -> dict[str, pd.DataFrame]:
    """Return the cells at ``sizes`` of each model that has enough seeds at all of them."""
    cells = cells[cells["code_size"].isin(sizes) & (cells["n"] >= MINIMUM_SEEDS)]
    groups = {str(name): group for name, group in cells.groupby("architecture")}
    return {name: group for name, group in groups.items() if len(group) == len(sizes)}


def _describe_model(cells: pd.DataFrame | None, sizes: int) -> dict[str, Any]:
    if cells is None:
        return {}
    mean = make_contrast(np.full(sizes, 1 / sizes), cells["mean"], cells["deviation"], cells["n"])
    share, width = float(mean.value), float(mean.half_width())
    return {"share": share, "half_width": width, "low": share - width, "high": share + width, "n": cells["n"].min()}


def _compare_pairs(models: dict[str, pd.DataFrame], sizes: int) -> list[dict[str, Any]]:
    weights = np.repeat([1 / sizes, -1 / sizes], sizes)
    ranked = sorted(models, key=lambda name: models[name]["mean"].mean())
    pairs = list(itertools.combinations(ranked, 2))
    compared: list[dict[str, Any]] = []
    for other, architecture in pairs:
        cells = pd.concat([models[architecture], models[other]])
        contrast = make_contrast(weights, cells["mean"], cells["deviation"], cells["n"])
        compared.append(
            {"architecture": architecture, "other": other}
            | _describe_pair(contrast)
            | {"seeds": count_deciding_seeds(contrast, weights, cells["deviation"], MARGIN, len(pairs))}
        )
    return compared


def _describe_pair(contrast: Contrast) -> dict[str, float]:
    difference, width = float(contrast.value), float(contrast.half_width())
    return {
        "difference": difference,
        "half_width": width,
        "low": difference - width,
        "high": difference + width,
        "p_value": float(contrast.p_value()),
        "p_equivalent": float(contrast.p_equivalent(MARGIN)),
        "possible": abs(difference) + width,
    }
