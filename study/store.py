"""A study's folder: rows appended atomically, read back, and compacted; they are the only state of a study.

Each trial's files are named by its id. They are written under a name that starts with a dot and renamed; the file in
``trials`` comes last and is the commit: rows of other tables without it are leftovers of a writer that was stopped.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from study.rows import SCHEMA_VERSION, TABLES, table_of
from trainables.errors import InputError

MANIFEST = "study.json"
WEIGHTS = "weights"
_COMPACTED = "compacted-"


class Store:
    """The folder of one study. There is one writer, the process that launched the study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_manifest(self) -> dict[str, Any] | None:
        """Return study.json; None where there is no study yet.

        Raises:
            InputError: the folder holds something else, or study.json cannot be read.
        """
        path = self.folder / MANIFEST
        if not path.exists():
            if self.folder.exists() and any(not entry.name.startswith(".") for entry in self.folder.iterdir()):
                raise InputError(
                    f"{self.folder} holds files but no {MANIFEST}",
                    "a folder of a study, an empty one, or one that does not exist",
                    "choose another --results-dir or --name",
                )
            return None
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
            version = int(manifest["schema_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read ({error})",
                "the file that the study wrote",
                "restore it, or choose another --name",
            ) from error
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}", f"up to {SCHEMA_VERSION}", "install a newer cae-study"
            )
        return manifest

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Make the folder where it is missing, write study.json and remove what a stopped writer left.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            for name in (*TABLES, WEIGHTS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self.write_manifest(manifest)
        except OSError as error:
            raise InputError(
                f"results folder {self.folder} cannot be written: {error.strerror}",
                "a folder that this user may write",
                "choose another --results-dir",
            ) from error
        self._clean()

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace study.json at once."""
        self._write(self.folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())

    def finished(self) -> list[dict[str, Any]]:
        """Return the rows of `trials`, each trial once."""
        rows = self._read("trials").to_pylist()
        return list({row["trial_id"]: row for row in rows}.values())

    def curves(self, trial_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of `epochs` of these trials, by trial and in order."""
        curves: dict[str, dict[int, dict[str, Any]]] = {}
        for row in self._read("epochs").to_pylist():
            if row["trial_id"] in trial_ids:
                curves.setdefault(row["trial_id"], {})[row["epoch"]] = row
        return {trial_id: [curve[epoch] for epoch in sorted(curve)] for trial_id, curve in curves.items()}

    def append(
        self, trial: Mapping[str, Any], others: Mapping[str, Sequence[dict[str, Any]]], weights: bytes | None
    ) -> None:
        """Write a trial that ended: its rows of the other tables, its weights, and last its row of `trials`."""
        trial_id = trial["trial_id"]
        for name, rows in others.items():
            if rows:
                self._write_table(name, trial_id, table_of(name, list(rows)))
        if weights is not None:
            self._write(self.folder / WEIGHTS / f"{trial_id}.safetensors", weights)
        self._write_table("trials", trial_id, table_of("trials", [dict(trial)]))

    def compact(self) -> None:
        """Join the many small files of each table into one; a reader in between sees a row twice, never not at all."""
        for name in TABLES:
            single = [path for path in self._files(name) if not path.name.startswith(_COMPACTED)]
            if len(single) < 2:
                continue
            table = self._read(name, single)
            self._write_table(name, f"{_COMPACTED}{uuid.uuid4().hex[:12]}", table)
            for path in single:
                path.unlink()

    def _clean(self) -> None:
        """Remove half-written files, rows of trials that were not committed, and files that were compacted already."""
        committed = set(self._read("trials", columns=["trial_id"])["trial_id"].to_pylist())
        compacted = {
            name: set(
                self._read(name, [p for p in self._files(name) if p.name.startswith(_COMPACTED)], ["trial_id"])[
                    "trial_id"
                ].to_pylist()
            )
            for name in TABLES
        }
        for name in (*TABLES, WEIGHTS):
            for path in (self.folder / name).iterdir():
                trial_id = path.name.split(".")[0]
                if path.name.startswith("."):
                    path.unlink()
                elif path.name.startswith(_COMPACTED):
                    continue
                elif trial_id not in committed or trial_id in compacted.get(name, ()):
                    path.unlink()

    def _files(self, name: str) -> list[Path]:
        return sorted(path for path in (self.folder / name).glob("*.parquet") if not path.name.startswith("."))

    def _read(self, name: str, files: list[Path] | None = None, columns: list[str] | None = None) -> pa.Table:
        files = self._files(name) if files is None else files
        schema = TABLES[name]
        if not files:
            empty = schema.empty_table()
            return empty.select(columns) if columns else empty
        try:
            dataset = pyarrow.dataset.dataset([str(path) for path in files], schema=schema, format="parquet")
            return dataset.to_table(columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"a file of {self.folder / name} cannot be read: {error}",
                "the files as the study wrote them",
                "remove or restore the damaged file; the trial will run again",
            ) from error

    def _write_table(self, name: str, stem: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
        self._write(self.folder / name / f"{stem}.parquet", sink.getvalue())

    def _write(self, path: Path, content: bytes | pa.Buffer) -> None:
        """Write at once: a reader, or a writer that was stopped, sees the whole file or none."""
        partial = path.with_name(f".{path.name}.partial")
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
