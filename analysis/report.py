"""The report of a study: tables in the terminal and as files, figures, and all of it as one page.

::

    python analysis/report.py results/sample-mnist
    python analysis/report.py results/a results/b --output comparison
    python analysis/report.py s3://bucket/results/sample-mnist --output s3://bucket/results/sample-mnist/report
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs

from analysis.provenance import list_missing, provenance
from analysis.rendering import text as rendering
from analysis.rendering.html import write_page
from analysis.results import ResultsError, StudyResults, load_studies
from analysis.tables.diagnostics import comparison_tables
from analysis.tables.summary import answers
from analysis.tables.table import Absent, Table
from analysis.workers import drawing_processes
from study.storage.location import parse_location

PRINTED = ("summary", "architectures", "sizes", "reconstruction", "classification", "clustering", "findings")
"""Tables that the terminal shows, where they have rows."""

_FORMATS = {"csv": rendering.csv, "md": rendering.markdown, "tex": rendering.latex}


def main(argv: Sequence[str] | None = None) -> int:
    """Print and write the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="report.py", description="Write the report of a study, or of several.")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="folder or URI of a study with its study.json")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder or URI of the report (default: RESULTS/report; report-NAME here where RESULTS is a URI)",
    )
    parser.add_argument("--no-tsne", action="store_true", help="leave out t-SNE: seconds a model, when first drawn")
    arguments = parser.parse_args(argv)
    # What the terminal's encoding lacks is shown as a question mark instead of ending the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        results = load_studies(arguments.results)
        output = arguments.output or default_output(results)
        with drawing_processes(), local_folder(output) as folder:
            tables = comparison_tables(results)
            print_report(results, tables)
            written = write_report(results, folder, tables).name
            page = write_page(results, folder, tables, tsne=not arguments.no_tsne).name
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"page:   {output}/{page}")
    print(f"report: {output}/{written}")
    return 0


def default_output(results: StudyResults) -> Path:
    """Return folder ``report`` of the study; of several, or of one in an object store, one in the working directory."""
    if len(results.studies) == 1 and "://" not in results.path:
        return Path(results.path) / "report"
    return Path("report-" + "-".join(Path(study.name).name for study in results.studies))


@contextmanager
def local_folder(output: str | Path) -> Iterator[Path]:
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
        try:
            pyarrow.fs.copy_files(folder, place.path, destination_filesystem=place.filesystem)
        except OSError as error:
            raise ResultsError(
                f"report folder {output}: cannot be written ({str(error).splitlines()[0]})",
                "a folder that this user may write",
                "choose another one with --output",
            ) from None


def print_report(results: StudyResults, tables: Sequence[Table | Absent] | None = None) -> None:
    """Print the main tables, and what is missing.

    Args:
        results: what is reported.
        tables: those of `comparison_tables`, where they are at hand.
    """
    # Imported here because a report that is only written needs no terminal.
    from rich.console import Console
    from rich.text import Text

    from analysis.rendering.terminal import print_table

    console = Console()
    for table in comparison_tables(results) if tables is None else tables:
        if table.name in PRINTED:
            if isinstance(table, Table):
                print_table(table, console)
            else:
                console.print(Text(f"{_sentence(table)}\n"))
    for sentence in answers(results):
        console.print(Text(f"{sentence}\n"))
    for note in (*results.problems, *list_missing(results)):
        console.print(Text(f"note: {note}"))


def write_report(results: StudyResults, output: str | Path, tables: Sequence[Table | Absent] | None = None) -> Path:
    """Write ``report.md``, and every table as CSV, Markdown and LaTeX under ``tables``, to folder ``output``.

    Args:
        results: what is reported.
        output: folder; made where it is missing.
        tables: those of `comparison_tables`, where they are at hand.

    Returns:
        Path of the report.

    Raises:
        ResultsError: the folder cannot be written.
    """
    tables = comparison_tables(results) if tables is None else tables
    folder = Path(output)
    report = folder / "report.md"
    try:
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        for table in tables:
            for suffix, render in _FORMATS.items():
                path = folder / "tables" / f"{table.name}.{suffix}"
                if isinstance(table, Table):
                    path.write_text(render(table), encoding="utf-8")
                else:
                    path.unlink(missing_ok=True)  # of an earlier report
        report.write_text(report_markdown(results, tables), encoding="utf-8")
    except OSError as error:
        raise ResultsError(
            f"report folder {folder}: cannot be written ({error.strerror or error})",
            "a folder that this user may write",
            "choose another one with --output",
        ) from None
    return report


def report_markdown(results: StudyResults, tables: Sequence[Table | Absent]) -> str:
    """Return the whole report: what is missing, tables, and where the figures come from."""
    parts = [f"# Report of {' and '.join(study.name for study in results.studies)}"]
    gaps = [
        *results.problems,
        *list_missing(results),
        *(_sentence(table) for table in tables if isinstance(table, Absent) and table.reason),
    ]
    if gaps:
        parts += ["## What is missing", "\n".join(f"- {gap}" for gap in gaps)]
    parts += answers(results)
    for table in tables:
        if isinstance(table, Table):
            files = ", ".join(f"[{suffix}](tables/{table.name}.{suffix})" for suffix in _FORMATS)
            parts.append(f"## {table.title}")
            parts.append(table.caption if table.detail else rendering.markdown(table).rstrip())
            parts.append(f"{len(table.frame):,} rows as {files}.")
    parts.append("## Provenance")
    for name, facts in provenance(results):
        parts += [f"### {name}", "\n".join(f"- {fact}: {text}" for fact, text in facts.items())]
    return "\n\n".join(parts) + "\n"


def _sentence(table: Absent) -> str:
    return f"{table.title}: {table.reason}"


if __name__ == "__main__":
    sys.exit(main())
