"""What docs/findings.md says in numbers: every part of it that depends on the rows of the published study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from findings_training import (
    count_range,
    describe_protocol,
    describe_rates,
    describe_search,
    describe_stability,
    require_table,
)
from findings_verdicts import describe_whitening, list_limits, list_verdicts

from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.rendering.text import format_markdown
from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import (
    CROSS_ENTROPY,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    RAW_K_MEANS_ACCURACY,
    SQUARED_ERROR,
    Metric,
    select_metric,
)
from analysis.tables.ablations import ablations
from analysis.tables.costs import search
from analysis.tables.diagnostics import reliance
from analysis.tables.headline import headline, join_words
from analysis.tables.models import architectures
from analysis.tables.scores import CLUSTERING, RECONSTRUCTION, score_table
from analysis.tables.summary import answers, summary
from analysis.tables.table import Absent, Column, Table

CLUSTERED = (
    K_MEANS_ACCURACY,
    RAW_K_MEANS_ACCURACY,
    Metric("k_means_decoder_layer", "accuracy", direction="higher"),
)


def make_findings_parts(results: StudyResults) -> dict[str, str]:
    """Return the parts of docs/findings.md by name; Markdown.

    Raises:
        ResultsError: the study has no search, or no confirmed runs of the tuned arm.
    """
    tuned: dict[str, Sequence[object]] = {"arm": ["tuned"]}
    at_primary: dict[str, Sequence[object]] = {"code_size": [PRIMARY_CODE_SIZE]}
    return {
        "in short": answers(results)[0],
        "models": format_part(_drop_footnotes(architectures(results)), {}, keep=("label", "notation", "layers")),
        "protocol": describe_protocol(results),
        "reconstruction": format_part(headline(results), tuned, drop=("arm", "code_sizes")),
        "answers": "\n".join(f"- {sentence}" for sentence in answers(results)[1:]),
        "losses": format_part(
            _drop_footnotes(score_table(results, RECONSTRUCTION)),
            tuned | at_primary,
            keep=("label", CROSS_ENTROPY.name, SQUARED_ERROR.name),
        ),
        "codes": format_part(summary(results), at_primary, drop=("code_size",)),
        "pixels": describe_pixels(results),
        "clusters": format_part(
            _drop_footnotes(score_table(results, CLUSTERING)),
            {"arm": ["tuned", "control"]},
            keep=("label", *(metric.name for metric in CLUSTERED)),
            drop=("code_size",),
        ),
        "whitening": describe_whitening(results),
        "published": describe_published(results),
        "reliance": format_part(
            reliance(results),
            tuned | at_primary,
            keep=("label", "own_code_squared_error", "mean_code_squared_error", "other_switches_squared_error"),
        ),
        "rates": describe_rates(results),
        "ablations": format_part(
            ablations(results),
            tuned,
            keep=(
                *("factor", "level", "learning_rate"),
                *(f"{metric.name}_difference" for metric in (SQUARED_ERROR, LINEAR_ERROR)),
            ),
        ),
        "search": describe_search(results),
        "chosen": tabulate_chosen(results),
        "stability": describe_stability(results),
        "verdicts": "\n".join(list_verdicts(results)),
        "limits": "\n".join(f"- {sentence}" for sentence in list_limits(results)),
    }


def format_part(
    table: Table | Absent,
    rows: Mapping[str, Sequence[object]],
    *,
    keep: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> str:
    """Return some rows of a table as Markdown without its caption; of one that is not there, why.

    Args:
        table: of the report.
        rows: values by column that a row must have.
        keep: names of the columns shown; none for its main ones.
        drop: names of the sections left out.
    """
    if isinstance(table, Absent):
        told, command, how = table.reason.partition(" To get it: ")
        return f"Not there yet: {told}{f'{command}`{how}`' if how else ''}." if told else "Not there yet."
    frame = table.frame
    for name, values in rows.items():
        frame = frame[frame[name].isin(values)]
    columns = tuple(column for column in table.columns if (column.name in keep if keep else column.main))
    sections = tuple(column for column in table.sections if column.name not in {*drop, *rows})
    return format_markdown(
        dataclasses.replace(table, caption="", frame=frame, columns=columns, sections=sections)
    ).strip()


def describe_published(results: StudyResults) -> str:
    """Return the summary's table of the authors' recipe at the primary code size; a sentence where none was run."""
    table = summary(results, "published")
    if isinstance(table, Absent):
        return "No model was trained so."
    text = format_part(_drop_footnotes(table), {"code_size": [PRIMARY_CODE_SIZE]}, drop=("code_size",))
    confirmed = select_confirmed(results.trials)
    shown = confirmed[(confirmed["arm"] == "published") & (confirmed["code_size"] == PRIMARY_CODE_SIZE)]
    seeds = shown.groupby("architecture", observed=True).size()
    planned = int(results.studies[0].manifest["config"]["seeds"])
    return (
        text
        if seeds.min() >= planned
        else f"{text}\n\nSo far {count_range(seeds, '').strip()} of the {planned} planned seeds have ended."
    )


def describe_pixels(results: StudyResults) -> str:
    """Return what the classifiers and k-means reach on the pixels themselves."""
    scores = select_confirmed_scores(results)
    pixels = scores[scores["architecture"] == "raw_pixels"]
    metrics = [
        metric for metric in (LINEAR_ERROR, MLP_ERROR, RAW_K_MEANS_ACCURACY) if len(select_metric(pixels, metric))
    ]
    told = [f"{metric.label} {select_metric(pixels, metric)['value'].mean():.{metric.digits}f}" for metric in metrics]
    return f"Raw pixels: {join_words(told)} (means over seeds)." if told else "Raw pixels were not evaluated."


def tabulate_chosen(results: StudyResults) -> str:
    """Return what the search of each cell chose and by how much it is better than trial 0, with its parameters."""
    table, confirmed = require_table(search(results)), select_confirmed(results.trials)
    cell = ["study", "architecture", "code_size"]
    tuned = confirmed[confirmed["arm"] == "tuned"].drop_duplicates(cell)[[*cell, "parameters"]]
    frame = table.frame.merge(tuned.astype({"study": "str", "architecture": "str"}), on=cell, how="left")
    headers = {"best_number": "Winning trial", "winner_gain": "Gain (nats)"}
    columns = tuple(dataclasses.replace(each, header=headers.get(each.name, each.header)) for each in table.columns)
    table = dataclasses.replace(table, frame=frame, columns=(*columns, Column("parameters", "Parameters", "count")))
    shown = ("label", "best_number", "winner_gain", "best_learning_rate", "best_weight_decay")
    return format_part(table, {}, keep=(*shown, "best_filters_1/best_filters_2", "parameters"), drop=("code_size",))


def _drop_footnotes(table: Table | Absent) -> Table | Absent:
    """Return a table without what the page says elsewhere."""
    return table if isinstance(table, Absent) else dataclasses.replace(table, footnotes=())
