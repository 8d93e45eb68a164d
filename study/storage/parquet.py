"""Parquet files of a study, read as the rows of today's schema, or refused by name.

A file of an older schema gives nulls for the columns that it lacks. A file of a newer schema, of another study, of
something else, or one that is damaged is named: what a study plans must not be guessed from half of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from study.storage.location import Location, reason
from study.storage.schema import SCHEMA_VERSION, TABLES
from trainables.errors import InputError

_FILES_AT_ONCE = 16
_PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


def read_files(
    folder: Location, table: str, names: Sequence[str], study_sha256: str | None, columns: list[str] | None = None
) -> pa.Table:
    """Return the rows of files ``names`` of ``folder``, which holds ``table``; nothing is left out.

    Args:
        folder: of the table.
        table: its name.
        names: of the files.
        study_sha256: of the study that the rows must belong to, where it is known.
        columns: those wanted; by default all.

    Raises:
        InputError: a file is damaged, of a newer schema, or of another study.
    """
    schema = TABLES[table]
    wanted = columns or schema.names
    if not names:
        return schema.empty_table().select(wanted)
    paths = [(folder / name).path for name in names]
    try:
        source = ds.dataset(paths, schema=schema, format=_PARQUET, filesystem=folder.filesystem)
    except OSError as error:
        raise _damaged(folder, error) from error
    fragments = list(source.get_fragments())
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        list(pool.map(lambda pair: _check(folder / pair[0], table, pair[1]), zip(names, fragments, strict=True)))
    identified = "study_sha256" in schema.names
    read = [*wanted, "__filename", *(["study_sha256"] if identified and "study_sha256" not in wanted else [])]
    try:
        rows = source.to_table(columns=read)
        rows.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        for name, fragment in zip(names, fragments, strict=True):
            _rows_of(folder / name, fragment, schema)
        raise _damaged(folder, error) from error
    if identified and study_sha256:
        foreign = rows.filter(pc.not_equal(rows["study_sha256"], study_sha256))
        if len(foreign):
            name = foreign["__filename"][0].as_py().rsplit("/", 1)[-1]
            raise InputError(
                f"{folder / name} holds rows of another study", "rows of this study only", "move the file away"
            )
    return rows.select(wanted)


def own_schema(file: Location, table: str) -> bool:
    """Whether a file says that it holds rows of ``table``; False where it cannot be read."""
    try:
        metadata = _PARQUET.make_fragment(file.path, file.filesystem).physical_schema.metadata or {}
    except (pa.ArrowException, OSError, ValueError):
        return False
    return bool(metadata.get(b"table") == table.encode())


def _check(file: Location, table: str, fragment: Any) -> None:
    """Refuse a file that is damaged, newer, or something else."""
    try:
        found = fragment.physical_schema
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from error
    metadata = found.metadata or {}
    version = int(metadata.get(b"schema_version", SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        raise InputError(f"{file} has schema version {version}", f"up to {SCHEMA_VERSION}", "install a newer cae-study")
    needed = {column.name for column in TABLES[table] if not column.nullable}
    named = metadata.get(b"table", table.encode()).decode()
    lacking = sorted(needed - set(found.names))
    if named != table or lacking:
        what = f"holds rows of {named}" if named != table else f"lacks {', '.join(lacking)}, which every row needs"
        raise InputError(f"{file} {what}", f"rows of {table}", "move the file away")


def _rows_of(file: Location, fragment: Any, schema: pa.Schema) -> None:
    try:
        fragment.to_table(schema=schema).validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Location, error: Exception) -> InputError:
    return InputError(
        f"{file} cannot be read: {reason(error)}",
        "the files as the study wrote them",
        "remove or restore the damaged file; the trial will run again",
    )
