"""The report as one page: findings, tables, figures, what is missing, and where it all comes from.

Everything is inside the file, and its policy forbids it to load anything else. Whatever comes from rows is escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis import rendering
from analysis.provenance import missing, provenance
from analysis.results import ResultsError, StudyResults
from analysis.tables import Absent, Column, Table

if TYPE_CHECKING:
    from analysis.figures import Illustration

FINDINGS, COMPARISONS = "findings", "finding_comparisons"
"""Names of the tables that are shown as findings."""

_HERE = Path(__file__).parent
_TABLE_FILES = ("csv", "md", "tex")
_FIGURE_FILES = ("svg", "pdf", "png")
_LONG = 60
"""Letters from which a text needs a wide column."""


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
    parts = [_table_section(table) for table in main] + ([_files_section(details)] if details else [])
    sections.append(("tables", "Tables", [(f"table-{each.name}", each.title) for each in main], "".join(parts)))
    if drawn:
        links = [(f"figure-{each.name}", each.title) for each in drawn]
        sections.append(("figures", "Figures", links, "".join(map(_figure, drawn))))
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
        f'<p class="notice">This report is partial: <a href="#missing">what is missing</a> ({len(gaps)}).</p>'
        if gaps
        else ""
    )
    return _document(
        title,
        f"<header><h1>{escape(title)}</h1>{_summary(results)}{notice}</header>"
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
    from analysis.figures import write_figures

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


def table_html(table: Table, columns: Sequence[Column] | None = None) -> str:
    """Return ``table`` with sortable columns, all of its own or ``columns``; a section is a group of rows."""
    columns = table.columns if columns is None else columns
    lines = list(rendering.lines(table, columns))
    long = [
        column.kind == "text" and any(len(line.cells[place].text) > _LONG for line in lines)
        for place, column in enumerate(columns)
    ]
    kinds = ["text long" if is_long else _kind(column) for column, is_long in zip(columns, long, strict=True)]
    header = "".join(
        f'<th scope="col" class="{_kind(column)}" aria-sort="none"><button type="button">'
        f"{escape(column.header)}</button></th>"
        for column in columns
    )
    groups = []
    for section, group in itertools.groupby(lines, lambda line: line.section):
        heading = rendering.heading(table, section)
        top = f'<tr class="section"><th colspan="{len(columns)}" scope="rowgroup"><span>{{}}</span></th></tr>'
        rows = "".join(
            f"<tr>{''.join(_cell(cell, kind) for cell, kind in zip(line.cells, kinds, strict=True))}</tr>"
            for line in group
        )
        groups.append(f"<tbody>{top.format(escape(_capital(heading))) if heading else ''}{rows}</tbody>")
    label = escape(table.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table data-sortable>'
        f"<thead><tr>{header}</tr></thead>{''.join(groups)}</table></div>"
    )


def _cell(cell: rendering.Cell, kind: str) -> str:
    text = escape(cell.text)
    text = f"<strong>{text}</strong>" if cell.bold else text
    mark = f" {escape(cell.mark)}" if cell.mark else ""
    # A text is sorted by what is shown.
    key = "" if cell.value == cell.text else f' data-sort="{escape(str(cell.value))}"'
    return f'<td class="{kind}"{key}>{text}{mark}</td>' if kind != "number" else f"<td{key}>{text}{mark}</td>"


def _kind(column: Column) -> str:
    return "text" if column.kind == "text" else "number"


def _table_section(table: Table) -> str:
    notes = "".join(f'<p class="caption">{escape(note)}</p>' for note in table.footnotes)
    return (
        f'<section id="table-{escape(table.name)}"><h3>{escape(table.title)}</h3>'
        f'<p class="caption">{escape(table.caption)}</p>{table_html(table)}{notes}'
        f'<p class="files">{_files("tables", table.name, _TABLE_FILES)}</p></section>'
    )


def _files_section(tables: Iterable[Table]) -> str:
    items = "".join(
        f"<li>{escape(table.title)} ({len(table.frame):,} rows): {_files('tables', table.name, _TABLE_FILES)}. "
        f'<span class="soft">{escape(table.caption)}</span></li>'
        for table in tables
    )
    return f"<h3>Further tables, in files</h3><ul>{items}</ul>"


def _files(folder: str, name: str, suffixes: Iterable[str]) -> str:
    return ", ".join(f'<a href="{folder}/{escape(name)}.{suffix}">{suffix.upper()}</a>' for suffix in suffixes)


def _findings(verdicts: Table, comparisons: Table | None) -> str:
    short = [column for column in verdicts.columns if column.main]
    claims = "".join(_claim(row, comparisons) for row in verdicts.frame.to_dict("records"))
    notes = "".join(f'<p class="caption">{escape(note)}</p>' for note in verdicts.footnotes)
    return f'<p class="caption">{escape(verdicts.caption)}</p>{table_html(verdicts, short)}{notes}{claims}'


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
        f'<article class="claim"><h3>{row["claim"]}. {escape(_capital(str(row["topic"])))}: '
        f'<span class="verdict {verdict.replace(" ", "-")}">{escape(verdict)}</span></h3>'
        f"<blockquote>{escape(str(row['text']))} {escape(str(row['source']))}</blockquote>"
        f"<p>{escape(str(row['reason']))}</p>"
        f"<details><summary>Rule and comparisons</summary><dl>{listed}</dl>{evidence}</details></article>"
    )


def _figure(figure: Illustration) -> str:
    svg = re.sub(r"\n\s+", "\n", figure.svg)
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure id="figure-{escape(figure.name)}"><h3>{escape(figure.title)}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(figure.title)}">'
        f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(figure.title)}" width="{figure.width}" '
        f'height="{figure.height}" style="--width:{figure.width}px"></div>'
        f"<figcaption>{escape(figure.caption)} "
        f"{_files('figures', figure.name, _FIGURE_FILES)}</figcaption></figure>"
    )


def _gaps(results: StudyResults, parts: Iterable[object]) -> list[str]:
    absent = [part for part in parts if isinstance(part, Absent) and part.reason]
    return [*results.problems, *missing(results), *(f"{part.title}: {part.reason}." for part in absent)]


def _summary(results: StudyResults) -> str:
    lines = []
    for name, facts in provenance(results):
        known = [facts[fact] for fact in ("data", "trials", "dates") if fact in facts]
        prefix = f"{name}: " if len(results.studies) > 1 else ""
        lines.append(f'<p class="soft">{escape(prefix + "; ".join(known))}</p>')
    return "".join(lines)


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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_empty(value: object) -> bool:
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]
