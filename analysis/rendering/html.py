"""The report as one page: findings, tables, figures, what is missing, and where it all comes from.

Everything is inside the file, and its policy forbids it to load anything else. Whatever comes from rows is escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.provenance import list_missing, provenance
from analysis.rendering.markup import capital, figure_html, files, files_section, table_html, table_section
from analysis.results import ResultsError, StudyResults
from analysis.tables.summary import answers
from analysis.tables.table import Absent, Table

if TYPE_CHECKING:
    from analysis.drawing import Illustration

FINDINGS, COMPARISONS = "findings", "finding_comparisons"
"""Names of the tables that are shown as findings."""

_HERE = Path(__file__).parent


def page(
    results: StudyResults, tables: Sequence[Table | Absent], illustrations: Sequence[Illustration | Absent] = ()
) -> str:
    """Return the report as HTML.

    Args:
        results: what is reported.
        tables: in the order of the report; those of the findings come first wherever they stand.
        illustrations: figures as they were written.
    """
    shown = {table.name: table for table in tables if isinstance(table, Table)}
    findings, comparisons = shown.pop(FINDINGS, None), shown.pop(COMPARISONS, None)
    main = [table for table in shown.values() if not table.detail]
    details = [table for table in (comparisons, *shown.values()) if table is not None and table.detail]
    drawn = [each for each in illustrations if not isinstance(each, Absent)]
    gaps = _gaps(results, [*tables, *illustrations])
    sections: list[tuple[str, str, list[tuple[str, str]], str]] = []
    if findings is not None:
        sections.append(("findings", "Findings", [], _findings(findings, comparisons)))
    parts = [table_section(table) for table in main] + ([files_section(details)] if details else [])
    sections.append(("tables", "Tables", [(f"table-{each.name}", each.title) for each in main], "".join(parts)))
    if drawn:
        links = [(f"figure-{each.name}", each.title) for each in drawn]
        sections.append(("figures", "Figures", links, "".join(map(figure_html, drawn))))
    if gaps:
        sections.append(("missing", "What is missing", [], f"<ul>{_items(gaps)}</ul>"))
    sections.append(("provenance", "Provenance", [], ""))
    title = f"Report of {' and '.join(study.name for study in results.studies)}"
    body = "".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>{content}</section>'
        for name, heading, _, content in sections
        if content
    )
    notice = (
        f'<p class="notice">Not everything is here: <a href="#missing">what is missing</a> ({len(gaps)}).</p>'
        if gaps
        else ""
    )
    return _document(
        title,
        f"<header><h1>{escape(title)}</h1>{_summary(results)}{_answers(results)}{notice}</header>"
        f'<div class="columns">{_contents(sections)}<main>{body}</main></div>{_footer(results)}',
    )


def write_page(
    results: StudyResults, output: str | Path, tables: Sequence[Table | Absent], *, tsne: bool = True
) -> Path:
    """Draw the figures to ``output/figures``, write ``output/report.html`` with them, and return its path.

    Args:
        results: what is reported.
        output: folder of the report; made where it is missing.
        tables: those of `comparison_tables`.
        tsne: whether t-SNE is drawn; its points are kept in ``output``.

    Raises:
        ResultsError: the folder cannot be written.
    """
    # Drawing needs a second to be imported, which who reads tables need not wait for.
    from analysis.drawing import write_figures

    path = Path(output) / "report.html"
    try:
        path.write_text(page(results, tables, write_figures(results, output, tsne=tsne)), encoding="utf-8")
    except OSError as error:
        raise ResultsError(
            f"report folder {output}: cannot be written ({error.strerror or error})",
            "a folder that this user may write",
            "choose another one with --output",
        ) from None
    return path


def _findings(verdicts: Table, comparisons: Table | None) -> str:
    short = [column for column in verdicts.columns if column.main]
    claims = "".join(_claim(row, comparisons) for row in verdicts.frame.to_dict("records"))
    notes = "".join(f'<p class="caption">{escape(note)}</p>' for note in verdicts.footnotes)
    links = f'<p class="files">{files("tables", verdicts.name)}</p>'
    return f'<p class="caption">{escape(verdicts.caption)}</p>{table_html(verdicts, short)}{notes}{links}{claims}'


def _claim(row: Mapping[Any, Any], comparisons: Table | None) -> str:
    """Return the card of one claim: what the paper says, the verdict, the figures behind it."""
    verdict = str(row["verdict"])
    facts = {
        "Comparison": row["comparison"],
        "Rule": row["rule"],
        "Missing": row["missing"],
        "To get it": row["command"],
    }
    listed = "".join(
        f"<dt>{name}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items() if not _is_empty(fact)
    )
    evidence = ""
    if comparisons is not None:
        frame = comparisons.frame
        frame = frame[(frame["claim"] == row["claim"]) & (frame["study"].astype("str") == str(row["study"]))]
        sections = tuple(column for column in comparisons.sections if column.name not in ("claim", "study"))
        title = f"Comparisons behind claim {row['claim']}"
        if len(frame):
            evidence = table_html(dataclasses.replace(comparisons, title=title, frame=frame, sections=sections))
    return (
        f'<article class="claim"><h3>{row["claim"]}. {escape(capital(str(row["topic"])))}: '
        f'<span class="verdict {verdict.replace(" ", "-")}">{escape(verdict)}</span></h3>'
        f"<blockquote>{escape(str(row['text']))} {escape(str(row['source']))}</blockquote>"
        f"<p>{escape(str(row['reason']))}</p>"
        f"<details><summary>Rule and comparisons</summary><dl>{listed}</dl>{evidence}</details></article>"
    )


def _gaps(results: StudyResults, parts: Iterable[object]) -> list[str]:
    titles: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, Absent) and part.reason:
            titles.setdefault(part.reason, []).append(part.title)
    # No full stop: most reasons end in a command to be copied.
    absent = [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in titles.items()]
    return [*results.problems, *list_missing(results), *absent]


def _summary(results: StudyResults) -> str:
    lines = []
    for name, facts in provenance(results):
        known = [facts[fact] for fact in ("data", "trials", "dates") if fact in facts]
        prefix = f"{name}: " if len(results.studies) > 1 else ""
        lines.append(f'<p class="soft">{escape(prefix + "; ".join(known))}</p>')
    return "".join(lines)


def _answers(results: StudyResults) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in answers(results))


def _contents(sections: Iterable[tuple[str, str, list[tuple[str, str]], str]]) -> str:
    items = []
    for name, heading, links, _ in sections:
        inner = "".join(f'<li><a href="#{escape(link)}">{escape(title)}</a></li>' for link, title in links)
        items.append(f'<li><a href="#{name}">{escape(heading)}</a>{f"<ul>{inner}</ul>" if inner else ""}</li>')
    return f'<nav aria-label="Contents"><details><summary>Contents</summary><ul>{"".join(items)}</ul></details></nav>'


def _footer(results: StudyResults) -> str:
    parts = []
    for name, facts in provenance(results):
        listed = "".join(f"<dt>{escape(fact)}</dt><dd>{escape(text)}</dd>" for fact, text in facts.items())
        parts.append(f"<h3>{escape(name)}</h3><dl>{listed}</dl>")
    return f'<footer id="provenance"><h2>Provenance</h2>{"".join(parts)}</footer>'


def _document(title: str, body: str) -> str:
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    # Style attributes hold the sizes of figures; only the one script below may run.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>{body}\n<script>{script}</script></body></html>\n"
    )


def _digest(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)


def _is_empty(value: object) -> bool:
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]
