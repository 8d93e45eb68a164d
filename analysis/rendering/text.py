"""Tables as text: CSV, Markdown and LaTeX.

`format_lines` gives what all of them show, so that anything else (a terminal, a page) shows the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.tables.table import MARKS, Column, Table

ABSENT = "—"
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "†": r"\dag{}",
        "—": "---",
    }
)


@dataclass(frozen=True, slots=True)
class CellText:
    """One shown value: its text, the number to sort by (or the text), its mark, and whether it is to stand out."""

    text: str
    value: float | str
    mark: str = ""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the heading of the section that it stands in, such as ``code size 10, tuned``, and what it shows."""

    section: str
    cells: tuple[CellText, ...]


def format_lines(table: Table, columns: Sequence[Column] | None = None) -> Iterator[Line]:
    """Yield the lines of ``table`` with all of its columns, or some."""
    shown = table.columns if columns is None else columns
    for row in table.frame.to_dict("records"):
        texts = ((column, format_cell(row, column).text) for column in table.sections)
        section = ", ".join(text if column.kind == "text" else f"{column.header} {text}" for column, text in texts)
        yield Line(section, tuple(format_cell(row, column) for column in shown))


def format_cell(row: dict[Any, Any], column: Column) -> CellText:
    """Return what ``column`` shows of a row of a table's frame."""
    if column.kind == "counts":
        values = [row[name] for name in column.name.split("/")]
        if all(pd.isna(value) for value in values):
            return CellText(ABSENT, "")
        # Nothing to report is easier to see as one 0 than as 0/0/0.
        text = "/".join(ABSENT if pd.isna(value) else f"{value:.0f}" for value in values)
        return CellText("0" if set(text) <= {"0", "/"} else text, text)
    if column.kind == "interval":
        low, high = row[f"{column.name}_low"], row[f"{column.name}_high"]
        if pd.isna(low):
            return CellText(ABSENT, "")
        return CellText(f"{low:.{column.digits}f} to {high:.{column.digits}f}", float(low))
    value = row[column.name]
    if pd.isna(value):
        return CellText(ABSENT, "")
    if column.kind == "text":
        return CellText(str(value), str(value))
    mark = row.get(f"{column.name}_mark")
    mark = mark if isinstance(mark, str) else ""
    bold = mark == "significant"
    return CellText(_format_number(row, column, float(value)), float(value), MARKS.get(mark, mark), bold)


def format_markdown(table: Table) -> str:
    """Return caption, table and footnotes as Markdown, what stands out in bold."""
    columns = (*table.sections, *table.columns)
    rows = [[_format_markdown_cell(cell) for cell in line.cells] for line in format_lines(table, columns)]
    headers = [column.header.capitalize() for column in table.sections] + [column.header for column in table.columns]
    header = [_escape_markdown(text) for text in headers]
    rule = [":--" if column.kind == "text" else "--:" for column in columns]
    body = "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))
    return "\n\n".join((table.caption, body, *table.footnotes)) + "\n"


def format_latex(table: Table) -> str:
    """Return the main columns as a LaTeX table for booktabs, with headings of sections, what stands out in bold."""
    columns = [column for column in table.columns if column.main]
    alignment = "".join("l" if column.kind == "text" else "r" for column in columns)
    body: list[str] = []
    section = ""
    for line in format_lines(table, columns):
        if line.section != section:
            section = line.section
            body.append(r"\midrule")
            body.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{section.translate(_LATEX)}}}}} \\")
        body.append(" & ".join(_format_latex_cell(cell) for cell in line.cells) + r" \\")
    if not table.sections:
        body.insert(0, r"\midrule")
    notes = [rf"\par\footnotesize {note.translate(_LATEX)}" for note in table.footnotes]
    header = " & ".join(column.header.translate(_LATEX) for column in columns) + r" \\"
    return "\n".join(
        (
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{table.title.translate(_LATEX)}. {table.caption.translate(_LATEX)}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            header,
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        )
    )


def format_csv(table: Table) -> str:
    """Return the numbers of the table at full precision, one row a line; what is absent is empty."""
    return table.frame.to_csv(index=False, lineterminator="\n")


FORMATS = {"csv": format_csv, "md": format_markdown, "tex": format_latex}
"""What writes a table's file, by the file's suffix."""


def _format_number(row: dict[Any, Any], column: Column, value: float) -> str:
    if column.kind == "count":
        return f"{value:,.0f}"
    if column.kind == "fixed":
        return f"{value:.{column.digits}f}"
    if column.kind == "general":
        return f"{value:.{column.digits}g}"
    sign = "+" if column.kind == "difference" else ""
    half_width, n = row.get(f"{column.name}_half_width"), row.get(f"{column.name}_n")
    if pd.isna(half_width):
        text = f"{value:{sign}.{column.digits}f}"
    else:
        # Decimals beside an uncertainty of tens or hundreds would say nothing.
        digits = max(0, column.digits - max(0, len(f"{half_width:.0f}") - 1))
        text = f"{value:{sign}.{digits}f} ± {half_width:.{digits}f}"
    return text if pd.isna(n) else f"{text} ({n:.0f})"


def _format_markdown_cell(cell: CellText) -> str:
    text = _escape_markdown(cell.text)
    return f"{f'**{text}**' if cell.bold else text} {_escape_markdown(cell.mark)}".strip()


def _escape_markdown(text: str) -> str:
    return re.sub(r"([|*_<\\])", r"\\\1", text)


def _format_latex_cell(cell: CellText) -> str:
    text = cell.text.translate(_LATEX)
    if re.match(r"-\d", text):
        text = f"$-${text[1:]}"
    if cell.bold:
        text = rf"\textbf{{{text}}}"
    return f"{text} {cell.mark.translate(_LATEX)}".strip()
