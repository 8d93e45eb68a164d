"""What a table is: numbers in a tidy frame, and how its columns are called and shown.

The same record is rendered in the terminal, as CSV, Markdown, LaTeX and HTML.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.provenance import format_command
from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import CELL
from analysis.stats.contrasts import MINIMUM_SEEDS
from trainables.models.architectures import BUILT_IN


@dataclass(frozen=True, slots=True)
class Column:
    """One shown column.

    Attributes:
        name: column of the frame. An ``estimate`` or ``difference`` called NAME is a mean that comes with
            NAME_half_width, NAME_n and, where it is ranked or tested, NAME_mark: letters of `make_letters`, or one of
            `MARKS`. An ``interval`` called NAME is NAME_low and NAME_high. ``counts`` are several columns, their names
            and values joined by a slash.
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
    brief: str = ""


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


def make_incomparable(results: StudyResults, name: str, title: str, what: str) -> Absent:
    """Return the record of a table that needs two ranked models of enough seeds, with the command that gives them.

    Without a command where all have run already, with enough seeds: what diverged or failed does so again.
    """
    unranked = [model for model, row in results.models.items() if not row.ranked]
    commands = []
    for study in results.studies:
        planned = study.manifest["config"].get("seeds")
        # To ask for fewer than the study has would be to take some away.
        seeds = max(MINIMUM_SEEDS, planned) if isinstance(planned, int) else MINIMUM_SEEDS
        trials = results.trials[(results.trials["study"] == study.name) & (results.trials["phase"] == "confirm")]
        control = trials["arm"] == "control"
        own = trials[~control & ~trials["architecture"].isin(unranked)]
        ended = own.groupby(CELL, observed=True).size()
        if len(own["architecture"].drop_duplicates()) > 1 and (ended >= seeds).all() and control.any():
            continue
        ranked = [*map(str, dict.fromkeys(select_confirmed(own)["architecture"]))]
        if len(ranked) < 2:
            others = [other for other in BUILT_IN if other not in ranked and BUILT_IN[other].ranked]
            names = " ".join([*ranked, *others[: 2 - len(ranked)]])
            commands.append(format_command(study, "search confirm", f"--architectures {names} --seeds {seeds}"))
        else:
            commands.append(format_command(study, "confirm", f"--seeds {seeds}"))
    told = " and ".join(dict.fromkeys(commands))
    return Absent(name, title, f"{what}. To get it: {told}" if told else what)


def choose_code_size(table: Table, preferred: int) -> tuple[Table, list[int]]:
    """Return the rows of one code size, ``preferred`` or else the largest, and the code sizes that are left out."""
    sizes = [int(size) for size in sorted(table.frame["code_size"].unique())]
    shown = preferred if preferred in sizes else sizes[-1]
    frame = table.frame[table.frame["code_size"] == shown]
    return dataclasses.replace(table, frame=frame), [size for size in sizes if size != shown]


MARKS = {"unranked": "†", "significant": "*"}
"""What follows a value that is marked so; letters follow as they are."""

LETTERS_CAPTION = (
    "Letters, column by column: two models of the same code size and arm that share a letter are not shown to differ, "
    "two that share none differ (Welch's test of every pair, Holm-adjusted over the pairs, 5 %); the best mean has an "
    "a. Not shown to differ does not mean equal. Models of fewer than 3 seeds are not compared and have no letter; nor "
    "are two compared whose scores no seed changes."
)
BRIEF_LETTERS = "Models that share a letter are not shown to differ (Welch, Holm-adjusted, 5 %)."
NO_LETTERS_CAPTION = (
    "No letters that say which models differ: a comparison needs two ranked models of the same code size and arm with "
    "at least 3 seeds each, whose scores vary over them."
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
FAILURES_CAPTION = (
    "Failed runs: those that diverged/failed/collapsed (ended near the mean image's loss, and no longer falling)."
)
BRIEF_FAILURES = f"{FAILURES.header}: {FAILURES.name}."
SWITCHES_FOOTNOTE = (
    "† Not ranked or tested: switches carry the image past the code, so this reconstruction says little of the code."
)


def list_study_sections(results: StudyResults) -> tuple[Column, ...]:
    """Return the column that tells studies apart, where there are several."""
    return (Column("study", "study"),) if len(results.studies) > 1 else ()


def list_group_sections(results: StudyResults) -> tuple[Column, ...]:
    """Return the columns within which models are compared as sections of a table."""
    return (*list_study_sections(results), Column("code_size", "code size", "count"), Column("arm", "arm"))


def letter_models(tests: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return one row a group of ``by`` and model with ``mark``, its letters; a model that was not tested has none.

    Args:
        tests: one row a pair: ``by``, architecture, other (the one with the better mean), ``worse`` (whether they are
            separated) and p_holm, NaN where there was no test.
        by: what models are compared within.
    """
    letters: dict[tuple[object, ...], str] = {}
    for key, group in tests[tests["p_holm"].notna()].groupby(list(by), observed=True):
        pairs = list(zip(group["architecture"], group["other"], strict=True))
        losers = [loser for loser, _ in pairs]
        ranked = sorted({name for pair in pairs for name in pair}, key=losers.count)
        found = make_letters(ranked, itertools.compress(pairs, group["worse"]))
        letters |= {(*key, name): text for name, text in found.items()}
    sides = (tests[[*by, side]].rename(columns={side: "architecture"}) for side in ("architecture", "other"))
    models = pd.concat(list(sides)).drop_duplicates()
    return models.assign(mark=[letters.get(model, "") for model in models.itertuples(index=False, name=None)])


def make_letters(models: Sequence[str], separated: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the letters of ``models``, best first: two share a letter exactly where they are not ``separated``.

    All models begin with one letter. A pair that is separated splits every letter that it shares in two, each without
    one of the pair (insert); a letter whose models have another one in common goes (absorb).

    Source: Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", 2004.
    """
    groups = {frozenset(models)}
    for pair in map(frozenset, separated):
        inserted = {group - {name} for group in groups if pair <= group for name in pair}
        groups = {group for group in groups if not pair <= group} | inserted
        groups = {group for group in groups if not any(group < other for other in groups)}
    ordered = sorted(groups, key=lambda group: [place for place, name in enumerate(models) if name in group])
    lettered = list(zip(_name_letters(), ordered, strict=False))
    return {name: "".join(letter for letter, group in lettered if name in group) for name in models}


def _name_letters() -> Iterator[str]:
    """Yield a to z, then a2 to z2, and so on."""
    for turn in itertools.count(1):
        yield from (f"{letter}{turn if turn > 1 else ''}" for letter in string.ascii_lowercase)


def describe_letters(frame: pd.DataFrame) -> str:
    """Say what the letters in the ``_mark`` columns of ``frame`` mean, or why there are none."""
    return LETTERS_CAPTION if has_letters(frame) else NO_LETTERS_CAPTION


def has_letters(frame: pd.DataFrame) -> bool:
    """Return whether any of the ``_mark`` columns of ``frame`` has letters."""
    marks = frame.filter(regex="_mark$")
    return bool((marks.notna() & ~marks.isin(["", *MARKS])).any(axis=None))
