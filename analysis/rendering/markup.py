"""Tables and figures as HTML; whatever comes from rows is escaped."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from analysis.rendering import text as rendering
from analysis.tables.table import Column, Table

if TYPE_CHECKING:
    from analysis.drawing import Illustration

TABLE_FILES = ("csv", "md", "tex")
_FIGURE_FILES = ("svg", "pdf", "png")
_LONG = 60
"""Letters from which a text needs a wide column."""


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
        groups.append(f"<tbody>{top.format(escape(capital(heading))) if heading else ''}{rows}</tbody>")
    label = escape(table.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table data-sortable>'
        f"<thead><tr>{header}</tr></thead>{''.join(groups)}</table></div>"
    )


def _cell(cell: rendering.CellText, kind: str) -> str:
    text = escape(cell.text)
    text = f"<strong>{text}</strong>" if cell.bold else text
    mark = f" {escape(cell.mark)}" if cell.mark else ""
    # A text is sorted by what is shown.
    key = "" if cell.value == cell.text else f' data-sort="{escape(str(cell.value))}"'
    return f'<td class="{kind}"{key}>{text}{mark}</td>' if kind != "number" else f"<td{key}>{text}{mark}</td>"


def _kind(column: Column) -> str:
    return "text" if column.kind == "text" else "number"


def table_section(table: Table) -> str:
    """Return ``table`` with its title, caption, footnotes and files."""
    notes = "".join(f'<p class="caption">{escape(note)}</p>' for note in table.footnotes)
    return (
        f'<section id="table-{escape(table.name)}"><h3>{escape(table.title)}</h3>'
        f'<p class="caption">{escape(table.caption)}</p>{table_html(table)}{notes}'
        f'<p class="files">{files("tables", table.name)}</p></section>'
    )


def files_section(tables: Iterable[Table]) -> str:
    """Return a list of ``tables`` that are shown in files alone."""
    items = "".join(
        f"<li>{escape(table.title)} ({len(table.frame):,} rows): {files('tables', table.name)}. "
        f'<span class="soft">{escape(table.caption)}</span></li>'
        for table in tables
    )
    return f"<h3>Further tables, in files</h3><ul>{items}</ul>"


def files(folder: str, name: str, suffixes: Iterable[str] = TABLE_FILES) -> str:
    """Return links to the files of a table or figure, which lie beside the page."""
    return ", ".join(f'<a href="{folder}/{escape(name)}.{suffix}">{suffix.upper()}</a>' for suffix in suffixes)


def figure_html(figure: Illustration) -> str:
    """Return ``figure`` as a picture within the page, with its caption and files."""
    svg = re.sub(r"\n\s+", "\n", figure.svg)
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure id="figure-{escape(figure.name)}"><h3>{escape(figure.title)}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(figure.title)}">'
        f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(figure.title)}" width="{figure.width}" '
        f'height="{figure.height}" style="--width:{figure.width}px"></div>'
        f"<figcaption>{escape(figure.caption)} "
        f"{files('figures', figure.name, _FIGURE_FILES)}</figcaption></figure>"
    )


def capital(text: str) -> str:
    """Return ``text`` with its first letter made a capital."""
    return text[:1].upper() + text[1:]
