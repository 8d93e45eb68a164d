"""Put a finished study into docs/reference: its rows, the page of its report, and what pages say and show of it.

::

    python tools/publish_reference.py results/reference
    python tools/publish_reference.py    # pictures and pages anew from the rows that are there

Rows are copied without the weights, study.json without the folders of the machine that the study ran on. The parts of
README, docs/findings.md and docs/reference/README.md that stand between ``<!-- NAME -->`` and ``<!-- end of NAME -->``
are written anew; ``analysis/report.py docs/reference/rows`` makes the whole report again from the rows alone.
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

import findings_page
import findings_training
import reference_page
from PIL import Image

from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.claims.findings import tabulate_findings
from analysis.rendering.html import render_page
from analysis.rendering.text import format_markdown
from analysis.report import comparison_tables
from analysis.results import ResultsError, StudyResults, load_study
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import CLIPPED_SQUARED_ERROR, select_metric
from analysis.tables.summary import answers, summary
from analysis.tables.table import SWITCHES_FOOTNOTE, Table
from study.storage.schema import TABLES
from study.storage.store import Store

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "docs" / "reference"
ROWS = HERE / "rows"
BEGUN = HERE / "gpu-search"
REPORT = ROOT / "results" / "reference-report"
"""The whole report, which no one but this machine keeps: points of t-SNE need not be computed twice."""
README = ROOT / "README.md"
PAGE = HERE / "README.md"
FINDINGS = ROOT / "docs" / "findings.md"
PICTURES = ("difference_from_model_4", "reconstructions", "error_by_code_size", "codes_tsne")
"""Figures that README shows, the first, and docs/reference/README.md, all; docs/findings.md shows some."""
SENTENCES = 5
"""Of the answer, in README: whose squared error is lowest, whose loss, who is better than whom, who is equivalent."""
COLOURS = 64
"""Of a picture: a fourth of the bytes, and no difference that an eye sees."""
MOST_BYTES = 20 * 2**20
"""Rows that a repository can hold."""


def make_parts(results: StudyResults) -> dict[str, str]:
    """Return README's parts by name: the answer in short, what it rests on, the summary where claims are judged."""
    table = _get_summary(results)
    frame = table.frame[table.frame["code_size"] == PRIMARY_CODE_SIZE]
    columns = tuple(column for column in table.columns if column.kind != "counts")
    clipped = select_metric(select_confirmed_scores(results), CLIPPED_SQUARED_ERROR)
    clipped = clipped[clipped["code_size"] == PRIMARY_CODE_SIZE]
    footnotes = [SWITCHES_FOOTNOTE]
    footnotes += [f"PCA clipped to [0, 1]: {clipped['value'].mean():.2f}."] if len(clipped) else []
    short = dataclasses.replace(
        table, caption="", frame=frame, columns=columns, sections=(), footnotes=tuple(footnotes)
    )
    return {
        "answer": "\n".join(f"- {sentence}" for sentence in answers(results)[:SENTENCES]),
        "budget": findings_training.describe_budget(results),
        "summary": format_markdown(short).strip(),
    }


def make_page_parts(results: StudyResults) -> dict[str, str]:
    """Return the parts of docs/reference/README.md by name; Markdown."""
    verdicts, *_ = tabulate_findings(results)
    if not isinstance(verdicts, Table):
        raise ResultsError(f"{results.path}: no model of the paper", "a study with some of them", "publish another one")
    main = tuple(column for column in verdicts.columns if column.main)
    return {
        "summary": format_markdown(_get_summary(results)).strip(),
        "findings": format_markdown(dataclasses.replace(verdicts, caption="", columns=main, footnotes=())).strip(),
        "launches": reference_page.list_launches(results),
        "protocol": findings_training.describe_protocol(results),
        "cost": reference_page.tabulate_cost(results),
        "aims": reference_page.tabulate_aims(results),
        "begun search": reference_page.tabulate_begun_search(load_study(BEGUN)),
    }


def make_pages(results: StudyResults) -> dict[Path, dict[str, str]]:
    """Return the parts of every page that says something of the published study."""
    return {
        README: make_parts(results),
        PAGE: make_page_parts(results),
        FINDINGS: findings_page.make_findings_parts(results),
    }


def _get_summary(results: StudyResults) -> Table:
    table = summary(results)
    if not isinstance(table, Table):
        raise ResultsError(f"{results.path}: {table.reason}", "a study with confirmed runs", "finish the study first")
    return table


def replace_parts(text: str, written: Mapping[str, str]) -> str:
    """Return ``text`` with its parts replaced.

    Raises:
        ValueError: a part is not marked in it, or more than once.
    """
    for name, content in written.items():
        parts = re.split(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- end of {name} -->)", text, flags=re.DOTALL)
        if len(parts) != 2:
            raise ValueError(f"part {name} is marked {len(parts) - 1} times")
        text = content.join(parts)
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
        if (study / table).exists():  # not every version knows every table
            shutil.copytree(study / table, folder / table)
    if (study / "study.toml").exists():
        shutil.copy(study / "study.toml", folder / "study.toml")
    manifest = json.loads((study / "study.json").read_text(encoding="utf-8"))
    for launch in manifest["launches"]:
        command = re.sub(r"^\S*(?=study/launch\.py)", "", launch["command"])
        launch["command"] = re.sub(r" --(data|results)-dir[ =]\S+| --yes\b", "", command)
    (folder / "study.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    with Store(folder) as store:  # A launch that was stopped leaves a file a trial, most of which is its schema.
        store.compact()


def write_reference() -> None:
    """Write page, pictures and the parts of both READMEs from the rows that are there.

    Raises:
        ResultsError: they cannot be read, or the study is not finished.
    """
    # Imported here because drawing takes a second to be imported.
    from analysis.drawing import drawing_processes, write_figures

    # Its folder stands in the page: as anyone sees it who is in the project's folder.
    with contextlib.chdir(ROOT):
        results = load_study(os.path.relpath(ROWS, ROOT))
    with drawing_processes():
        illustrations = write_figures(results, REPORT)
    report = render_page(results, comparison_tables(results), illustrations, has_files=False)
    (HERE / "report.html").write_text(report, encoding="utf-8")
    for name in PICTURES:
        reduce_picture(REPORT / "figures" / f"{name}.png").save(HERE / f"{name}.png", optimize=True)
    for page, written in make_pages(results).items():
        page.write_text(replace_parts(page.read_text(encoding="utf-8"), written), encoding="utf-8")


def reduce_picture(path: Path) -> Image.Image:
    """Return a picture with few colours."""
    return Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)


def main(argv: Sequence[str] | None = None) -> int:
    """Publish a study; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="publish_reference.py", description="Put a finished study into docs/reference."
    )
    parser.add_argument("study", type=Path, nargs="?", metavar="RESULTS", help="folder (default: rows that are there)")
    study = parser.parse_args(argv).study
    try:
        if study is not None:
            copy_rows(study, ROWS)
        write_reference()
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
