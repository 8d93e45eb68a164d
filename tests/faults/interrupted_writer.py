"""Kills the writer of a study at every point of a write: ``python tests/faults/interrupted_writer.py FOLDER``.

A point is before and after each opening, half a write, flush, rename and removal of each file of study.json, of
appended trials and of two compactions. At each one a process of its own dies by SIGKILL; then the same command goes on.
Prints a line of JSON: points, and how many trials were lost, duplicated or run again, and how many files unreadable.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet

import study.storage.files
from study.storage.files import Storage
from study.storage.store import Store

MANIFEST = {"schema_version": 1, "name": "some", "study_sha256": "identity"}
TRIALS = ("a", "b", "c", "d", "e")
COMPACTED_AFTER = ("c", "e")
EPOCHS = 3


class Killer:
    """Counts the points of a write and dies at one of them."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.reached = fatal, 0

    def point(self) -> None:
        """Count a point; die if it is the fatal one."""
        if self.reached == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.reached += 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with a point before and one after it."""

        def called(*arguments: Any, **named: Any) -> Any:
            self.point()
            result = call(*arguments, **named)
            self.point()
            return result

        return called


class HalfWritten:
    """A file that is on the disk by half at one point."""

    def __init__(self, file: Any, killer: Killer) -> None:
        self._file, self._killer = file, killer

    def write(self, content: Any) -> None:
        """Write in two halves."""
        whole = bytes(content)
        for half in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            self._file.write(half)
            self._file.flush()
            self._killer.point()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> HalfWritten:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_study(folder: Path, said: Path) -> None:
    """Write what the study plans, as a launch does; ``said`` gets the id of each trial before it runs and after."""
    with Store(folder) as store:
        store.read_manifest()
        finished = {row["trial_id"] for row in store.read_trials()}
        store.open(MANIFEST)
        for trial_id in TRIALS:
            if trial_id not in finished:
                _say(said, f"runs {trial_id}")
                store.append(_row(trial_id), _others(trial_id), trial_id.encode() * 1000)
                _say(said, f"kept {trial_id}")
            if trial_id in COMPACTED_AFTER:
                store.compact()


def kill_at(fatal: int) -> None:
    """Arm this process to die at a point of its writes."""
    killer = Killer(fatal)
    opened = killer.around(open)
    study.storage.files.open = lambda *arguments: HalfWritten(opened(*arguments), killer)  # type: ignore[attr-defined]
    for name in ("fsync", "replace"):
        setattr(os, name, killer.around(getattr(os, name)))
    Storage._remove = killer.around(Storage._remove)  # type: ignore[method-assign]


def examine(folder: Path, said: Path) -> dict[str, int]:
    """Count what is wrong in a folder that nobody writes."""
    lines = said.read_text().split("\n") if said.exists() else []
    kept = {line.split()[1] for line in lines if line.startswith("kept")}
    unreadable = 0
    for path in _parquet_files(folder):
        try:
            pyarrow.parquet.read_table(path, page_checksum_verification=True)
        except (OSError, ValueError):
            unreadable += 1
    if unreadable:
        return {"unreadable": unreadable}
    store = Store(folder)
    ids = [row["trial_id"] for row in store.read_trials()]
    curves = store.read_curves(set(ids))
    whole = [
        trial_id
        for trial_id in ids
        if len(curves.get(trial_id, [])) == EPOCHS
        and (folder / "weights" / f"{trial_id}.safetensors").read_bytes() == trial_id.encode() * 1000
    ]
    return {
        "lost": len(kept - set(ids)),
        "duplicated": len(ids) - len(set(ids)),
        "half": len(ids) - len(whole),
    }


def examine_end(folder: Path, said: Path) -> dict[str, int]:
    """Count what is wrong in a study that has come to its end, read by nothing of ours."""
    counts = examine(folder, said)
    for table, rows in (("trials", 1), ("epochs", EPOCHS), ("scores", 1)):
        found = [trial_id for path in _parquet_files(folder, table) for trial_id in _ids(path)]
        counts["duplicated"] = counts.get("duplicated", 0) + len(found) - len(set(found)) * rows
        counts["lost"] = counts.get("lost", 0) + len(set(TRIALS) - set(found))
    left = [path for path in folder.rglob(".*") if path.is_file()]
    runs = [line for line in said.read_text().split("\n") if line.startswith("runs")]
    again = sum(1 for number, line in enumerate(runs) if line.replace("runs", "kept") in _before(said, number))
    return counts | {"leftovers": len(left), "run_again": again}


def interruptions(folder: Path, every: int = 1) -> dict[str, int]:
    """Interrupt a writer at every ``every``-th point; return the points tried and the sums of what was wrong."""
    total = dict.fromkeys(("points", "lost", "duplicated", "half", "unreadable", "leftovers", "run_again"), 0)
    for fatal in range(0, 10_000, every):
        counts = interruption(folder / str(fatal), folder / f"{fatal}.said", fatal)
        if counts is None:
            return total
        for name in total:
            total[name] += counts.get(name, 0)
    raise AssertionError("the writer never came to its end")


def interruption(folder: Path, said: Path, fatal: int) -> dict[str, int] | None:
    """Interrupt a writer at one point, let another go on, and count what is wrong; None after the last point."""
    if not _in_a_process(lambda: (kill_at(fatal), write_study(folder, said))):
        return None
    counts = Counter({"points": 1}) + Counter(_counted(lambda: examine(folder, said)))
    if not counts["unreadable"]:
        _in_a_process(lambda: write_study(folder, said))
        counts += Counter(_counted(lambda: examine_end(folder, said)))
    return dict(counts)


def _in_a_process(work: Callable[[], Any]) -> bool:
    """Do ``work`` in a process of its own and return whether SIGKILL ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        raise AssertionError("a writer or reader failed: see its traceback")
    return False


def _counted(work: Callable[[], dict[str, int]]) -> dict[str, int]:
    reading, writing = os.pipe()
    _in_a_process(lambda: os.write(writing, json.dumps(work()).encode()))
    os.close(writing)
    with open(reading) as pipe:
        counts: dict[str, int] = json.loads(pipe.read())
    return counts


def _parquet_files(folder: Path, table: str = "") -> Iterator[Path]:
    return (path for path in sorted((folder / table).rglob("*.parquet")) if not path.name.startswith("."))


def _ids(path: Path) -> list[str]:
    ids: list[str] = pyarrow.parquet.read_table(path, columns=["trial_id"])["trial_id"].to_pylist()
    return ids


def _before(said: Path, number: int) -> list[str]:
    """Return what was said before the ``number``-th trial ran."""
    before: list[str] = []
    for line in said.read_text().split("\n"):
        if line.startswith("runs"):
            if number == 0:
                return before
            number -= 1
        before.append(line)
    return before


def _say(said: Path, line: str) -> None:
    with open(said, "a") as file:
        file.write(line + "\n")


def _row(trial_id: str) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "study": "some",
        "phase": "search",
        "arm": "tuned",
        "dataset": "digits",
        "architecture": "model_1",
        "code_size": 10,
        "number": 0,
        "status": "complete",
        "study_sha256": "identity",
    }


def _others(trial_id: str) -> dict[str, list[dict[str, Any]]]:
    score = {"split": "test", "evaluator": "k_means", "metric": "accuracy", "unit": "", "direction": "higher"}
    return {
        "epochs": [{"trial_id": trial_id, "epoch": epoch} for epoch in range(1, EPOCHS + 1)],
        "scores": [{"trial_id": trial_id, "value": 0.5} | score],
    }


if __name__ == "__main__":
    print(json.dumps(interruptions(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)))
