"""What docs/reference/objectives says: scores by objective, and what was expected of the objectives and came out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from findings_page import format_part
from findings_training import describe_protocol
from publish_reference import HERE, ROOT, reduce_picture, replace_parts

from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.objectives.bypass import judge_bypass
from analysis.objectives.comparison import compare_objectives
from analysis.objectives.runs import NO_STRENGTH, collect_scores
from analysis.results import ResultsError, StudyResults, list_objectives, load_study
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, compare_means
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR, Metric, select_metric
from analysis.stats.ranking import adjust_p_values
from analysis.tables.table import Absent, Column, Table
from trainables.training.objectives import RECONSTRUCTION

FOLDER = HERE / "objectives"
ROWS = FOLDER / "rows"
PAGE = FOLDER / "README.md"
MODELS_PAGE = ROOT / "docs" / "models.md"
PICTURES = {
    "objective_errors": "Squared error against linear error by objective",
    "objective_strengths": "Scores against the strength of each objective",
    "objective_codes": "Codes of two units by objective",
    "prior_samples": "Digits decoded from draws of the prior",
}
"""Figures of the report that the page shows, with what stands in the place of one that cannot be seen."""
NOT_YET = "Not there yet."
SUBJECT = "model_4"
BOUND = Metric("objective", "bound", "nats/image")


class Comparison(NamedTuple):
    """An objective is expected to be better than another one in a metric, or worse."""

    first: str
    second: str
    metric: Metric
    worse: bool = False


class Expectation(NamedTuple):
    """What the literature makes one expect, with its source, and the comparisons that say whether it came out."""

    told: str
    comparisons: tuple[Comparison, ...]


EXPECTED = (
    Expectation(
        "Denoising (Vincent et al., 2008) and contractive auto-encoders (Rifai et al., 2011) were proposed for codes "
        "that tell classes apart better than those of plain reconstruction do.",
        tuple(Comparison(name, RECONSTRUCTION, LINEAR_ERROR) for name in ("denoising", "contractive")),
    ),
    Expectation(
        "k-sparse codes were reported to classify better than those of denoising and of dropout (Makhzani and Frey, "
        "2013), there with many more units.",
        tuple(Comparison("k_sparse", name, LINEAR_ERROR) for name in ("denoising", "dropout")),
    ),
    Expectation(
        "A variational code pays for its prior in pixels (Kingma and Welling, 2013: the divergence is a second term of "
        "the loss), and weighting by importance makes the bound tighter (Burda et al., 2015).",
        (
            Comparison("variational", RECONSTRUCTION, SQUARED_ERROR, worse=True),
            Comparison("importance_weighted", "variational", BOUND),
        ),
    ),
    Expectation(
        "Matching the moments of all codes together costs fewer pixels than drawing each code to the prior "
        "(Tolstikhin et al., 2018).",
        (Comparison("moment_matching", "variational", SQUARED_ERROR),),
    ),
)
"""Written before any row of the study existed, as was the rule for what-where, which is the fifth."""


def make_objectives_parts(results: StudyResults) -> dict[str, str]:
    """Return the parts of the page by name; Markdown.

    Raises:
        ResultsError: no model has been confirmed by several objectives.
    """
    table, bypass = compare_objectives(results), judge_bypass(results)
    if isinstance(table, Absent):
        raise ResultsError(f"{results.path}: no model by several objectives", "confirmed runs", "go on with the study")
    at_primary: dict[str, Sequence[object]] = {"code_size": [PRIMARY_CODE_SIZE]}
    shown = [f"![{told}]({name}.png)" for name, told in PICTURES.items() if (FOLDER / f"{name}.png").exists()]
    return {
        "protocol": describe_protocol(results),
        "objectives": format_part(dataclasses.replace(table, footnotes=()), at_primary, drop=("code_size",)),
        "expectations": "\n".join(f"- {sentence}" for sentence in list_outcomes(results)),
        "bypass": format_part(bypass, {}),
        "pictures": "\n\n".join(shown) or NOT_YET,
    }


def describe_measured(results: StudyResults) -> dict[str, str]:
    """Return the parts of docs/models.md: what each objective came to at its middle strength, beside none."""
    table = compare_objectives(results)
    if isinstance(table, Absent):
        return {}
    frame = table.frame.astype({"model": "str", "objective": "str", "place": "str"})
    frame = frame[(frame["code_size"] == PRIMARY_CODE_SIZE) & frame["place"].isin([NO_STRENGTH, "middle"])]
    own, plain = frame[frame["objective"] != RECONSTRUCTION], frame[frame["objective"] == RECONSTRUCTION]
    parts = {}
    for run in own.to_dict("records"):
        (beside,) = plain[plain["model"] == run["model"]].to_dict("records")
        where = f"Measured on MNIST at code size {PRIMARY_CODE_SIZE}, {run['label']} at the middle strength"
        parts[f"measured {run['objective']}"] = f"{where} (in brackets without): {_list_scores(table, run, beside)}."
    return parts


def _list_scores(table: Table, run: Mapping[Hashable, Any], plain: Mapping[Hashable, Any]) -> str:
    """Return the scores that a run has, with those of plain reconstruction in brackets where that has them."""

    def format_score(column: Column, of: Mapping[Hashable, Any]) -> str:
        return f"{of[column.name]:.{column.digits}f} ± {of[f'{column.name}_half_width']:.{column.digits}f}"

    shown = [column for column in table.columns if column.kind == "estimate" and pd.notna(run[column.name])]
    return "; ".join(
        f"{column.header} {format_score(column, run)}"
        + (f" ({format_score(column, plain)})" if pd.notna(plain[column.name]) else "")
        for column in shown
    )


def list_outcomes(results: StudyResults) -> Iterator[str]:
    """Yield what was expected, in a sentence each, and what came out at the middle strength."""
    tests = _compare(results)
    for expected in EXPECTED:
        told = [_describe(results, tests, comparison) for comparison in expected.comparisons]
        yield f"{expected.told} Here: {'; '.join(told)}."
    bypass = judge_bypass(results)
    found = "it has not been trained yet." if isinstance(bypass, Absent) else " ".join(bypass.footnotes)
    yield f"The intermediate loss of what-where (Zhao et al., 2016) is to make the decoder need the code. Here: {found}"


def _compare(results: StudyResults) -> pd.DataFrame:
    """Return one row a comparison, first, second and metric, with its test; p values by Holm's method over all."""
    scores = collect_scores(results)
    shown = scores["place"].isin([NO_STRENGTH, "middle"]) & (scores["code_size"] == PRIMARY_CODE_SIZE)
    scores = scores[shown & (scores["model"] == SUBJECT)].astype({"objective": "str"})
    rows = []
    for first, second, metric, _ in (each for expected in EXPECTED for each in expected.comparisons):
        values = select_metric(scores, metric)
        own, other = (values[values["objective"] == name] for name in (first, second))
        test = compare_means(own, other, ["study"], ["study"])
        rows.append(test.assign(first=first, second=second, metric=metric.name))
    tests = pd.concat(rows, ignore_index=True)
    tests["p_value"] = tests["p_value"].mask(tests["n"] < MINIMUM_SEEDS)
    tests["p_holm"] = adjust_p_values(tests, ["study"])
    return tests


def _describe(results: StudyResults, tests: pd.DataFrame, comparison: Comparison) -> str:
    first, second, metric, worse = comparison
    one, other = (list_objectives(results)[name].label for name in (first, second))
    own = tests[(tests["first"] == first) & (tests["second"] == second) & (tests["metric"] == metric.name)]
    if own.empty:
        return f"{metric.header} of {one} and {other}: no runs of both to compare"
    (row,) = own.to_dict("records")
    told = f"{metric.header} of {one} minus {other} {row['difference']:+.{metric.digits}f}"
    if not row["n"] >= MINIMUM_SEEDS:
        return f"{told} (fewer than {MINIMUM_SEEDS} seeds: no test)"
    better = (row["difference"] > 0) == (metric.direction == "higher")
    shown = "not shown" if not row["p_holm"] < SIGNIFICANCE else "as expected" if better != worse else "the opposite"
    return f"{told} ± {row['half_width']:.{metric.digits}f} (n = {int(row['n'])}), {shown}"


def write_objectives() -> None:
    """Write the page's parts and pictures from the rows that are there.

    Raises:
        ResultsError: they cannot be read, or are too few for the page.
    """
    from analysis.drawing import drawing_processes, write_figures

    with contextlib.chdir(ROOT):
        results = load_study(os.path.relpath(ROWS, ROOT))
    make_objectives_parts(results)  # Before anything is drawn: where it cannot be, nothing is.
    report: Path = ROOT / "results" / "objectives-report"
    with drawing_processes():
        write_figures(results, report)
    for name in PICTURES:
        if (drawn := report / "figures" / f"{name}.png").exists():
            reduce_picture(drawn).save(FOLDER / f"{name}.png", optimize=True)
    for page, parts in ((PAGE, make_objectives_parts(results)), (MODELS_PAGE, describe_measured(results))):
        page.write_text(replace_parts(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
