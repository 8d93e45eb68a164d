"""Does the order of the models hold? Kendall's tau between orders by code size, metric, epochs, arm, study and data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.results import StudyResults, average_finalists
from analysis.stats.aggregate import select_confirmed_scores, summarise_groups
from analysis.stats.contrasts import MINIMUM_SEEDS
from analysis.stats.headline import get_shares
from analysis.stats.intervals import summarise
from analysis.stats.metrics import SQUARED_ERROR, SUMMARY, Metric, select_metric, settle_metrics
from analysis.stats.ranking import METRIC, select_ranked
from analysis.tables.table import Absent, Column, Table

LEAST_MODELS = 3
"""Of two models there are two orders, which agree or not."""


def agreement(results: StudyResults) -> Table | Absent:
    """Return one row a pair of orders: what of, the two, how many models they have in common, tau."""
    title = "Does the order of the models hold?"
    frame = pd.DataFrame(_compare_orders(results), columns=["study", "varied", "first", "second", "models", "tau"])
    frame = frame[frame["models"] >= LEAST_MODELS].reset_index(drop=True)
    if frame.empty:
        # Without a command: what lacks may be a model, a code size, an arm or labels, and no phase adds one of these.
        what = "no three ranked models have been confirmed twice over, as at two code sizes or by two metrics"
        return Absent("agreement", title, what)
    return Table(
        "agreement",
        title,
        "Kendall's tau between the orders of the models' means: 1 where they agree, 0 as for orders by chance, -1 "
        "where one is the other turned round. By code size and metric of the tuned arm; by epochs as the rounds of the "
        "search trained what is confirmed, by squared error on validation images; by arm, study and data set as shares "
        "of PCA's squared error, averaged over the code sizes that both have. The order of means says nothing of how "
        "far models are apart.",
        frame,
        (
            Column("varied", "Varied"),
            Column("first", "First order"),
            Column("second", "Second order"),
            Column("models", "Models", "count"),
            Column("tau", "Tau", "fixed"),
        ),
        sections=(Column("study", "study"),) if len(results.studies) > 1 else (),
    )


def compute_kendall_tau(first: pd.Series[float], second: pd.Series[float]) -> float:
    """Return Kendall's tau (a) of the values of the same models in both: concordant less discordant pairs, per pair."""
    common = first.index.intersection(second.index)
    one, other = (each[common].to_numpy(dtype="float64") for each in (first, second))
    pairs = np.triu_indices(len(common), 1)
    signs = (np.sign(values[:, None] - values[None, :])[pairs] for values in (one, other))
    return float(np.mean(np.prod(list(signs), axis=0))) if len(common) > 1 else float("nan")


def _compare_orders(results: StudyResults) -> Iterator[tuple[str, str, str, str, int, float]]:
    """Yield study, what is varied, the two orders, models in common and tau."""
    scores = select_ranked(results, select_confirmed_scores(results)).astype({"architecture": "str", "study": "str"})
    metrics = settle_metrics(scores, SUMMARY[1:])
    means = summarise_groups(scores[scores["arm"] == "tuned"], [*METRIC, "study", "code_size", "arm", "architecture"])
    cells = summarise(get_shares(results), ["study", "arm", "code_size", "architecture"], "share")
    arms = {(str(key[0]), str(key[1])): group for key, group in cells.groupby(["study", "arm"])}
    for study in (study.name for study in results.studies):
        yield from (
            (study, *row) for row in _compare_columns(means[means["study"] == study].set_index("architecture"), metrics)
        )
        yield from ((study, "epochs", *row) for row in _compare_rounds(results, study))
        if (study, "tuned") in arms and (study, "published") in arms:
            both = _average_shares(arms[study, "tuned"], arms[study, "published"])
            yield study, "arm", "tuned", "published", *_compare(*both)
    data = {study.name: study.manifest["dataset"].get("name") for study in results.studies}
    for one, other in itertools.combinations(data, 2):
        if (one, "tuned") in arms and (other, "tuned") in arms:
            varied = "study" if data[one] == data[other] else "data set"
            both = _average_shares(arms[one, "tuned"], arms[other, "tuned"])
            yield f"{one}, {other}", varied, one, other, *_compare(*both)


def _compare_columns(means: pd.DataFrame, metrics: Sequence[Metric]) -> Iterator[tuple[str, str, str, int, float]]:
    """Compare the orders by squared error at each code size with each other, and with those by other metrics."""
    by_size = dict(iter(select_metric(means, SQUARED_ERROR).groupby("code_size")["mean"]))
    for one, other in itertools.combinations(by_size, 2):
        yield "code size", f"squared error, {one}", f"squared error, {other}", *_compare(by_size[one], by_size[other])
    for metric in metrics:
        sign = -1.0 if metric.direction == "higher" else 1.0
        for size, values in select_metric(means, metric).groupby("code_size")["mean"]:
            if size in by_size:
                found = _compare(by_size[size], sign * values)
                yield "metric", f"squared error, {size}", f"{metric.label}, {size}", *found


def _compare_rounds(results: StudyResults, study: str) -> Iterator[tuple[str, str, int, float]]:
    """Compare the orders of what each cell's search chose by the epochs of the rounds, each trained from its start."""
    ranked = [name for name, row in results.models.items() if row.ranked]
    search = results.trials[(results.trials["phase"] == "search") & (results.trials["study"] == study)]
    search = search[search["round"].notna() & search["architecture"].isin(ranked) & (search["unpooling"] != "switches")]
    search = search.astype({"architecture": "str"})
    key = ["code_size", "architecture"]
    chosen = average_finalists(search).drop_duplicates(key)[[*key, "number"]]
    trained = search[search["full_budget"]].merge(chosen, on=[*key, "number"])
    values = (
        trained.groupby(["code_size", "epochs_planned", "architecture"])["validation_squared_error"].mean().dropna()
    )
    for size, of_size in values.groupby("code_size"):
        rounds = {epochs: each.droplevel([0, 1]) for epochs, each in of_size.groupby("epochs_planned")}
        for one, other in itertools.combinations(rounds, 2):
            yield f"{one!s} epochs, {size!s}", f"{other!s} epochs, {size!s}", *_compare(rounds[one], rounds[other])


def _average_shares(one: pd.DataFrame, other: pd.DataFrame) -> list[pd.Series[float]]:
    """Return by architecture the mean share of either's cells over the code sizes that both have.

    Of models that have enough seeds at all of these: an order of other code sizes would be another question.
    """
    sizes = {*one["code_size"]} & {*other["code_size"]}
    found = []
    for cells in (one, other):
        common = cells[cells["code_size"].isin(sizes) & (cells["n"] >= MINIMUM_SEEDS)]
        means = common.groupby("architecture")["mean"]
        found.append(means.mean()[means.size() == len(sizes)])
    return found


def _compare(one: pd.Series[float], other: pd.Series[float]) -> tuple[int, float]:
    return len(one.index.intersection(other.index)), compute_kendall_tau(one, other)
