"""A finding of this project's own: does the intermediate loss of what-where cure model 3 of passing its code by?

The paper's reader notes that the decoder of model 3 hardly needs the code, since switches carry the image past it. Zhao
et al. (2016) train such a decoder with a loss between the maps of encoder and decoder. `RULE` was written before any
row of it existed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.objectives.runs import STRENGTHS, collect_scores
from analysis.results import StudyResults
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, compare_means
from analysis.stats.metrics import INCREASE, LINEAR_ERROR, Metric, select_metric
from analysis.stats.ranking import adjust_p_values, find_constant
from analysis.tables.table import Absent, Column, Table, list_study_sections
from trainables.training.objectives import RECONSTRUCTION

SUBJECT, OBJECTIVE, CODE_SIZE = "model_3", "what_where", 10

STATEMENT = "the intermediate loss cures model 3 of passing its code by"

RULE = (
    "at a strength it does where the mean code in the place of its own raises the squared error by more than in plain "
    "model 3 and the linear classifier errs less, both at 5 %; it does not where the first is lower or the second "
    "higher at 5 %; else that strength is not decided (code size 10, tuned arm, Welch's test, Holm-adjusted over the "
    "strengths). Supported: it does at one strength at least. Contradicted: it does not at any of the three. Otherwise "
    "not decided."
)

_TESTED = (INCREASE, LINEAR_ERROR)
"""A larger increase and a smaller error are what the claim says."""
_HEADERS = {INCREASE: "Increase by the mean code", LINEAR_ERROR: "Linear error (%)"}
_KEY = ["study", "place", "strength"]


def judge_bypass(results: StudyResults) -> Table | Absent:
    """Return one row a strength: both differences from plain model 3, and what follows; the verdict is a footnote.

    Nothing is missing of a study that has not trained model 3 in both ways.
    """
    name, title = "bypass", "Reliance on the code for what-where: does the intermediate loss cure model 3's bypass?"
    scores = collect_scores(results)
    scores = scores[(scores["model"] == SUBJECT) & (scores["code_size"] == CODE_SIZE)]
    parts = [part for metric in _TESTED if len(part := _compare(scores, metric))]
    if len(parts) < len(_TESTED):
        return Absent(name, title, "")
    first, second = parts
    frame = first.merge(second, on=_KEY, how="outer").sort_values(_KEY, ignore_index=True)
    frame = frame.assign(verdict=[_judge(row) for row in frame.to_dict("records")])
    found = {str(study): _conclude(own["verdict"].tolist()) for study, own in frame.groupby("study", observed=True)}
    several = len(results.studies) > 1
    return Table(
        name,
        title,
        f"The statement judged: {STATEMENT}. Model 3 trained by what-where minus plain model 3 on the test images: by "
        "how much the mean code in the place of its own raises the squared error (per image), and the error of a "
        "linear classifier given the code (percentage points): mean ± half of Welch's 95 % interval (seeds of the one "
        f"that has fewer); * differs at 5 %. The rule: {RULE}",
        frame,
        (
            Column("place", "Strength"),
            Column("strength", "Value", "general", 3),
            *(
                column
                for metric in _TESTED
                for column in (
                    Column(f"{metric.name}_difference", _HEADERS[metric], "difference", metric.digits),
                    Column(f"{metric.name}_difference_p_holm", "p (Holm)", "general", 2),
                )
            ),
            Column("verdict", "Verdict"),
        ),
        sections=list_study_sections(results),
        footnotes=tuple(f"{f'{study}: ' if several else ''}{text}" for study, text in found.items()),
    )


def _compare(scores: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return one row a study and strength that has both sides: difference, interval, p values and mark, by NAME."""
    rows, name = select_metric(scores, metric), f"{metric.name}_difference"
    subject = rows[rows["objective"] == OBJECTIVE].astype({"place": object})
    plain = rows[rows["objective"] == RECONSTRUCTION]
    if subject.empty or plain.empty:
        return pd.DataFrame(columns=_KEY)
    tests = compare_means(subject, plain, ["study"], _KEY)
    few = tests["n"] < MINIMUM_SEEDS
    constant = find_constant(tests["half_width"], tests["difference"].abs() + rows["value"].abs().median())
    tests[["half_width", "p_value"]] = tests[["half_width", "p_value"]].mask(few | constant)
    tests["place"] = pd.Categorical(tests["place"], STRENGTHS, ordered=True)
    tests = tests.assign(p_holm=adjust_p_values(tests, ["study"]))
    tests = tests.assign(mark=(tests["p_holm"] < SIGNIFICANCE).map({True: "significant", False: ""}))
    renamed = {part: f"{name}_{part}" for part in ("n", "half_width", "low", "high", "p_value", "p_holm", "mark")}
    return tests.rename(columns={"difference": name} | renamed)


def _judge(row: Mapping[Any, Any]) -> str:
    """Return what a strength says of the statement; what has no test decides nothing."""
    sides = [_find_side(row, metric) for metric in _TESTED]
    if min(sides) < 0:
        return "contradicted"
    return "supported" if min(sides) > 0 else "not decided"


def _find_side(row: Mapping[Any, Any], metric: Metric) -> int:
    """Return 1 where the difference lies on the statement's side at 5 %, -1 where on the other, 0 where neither."""
    name = f"{metric.name}_difference"
    if not row[f"{name}_p_holm"] < SIGNIFICANCE:  # NaN is not
        return 0
    return 1 if (row[name] > 0) == (metric.direction == "higher") else -1


def _conclude(verdicts: Sequence[str]) -> str:
    """Return what the strengths say together, as a sentence."""
    count = verdicts.count("supported")
    if count:
        return f"Supported: {STATEMENT}, at {count} of {len(verdicts)} strengths."
    if verdicts.count("contradicted") == len(STRENGTHS):
        return f"Contradicted: it is not so that {STATEMENT}, at any of the three strengths."
    against = verdicts.count("contradicted")
    return f"Not decided whether {STATEMENT}: {against} of {len(STRENGTHS)} strengths contradict it, none supports it."
