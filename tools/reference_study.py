"""Go on with the published study: restore its rows to results/, launch what is missing, put the rows back.

::

    python tools/reference_study.py                             # every piece, in the order of `PIECES`
    python tools/reference_study.py size-10 --time-budget 3     # one, with flags of study/launch.py

It can be stopped and given again at any time, on any machine: what had ended is kept in docs/reference, a folder a
study, without the weights; where it is the one that is published, pages and pictures are made anew.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import objectives_page
from publish_reference import HERE, ROOT, ROWS, copy_rows, write_reference

from analysis.results import ResultsError
from study.display.status import read_config_of
from study.execution.looks import make_plan
from study.storage.location import parse_location
from study.storage.store import Store

RESULTS = ROOT / "results"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a study's trials.

    Attributes:
        study: its name, a folder in results.
        flags: of study/launch.py, which run them.
        folder: in docs/reference, of the study's rows.
    """

    study: str
    flags: tuple[str, ...]
    folder: str


def _reference(*flags: str) -> Piece:
    return Piece("reference-mnist", ("--preset", "reference", *flags), "begun")


PIECES = {
    "sample": Piece("sample-mnist", ("--preset", "sample"), ROWS.name),
    "sample-published": Piece("sample-mnist", ("--preset", "sample", "--arms", "tuned", "published"), ROWS.name),
    "size-10": _reference("--arms", "tuned", "--code-sizes", "10"),
    "published-10": _reference("--arms", "published", "--code-sizes", "10"),
    "sizes": _reference(),
    "factorial": Piece("factorial-mnist", ("--preset", "factorial"), "factorial"),
    "ablations": _reference("--phase", "ablate", "--code-sizes", "10", "--architectures", "model_4", "model_1"),
    "objectives": Piece("objectives-mnist", ("--preset", "objectives"), "objectives/rows"),
    "fashion": Piece(
        "reference-fashion-mnist",
        (
            *("--preset", "reference", "--dataset", "fashion-mnist", "--arms", "tuned"),
            *("--code-sizes", "10", "--seeds", "5"),
        ),
        "fashion",
    ),
}
"""In the order in which they are run: after each a report says something whole."""


def restore_rows(kept: Path, folder: Path) -> None:
    """Copy the rows in ``kept`` to ``folder`` where there are none.

    Raises:
        ResultsError: ``folder`` has some, and lacks trials that ``kept`` has.
    """
    if not (kept / "study.json").exists():
        return
    if not (folder / "study.json").exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return
    here, there = ({row["trial_id"] for row in Store(parse_location(each)).read_trials()} for each in (folder, kept))
    if lost := there - here:
        raise ResultsError(
            f"{folder} lacks {len(lost)} trials that {kept} has",
            "a folder with all of them, or none",
            "move it away: the next run begins with those that are kept",
        )


def run_piece(piece: Piece, flags: Sequence[str]) -> int:
    """Go on with a piece and keep its rows, however the launch ends; return its exit status.

    Raises:
        ResultsError: the rows that are kept and those in results do not belong together, or are too large, or those
            of a piece that has ended are too few for its page.
    """
    folder, kept = RESULTS / piece.study, HERE / piece.folder
    restore_rows(kept, folder)
    command = [sys.executable, str(ROOT / "study" / "launch.py"), *piece.flags, "--results-dir", str(RESULTS), *flags]
    before = signal.signal(signal.SIGINT, lambda *_: None)  # The launch is told, too, and ends by itself.
    try:
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if any(folder.glob("trials/*.parquet")):
        copy_rows(folder, kept)
        write_pages = {ROWS: write_reference, objectives_page.ROWS: objectives_page.write_objectives}.get(kept)
        try:
            if write_pages is not None:
                write_pages()
        except ResultsError as error:
            if not status and is_whole(folder):
                raise
            print(f"the page of {kept.parent.name} waits for more rows ({error.received})", file=sys.stderr)
    return status


def is_whole(folder: Path) -> bool:
    """Return whether nothing is pending of what the last launch in a study's folder planned."""
    config, location = read_config_of(str(folder))
    store = Store(location)
    return make_plan(config, store, store.require_study()).exhausted


def main(argv: Sequence[str] | None = None) -> int:
    """Run pieces one after the other until one does not end well, or not whole; return the exit status."""
    parser = argparse.ArgumentParser(description="Go on with the published study; flags go to study/launch.py.")
    parser.add_argument("pieces", nargs="*", metavar="PIECE", help=f"of {', '.join(PIECES)} (default: all)")
    given = sys.argv[1:] if argv is None else argv
    names = [*itertools.takewhile(lambda word: not word.startswith("-"), given)]
    if given[len(names) : len(names) + 1] in (["-h"], ["--help"]) or not PIECES.keys() >= {*names}:
        parser.parse_args(["--help"])
    try:
        for name in names or PIECES:
            if status := run_piece(PIECES[name], given[len(names) :]):
                return status
            if not is_whole(RESULTS / PIECES[name].study):  # Its time was up, or it was drained.
                return 0
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
