"""The metrics of the test images: how each is called and written; unit and better direction are those of its rows.

A metric that rows bring and no constant here names is shown all the same: unit and direction are the row's, and its
words are made of its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.results import StudyResults
from trainables.evaluation.scores import METRICS
from trainables.evaluation.scores import Direction as Direction  # the rules of claims name it from here

_RECONSTRUCTION = "reconstruction"
_EVALUATORS = {
    _RECONSTRUCTION: "",
    "neighbourhood": "",
    "code": "",
    "objective": "",
    "linear_classifier": "linear",
    "mlp_classifier": "MLP",
    "nearest_neighbours": "nearest-neighbour",
    "k_means_whitened": "k-means",
    "k_means_decoder_layer": "k-means",
    "k_means": "k-means",
    "umap_gmm": "UMAP + mixture",
}
_OF = {"k_means": "raw code", "k_means_decoder_layer": "decoder's first layer"}
"""What was measured, where that is not the whitened code."""
_METRICS = {
    "cross_entropy": "cross-entropy",
    "f_score": "F-score",
    "hoyer_sparsity": "Hoyer sparsity",
    "kl_divergence": "KL divergence",
    "nmi": "NMI",
    "ari": "ARI",
    "overlap": "overlap of neighbours",
}
_DIGITS = {"%": 2, "nats/image": 2, "1/image": 2, "units": 1, "maps": 1}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one evaluator, as it stands in ``scores``.

    Attributes:
        evaluator: what measured it.
        metric: its name there.
        unit: empty for a number from 0 to 1.
        direction: which values are better: lower, higher or none.
        phrase: what it is called, where that does not follow from its names.
        older: what stands in its place where rows are of a version that did not measure it: see `settle_metrics`.
    """

    evaluator: str
    metric: str
    unit: str = ""
    direction: Direction = "lower"
    phrase: str = ""
    older: Metric | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Evaluator and metric, which tell it from every other."""
        return self.evaluator, self.metric

    @property
    def name(self) -> str:
        """Column of frames and files."""
        return f"{self.evaluator}_{self.metric}"

    @property
    def label(self) -> str:
        """What it is called within a sentence, such as ``linear error (%)``."""
        return self._with_percent(self.phrase or self._join_words())

    @property
    def header(self) -> str:
        """What it is called at the head of a column."""
        return _capitalise(self.label)

    @property
    def short_header(self) -> str:
        """The same where the table has no other evaluator."""
        return self._with_percent(_capitalise(_words(self.metric)))

    @property
    def full_label(self) -> str:
        """What it is called where there is room, without its unit."""
        return self._join_words(" classifier") if self.evaluator.endswith("_classifier") else self.label

    @property
    def axis_label(self) -> str:
        """What it is called beside an axis, with its unit, or its range where it has none."""
        return f"{_capitalise(self.full_label)} ({self.shown_unit})"

    @property
    def shown_unit(self) -> str:
        """Its unit as a person writes it, or its range where it has none."""
        return {"1/image": "per image", "": "0 to 1"}.get(self.unit, self.unit)

    @property
    def digits(self) -> int:
        """Decimals that are shown."""
        return _DIGITS.get(self.unit, 3)

    @property
    def greatest(self) -> float:
        """The greatest value that it can have."""
        return {"%": 100.0, "": 1.0}.get(self.unit, float("inf"))

    @property
    def past_code(self) -> bool:
        """Whether switches better it past the code: models that have them are never ranked or tested by it."""
        return self.evaluator == _RECONSTRUCTION

    def _join_words(self, between: str = "") -> str:
        evaluator = _EVALUATORS.get(self.evaluator, self.evaluator.replace("_", " "))
        of = f" ({_OF[self.evaluator]})" if self.evaluator in _OF else ""
        return f"{evaluator}{between} {_words(self.metric)}{of}".strip()

    def _with_percent(self, text: str) -> str:
        return f"{text} (%)" if self.unit == "%" else text


def _declare(evaluator: str, metric: str, phrase: str = "", older: Metric | None = None) -> Metric:
    """Return a metric with the unit and direction that a trial writes into its rows."""
    return Metric(evaluator, metric, *METRICS[metric], phrase, older)


SQUARED_ERROR = _declare(_RECONSTRUCTION, "squared_error")
CLIPPED_SQUARED_ERROR = _declare(_RECONSTRUCTION, "clipped_squared_error", "squared error clipped to [0, 1]")
"""Of PCA, whose images leave [0, 1] where those of a network cannot; not in the rows of older versions."""
CROSS_ENTROPY = _declare(_RECONSTRUCTION, "cross_entropy")
MEAN_CODE = _declare("mean_code", "squared_error", "squared error with the mean code")
INCREASE = Metric("mean_code", "increase", "1/image", "higher", "increase of squared error by the mean code")
"""Of no row: what `MEAN_CODE` is above `SQUARED_ERROR`."""
OTHER_SWITCHES = _declare("other_switches", "squared_error", "squared error with another image's switches")
LINEAR_ERROR = _declare("linear_classifier", "error")
MLP_ERROR = _declare("mlp_classifier", "error")
NEAREST_NEIGHBOUR_ERROR = _declare("nearest_neighbours", "error")
RAW_K_MEANS_ACCURACY, RAW_K_MEANS_NMI, RAW_K_MEANS_ARI = (
    _declare("k_means", metric) for metric in ("accuracy", "nmi", "ari")
)
"""Of codes as they are. An invertible map, which changes no reconstruction, changes them: they are ranked in rows of
older versions only, which have no others."""
K_MEANS_ACCURACY, K_MEANS_NMI, K_MEANS_ARI = (
    _declare("k_means_whitened", raw.metric, older=raw)
    for raw in (RAW_K_MEANS_ACCURACY, RAW_K_MEANS_NMI, RAW_K_MEANS_ARI)
)
N2D_ACCURACY = _declare("umap_gmm", "accuracy")
TRUSTWORTHINESS, CONTINUITY, NEIGHBOUR_OVERLAP = (
    _declare("neighbourhood", metric) for metric in ("trustworthiness", "continuity", "overlap")
)
HOYER_SPARSITY = _declare("code", "hoyer_sparsity")
EFFECTIVE_DIMENSION = _declare("code", "effective_dimension")
DEAD_UNITS = _declare("code", "dead_units")

SUMMARY = (SQUARED_ERROR, LINEAR_ERROR, MLP_ERROR, K_MEANS_ACCURACY)
"""One of each kind: what a reader wants to know first."""


def find_search_metric(name: str) -> Metric:
    """Return what a search minimises, one of `SEARCH_METRICS`; here of validation images."""
    return next(metric for metric in (CROSS_ENTROPY, SQUARED_ERROR) if metric.metric == name)


def list_search_metrics(results: StudyResults) -> dict[str, Metric]:
    """Return by the names of studies what their searches minimise."""
    return {study.name: find_search_metric(study.search_metric) for study in results.studies}


def list_metrics(scores: pd.DataFrame, evaluators: Sequence[str], first: Sequence[Metric] = ()) -> list[Metric]:
    """Return the metrics of ``evaluators`` that ``scores`` have: ``first``, then those of each evaluator in turn."""
    columns = ["evaluator", "metric", "unit", "direction"]
    rows = scores.loc[scores["evaluator"].isin(evaluators), columns].drop_duplicates(["evaluator", "metric"])
    found = [Metric(*row) for row in rows.itertuples(index=False)]
    keys = [metric.key for metric in first]
    return sorted(
        found,
        key=lambda each: (
            keys.index(each.key) if each.key in keys else len(keys),
            list(evaluators).index(each.evaluator),
        ),
    )


def select_metric(scores: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the rows of ``metric``."""
    return scores[(scores["evaluator"] == metric.evaluator) & (scores["metric"] == metric.metric)]


def settle_metrics(scores: pd.DataFrame, metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return ``metrics``, each that a trained run of ``scores`` lacks replaced by the older one that it has.

    For all studies of a report together, so that a column holds one thing: rows of older versions, or a study that was
    begun by one and continued, are shown by the older metric, under its own name.
    """
    trained = scores[scores["arm"] != "control"]
    return tuple(
        metric.older
        if metric.older and len(select_metric(trained, metric)) < len(select_metric(trained, metric.older))
        else metric
        for metric in metrics
    )


def is_past_code(scores: pd.DataFrame) -> pd.Series[bool]:
    """Return of each row whether it is a reconstruction with switches, which carry the image past the code.

    It says little of the code, so it is neither ranked nor tested.
    """
    return (scores["evaluator"] == _RECONSTRUCTION) & (scores["unpooling"] == "switches")


def _words(name: str) -> str:
    return _METRICS.get(name, name.replace("_", " "))


def _capitalise(text: str) -> str:
    """Write the first letter large, but for the k of k-means."""
    return text if text.startswith("k-") else text[:1].upper() + text[1:]
