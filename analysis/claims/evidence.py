"""One model's score against another's: what the verdict on a claim rests on."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from analysis.results import Study, StudyResults
from analysis.stats.aggregate import CELL, ROUNDING, count_runs, select_test_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, make_contrast
from analysis.stats.intervals import LEVEL
from analysis.stats.metrics import (
    CLIPPED_SQUARED_ERROR,
    INCREASE,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MEAN_CODE,
    MLP_ERROR,
    OTHER_SWITCHES,
    RAW_K_MEANS_ACCURACY,
    SQUARED_ERROR,
    Direction,
    Metric,
    select_metric,
    settle_metrics,
)
from study.storage.schema import ARMS
from trainables.models.architectures import CONTROLS, Architecture, Control

Judgement = Literal["holds", "fails", "open", "missing"]
Seeds = Mapping[int, float]
"""Values by seed; that of a control of an earlier version, which has none, is -1."""
Key = tuple[str, str, str, int, str]
"""Factor and level, both empty but for ablations; architecture, code size, arm."""

_KEY = ["factor", "level", "architecture", "code_size", "arm"]
_OF_LABELS = (LINEAR_ERROR, MLP_ERROR, K_MEANS_ACCURACY, RAW_K_MEANS_ACCURACY)
PUBLISHED_IMAGES = 20_000 * 100
"""Images that the authors' training shows to a model: iterations times batch. Source: [file], their solver."""

NO_LABELS = "labels, which the data do not have"
NO_PUBLISHED_ABLATIONS = "ablations in the authors' recipe, which no phase trains"
_READ = (SQUARED_ERROR, CLIPPED_SQUARED_ERROR, *_OF_LABELS, OTHER_SWITCHES, MEAN_CODE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One comparison at one code size of one arm.

    Attributes:
        arm: of the subject.
        code_size: of the subject; None where no comparison could begin.
        subject: what is compared.
        side: where the claim says that the subject lies.
        reference: what with.
        measure: by which metric.
        decides: whether it counts in what holds at its code size; otherwise it is shown.
        n: seeds of the side that has fewer.
        difference: subject minus reference.
        half_width: half of the 95 % interval; NaN under three seeds.
        p_value: of the test that there is no difference; NaN under three seeds.
        p_holm: adjusted over the deciding comparisons of claim, arm and code size.
        missing: what is not in the rows.
        option: what the command that makes it has to say.
        note: why there is no test.
        outcome: whether it holds; None until it is judged.
    """

    arm: str
    code_size: int | None
    subject: str
    side: Direction
    reference: str
    measure: str
    decides: bool = True
    n: int = 0
    difference: float = math.nan
    half_width: float = math.nan
    p_value: float = math.nan
    p_holm: float = math.nan
    missing: str = ""
    option: str = ""
    note: str = ""
    outcome: Judgement | None = None

    @property
    def sentence(self) -> str:
        """The comparison in a few words, with its numbers."""
        if self.missing:
            return self.missing
        note = f" ({self.note or f'n = {self.n}'})"
        return (
            f"{self.subject} at code size {self.code_size}, {self.measure} against {self.reference}:"
            f"{self._format_difference()}{note}"
        )

    @property
    def remark(self) -> str:
        """What a plain sentence says of it."""
        if self.missing:
            return self.missing
        if not math.isfinite(self.difference):
            return f"{self.subject} ({self.note})"
        return f"{self.subject} ({self.measure} against {self.reference}:{self._format_difference()})"

    def _format_difference(self) -> str:
        value = f" {self.difference:+.3g}" if math.isfinite(self.difference) else ""
        return value + (f" ± {self.half_width:.2g}" if math.isfinite(self.half_width) else "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has to hold at every code size of an arm: the subject's score lies on ``side`` of the reference's."""

    subject: str
    side: Direction
    reference: str
    metric: Metric
    reference_metric: Metric | None = None
    decides: bool = True
    from_code_size: int = 0
    """Below it the comparison is shown only."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What claims are tested on, of one study: test scores by key and metric; by key how many runs ended how.

    PCA's squared error is that of its images clipped to [0, 1], where rows have it.
    """

    models: Mapping[str, Architecture | Control]
    scores: Mapping[tuple[Key, Metric], Seeds]
    runs: Mapping[Key, Mapping[str, int]]
    labelled: bool
    published_share: float = 1.0
    """Of the authors' training that the published arm has had."""
    settled: Mapping[Metric, Metric] = dataclasses.field(default_factory=dict)
    """What stands in the place of a metric that older rows do not have."""

    @property
    def groups(self) -> list[tuple[int, str]]:
        """Code sizes and arms that have confirmed runs."""
        found = {(size, arm) for factor, _, _, size, arm in self.runs if not factor and arm in ARMS}
        return sorted(found, key=lambda group: (ARMS.index(group[1]), group[0]))

    def compare(self, comparison: Comparison, code_size: int, arm: str) -> Evidence:
        """Return ``comparison`` at one code size of one arm."""
        subject, reference = comparison.subject, comparison.reference
        metric = self.settled.get(comparison.metric, comparison.metric)
        blank = Evidence(
            arm,
            code_size,
            self.models[subject].label,
            comparison.side,
            self.models[reference].label,
            metric.label,
            comparison.decides and code_size >= comparison.from_code_size,
        )
        first, second = make_key(subject, code_size, arm), make_key(reference, code_size, arm)
        return self.test(blank, (first, metric), (second, comparison.reference_metric or metric))

    def test(self, blank: Evidence, first: tuple[Key, Metric], second: tuple[Key, Metric]) -> Evidence:
        """Return ``blank`` with the test of two metrics, or with what there is instead.

        Seeds pair within an architecture, where an ablation changes one factor of it; between architectures they do
        not. What no seed changes of a control, or what is there once, is one value.
        """
        for key in (first, second):
            if not self.scores.get(key):
                return self._explain_gap(blank, *key)
        own, other = self.scores[first], self.scores[second]
        if second[0][2] in CONTROLS and (value := find_constant(other)) is not None:
            return compare_pairs(blank, own, dict.fromkeys(own, value))
        return (compare_pairs if first[0][2] == second[0][2] else compare_means)(blank, own, other)

    def _explain_gap(self, blank: Evidence, key: Key, metric: Metric) -> Evidence:
        """Say why there are no values: runs that came to nothing leave a claim open, missing ones can be made."""
        factor, level, name, size, arm = key
        what = f"{self.models[name].label} with {factor} {level}" if factor else self.models[name].label
        if key in self.runs and not self.runs[key]["complete"]:
            return dataclasses.replace(blank, note=f"no run of {what} completed")
        if not self.labelled and metric in _OF_LABELS:
            return dataclasses.replace(blank, missing=NO_LABELS)
        where = f" at code size {size}" if size else ""
        option = "" if name in CONTROLS else f"--architectures {name}"
        return dataclasses.replace(blank, missing=f"{metric.label} of {what}{where} ({arm})", option=option)


def make_key(name: str, code_size: int, arm: str) -> Key:
    """Return the key of the confirmed runs of a model, or of a control."""
    if name not in CONTROLS:
        return ("", "", name, code_size, arm)
    return ("", "", name, 0 if CONTROLS[name].fixed_code_size else code_size, "control")


def find_constant(values: Seeds) -> float | None:
    """Return the value that all seeds have; None where they differ."""
    first, *others = values.values()
    return first if all(math.isclose(first, other, rel_tol=ROUNDING) for other in others) else None


def compare_pairs(blank: Evidence, first: Seeds, second: Seeds) -> Evidence:
    """Return ``blank`` with the mean difference of ``first`` and ``second`` over the seeds that they share."""
    common = sorted(first.keys() & second.keys())
    if not common:
        return dataclasses.replace(blank, note="no seed in common")
    return _test(blank, [1.0], [[first[seed] - second[seed] for seed in common]])


def compare_means(blank: Evidence, first: Seeds, second: Seeds, chosen_from: int = 1) -> Evidence:
    """Return ``blank`` with the difference of the means of ``first`` and ``second``, by Welch's test.

    Level and p value are Bonferroni-adjusted where the subject was chosen from several by these scores.
    """
    return _test(blank, [1.0, -1.0], [list(first.values()), list(second.values())], chosen_from)


def _test(blank: Evidence, weights: list[float], samples: list[list[float]], chosen_from: int = 1) -> Evidence:
    n = min(map(len, samples))
    means = [statistics.mean(sample) for sample in samples]
    difference = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    if n < MINIMUM_SEEDS:
        return dataclasses.replace(blank, n=n, difference=difference, note=f"{n} of {MINIMUM_SEEDS} seeds")
    deviations = [statistics.stdev(sample) for sample in samples]
    contrast = make_contrast(weights, means, deviations, [len(sample) for sample in samples])
    return dataclasses.replace(
        blank,
        n=n,
        difference=difference,
        half_width=float(contrast.half_width(1 - (1 - LEVEL) / chosen_from)),
        p_value=min(1.0, chosen_from * float(contrast.p_value())),
    )


def collect_rows(results: StudyResults, study: Study) -> Rows:
    """Return what claims on ``study`` are tested on: full-budget trials of confirm and ablate, and controls."""
    scores = select_test_scores(results)
    scores = scores[(scores["study"] == study.name) & scores["full_budget"]]
    confirmed, ablated = count_runs(results), count_runs(results, "ablate", [*CELL, "factor", "level"])
    counts = pd.concat([confirmed.assign(factor="", level=""), ablated])
    rows: list[dict[Any, Any]] = counts[counts["study"] == study.name].to_dict("records")
    runs: dict[Key, Mapping[str, int]] = {tuple(row[name] for name in _KEY): row for row in rows}
    trials = results.trials[results.trials["study"] == study.name]
    settled = dict(zip(_OF_LABELS, settle_metrics(scores, _OF_LABELS), strict=True))
    values = _collect_values(scores)
    return Rows(results.models, values, runs, study.labelled, compute_published_share(trials), settled)


def compute_published_share(trials: pd.DataFrame) -> float:
    """Return the least share of the authors' training that a confirmed run of the published arm has had, at most 1.

    As many epochs as fit into their images are all of it.
    """
    runs = trials[(trials["phase"] == "confirm") & (trials["arm"] == "published")]
    images = runs["epochs_planned"].astype("float64") * runs["train_images"].astype("float64")
    whole = images + runs["train_images"].astype("float64") > PUBLISHED_IMAGES
    shares = (images / PUBLISHED_IMAGES).mask(whole, 1.0)
    return float(shares.min()) if shares.notna().any() else 1.0


def _collect_values(scores: pd.DataFrame) -> dict[tuple[Key, Metric], dict[int, float]]:
    """Return values by key, metric and seed: what is no ablation has an empty factor, and a fixed code size is 0."""
    scores = scores[scores["phase"].isin(["confirm", "ablate"])]
    apart = [name for name, row in CONTROLS.items() if row.fixed_code_size]
    size = scores["code_size"].mask(scores["architecture"].isin(apart), 0)
    seed = scores["seed"].fillna(-1).astype("int64")
    labels = {name: scores[name].fillna("") for name in ("factor", "level")}
    scores = scores.assign(**labels, code_size=size, seed=seed)
    values: dict[tuple[Key, Metric], dict[int, float]] = {}
    for metric in _READ:
        rows = select_metric(scores, metric)
        for *key, seed, value in rows[[*_KEY, "seed", "value"]].itertuples(index=False):
            values.setdefault((tuple(key), metric), {})[seed] = value
    for run in [key for key, metric in values if metric == CLIPPED_SQUARED_ERROR]:
        values[run, SQUARED_ERROR] = values[run, CLIPPED_SQUARED_ERROR]
    for run in [key for key, metric in values if metric == MEAN_CODE]:
        own, replaced = values.get((run, SQUARED_ERROR), {}), values[run, MEAN_CODE]
        values[run, INCREASE] = {seed: value - own[seed] for seed, value in replaced.items() if seed in own}
    return values
