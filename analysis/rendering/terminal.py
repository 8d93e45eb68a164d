"""Tables in the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import rich.box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from analysis.rendering.text import CellText, format_lines
from analysis.tables.table import Column, Table

_GAP = 2
_TEXT_LEAST = 14
"""Columns of text wrap down to this width."""


def print_table(table: Table, console: Console) -> None:
    """Print the main columns of ``table``, as many as there is room for, and name the others below."""
    columns = [column for column in table.columns if column.main]
    shown = list(format_lines(table, columns))
    marks = [max((len(line.cells[place].mark) for line in shown), default=0) for place in range(len(columns))]
    texts = [[_format_text(cell, room) for cell, room in zip(line.cells, marks, strict=True)] for line in shown]
    widths = [
        max([len(row[place]) for row in texts] + [len(word) for word in column.header.split()])
        for place, column in enumerate(columns)
    ]
    kept = _fit_columns(columns, widths, console.width)
    left_out = [column.header for place, column in enumerate(columns) if place not in kept]
    columns, widths = [columns[place] for place in kept], [widths[place] for place in kept]
    widths = _narrow_texts(columns, widths, console.width)
    console.print(Text(table.title, "bold"))
    console.print(_make_grid(columns, widths, show_header=True))
    # Each section is a grid of its own, so that its heading may be wider than a column; the widths are the same.
    for section, group in itertools.groupby(zip(shown, texts, strict=True), lambda pair: pair[0].section):
        if section:
            console.print(Text(section, "italic"))
        grid = _make_grid(columns, widths, show_header=False)
        for line, row in group:
            grid.add_row(
                *(
                    _align_text(row[place], column, width, bold=line.cells[place].bold)
                    for place, column, width in zip(kept, columns, widths, strict=True)
                )
            )
        console.print(grid)
        console.print()
    room = (f"Hidden (narrow terminal): {', '.join(left_out)}.",) if left_out else ()
    for note in (table.caption, *table.footnotes, *room):
        print_note(note, console)
    console.print()


def print_note(note: str, console: Console) -> None:
    """Print a sentence, folded to the terminal's width unless it holds a command: half of one would run, too."""
    console.print(Text(note), soft_wrap="python " in note)


def _fit_columns(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that fit into ``room``; text, which wraps, and counts of runs stay."""
    kept = list(range(len(columns)))
    needed = [
        min(width, _TEXT_LEAST) if column.kind == "text" else width
        for column, width in zip(columns, widths, strict=True)
    ]
    for place in reversed(range(len(columns))):
        if sum(needed[one] + _GAP for one in kept) - _GAP <= room:
            break
        if columns[place].kind not in ("text", "counts"):
            kept.remove(place)
    return kept


def _narrow_texts(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return ``widths`` that fit into ``room``: the widest text is made narrower first."""
    narrowed = list(widths)
    texts = [place for place, column in enumerate(columns) if column.kind == "text"]
    while sum(narrowed) + _GAP * (len(narrowed) - 1) > room and any(narrowed[place] > 1 for place in texts):
        narrowed[max(texts, key=lambda place: narrowed[place])] -= 1
    return narrowed


def _make_grid(columns: Sequence[Column], widths: Sequence[int], *, show_header: bool) -> Grid:
    grid = Grid(
        box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=show_header
    )
    for column, width in zip(columns, widths, strict=True):
        side: Literal["left", "right"] = "left" if column.kind == "text" else "right"
        grid.add_column(Text(column.header), justify=side, min_width=width, max_width=width)
    return grid


def _align_text(text: str, column: Column, width: int, *, bold: bool) -> Text:
    """Return ``text`` at its side; rich, which aligns to the right, would drop the spaces in the place of a mark."""
    style = "bold" if bold else ""
    return Text(text, style) if column.kind == "text" else Text(text.rjust(width), style, justify="left")


def _format_text(cell: CellText, room: int) -> str:
    # Where some values have marks the others have spaces, so that numbers stay aligned.
    return f"{cell.text} {cell.mark:<{room}}" if room else cell.text
