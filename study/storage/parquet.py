"""Parquet files of a study, read as the rows of today's schema; what cannot be read is named.

A file of an older schema gives nulls for the columns that it lacks. A file of a newer schema is refused, because what
is not understood must not be averaged. A file of another study, of something else, or one that is damaged is a problem:
the store raises the first, since what a study plans must not be guessed from half of its rows; analysis lists them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from study.storage.files import Storage
from study.storage.location import Location, describe_error
from study.storage.manifest import refuse_newer
from study.storage.schema import SCHEMA_VERSION, TABLES
from trainables.errors import InputError

_ATTEMPTS = 3
_FILES_AT_ONCE = 16
"""An object store answers late, but many at once."""

_PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_WRITTEN = "the files as the study wrote them"
_OF_STORES = ("AWS Error", "google::cloud", "When ", "Could not")
"""How Arrow's errors of object stores begin; those of a file's content have neither these nor a number."""


def read_table(
    folder: Location,
    table: str,
    own: Mapping[str, str | None],
    names: Sequence[str] | None = None,
    columns: list[str] | None = None,
) -> tuple[pa.Table, list[InputError]]:
    """Return the readable rows of ``table``, and for each file with others what is wrong with it.

    A problem is an error that nobody has raised and that names the file from ``folder`` on, as in ``trials/a.parquet``.

    Args:
        folder: of the study.
        table: its name.
        own: what columns say in rows of this study, where they are there and say anything; None says nothing.
        names: of files; by default all, which are listed again where they were joined while they were read.
        columns: those wanted; by default all.

    Raises:
        InputError: the table's folder cannot be read, or a file in it is of a newer schema.
    """
    told = {name: value for name, value in own.items() if value and name in TABLES[table].names}
    wanted = columns or TABLES[table].names
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            files = list_files(Storage(folder).names(table)) if names is None else names
            with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
                read = list(pool.map(lambda name: _read_file(folder, table, name, told, wanted), files))
        except FileNotFoundError as error:
            gone = error  # Files are being compacted: what this one held is in another by now.
        except OSError as error:
            if attempt < _ATTEMPTS and folder.local is None:
                time.sleep(2**attempt)
                continue
            raise InputError(
                f"{folder / table} cannot be read: {describe_error(error)}",
                "a folder of Parquet files that this user may read",
                "check its permissions and the network, then try again",
            ) from error
        else:
            nothing = TABLES[table].empty_table().select(wanted)
            rows = pa.concat_tables([nothing, *(piece for piece, _ in read if piece is not None)])
            return rows, [problem for _, problem in read if problem is not None]
    raise InputError(
        f"{folder / table} cannot be read: files come and go meanwhile ({gone})", "a folder at rest", "try again later"
    ) from gone


def list_files(names: Sequence[str]) -> list[str]:
    """Return those of the names in a table's folder that are names of its files."""
    return [name for name in names if name.endswith(".parquet") and not name.startswith(".")]


def has_own_schema(file: Location, table: str) -> bool:
    """Whether a file says that it holds rows of ``table``; False where it cannot be read."""
    try:
        metadata = _PARQUET.make_fragment(file.path, file.filesystem).physical_schema.metadata or {}
    except (pa.ArrowException, OSError, ValueError):
        return False
    return bool(metadata.get(b"table") == table.encode())


def _read_file(
    folder: Location, table: str, name: str, own: Mapping[str, str], wanted: list[str]
) -> tuple[pa.Table | None, InputError | None]:
    """Return the rows of one file, and what is wrong with it."""
    file, schema = f"{table}/{name}", TABLES[table]
    try:
        fragment = _PARQUET.make_fragment((folder / file).path, folder.filesystem)
        found = fragment.physical_schema
        metadata = found.metadata or {}
        version = int(metadata.get(b"schema_version", SCHEMA_VERSION))
        holds = metadata.get(b"table", table.encode()).decode()
        lacking = [column.name for column in schema if not column.nullable and column.name not in found.names]
        if version <= SCHEMA_VERSION and holds == table and not lacking:
            rows = fragment.to_table(schema=schema, columns=list(dict.fromkeys([*wanted, *own])))
            rows.validate(full=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and (error.errno is not None or str(error).startswith(_OF_STORES)):
            raise  # the disk's or the network's, of which the file knows nothing
        remedy = f"restore it, or move it away: its trials then have no {table}"
        if table == "trials":
            remedy = "restore it, or move it away: its trials then run again"
        return None, InputError(f"{file}: cannot be read ({describe_error(error)})", _WRITTEN, remedy)
    refuse_newer(version, folder / file)
    if holds != table:
        return None, InputError(f"{file}: holds rows of {holds}", f"rows of {table}", "move the file away")
    if lacking:
        received = f"{file}: lacks {', '.join(lacking)}, which every row needs"
        return None, InputError(received, f"rows of {table}", "move the file away")
    ours = pa.scalar(True)
    for column, value in own.items():
        ours = pc.and_(ours, pc.fill_null(pc.equal(rows[column], value), True))
    kept = rows.filter(ours) if own else rows
    if foreign := len(rows) - len(kept):
        received = f"{file}: {foreign} of its {len(rows)} rows belong to another study"
        return kept.select(wanted), InputError(received, "rows of this study only", "move the file away")
    return kept.select(wanted), None
