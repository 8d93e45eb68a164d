"""One model's figure against another's, paired by seed: what the verdict on a claim rests on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.provenance import labelled
from analysis.results import StudyResults
from analysis.stats.aggregate import CELL, count_runs, label_of, select_test_scores
from analysis.stats.intervals import LEVEL, paired_difference
from study.storage.schema import ARMS
from trainables.models.architectures import CONTROLS

Side = Literal["lower", "higher"]
Judgement = Literal["holds", "fails", "open", "missing"]
Seeds = Mapping[int, float]
"""Values by seed; a control's one value has the seed -1."""
Key = tuple[str, str, str, int, str]
"""Factor and level, both empty but for ablations; architecture, code size, arm."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run on the test images, and the side on which it is better."""

    text: str
    evaluator: str
    metric: str
    better: Side = "lower"


SQUARED_ERROR = Figure("squared error", "reconstruction", "squared_error")
LINEAR_ERROR = Figure("linear error (%)", "linear_classifier", "error")
MLP_ERROR = Figure("MLP error (%)", "mlp_classifier", "error")
ACCURACY = Figure("k-means accuracy", "k_means", "accuracy", "higher")
OTHER_SWITCHES = Figure("squared error with another image's switches", "other_switches", "squared_error")
MEAN_CODE = Figure("squared error with the mean code", "mean_code", "squared_error")
INCREASE = Figure("increase of squared error by the mean code", "mean_code", "increase", "higher")
_KEY = ["study", "factor", "level", "architecture", "code_size", "arm"]
_COUNTS = ("runs", "complete", "failed", "converged")
_OF_LABELS = (LINEAR_ERROR, MLP_ERROR, ACCURACY)
NO_LABELS = "labels, which the data do not have"
_READ = (SQUARED_ERROR, LINEAR_ERROR, MLP_ERROR, ACCURACY, OTHER_SWITCHES, MEAN_CODE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One comparison at one code size of one arm.

    Attributes:
        arm: of the subject.
        code_size: of the subject; None where no comparison could begin.
        subject: what is compared.
        side: where the claim says that the subject lies.
        reference: what with.
        measure: by which figure.
        decides: whether the verdict rests on it; otherwise it is shown.
        n: pairs of runs.
        difference: subject minus reference.
        half_width: half of the 95 % interval; NaN under two pairs.
        p_value: of the paired t test that there is no difference; NaN under two pairs.
        p_holm: adjusted over the deciding comparisons of claim and arm.
        missing: what is not in the rows.
        option: what the command that makes it has to say.
        note: why there is no test.
        outcome: whether it holds; None until it is judged.
    """

    arm: str
    code_size: int | None
    subject: str
    side: Side
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
        """The comparison in a few words."""
        if self.missing:
            return self.missing
        figure = f" {self.difference:+.3g}" if math.isfinite(self.difference) else ""
        figure += f" ± {self.half_width:.2g}" if math.isfinite(self.half_width) else ""
        note = f" ({self.note or f'n = {self.n}'})"
        return f"{self.subject} at code size {self.code_size}, {self.measure} against {self.reference}:{figure}{note}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has to hold at every code size of an arm: the subject's figure lies on ``side`` of the reference's."""

    subject: str
    side: Side
    reference: str
    figure: Figure
    reference_figure: Figure | None = None
    decides: bool = True


@dataclass(frozen=True, slots=True)
class Rows:
    """What claims are tested on, of one study: test figures by key, evaluator and metric; by key how runs ended."""

    figures: Mapping[tuple[Key, str, str], Seeds]
    runs: Mapping[Key, Mapping[str, int]]
    labelled: bool = True

    @property
    def groups(self) -> list[tuple[int, str]]:
        """Code sizes and arms that have confirmed runs."""
        found = {(size, arm) for factor, _, _, size, arm in self.runs if not factor and arm in ARMS}
        return sorted(found, key=lambda group: (ARMS.index(group[1]), group[0]))

    def seeds(self, key: Key, figure: Figure) -> Seeds:
        """Return the values of ``figure``; none where nothing was measured."""
        return self.figures.get((key, figure.evaluator, figure.metric), {})

    def compare(self, comparison: Comparison, code_size: int, arm: str) -> Evidence:
        """Return ``comparison`` at one code size of one arm."""
        subject, reference = comparison.subject, comparison.reference
        blank = Evidence(
            arm,
            code_size,
            label_of(subject),
            comparison.side,
            label_of(reference),
            comparison.figure.text,
            comparison.decides,
        )
        first, second = make_key(subject, code_size, arm), make_key(reference, code_size, arm)
        return self.test(blank, (first, comparison.figure), (second, comparison.reference_figure or comparison.figure))

    def test(self, blank: Evidence, first: tuple[Key, Figure], second: tuple[Key, Figure]) -> Evidence:
        """Return ``blank`` with the paired test of two figures, or with what there is instead."""
        for key, figure in (first, second):
            if not self.seeds(key, figure):
                return self._gap(blank, key, figure)
        own, other = self.seeds(*first), self.seeds(*second)
        return compare_seeds(blank, own, dict.fromkeys(own, other[-1]) if second[0][2] in CONTROLS else other)

    def _gap(self, blank: Evidence, key: Key, figure: Figure) -> Evidence:
        """Say why there are no values: runs that came to nothing leave a claim open, missing ones can be made."""
        factor, level, name, size, arm = key
        what = f"{label_of(name)} with {factor} {level}" if factor else label_of(name)
        if key in self.runs and not self.runs[key]["complete"]:
            return dataclasses.replace(blank, note=f"no run of {what} completed")
        if not self.labelled and figure in _OF_LABELS:
            return dataclasses.replace(blank, missing=NO_LABELS)
        where = "" if name == "raw_pixels" else f" at code size {size}"
        option = "" if name in CONTROLS else f"--architectures {name}"
        return dataclasses.replace(blank, missing=f"{figure.text} of {what}{where} ({arm})", option=option)


def make_key(name: str, code_size: int, arm: str) -> Key:
    """Return the key of the confirmed runs of a model, or of a control."""
    return ("", "", name, 0 if name == "raw_pixels" else code_size, "control" if name in CONTROLS else arm)


def compare_seeds(blank: Evidence, first: Seeds, second: Seeds, chosen_from: int = 1) -> Evidence:
    """Return ``blank`` with the difference of ``first`` and ``second`` over the seeds that they share.

    Level and p value are Bonferroni-adjusted where the subject was chosen from several by these figures.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return dataclasses.replace(blank, note="no seed in common")
    level = 1 - (1 - LEVEL) / chosen_from
    test = paired_difference([first[seed] for seed in common], [second[seed] for seed in common], level)
    return dataclasses.replace(
        blank,
        n=len(common),
        difference=float(test.mean),
        half_width=float(test.half_width),
        p_value=float(np.minimum(1.0, chosen_from * test.p_value)),  # NaN stays NaN
        note="" if len(common) > 1 else "one pair of runs has no interval",
    )


def collect_rows(results: StudyResults) -> dict[str, Rows]:
    """Return what claims are tested on by name of the study: full-budget trials of confirm and ablate, and controls."""
    figures, runs = _collect_values(results), _count_runs(results)
    return {
        study.name: Rows(figures.get(study.name, {}), runs.get(study.name, {}), labelled(study))
        for study in results.studies
    }


def _collect_values(results: StudyResults) -> dict[str, dict[tuple[Key, str, str], dict[int, float]]]:
    scores = select_test_scores(results)
    read = scores["evaluator"].isin({figure.evaluator for figure in _READ})
    read &= scores["metric"].isin({figure.metric for figure in _READ})
    scores = _add_keys(scores[read & scores["full_budget"] & scores["phase"].isin(["confirm", "ablate"])])
    figures: dict[str, dict[tuple[Key, str, str], dict[int, float]]] = {}
    columns = [*_KEY, "evaluator", "metric", "seed", "value"]
    for study, *key, evaluator, metric, seed, value in scores[columns].itertuples(index=False):
        figures.setdefault(study, {}).setdefault((tuple(key), evaluator, metric), {})[seed] = value
    for of_study in figures.values():
        for whole, evaluator, metric in list(of_study):
            if (evaluator, metric) == (MEAN_CODE.evaluator, MEAN_CODE.metric):
                own = of_study.get((whole, SQUARED_ERROR.evaluator, SQUARED_ERROR.metric), {})
                replaced = of_study[whole, evaluator, metric]
                increase = {seed: value - own[seed] for seed, value in replaced.items() if seed in own}
                of_study[whole, INCREASE.evaluator, INCREASE.metric] = increase
    return figures


def _count_runs(results: StudyResults) -> dict[str, dict[Key, Mapping[str, int]]]:
    confirmed, ablated = count_runs(results), count_runs(results, "ablate", [*CELL, "factor", "level"])
    counts = pd.concat([confirmed.assign(factor="", level=""), ablated])
    runs: dict[str, dict[Key, Mapping[str, int]]] = {}
    for row in counts.to_dict("records"):
        study, *key = (row[name] for name in _KEY)
        runs.setdefault(study, {})[tuple(key)] = {name: int(row[name]) for name in _COUNTS}
    return runs


def _add_keys(scores: pd.DataFrame) -> pd.DataFrame:
    """Give every row a full key: what is no ablation has an empty factor, raw pixels have no code size."""
    size = scores["code_size"].mask(scores["architecture"] == "raw_pixels", 0)
    seed = scores["seed"].mask(scores["arm"] == "control", -1).fillna(-1).astype("int64")
    labels = {name: scores[name].fillna("") for name in ("factor", "level")}
    return scores.assign(**labels, code_size=size, seed=seed)
