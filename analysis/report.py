"""The report of a study: the answer and tables in the terminal and as files, figures, and all of it as one page.

::

    python analysis/report.py results/sample-mnist
    python analysis/report.py results/sample-mnist --tables              # all main tables in the terminal
    python analysis/report.py results/sample-mnist --tables ablations    # one of them, by the name of its file
    python analysis/report.py results/a results/b --output comparison
    python analysis/report.py s3://bucket/results/sample-mnist --output s3://bucket/results/sample-mnist/report
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

if importlib.util.find_spec("analysis") is None:
    print(
        f"error: cae-study is not installed for {sys.executable}\n"
        "  accepted: the Python of an environment that it is installed in\n"
        "  to do:    `make study` makes one: .venv/bin/python analysis/report.py results/NAME",
        file=sys.stderr,
    )
    sys.exit(2)

import pyarrow.fs
from rich.console import Console

from analysis import freshness
from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.claims.findings import tabulate_findings
from analysis.freshness import PAGE, REPORT
from analysis.objectives.bypass import judge_bypass
from analysis.objectives.comparison import compare_objectives
from analysis.provenance import list_missing, provenance
from analysis.rendering import text as rendering
from analysis.rendering.html import render_page
from analysis.rendering.terminal import print_note, print_table
from analysis.results import ResultsError, StudyResults, load_studies
from analysis.tables.ablations import ablations, factorial
from analysis.tables.agreement import agreement
from analysis.tables.costs import cost, search
from analysis.tables.diagnostics import layer_values, other_scores, reliance, stability
from analysis.tables.headline import headline, headline_pairs
from analysis.tables.models import architectures, sizes
from analysis.tables.scores import (
    CLASSIFICATION,
    CLUSTERING,
    CODE,
    NEIGHBOURHOOD,
    differences,
    reconstruction,
    score_table,
)
from analysis.tables.summary import answers, summary
from analysis.tables.table import BRIEF_FAILURES, FAILURES, Absent, Table, choose_code_size
from study.storage.location import parse_location

BRIEF = ("summary",)
"""Tables that the terminal shows below the answer unless it is asked for others."""

PRINTED = (
    "headline",
    "summary",
    "architectures",
    "sizes",
    "reconstruction",
    "classification",
    "clustering",
    "objectives",
    "bypass",
    "factorial",
    "ablations",
    "findings",
)
"""Tables that it shows when asked for all of them, where they have rows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print and write the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="report.py", description="Write the report of a study, or of several.")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="folder or URI of a study with its study.json")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder or URI of the report (default: RESULTS/report; report-NAME here where RESULTS is a URI)",
    )
    parser.add_argument(
        "--tables",
        nargs="*",
        metavar="NAME",
        help="print these, named as their files in DIR/tables, or without a name all main ones (default: summary)",
    )
    parser.add_argument("--no-tsne", action="store_true", help="leave out t-SNE: seconds per model, when first drawn")
    arguments = parser.parse_args(argv)
    # What the terminal's encoding lacks is shown as a question mark instead of ending the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    output = arguments.output or choose_output(arguments.results)
    console = Console(record=True)
    printed = BRIEF if arguments.tables is None else tuple(arguments.tables) or PRINTED
    asked = (arguments.no_tsne, console.width, console.color_system, *printed)
    try:
        digest = freshness.digest_inputs(arguments.results, output, *asked)
        if shown := freshness.read_current(output, digest):
            print(shown, end="")
        else:
            with _refuse_unwritable(output):
                freshness.remove_current(output)
            _make_report(arguments.results, output, console, printed, tsne=not arguments.no_tsne)
            with _refuse_unwritable(output):
                freshness.write_current(output, console.export_text(styles=console.is_terminal), digest)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"page:   {output}/{PAGE}")
    print(f"report: {output}/{REPORT}")
    return 0


def _make_report(
    paths: Sequence[str], output: str | Path, console: Console, printed: Sequence[str], *, tsne: bool
) -> None:
    from analysis.drawing import drawing_processes  # matplotlib, which nothing else here needs

    results = load_studies(paths)
    with drawing_processes(), open_local_folder(output) as folder:
        tables = comparison_tables(results)
        print_report(results, tables, console, printed)
        write_report(results, folder, tables)
        write_page(results, folder, tables, tsne=tsne)


def comparison_tables(results: StudyResults) -> tuple[Table | Absent, ...]:
    """Return every table in the order of the report."""
    return (
        *(table(results) for table in (headline, summary, architectures, sizes, reconstruction)),
        *(score_table(results, spec) for spec in (NEIGHBOURHOOD, CLASSIFICATION, CLUSTERING, CODE)),
        *(table(results) for table in (compare_objectives, judge_bypass)),
        *(table(results) for table in (reliance, stability, agreement, factorial, ablations, cost, search)),
        *(table(results) for table in (headline_pairs, differences, layer_values, other_scores)),
        *tabulate_findings(results),
    )


def choose_output(paths: Sequence[str]) -> Path:
    """Return folder ``report`` of the study; of several, or of one in an object store, one in the working directory."""
    if len(paths) == 1 and "://" not in paths[0]:
        return Path(paths[0]) / "report"
    return Path("report-" + "-".join(PurePosixPath(path).name for path in paths))


@contextmanager
def open_local_folder(output: str | Path) -> Iterator[Path]:
    """Give the folder ``output``, or where it is a URI, one of this machine whose files are copied there at the end.

    Raises:
        ResultsError: the URI cannot be opened or written.
    """
    if "://" not in str(output):
        yield Path(output)
        return
    place = parse_location(output)
    with tempfile.TemporaryDirectory(prefix="cae-study-report-") as folder:
        yield Path(folder)
        with _refuse_unwritable(output):
            pyarrow.fs.copy_files(folder, place.path, destination_filesystem=place.filesystem)


@contextmanager
def _refuse_unwritable(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"report folder {folder}: cannot be written ({(error.strerror or str(error)).splitlines()[0]})",
            "a folder that this user may write",
            "choose another one with --output",
        ) from None


def print_report(
    results: StudyResults, tables: Sequence[Table | Absent], console: Console, printed: Sequence[str] = BRIEF
) -> None:
    """Print the ``printed`` ones of ``tables``, the answer below them, where it is seen, and what is missing.

    Raises:
        ResultsError: there is no table of one of these names.
    """
    if unknown := {*printed} - {table.name for table in tables}:
        raise ResultsError(
            f"no table is called {', '.join(sorted(unknown))}"[:200],
            ", ".join(table.name for table in tables),
            "choose among these, or give --tables without a name",
        )
    sentences = answers(results)
    for table in tables:
        if table.name in printed:
            if isinstance(table, Table):
                print_table(_shorten(table, sentences) if printed is BRIEF else table, console)
            elif table.reason:
                print_note(f"{_format_absent(table)}\n", console)
    for sentence in sentences:
        print_note(f"- {sentence}", console)
    console.print()
    for note in (*results.problems, *list_missing(results)):
        print_note(f"note: {note}", console)


def _shorten(table: Table, sentences: Sequence[str]) -> Table:
    """Return what a narrow terminal has room for.

    That is the rows of the code size at which claims are judged, or of the largest, the short caption, and neither
    numbers of seeds that are all the same, nor a column of failed runs of which there is none, nor a note that is one
    of the answer's ``sentences``.
    """
    short, rest = choose_code_size(table, PRIMARY_CODE_SIZE)
    frame, notes = short.frame, [note for note in table.footnotes if not note.endswith((*sentences,))]
    counts = frame.filter(regex="_n$")
    if len(seeds := {*counts.stack().dropna()}) == 1:
        frame = frame.drop(columns=counts.columns)
        notes.append(f"Seeds per model: {seeds.pop():.0f}.")
    columns = table.columns
    if FAILURES in columns:
        failed = bool(frame[FAILURES.name.split("/")].fillna(0).any(axis=None))
        columns = columns if failed else tuple(column for column in columns if column != FAILURES)
        notes.append(BRIEF_FAILURES if failed else "No run diverged, failed or collapsed.")
    if rest:
        notes.append(f"Code sizes {', '.join(map(str, rest))}: --tables {table.name}.")
    return dataclasses.replace(
        short, frame=frame, columns=columns, caption=table.brief or table.caption, footnotes=(" ".join(notes),)
    )


def write_report(results: StudyResults, folder: Path, tables: Sequence[Table | Absent]) -> Path:
    """Write every table as CSV, Markdown and LaTeX to ``folder/tables``, and ``folder/report.md``; return its path.

    Raises:
        ResultsError: the folder, which is made where it is missing, cannot be written.
    """
    report = folder / REPORT
    with _refuse_unwritable(folder):
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        for table in tables:
            for suffix, render in rendering.FORMATS.items():
                path = folder / "tables" / f"{table.name}.{suffix}"
                if isinstance(table, Table):
                    path.write_text(render(table), encoding="utf-8")
                else:
                    path.unlink(missing_ok=True)  # of an earlier report
        report.write_text(format_report(results, tables), encoding="utf-8")
    return report


def write_page(results: StudyResults, folder: Path, tables: Sequence[Table | Absent], *, tsne: bool) -> Path:
    """Draw the figures to ``folder/figures``, write ``folder/report.html`` with them, and return its path.

    Where t-SNE is drawn, its points are kept in ``folder``.

    Raises:
        ResultsError: the folder, which is made where it is missing, cannot be written.
    """
    # Drawing needs a second to be imported, which who reads tables need not wait for.
    from analysis.drawing import write_figures

    path = folder / PAGE
    with _refuse_unwritable(folder):
        path.write_text(render_page(results, tables, write_figures(results, folder, tsne=tsne)), encoding="utf-8")
    return path


def format_report(results: StudyResults, tables: Sequence[Table | Absent]) -> str:
    """Return the whole report: the answer, what is missing, tables, and where the numbers come from."""
    parts = [f"# Report of {' and '.join(study.name for study in results.studies)}", *answers(results)]
    gaps = [
        *results.problems,
        *list_missing(results),
        *(_format_absent(table) for table in tables if isinstance(table, Absent) and table.reason),
    ]
    if gaps:
        parts += ["## What is missing", "\n".join(f"- {gap}" for gap in gaps)]
    for table in tables:
        if isinstance(table, Table):
            files = ", ".join(f"[{suffix}](tables/{table.name}.{suffix})" for suffix in rendering.FORMATS)
            parts.append(f"## {table.title}")
            parts.append(table.caption if table.detail else rendering.format_markdown(table).rstrip())
            parts.append(f"{len(table.frame):,} rows as {files}.")
    parts.append("## Provenance")
    for name, facts in provenance(results):
        parts += [f"### {name}", "\n".join(f"- {fact}: {text}" for fact, text in facts.items())]
    return "\n\n".join(parts) + "\n"


def _format_absent(table: Absent) -> str:
    return f"{table.title}: {table.reason}"


if __name__ == "__main__":
    sys.exit(main())
