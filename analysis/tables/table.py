"""What a table is: numbers in a tidy frame, and how its columns are called and shown.

The same record is rendered in the terminal, as CSV, Markdown, LaTeX and HTML.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.provenance import format_command
from analysis.results import StudyResults


@dataclass(frozen=True, slots=True)
class Column:
    """One shown column.

    Attributes:
        name: column of the frame. An ``estimate`` or ``difference`` called NAME is a mean that comes with
            NAME_half_width, NAME_n and, where it is ranked or tested, NAME_mark. An ``interval`` called NAME is
            NAME_low and NAME_high. ``counts`` are several columns, their names and values joined by a slash.
        header: as shown.
        kind: how values are written. ``fixed`` has ``digits`` decimals, ``general`` has ``digits`` significant ones.
        digits: see ``kind``.
        main: whether a terminal and a printed page show it; CSV and Markdown show all.
    """

    name: str
    header: str
    kind: Literal["text", "count", "counts", "fixed", "general", "estimate", "difference", "interval"] = "text"
    digits: int = 2
    main: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its numbers.

    Attributes:
        name: of its files, and to refer to it.
        title: a few words.
        caption: what is shown, with units and the sense of intervals and marks.
        frame: one row a line, at full precision; it may have more columns than are shown.
        columns: what is shown, from left to right.
        sections: columns whose change begins a new section, with a heading instead of a column where space is short.
        footnotes: sentences.
        detail: long and for reference: kept in files, not in the report itself.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    sections: tuple[Column, ...] = ()
    footnotes: tuple[str, ...] = ()
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """A table without rows: what is missing, and how to get it; no reason where nothing is missing."""

    name: str
    title: str
    reason: str


def make_absent(
    results: StudyResults, name: str, title: str, what: str, phase: str = "confirm", options: str = ""
) -> Absent:
    """Return the record of a table that has no rows, with the command that gives it some."""
    commands = " and ".join(dict.fromkeys(format_command(study, phase, options) for study in results.studies))
    return Absent(name, title, f"{what}. To get it: {commands}")


def choose_code_size(table: Table, preferred: int) -> tuple[Table, list[int]]:
    """Return the rows of one code size, ``preferred`` or else the largest, and the code sizes that are left out."""
    sizes = [int(size) for size in sorted(table.frame["code_size"].unique())]
    shown = preferred if preferred in sizes else sizes[-1]
    frame = table.frame[table.frame["code_size"] == shown]
    return dataclasses.replace(table, frame=frame), [size for size in sizes if size != shown]


MARKS = {"best": "*", "tie": "=", "unranked": "†", "significant": "*"}
"""What follows a value that is marked so."""

MARKS_CAPTION = (
    "* the only ranked model of the same code size and arm that may be the best, = may be the best: no other is better "
    "(Welch's test of all pairs, Holm-adjusted over them, 5 %; models of fewer than 3 seeds are not compared)."
)
ESTIMATE_CAPTION = "Mean ± half of the 95 % t interval over seeds (number of seeds), collapsed runs included."
IMAGES_CAPTION = (
    "Seeds and images: 95 % interval for other seeds and other test images, crossed (seeds by t, images resampled), "
    "where every run of the row keeps its scores image by image."
)
SEEDS_ALONE_CAPTION = (
    "Intervals are over seeds alone: these rows keep no scores of single test images, so what other images would "
    "change is not in them."
)
FAILURES = Column("diverged/failed/collapsed", "Failed runs", "counts")
FAILURES_CAPTION = "Failed runs: those that diverged/failed/collapsed (ended no better than the mean image)."
SWITCHES_FOOTNOTE = (
    "† Not ranked or tested: switches carry the image past the code, so this reconstruction says little of the code "
    "(see the table on reliance)."
)


def list_study_sections(results: StudyResults) -> tuple[Column, ...]:
    """Return the column that tells studies apart, where there are several."""
    return (Column("study", "study"),) if len(results.studies) > 1 else ()


def list_group_sections(results: StudyResults) -> tuple[Column, ...]:
    """Return the columns within which models are compared as sections of a table."""
    return (*list_study_sections(results), Column("code_size", "code size", "count"), Column("arm", "arm"))
