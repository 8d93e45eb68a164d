"""Results lie on disks and in object stores alike, and a place that cannot be written is refused before a study."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.fs
import pytest

from study import launch
from study.storage.files import Storage
from study.storage.location import parse_location
from study.storage.parquet import read_table
from study.storage.schema import TABLES
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from tests.object_store import FaultyStore, object_store, reached
from tests.study.storage.test_store import append, trial_row

MANIFEST = {"schema_version": 1, "name": "some"}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyStore]:
    """An S3 server for the tests of this module."""
    with object_store() as store:
        yield store


@pytest.fixture
def uri(server: FaultyStore, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of a folder of its own for each test."""
    server.fault = None
    with reached(server) as root:
        yield f"{root}/{request.node.name[:60].replace('[', '-').replace(']', '')}"
    server.fault = None


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder of either kind."""
    return str(tmp_path / "study") if request.param == "disk" else request.getfixturevalue("uri")


def opened(folder: str) -> Store:
    """Return the store of a new or an earlier study."""
    store = Store(folder)
    store.read_manifest()
    store.open(MANIFEST)
    return store


def files(folder: str) -> list[str]:
    """Return the paths of all files of a folder, relative to it."""
    place = parse_location(folder)
    infos = place.filesystem.get_file_info(pyarrow.fs.FileSelector(place.path, recursive=True))
    return sorted(info.path.removeprefix(f"{place.path}/") for info in infos if info.is_file)


def test_rows_come_back_from_every_kind_of_storage(folder: str) -> None:
    """Also by another launcher, and after they were compacted."""
    store = opened(folder)
    for trial_id in "abc":
        append(store, trial_id)
    again = opened(folder)
    assert [row["trial_id"] for row in again.read_trials()] == ["a", "b", "c"]
    again.compact()
    assert sorted(row["trial_id"] for row in opened(folder).read_trials()) == ["a", "b", "c"]
    assert [row["epoch"] for row in opened(folder).read_curves({"b"})["b"]] == [1, 2]
    names = files(folder)
    assert [name for name in names if name.startswith("weights/")] == [f"weights/{name}.safetensors" for name in "abc"]
    assert len([name for name in names if name.startswith("trials/")]) == 1
    assert not [name for name in names if "/." in name or name.startswith(".")]


def test_leftovers_are_cleaned_from_every_kind_of_storage(folder: str) -> None:
    """Rows of a trial without its row of `trials`, and single files that were joined already."""
    store = opened(folder)
    for trial_id in "ab":
        append(store, trial_id)
    place = parse_location(folder)
    single = {name: store._storage.read(name) for name in files(folder)}
    store.compact()
    for name, content in single.items():
        store._storage.write(name, content)
    store._storage.write("epochs/c.parquet", single["epochs/b.parquet"])
    store._storage.write("weights/c.safetensors", b"weights")
    assert len(opened(folder).read_trials()) == 2
    left = files(folder)
    assert not [name for name in left if name.split("/")[-1].split(".")[0] == "c"]
    assert len([name for name in left if name.startswith(("trials/", "epochs/"))]) == 2, place


def test_pandas_reads_the_object_store(uri: str) -> None:
    """As it reads a folder."""
    append(opened(uri), "a")
    place = parse_location(uri)
    frame = pd.read_parquet(f"{place.path}/trials", filesystem=place.filesystem)
    assert frame.trial_id.tolist() == ["a"]


def test_a_large_file_is_whole_in_the_object_store(uri: str) -> None:
    """Larger than the part from which an upload has several."""
    weights = bytes(range(256)) * 90_000
    store = opened(uri)
    store.append(trial_row("a"), {}, weights)
    assert Store(uri)._storage.read("weights/a.safetensors") == weights


@pytest.mark.slow
@pytest.mark.parametrize("answer", [403, 503, 0], ids=["denied", "unavailable", "no answer"])
def test_a_store_that_does_not_answer_is_refused_within_a_minute(
    answer: int, server: FaultyStore, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Denied, out of order, or deaf: the launcher says so and ends."""
    server.fault = lambda method, path: answer
    asked = time.monotonic()
    assert launch.main(["--preset", "quick", "--results-dir", uri]) == 2
    assert time.monotonic() - asked < 60
    shown = capsys.readouterr()
    assert uri in shown.err
    assert_ended_in_words(shown.err)
    assert len(shown.err.splitlines()) <= 8
    server.fault = None
    assert not Store(uri)._storage.names()


def test_a_store_that_can_be_read_but_not_written_is_refused(
    server: FaultyStore, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a key without the right to put."""
    server.fault = lambda method, path: 403 if method in ("PUT", "POST") else None
    assert launch.main(["--preset", "quick", "--results-dir", uri]) == 2
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert_ended_in_words(said)


def test_a_file_that_is_not_ours_stays_where_it_is(folder: str) -> None:
    """Whatever a user or another program puts beside the rows."""
    append(opened(folder), "a")
    store = Store(folder)
    store._storage.write("epochs/notes.txt", b"mine")
    store._storage.write("weights/notes.txt", b"mine")
    opened(folder)
    assert {"epochs/notes.txt", "weights/notes.txt"} <= set(files(folder))


def test_opening_a_study_reads_its_trials_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed study of many trials is not read twice."""
    append(opened(str(tmp_path)), "a")
    read: list[str] = []
    from study.storage import store as module

    monkeypatch.setattr(
        module, "read_table", lambda folder, table, *rest: read.append(table) or read_table(folder, table, *rest)
    )
    store = Store(tmp_path)
    store.read_trials()
    store.open(MANIFEST)
    assert read.count("trials") == 1
    assert set(TABLES) >= set(read)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://no-such-bucket/results", "does not exist"),
        ("s3://", "names no folder"),
        ("ftp://host/folder", "names no folder"),
        ("s3://bucket/x?region=nowhere", "AWS_REGION"),
        ("s3://key:secret@bucket/x", "holds credentials"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_starts(
    address: str, expected: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One screen and exit status 2; a secret is not repeated."""
    assert launch.main(["--preset", "quick", "--results-dir", address]) == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert_ended_in_words(shown.err)
    assert "secret@" not in shown.err
    assert "starting" not in shown.out and len(shown.out.splitlines()) <= 1  # that libraries are loaded
    assert len(shown.err.splitlines()) <= 8


def test_a_file_has_its_name_only_once_it_is_whole_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two flushes (of the file before it is renamed, of the folder after), one rename, and no other way to the name."""
    steps: list[str] = []
    path = tmp_path / "a.parquet"
    path.write_bytes(b"before")
    flush, rename = os.fsync, os.replace

    def flushed(handle: int) -> None:
        steps.append(f"flush while the name holds {path.read_bytes()!r}")
        flush(handle)

    def renamed(source: Any, target: Any) -> None:
        steps.append(f"rename of {Path(source).read_bytes()!r} to {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    Storage(parse_location(tmp_path)).write("a.parquet", b"after")
    assert steps == [
        "flush while the name holds b'before'",
        "rename of b'after' to a.parquet",
        "flush while the name holds b'after'",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(("answer", "written"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_mount_that_cannot_flush_a_folder_holds_a_study(
    answer: int, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so by some errors; others are trouble."""
    flush = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(answer, os.strerror(answer))
        flush(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with nullcontext() if written else pytest.raises(OSError, match=os.strerror(answer)):
        Storage(parse_location(tmp_path)).write("a.parquet", b"whole")
    assert (tmp_path / "a.parquet").read_bytes() == b"whole"
