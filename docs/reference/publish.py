"""Put a finished study here: its rows, its report, and what two READMEs say of them.

::

    python docs/reference/publish.py results/reference

Rows are copied without the weights, study.json without the folders of the machine that the study ran on. The parts of
README and of the README beside this file that stand between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` are written
anew; ``analysis/report.py docs/reference/rows`` makes the report again from the rows alone.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import accounts

from analysis.claims.findings import tabulate_findings
from analysis.rendering import text as rendering
from analysis.report import comparison_tables
from analysis.results import ResultsError, StudyResults, load_study
from analysis.tables.summary import answers, summary
from analysis.tables.table import Table
from study.storage.schema import TABLES

HERE = Path(__file__).resolve().parent
ROWS = HERE / "rows"
BEGUN = HERE / "gpu-search"
REPORT = HERE / "report"
ROOT = HERE.parents[1]
README = ROOT / "README.md"
PAGE = HERE / "README.md"
MOST_BYTES = 20 * 2**20
"""Rows that a repository can hold."""


def parts(results: StudyResults) -> dict[str, str]:
    """Return README's parts by name: the answer, the summary, the verdicts; Markdown."""
    table, (verdicts, _) = summary(results), tabulate_findings(results)
    if not isinstance(table, Table):
        raise ResultsError(f"{results.path}: {table.reason}", "a study with confirmed runs", "finish the study first")
    short = tuple(column for column in verdicts.columns if column.main)
    return {
        "answer": "\n".join(f"- {sentence}" for sentence in answers(results)),
        "summary": rendering.markdown(dataclasses.replace(table, caption="")).strip(),
        "findings": rendering.markdown(dataclasses.replace(verdicts, caption="", columns=short, footnotes=())).strip(),
    }


def page_parts(results: StudyResults) -> dict[str, str]:
    """Return the parts of the README beside this file by name; Markdown."""
    return {
        "cost": accounts.cost(results),
        "aims": accounts.aims(results),
        "begun search": accounts.begun_search(load_study(BEGUN)),
    }


def with_parts(text: str, written: Mapping[str, str]) -> str:
    """Return ``text`` with its parts replaced.

    Raises:
        ValueError: a part is not marked in it, or more than once.
    """
    for name, content in written.items():
        marked = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        text, count = re.subn(
            marked, lambda found, content=content: found[1] + content + found[2], text, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"part {name} is marked {count} times")
    return text


def copy_rows(study: Path, folder: Path) -> None:
    """Put the rows of ``study`` in the place of ``folder``, without weights and folders of a machine.

    Raises:
        ResultsError: they cannot be read, or are too large.
    """
    load_study(study)
    size = sum(path.stat().st_size for table in TABLES for path in (study / table).glob("*.parquet"))
    if size > MOST_BYTES:
        raise ResultsError(f"{study}: {size / 2**20:.1f} MiB of rows", "20 MiB at most", "keep fewer codes")
    shutil.rmtree(folder, ignore_errors=True)
    for table in TABLES:
        shutil.copytree(study / table, folder / table)
    if (study / "study.toml").exists():
        shutil.copy(study / "study.toml", folder / "study.toml")
    manifest = json.loads((study / "study.json").read_text(encoding="utf-8"))
    for launch in manifest["launches"]:
        launch["command"] = re.sub(r" --(data|results)-dir[ =]\S+", "", launch["command"])
    (folder / "study.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def publish(study: Path) -> None:
    """Copy the rows of ``study``, and write report and README from them.

    Raises:
        ResultsError: the study cannot be read, is not finished, or is too large.
    """
    copy_rows(study, ROWS)
    # Imported here because drawing takes a second to be imported.
    from analysis.drawing import drawing_processes
    from analysis.rendering.html import write_page
    from analysis.report import write_report

    # Its folder stands in the report: as anyone sees it who is in the project's folder.
    with contextlib.chdir(ROOT):
        results = load_study(os.path.relpath(ROWS, ROOT))
    shutil.rmtree(REPORT, ignore_errors=True)
    with drawing_processes():
        tables = comparison_tables(results)
        write_report(results, REPORT, tables)
        write_page(results, REPORT, tables)
    for page, written in ((README, parts(results)), (PAGE, page_parts(results))):
        page.write_text(with_parts(page.read_text(encoding="utf-8"), written), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Publish a study; return the exit status."""
    parser = argparse.ArgumentParser(prog="publish.py", description="Put a finished study into docs/reference.")
    parser.add_argument("study", type=Path, metavar="RESULTS", help="folder of the study")
    try:
        publish(parser.parse_args(argv).study)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
