"""Main effects and interaction of pooling and unpooling, where models cross the two and share everything else.

The design is complete and balanced, and every cell has the same seeds. So each seed gives every effect by itself, a
sum of its cells, and the interval of an effect is Student's t over seeds: it needs no equal variances of the cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd

from analysis.results import StudyResults, select_confirmed, split_model
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS
from analysis.stats.intervals import half_width, p_value
from analysis.stats.metrics import Metric, select_metric
from analysis.stats.ranking import find_constant
from trainables.models.architectures import ConvolutionalAutoencoder, Pooling, Unpooling

Combination = tuple[str, str]
"""A pooling and an unpooling."""

MATCHED = ["filters_1", "filters_2", "recipe", "epochs_planned", "batch_size"]
"""Settings of confirmed trials that must be the same in every cell: what else differs would be taken for an effect."""


@dataclass(frozen=True, slots=True)
class Factorial:
    """Models of a study at a code size that cross pooling and unpooling: their names by combination.

    ``beside`` are those with switches, which not every pooling has.
    """

    study: str
    code_size: int
    poolings: tuple[str, ...]
    unpoolings: tuple[str, ...]
    cells: Mapping[Combination, str]
    beside: Mapping[Combination, str]

    @property
    def first(self) -> str:
        """The first of the models, which tells crossings of one code size apart: by other objectives, of other rows."""
        return next(iter(self.cells.values()))


@dataclass(frozen=True, slots=True)
class Effect:
    """A sum of cells: which factor it is of, what it is called, and the weight of each combination."""

    factor: str
    label: str
    weights: Mapping[Combination, float]


def find_factorials(results: StudyResults) -> list[Factorial]:
    """Return every complete crossing of two or more poolings and unpoolings among the confirmed models, by code size.

    Of several models with one combination and objective, as a built-in one and its like in a preset, the later in the
    order of tables counts. Models that were not trained alike are no factorial.
    """
    trials = select_confirmed(results.trials)
    trials = trials[trials["arm"] == "tuned"]
    found = []
    for _, group in trials.groupby(["study", "code_size"], observed=True):
        study, code_size = str(group["study"].iloc[0]), int(group["code_size"].iloc[0])
        for crossed in _cross_models(results, study, code_size, set(group["architecture"].astype("str"))):
            if not _list_unlike(group, crossed):
                found.append(crossed)
    return found


def explain_no_factorial(results: StudyResults) -> str:
    """Say of each crossing among the models of a study what it lacks to be a factorial; nothing where none cross."""
    tuned = results.trials[(results.trials["arm"] == "tuned") & (results.trials["phase"] != "ablate")]
    lacking = []
    for study in results.studies:
        own = tuned[tuned["study"] == study.name]
        names = {*study.architectures, *own["architecture"].astype("str")}
        for code_size in sorted(own["code_size"].unique()):
            confirmed = select_confirmed(own[own["code_size"] == code_size])
            for crossed in _cross_models(results, study.name, int(code_size), names):
                where = f"at code size {code_size}" + (f" of {study.name}" if len(results.studies) > 1 else "")
                missing = [name for name in crossed.cells.values() if not (confirmed["architecture"] == name).any()]
                if missing:
                    lacking.append(f"no run of {', '.join(missing)} is complete {where}")
                elif unlike := _list_unlike(confirmed, crossed):
                    lacking.append(f"the models differ in {' and '.join(unlike)} {where}")
    return "; ".join(lacking)


def _cross_models(results: StudyResults, study: str, code_size: int, names: Collection[str]) -> Iterator[Factorial]:
    """Yield each complete crossing of two or more poolings and unpoolings among the models ``names``."""
    shapes: dict[Any, dict[Combination, str]] = {}
    for name, row in results.models.items():
        if name not in names or not isinstance(row, ConvolutionalAutoencoder):
            continue
        if "none" not in (row.pooling, row.unpooling):
            _, objective = split_model(results.models, name)
            shape = (row.encoder, row.decoder, row.activation, row.published_filters, objective)
            shapes.setdefault(shape, {})[row.pooling, row.unpooling] = name
    for models in shapes.values():
        cells = {each: name for each, name in models.items() if each[1] != "switches"}
        poolings = tuple(each for each in get_args(Pooling) if each in {pooling for pooling, _ in cells})
        unpoolings = tuple(each for each in get_args(Unpooling) if each in {unpooling for _, unpooling in cells})
        complete = len(cells) == len(poolings) * len(unpoolings)
        if complete and min(len(poolings), len(unpoolings)) > 1:
            beside = {each: name for each, name in models.items() if each not in cells}
            yield Factorial(study, code_size, poolings, unpoolings, cells, beside)


def _list_unlike(confirmed: pd.DataFrame, crossed: Factorial) -> list[str]:
    """Return in which of the settings `MATCHED` the cells differ that are among ``confirmed``."""
    settings = confirmed.loc[confirmed["architecture"].isin(list(crossed.cells.values())), MATCHED]
    return [name for name in MATCHED if len(settings[name].drop_duplicates()) > 1]


def list_effects(factorial: Factorial) -> Iterator[Effect]:
    """Yield the differences between levels of either factor, averaged over the other, and their interactions.

    An interaction is how much the difference to the first pooling changes from the first unpooling to another. What
    switches change is last: it lies outside the crossing.
    """
    poolings, unpoolings = factorial.poolings, factorial.unpoolings
    for first, second in itertools.combinations(poolings, 2):
        weights = {(second, each): 1 / len(unpoolings) for each in unpoolings}
        weights |= {(first, each): -1 / len(unpoolings) for each in unpoolings}
        yield Effect("pooling", f"{second} - {first}", weights)
    for first, second in itertools.combinations(unpoolings, 2):
        weights = {(each, second): 1 / len(poolings) for each in poolings}
        weights |= {(each, first): -1 / len(poolings) for each in poolings}
        yield Effect("unpooling", f"{second} - {first}", weights)
    for pooling, unpooling in itertools.product(poolings[1:], unpoolings[1:]):
        label = f"({pooling} - {poolings[0]}) with {unpooling} - with {unpoolings[0]}"
        weights = {(pooling, unpooling): 1.0, (poolings[0], unpooling): -1.0}
        yield Effect(
            "interaction", label, weights | {(pooling, unpoolings[0]): -1.0, (poolings[0], unpoolings[0]): 1.0}
        )
    for pooling, switches in factorial.beside:
        label = f"{switches} - {unpoolings[0]}, {pooling}"
        yield Effect("switches", label, {(pooling, switches): 1.0, (pooling, unpoolings[0]): -1.0})


def collect_cells(results: StudyResults, factorial: Factorial, metric: Metric) -> pd.DataFrame:
    """Return what each confirmed run of the factorial scored on the test images: pooling, unpooling, seed and value."""
    scores = select_metric(select_confirmed_scores(results), metric)
    chosen = (scores["study"] == factorial.study) & (scores["code_size"] == factorial.code_size)
    scores = scores[chosen & (scores["arm"] == "tuned")]
    places = {name: each for each, name in {**factorial.cells, **factorial.beside}.items()}
    scores = scores[scores["architecture"].isin(list(places))]
    pairs = [places[name] for name in scores["architecture"].astype("str")]
    return scores[["seed", "value"]].assign(
        pooling=[pooling for pooling, _ in pairs], unpooling=[unpooling for _, unpooling in pairs]
    )


def estimate_effects(cells: pd.DataFrame, factorial: Factorial) -> pd.DataFrame:
    """Return one row an effect, of `collect_cells`: factor, effect, n, difference, half_width, low, high, p_value.

    ``n`` are the seeds that all its cells have; of one seed there is no interval, and of none no effect. Under
    `MINIMUM_SEEDS`, or where the effect is the same for all seeds (`find_constant`), there is no test: NaN.
    """
    table = cells.pivot_table("value", "seed", ["pooling", "unpooling"])
    rows = []
    for effect in list_effects(factorial):
        if not set(effect.weights) <= set(table.columns):
            continue
        scores = table[list(effect.weights)].dropna()
        values = scores @ pd.Series(effect.weights)
        if values.empty:
            continue
        n, mean, deviation = len(values), float(values.mean()), float(values.std())
        width = float(half_width(deviation, n))
        few = n < MINIMUM_SEEDS or find_constant(deviation, scores.abs().to_numpy().max())
        p = float("nan") if few else float(p_value(mean, deviation, n))
        rows.append(
            {"factor": effect.factor, "effect": effect.label, "n": n, "difference": mean, "half_width": width}
            | {"low": mean - width, "high": mean + width, "p_value": p}
        )
    columns = ["factor", "effect", "n", "difference", "half_width", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns)
