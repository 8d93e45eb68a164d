"""A study's folder: rows appended atomically, read back, and compacted; they are the only state of a study.

``Store(parse_location("s3://bucket/results") / "quick-digits")``; a plain path does for a folder of this machine.
Disks, mounts and object stores are alike (`study.storage.location`), and each file is written whole or not at all
(`study.storage.files`).

Each trial's files are named by its id. The file in ``trials`` comes last and is the commit: rows of other tables
without it are leftovers of a writer that was stopped. A write that fails is tried again for two minutes; then
`StorageError` stops the study, and the end of ``with store:`` tries what is in memory once more.

Inside ``with store.writing():`` trials are written beside the driver, in the order in which they ended, so that no slot
waits for a disk or a bucket. Because the order is kept, what a killed launcher leaves is what the study was a moment
before: no trial is there whose configuration came from one that is not.
"""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from study.storage.files import PARTIAL, PATIENCE_SECONDS, Storage, StorageError, retry_write
from study.storage.location import ACCEPTED, Location, describe_error, parse_location
from study.storage.lock import Lock
from study.storage.manifest import MANIFEST, read_manifest, require_manifest
from study.storage.parquet import has_own_schema, list_files, read_table
from study.storage.schema import TABLES, table_of
from trainables.errors import InputError

STUDY_FILE = "study.toml"
WEIGHTS = "weights"
_COMPACTED = "compacted-"

MOST_WAITING = 100
"""Trials that wait in memory at most, each with weights and codes of some megabytes; then the driver waits, too."""

_Ended = tuple[Mapping[str, Any], Mapping[str, Sequence[dict[str, Any]]], bytes | None]


class Store:
    """The folder of one study.

    There is one writer, the process that launched the study: ``with store:`` keeps others off.

    Args:
        folder: of the study.
        patience: seconds for which a write that fails is tried again, `PATIENCE_SECONDS` by default.
    """

    def __init__(self, folder: Location | Path | str, patience: float | None = None) -> None:
        self.folder = folder if isinstance(folder, Location) else parse_location(folder)
        self._storage = Storage(self.folder)
        self._lock = Lock(self._storage)
        self._patience = PATIENCE_SECONDS if patience is None else patience
        self._made: list[Path] = []
        self._study_sha256: str | None = None
        self._committed: set[str] | None = None
        self._unwritten: dict[str, list[tuple[str, bytes | pa.Buffer]]] = {}
        self._waiting: queue.Queue[_Ended | None] = queue.Queue(MOST_WAITING)
        self._failure: Exception | None = None

    def __enter__(self) -> Store:
        """Take the lock of the study, whose folder is made where it is missing.

        Raises:
            InputError: another launcher holds it, or the folder cannot be written.
        """
        try:
            self._made = self._storage.make()
            self._lock.acquire()
        except OSError as error:
            raise self._make_refusal(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Try once more to write the trials that could not be written, and give the lock up.

        Raises:
            StorageError: some still cannot be written; they run again when the study goes on.
        """
        try:
            self._write_rest()
        finally:
            self._lock.release()
            self._storage.unmake(self._made)  # A launch that was refused leaves nothing behind.

    def find_holder(self) -> str | None:
        """Return which launcher writes the study now; None for none."""
        return self._lock.find_holder()

    def read_manifest(self) -> dict[str, Any] | None:
        """Return study.json; None where there is no study yet.

        Raises:
            InputError: the folder cannot be reached or holds something else, or study.json cannot be read.
        """
        manifest = read_manifest(self.folder)
        if manifest is not None:
            self._study_sha256 = manifest.get("study_sha256")
        elif any(not name.startswith(".") for name in self._list_names()):
            raise InputError(
                f"{self.folder} holds files but no {MANIFEST}",
                "a folder of a study, an empty one, or one that does not exist",
                "choose another --results-dir or --name",
            )
        return manifest

    def _list_names(self) -> list[str]:
        try:
            return self._storage.names()
        except OSError as error:
            raise self._make_refusal(error) from error

    def require_study(self) -> dict[str, Any]:
        """Return study.json.

        Raises:
            InputError: there is no study here; or as `read_manifest`.
        """
        manifest = require_manifest(self.folder)
        self._study_sha256 = manifest.get("study_sha256")
        return manifest

    def open(self, manifest: Mapping[str, Any], study_file: str | None = None) -> None:
        """Make the folder where it is missing, write study.json and remove what a stopped writer left.

        Args:
            manifest: content of study.json.
            study_file: content of study.toml, with which the study can be launched again; not written when None.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self._storage.make()
            # First: a folder that holds anything else without it is taken for another's.
            self._storage.write(MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
            self._study_sha256 = manifest.get("study_sha256")
            if study_file is not None:
                self._storage.write(STUDY_FILE, study_file.encode())
            for name in (*TABLES, WEIGHTS):
                self._storage.make(name)
            self._clean()
        except OSError as error:
            raise self._make_refusal(error) from error

    def read_trials(self) -> list[dict[str, Any]]:
        """Return the rows of `trials`, each trial once.

        Raises:
            InputError: a file is damaged, of a newer schema, or of another study.
        """
        rows = {row["trial_id"]: row for row in self._read("trials").to_pylist()}
        self._committed = set(rows)
        return list(rows.values())

    def read_curves(self, trial_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of `epochs` of these trials, by trial and in order.

        Raises:
            InputError: as `read_trials`.
        """
        curves: dict[str, dict[int, dict[str, Any]]] = {}
        for row in self._read("epochs").to_pylist():
            if row["trial_id"] in trial_ids:
                curves.setdefault(row["trial_id"], {})[row["epoch"]] = row
        return {trial_id: [curve[epoch] for epoch in sorted(curve)] for trial_id, curve in curves.items()}

    def read_rows(self, table: str, trial_id: str) -> list[dict[str, Any]]:
        """Return the rows of ``table`` of a trial.

        Raises:
            InputError: as `read_trials`.
        """
        rows = self._read(table)
        return rows.filter(pc.equal(rows["trial_id"], trial_id)).to_pylist()  # type: ignore[no-any-return]

    def read_weights(self, trial_id: str) -> bytes:
        """Return the weights file of a trial.

        Raises:
            InputError: it is missing or cannot be read.
        """
        name = f"{WEIGHTS}/{trial_id}.safetensors"
        try:
            return self._storage.read(name)
        except OSError as error:
            raise InputError(
                f"{self.folder}/{name} cannot be read: {describe_error(error)}",
                "the weights file that the study wrote",
                "restore it, or train the trial again",
            ) from error

    def append(
        self, trial: Mapping[str, Any], others: Mapping[str, Sequence[dict[str, Any]]], weights: bytes | None
    ) -> None:
        """Write a trial that ended: its rows of the other tables, its weights, and last its row of `trials`.

        Raises:
            StorageError: the folder could not be written for longer than the store's patience.
        """
        self.keep(trial, others, weights)
        self._retry(partial(self._commit, trial["trial_id"]))

    def keep(
        self, trial: Mapping[str, Any], others: Mapping[str, Sequence[dict[str, Any]]], weights: bytes | None
    ) -> None:
        """Keep a trial that ended in memory, to be written when the store is closed."""
        trial_id = trial["trial_id"]
        files: list[tuple[str, bytes | pa.Buffer]] = [
            (f"{name}/{trial_id}.parquet", _encode(table_of(name, list(rows)))) for name, rows in others.items() if rows
        ]
        if weights is not None:
            files.append((f"{WEIGHTS}/{trial_id}.safetensors", weights))
        files.append((f"trials/{trial_id}.parquet", _encode(table_of("trials", [dict(trial)]))))
        self._unwritten[trial_id] = files

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write what is handed over in a thread; at the end all of it is written, or kept for the end of the store.

        Raises:
            StorageError: the folder could not be written for longer than the store's patience.
        """
        thread = threading.Thread(target=self._write_waiting, name="writer", daemon=True)
        thread.start()
        try:
            yield
        except Exception:
            self._end_writing(thread)
            self.check()  # Tune has wrapped what it was told of it in an error of its own.
            raise
        except BaseException:
            self._end_writing(thread)
            raise
        self._end_writing(thread)
        self.check()

    def _end_writing(self, thread: threading.Thread) -> None:
        self._waiting.put(None)
        thread.join()

    def hand_over(
        self, trial: Mapping[str, Any], others: Mapping[str, Sequence[dict[str, Any]]], weights: bytes | None
    ) -> None:
        """Let a trial that ended be appended, while there is `writing`.

        Raises:
            StorageError: an earlier one could not be written.
        """
        self.check()
        self._waiting.put((trial, others, weights))

    def check(self) -> None:
        """Raise what stopped the writing, if anything did.

        Raises:
            StorageError: the folder could not be written for longer than the store's patience, or another launcher has
                taken it over.
        """
        if self._failure is not None:
            raise self._failure
        self._lock.check()

    def _write_waiting(self) -> None:
        while (ended := self._waiting.get()) is not None:
            try:
                if self._failure is None:
                    self.append(*ended)
                else:
                    self.keep(*ended)
            except Exception as error:
                self._failure = self._failure or error

    def tidy(self) -> None:
        """Remove what a stopped writer left, and join files, where nothing else is to be done.

        Raises:
            InputError: as `compact`, or the folder cannot be written.
        """
        try:
            self._clean()
        except OSError as error:
            raise self._make_refusal(error) from error
        self.compact()

    def check_table(self, table: str) -> None:
        """Refuse a table of which rows cannot be read.

        Raises:
            InputError: as `read_trials`.
        """
        self._read(table)

    def compact(self) -> None:
        """Join the many small files of each table; a reader in between sees a row twice, never not at all.

        Raises:
            InputError: a file is damaged, of a newer schema, or of another study.
            StorageError: the folder could not be written.
        """
        self._lock.check()
        committed = self._find_committed()
        for name in TABLES:
            files = _choose_files(self._storage.measure_files(name), committed)
            if len(files) < 2:
                continue
            content = _encode(self._read(name, files))
            joined = f"{name}/{_COMPACTED}{uuid.uuid4().hex[:12]}.parquet"
            self._retry(partial(self._storage.write, joined, content))
            self._retry(partial(self._storage.remove, [f"{name}/{file}" for file in files]))

    def _make_refusal(self, error: OSError) -> InputError:
        return InputError(
            f"results folder {self.folder} cannot be written: {describe_error(error)}",
            ACCEPTED,
            "check that it exists and its permissions or credentials, or choose another --results-dir",
        )

    def _write_rest(self) -> None:
        for trial_id in list(self._unwritten):
            try:
                self._commit(trial_id)
            except OSError as error:
                raise StorageError(
                    f"{len(self._unwritten)} trials that had ended could not be written to {self.folder}: "
                    f"{describe_error(error)}",
                    "a folder with free space that this user may write",
                    "put that right, then give the same command: what was written is kept, the rest runs again",
                ) from error

    def _retry(self, write: Callable[[], None]) -> None:
        retry_write(write, self.folder, self._patience)

    def _commit(self, trial_id: str) -> None:
        self._lock.check()
        for path, content in self._unwritten[trial_id]:
            self._storage.write(path, content)
        del self._unwritten[trial_id]
        if self._committed is not None:
            self._committed.add(trial_id)

    def _find_committed(self) -> set[str]:
        if self._committed is None:
            self.read_trials()
        assert self._committed is not None
        return self._committed

    def _clean(self) -> None:
        """Remove half-written files, rows of trials that were not committed, and files that were compacted already.

        Rows of a trial that was not committed stand in a joined file where one of `trials` was taken away: the trial
        runs again. A file that is not ours, by its name or by its schema, stays where it is.
        """
        committed = self._find_committed()
        leftovers = [name for name in self._storage.names() if _is_half_written(name)]
        for table in TABLES:
            names = self._storage.names(table)
            leftovers += [f"{table}/{name}" for name in names if _is_half_written(name)]
            files = list_files(names)
            single = [name for name in files if not name.startswith(_COMPACTED)]
            joined = {
                name: set(self._read(table, [name], ["trial_id"])["trial_id"].to_pylist())
                for name in files
                if name.startswith(_COMPACTED)
            }
            for name, trial_ids in joined.items():
                if trial_ids - committed:
                    rows = self._read(table, [name])
                    kept = rows.filter(pc.is_in(rows["trial_id"], value_set=pa.array(committed, pa.string())))
                    self._storage.write(f"{table}/{name}", _encode(kept))
                    trial_ids &= committed
            compacted: set[str] = set()
            for name in sorted(joined, key=lambda name, joined=joined: -len(joined[name])):  # type: ignore[misc]
                if joined[name] <= compacted:
                    leftovers.append(f"{table}/{name}")
                compacted |= joined[name]
            for name in single:
                trial_id = name.removesuffix(".parquet")
                uncommitted = trial_id not in committed
                if trial_id in compacted or (uncommitted and has_own_schema(self.folder / table / name, table)):
                    leftovers.append(f"{table}/{name}")
        for name in self._storage.names(WEIGHTS):
            if _is_half_written(name) or (name.endswith(".safetensors") and name.split(".")[0] not in committed):
                leftovers.append(f"{WEIGHTS}/{name}")
        self._storage.remove(leftovers)

    def _read(self, table: str, names: Sequence[str] | None = None, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of a table, or of its files ``names``; nothing is left out."""
        rows, problems = read_table(self.folder, table, {"study_sha256": self._study_sha256}, names, columns)
        for problem in problems:
            raise InputError(f"{self.folder}/{problem.received}", problem.accepted, problem.remedy)
        return rows


def _choose_files(sizes: Mapping[str, int], committed: set[str]) -> list[str]:
    """Return which of a table's files are joined: those of a trial each, and joined ones no larger than all before.

    So a joined file that stays is larger than all smaller ones together: however often a study goes on, their number
    grows with the logarithm of its bytes, and no row is written anew more often than that.
    """
    files = [name for name in list_files(list(sizes)) if name.removesuffix(".parquet") in committed]
    for name in sorted((name for name in sizes if name.startswith(_COMPACTED)), key=sizes.__getitem__):
        if files and sizes[name] > sum(sizes[each] for each in files):
            break
        files.append(name)
    return files


def _is_half_written(name: str) -> bool:
    return name.startswith(".") and name.endswith(PARTIAL)


def _encode(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
