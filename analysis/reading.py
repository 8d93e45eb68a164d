"""A results folder read file by file: what can be read is kept, what cannot is named.

Files of an older schema give nulls for the columns that they lack. Files of a newer one are refused as a whole study,
because what is not understood must not be averaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs

from study.storage import location
from study.storage.schema import SCHEMA_VERSION, TABLES
from trainables.errors import InputError
from trainables.models.custom import check_row, load_row

_ATTEMPTS = 3
_FILES_AT_ONCE = 16
_PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


class ResultsError(InputError):
    """A results folder cannot be used."""


def open_location(path: str | Path) -> tuple[pyarrow.fs.FileSystem, str]:
    """Return the file system of a path or URI, and the folder's path in it.

    Raises:
        ResultsError: the URI cannot be opened.
    """
    try:
        place = location.parse_location(path)
    except InputError as error:
        raise ResultsError(error.received, error.accepted, error.remedy) from None
    return place.filesystem, place.path


def read_manifest(filesystem: pyarrow.fs.FileSystem, root: str, received: str) -> dict[str, Any]:
    """Return the study.json of the folder ``root``, which the user called ``received``.

    Raises:
        ResultsError: there is no study, its study.json is damaged, or it was written by a newer version.
    """
    accepted = "the folder of one study, which holds study.json"
    try:
        folder, file = filesystem.get_file_info([root, f"{root}/study.json"])
        if folder.type == pyarrow.fs.FileType.NotFound and file.type == pyarrow.fs.FileType.NotFound:
            raise ResultsError(
                f"{received}: there is no such folder", accepted, "check the path, or run a study: make study"
            )
        if file.type != pyarrow.fs.FileType.File:
            found = _studies_inside(filesystem, root) if folder.type == pyarrow.fs.FileType.Directory else []
            remedy = (
                "give one of " + ", ".join(f"{received.rstrip('/')}/{name}" for name in found)
                if found
                else "give the folder that study/launch.py named at its end, or run a study: make study"
            )
            raise ResultsError(f"{received}: holds no study.json", accepted, remedy)
        with filesystem.open_input_stream(f"{root}/study.json") as stream:
            manifest = json.loads(stream.read())
    except (ValueError, OSError) as error:
        raise ResultsError(
            f"{received}/study.json: cannot be read ({_first_line(error)})",
            "JSON as study/launch.py writes it",
            "launch the study again under the same name, or restore the file from a copy",
        ) from None
    kinds = {"name": str, "schema_version": int, "config": dict, "dataset": dict, "models": list, "launches": list}
    if not isinstance(manifest, dict) or "name" not in manifest:
        raise ResultsError(f"{received}/study.json: names no study", accepted, "restore the file from a copy")
    for key, kind in kinds.items():
        if not isinstance(manifest.setdefault(key, kind()), kind):
            raise ResultsError(
                f"{received}/study.json: {key} is {manifest[key]!r}",
                f"{key} of type {kind.__name__}",
                "restore the file",
            )
    _refuse_newer(manifest["schema_version"], f"{received}/study.json")
    return manifest


def admit_models(manifest: Mapping[str, Any], received: str) -> None:
    """Add the user's own models of a study.json to the table of architectures, so that they are shown as others are.

    Raises:
        ResultsError: one is no row, or its name means another model here, as in a study read before.
    """
    for values in manifest["models"]:
        try:
            check_row(load_row(values))
        except InputError as error:
            raise ResultsError(f"{received}/study.json: {error.received}", error.accepted, error.remedy) from None


def _studies_inside(filesystem: pyarrow.fs.FileSystem, root: str) -> list[str]:
    selector = pyarrow.fs.FileSelector(root)
    folders = [info.path for info in filesystem.get_file_info(selector) if info.type == pyarrow.fs.FileType.Directory]
    manifests = filesystem.get_file_info([f"{folder}/study.json" for folder in folders])
    return sorted(
        folder.rsplit("/", 1)[-1] for folder, manifest in zip(folders, manifests, strict=True) if manifest.is_file
    )


def _refuse_newer(version: Any, where: str) -> None:
    if int(version) > SCHEMA_VERSION:
        raise ResultsError(
            f"{where}: written with schema version {int(version)}",
            f"schema versions up to {SCHEMA_VERSION}",
            "update this package (git pull, make), then read the results again",
        )


def read_table(
    name: str, filesystem: pyarrow.fs.FileSystem, root: str, manifest: Mapping[str, Any], problems: list[str]
) -> pa.Table:
    """Return all readable rows of table ``name`` and add a sentence to ``problems`` for each file with others.

    Raises:
        ResultsError: the table's folder cannot be read, or a file in it was written by a newer version.
    """
    for attempt in range(_ATTEMPTS):
        found: list[str] = []
        pieces = [TABLES[name].empty_table()]
        try:
            paths = _parquet_files(filesystem, f"{root}/{name}")
            # An object store answers late, but many at once.
            with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
                read = list(pool.map(lambda path: _read_file(path, name, filesystem, manifest), paths))
            pieces += [piece for piece, _ in read]
            for path, (_, problem) in zip(paths, read, strict=True):
                if problem:
                    found.append(f"{name}/{path.rsplit('/', 1)[-1]}: {problem}")
            break
        except FileNotFoundError:
            # Files are being compacted: what this one held is in another by now.
            if attempt == _ATTEMPTS - 1:
                raise ResultsError(
                    f"{root}/{name}: files come and go while they are read", "a folder at rest", "try again later"
                ) from None
        except OSError as error:
            raise ResultsError(
                f"{root}/{name}: cannot be read ({_first_line(error)})",
                "a folder of Parquet files that this user may read",
                "check its permissions",
            ) from None
    problems.extend(found)
    return pa.concat_tables(pieces)


def _parquet_files(filesystem: pyarrow.fs.FileSystem, folder: str) -> list[str]:
    selector = pyarrow.fs.FileSelector(folder, allow_not_found=True)
    return sorted(
        info.path
        for info in filesystem.get_file_info(selector)
        if info.is_file and info.base_name.endswith(".parquet") and not info.base_name.startswith(".")
    )


def _read_file(
    path: str, name: str, filesystem: pyarrow.fs.FileSystem, manifest: Mapping[str, Any]
) -> tuple[pa.Table, str]:
    """Return the rows of one file with the schema of today, and what is wrong with it (or nothing)."""
    schema = TABLES[name]
    nothing = schema.empty_table()
    try:
        fragment = _PARQUET.make_fragment(path, filesystem)
        found = fragment.physical_schema
        _refuse_newer((found.metadata or {}).get(b"schema_version", SCHEMA_VERSION), path)
        if lacking := [column.name for column in schema if not column.nullable and column.name not in found.names]:
            return nothing, f"lacks {', '.join(lacking)}, which every row needs; left out"
        table = fragment.to_table(schema=schema)
        table.validate(full=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        return nothing, f"cannot be read ({_first_line(error)}); left out"
    if name != "trials":
        return table, ""
    own = pc.equal(table["study"], manifest["name"])
    if digest := manifest.get("study_sha256"):
        own = pc.and_(own, pc.fill_null(pc.equal(table["study_sha256"], digest), True))
    foreign = len(table) - pc.sum(own).as_py() if len(table) else 0
    if not foreign:
        return table, ""
    return table.filter(own), f"{foreign} of its {len(table)} rows belong to another study; those are left out"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
