"""The one contrast that is looked at first: squared error as a share of PCA's, averaged over the code sizes.

A single column often cannot tell models apart that are apart at every code size: here all columns of squared error
count together, each in units of what a code of its size achieves without training. Every pair of ranked models ends as
one of three: ``better`` (Welch's test with Satterthwaite's degrees of freedom, Holm-adjusted over the pairs),
``equivalent`` within `MARGIN` (two one-sided tests, Holm-adjusted likewise), or ``undecided``.

A study that declares looks (`study.plan.looks`) is judged at each when all has ended that it judges, by the runs of
that look alone and at its level, and what a look decides stays decided. So what was found, and who gets more seeds,
follows from the rows whatever came after, and whatever ended first.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from analysis.results import Study, StudyResults, list_trials
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, count_deciding_seeds, judge, make_contrast
from analysis.stats.intervals import Floats, summarise
from analysis.stats.metrics import CLIPPED_SQUARED_ERROR, SQUARED_ERROR, select_metric
from analysis.stats.ranking import mark_models, select_ranked
from study.config.study_config import rebuild_config
from study.plan.looks import DECLARED, has_look_ended
from study.plan.planned_trial import keep_latest
from study.storage.schema import ARMS

MARGIN = 0.05
"""Models are equivalent that differ by less than this share of PCA's squared error.

Source: ours. Models gain about half of PCA's error, so it is a tenth of what they gain, as claim 7 allows.
"""

_PARTS = ("mean", "deviation", "n")

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


@dataclass(frozen=True, slots=True)
class Looks:
    """What a study's looks have found, as far as their trials have ended.

    Attributes:
        seeds: of each look.
        levels: at which each is judged.
        taken: how many of them have been.
        pairs: as those of `compare_headline`, of the models over all code sizes; before the first look none.
        extended: to how many seeds the models that were undecided have been brought, by name.
    """

    seeds: tuple[int, ...]
    levels: tuple[float, ...]
    taken: int
    pairs: Mapping[frozenset[str], dict[str, Any]] = field(default_factory=dict)
    extended: Mapping[str, int] = field(default_factory=dict)

    @property
    def level(self) -> float:
        """That of the last look taken; before the first, its level."""
        return self.levels[max(0, self.taken - 1)]


@lru_cache(maxsize=2)
def take_looks(results: StudyResults) -> dict[str, Looks]:
    """Return what the looks have found of each study that declares some."""
    errors, found = get_shares(results), {}
    for study in results.studies:
        if looks := _take_looks(results, study, errors[errors["study"] == study.name]):
            found[study.name] = looks
    return found


def _take_looks(results: StudyResults, study: Study, errors: pd.DataFrame) -> Looks | None:
    declared, config = study.manifest.get(DECLARED), rebuild_config(study.manifest)
    if declared is None or config is None:
        return None
    looks = Looks(tuple(declared["seeds"]), tuple(declared["levels"]), 0)
    rows = keep_latest(list_trials(results, study))
    sizes, errors = list(config.code_sizes), errors[errors["arm"] == "tuned"]
    pairs, extended = looks.pairs, dict(looks.extended)
    for taken, level in enumerate(looks.levels, start=1):
        if not has_look_ended(config, rows, extended):
            break
        planned = {(name, size): extended.get(name, 0) for name in config.architectures for size in sizes}
        planned = {cell: max(seeds, config.count_seeds("tuned", cell[1])) for cell, seeds in planned.items()}
        most = [planned.get(cell, 0) for cell in zip(errors["architecture"], errors["code_size"], strict=True)]
        cells = summarise(errors[errors["number"] <= most], ["architecture", "code_size"], "share")
        pairs = _compare_pairs(_select_comparable(cells, sizes), len(sizes), level, pairs)
        undecided = {name for names, pair in pairs.items() if pair["outcome"] == "undecided" for name in names}
        if taken < len(looks.seeds):
            extended |= {name: looks.seeds[taken] for name in config.architectures if name in undecided}
        looks = Looks(looks.seeds, looks.levels, taken, pairs, dict(extended))
        if not undecided:
            break
    return looks


def get_levels(results: StudyResults) -> dict[tuple[str, str], float]:
    """Return at which level tests are judged where that is not `SIGNIFICANCE`, by study and arm."""
    return {(name, "tuned"): looks.level for name, looks in take_looks(results).items()}


def get_shares(results: StudyResults) -> pd.DataFrame:
    """Return the confirmed runs of ranked models with their ``share`` of PCA's squared error."""
    errors = select_ranked(results, select_metric(select_confirmed_scores(results), SQUARED_ERROR))
    errors = errors.astype({"study": "str", "arm": "str", "architecture": "str"}).merge(
        get_pca_errors(results), on=["study", "code_size"]
    )
    return errors.assign(share=errors["value"] / errors["pca"].astype("float64"))


@lru_cache(maxsize=2)
def compare_headline(results: StudyResults) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the models and the pairs of them, over all code sizes together and, where there are several, at each.

    Returns:
        One row a `SCOPE` and model: architecture, share (of PCA's squared error) with half_width, low, high, n (seeds
        of its cell that has fewest) and mark; a model under `MINIMUM_SEEDS` seeds at a code size of the scope has NaN.
        One row a `SCOPE` and pair: architecture, other (the one with the lower mean), level of the tests, difference
        with half_width, low, high of that level, p_value, p_holm, p_equivalent (adjusted), outcome, ``possible`` (the
        largest difference in the interval) and seeds (that would decide what is undecided; absent beyond a thousand).
    """
    errors = get_shares(results)
    cells = summarise(errors, ["study", "arm", "architecture", "code_size"], "share")
    order = {name: place for place, name in enumerate(results.models)}
    models: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    levels, looks = get_levels(results), take_looks(results)
    cells["arm"] = pd.Categorical(cells["arm"], ARMS, ordered=True)
    for key, group in cells.groupby(["study", "arm"], observed=True, sort=True):
        study, arm = map(str, key)
        sizes = sorted(group["code_size"].unique())
        level = levels.get((study, arm), SIGNIFICANCE)
        for scope in [sizes, *([size] for size in sizes if len(sizes) > 1)]:
            labels = {"study": study, "arm": arm, "code_sizes": ", ".join(map(str, scope))}
            found = _select_comparable(group, scope)
            names = sorted(group["architecture"].unique(), key=lambda name: order.get(name, len(order)))
            models += [labels | {"architecture": name} | _describe_model(found.get(name), len(scope)) for name in names]
            compared = _compare_pairs(found, len(scope), level)
            if scope is sizes and (study, arm) in levels:
                # Before the first look nothing is decided.
                compared = dict(looks[study].pairs) or {
                    names: pair | {"outcome": "undecided"} for names, pair in compared.items()
                }
            pairs += [labels | pair for pair in compared.values()]
    columns = [*SCOPE, "architecture", "other", "level", "difference", "half_width", "low", "high", "p_value"]
    columns += ["p_holm", "p_equivalent", "outcome", "possible", "seeds"]
    frame = pd.DataFrame(pairs, columns=columns).astype({"seeds": "Int64"})
    frame = frame.assign(worse=frame["outcome"] == "better")
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


def _compare_pairs(
    models: dict[str, pd.DataFrame],
    sizes: int,
    level: float,
    before: Mapping[frozenset[str], dict[str, Any]] = MappingProxyType({}),
) -> dict[frozenset[str], dict[str, Any]]:
    """Return every pair of ``models`` after a look at ``level``; ``before`` has what earlier ones found."""
    weights = np.repeat([1 / sizes, -1 / sizes], sizes)
    ranked = sorted(models, key=lambda name: models[name]["mean"].mean())
    pairs = list(itertools.combinations(ranked, 2))
    if not pairs:
        return {}
    both = [pd.concat([models[architecture], models[other]]) for other, architecture in pairs]
    contrast = make_contrast(weights, *(np.stack([cells[part] for cells in both]) for part in _PARTS))
    earlier = np.array([before.get(frozenset(pair), {"outcome": ""})["outcome"] for pair in pairs])
    better, equivalent, p_holm, p_within = judge(
        contrast.p_value(), contrast.p_equivalent(MARGIN), earlier == "better", earlier == "equivalent", level
    )
    width = contrast.half_width(1 - level)
    compared = {}
    for place, (other, architecture) in enumerate(pairs):
        names = frozenset((other, architecture))
        if before.get(names, {}).get("outcome") in ("better", "equivalent"):
            compared[names] = before[names]
            continue
        outcome = "better" if better[place] else "equivalent" if equivalent[place] else "undecided"
        value, half = float(contrast.value[place]), float(width[place])
        compared[names] = {
            "architecture": architecture,
            "other": other,
            "level": level,
            "difference": value,
            "half_width": half,
            "low": value - half,
            "high": value + half,
            "p_value": float(contrast.p_value()[place]),
            "p_holm": float(p_holm[place]),
            "p_equivalent": float(p_within[place]),
            "outcome": outcome,
            "possible": abs(value) + half,
            "seeds": _count_deciding(models[architecture], models[other], weights, len(pairs), level)
            if outcome == "undecided"
            else None,
        }
    return compared


def _count_deciding(one: pd.DataFrame, other: pd.DataFrame, weights: Floats, tests: int, level: float) -> int | None:
    cells = pd.concat([one, other])
    contrast = make_contrast(weights, *(cells[part] for part in _PARTS))
    return count_deciding_seeds(contrast, weights, cells["deviation"], MARGIN, tests, level)
