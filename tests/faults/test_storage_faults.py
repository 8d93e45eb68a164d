"""Storage that fails: a full disk, a folder turned read-only, an object store in trouble, a writer that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from study.storage import location
from study.storage.files import StorageError
from study.storage.store import Store
from tests.faults.invariants import Damage
from tests.faults.launches import assert_ended_in_words
from tests.faults.tally import Tally
from tests.object_store import FaultyStore, object_store, reached
from tests.study.storage.test_store import append
from trainables.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = {"schema_version": 1, "name": "some"}


def mount(*arguments: str) -> None:
    """Call mount; skip the test where that is not allowed."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if sys.platform != "linux":
        pytest.skip("needs tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyStore]:
    """An S3 server for the tests of this module."""
    with object_store() as store:
        yield store


@pytest.fixture
def uri(server: FaultyStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a folder of its own for each test, of a store that is given up after two seconds without an answer."""
    monkeypatch.setattr(location, "ANSWER_SECONDS", 1)
    with reached(server) as root:
        yield f"{root}/{request.node.name[:60].replace('[', '-').replace(']', '')}"
    server.fault = None


def opened(folder: Path | str, patience: float) -> Store:
    """Return the store of a new or an earlier study."""
    store = Store(folder, patience)
    store.read_manifest()
    store.open(MANIFEST)
    return store


def fill(folder: Path) -> Path:
    """Leave no space on the disk, and return the file that takes it."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def assert_whole(folder: Path, trial_ids: list[str]) -> None:
    """Every file is readable, every trial there once, and nothing half-written is left."""
    for path in folder.rglob("*.parquet"):
        pyarrow.parquet.read_table(path)
    assert not [path for path in folder.rglob("*.partial")]
    assert sorted(row["trial_id"] for row in Store(folder).read_trials()) == trial_ids


@pytest.mark.fault("storage: disk full, then not")
def test_a_full_disk_is_waited_for(disk: Path) -> None:
    """When there is space again within the patience, nothing has happened."""
    store = opened(disk / "study", patience=30)
    append(store, "a")
    filler = fill(disk)
    freeing = threading.Timer(1, filler.unlink)
    freeing.start()
    append(store, "b")
    freeing.join()
    assert_whole(disk / "study", ["a", "b"])


@pytest.mark.fault("storage: disk full")
def test_a_disk_that_stays_full_stops_the_study_and_what_ended_is_kept_as_soon_as_there_is_space(disk: Path) -> None:
    """The message says why, for how long, and what to do."""
    with Store(disk / "study", patience=0.5) as store:
        store.open(MANIFEST)
        append(store, "a")
        filler = fill(disk)
        with pytest.raises(StorageError, match=r"No space left on device.*tried for 0 s") as stopped:
            append(store, "b")
        assert "the same command" in stopped.value.remedy
        assert_ended_in_words(str(stopped.value))
        assert_whole(disk / "study", ["a"])
        filler.unlink()
    assert_whole(disk / "study", ["a", "b"])


@pytest.mark.fault("storage: disk full to the end")
def test_what_cannot_be_kept_is_said_and_runs_again(disk: Path) -> None:
    """A row that never reached the disk is no row of the study."""
    with (
        pytest.raises(StorageError, match="1 trials that had ended could not be written") as stopped,
        Store(disk / "study", patience=0.5) as store,
    ):
        store.open(MANIFEST)
        append(store, "a")
        fill(disk)
        append(store, "b")
    assert_ended_in_words(str(stopped.value))
    assert_whole(disk / "study", ["a"])
    (disk / "filler").unlink()
    append(opened(disk / "study", 0.5), "b")
    assert_whole(disk / "study", ["a", "b"])


@pytest.mark.fault("storage: folder turned read-only")
def test_a_folder_turned_read_only_stops_the_study_and_the_next_launch_is_refused_until_it_is_mended(
    disk: Path,
) -> None:
    """Root, too, cannot write to a read-only mount."""
    store = opened(disk / "study", patience=0.5)
    append(store, "a")
    mount("-o", "remount,ro", str(disk))
    with pytest.raises(StorageError, match="Read-only file system") as stopped:
        append(store, "b")
    assert_ended_in_words(str(stopped.value))
    with pytest.raises(InputError, match="cannot be written: Read-only file system") as refused, Store(disk / "study"):
        pass
    assert_ended_in_words(str(refused.value))
    mount("-o", "remount,rw", str(disk))
    assert_whole(disk / "study", ["a"])
    append(opened(disk / "study", 0.5), "b")
    assert_whole(disk / "study", ["a", "b"])


@pytest.mark.fault("storage: disk full during compaction")
def test_a_compaction_that_finds_the_disk_full_loses_nothing(disk: Path) -> None:
    """Single files are removed after the joined one is there."""
    store = opened(disk / "study", patience=0.5)
    for trial_id in "abc":
        append(store, trial_id)
    filler = fill(disk)
    with pytest.raises(StorageError, match="No space left") as stopped:
        store.compact()
    assert_ended_in_words(str(stopped.value))
    assert_whole(disk / "study", ["a", "b", "c"])
    filler.unlink()
    store.compact()
    assert_whole(disk / "study", ["a", "b", "c"])


@pytest.mark.slow
@pytest.mark.fault("object store: errors or silence, then not")
@pytest.mark.parametrize("answer", [500, 503, 0, -500], ids=["error", "slow down", "no answer", "answer lost"])
def test_an_object_store_in_trouble_is_waited_for(answer: int, server: FaultyStore, uri: str) -> None:
    """Errors and silence for a while, also for requests that were carried out: every trial is there once."""
    store = opened(uri, patience=60)
    append(store, "a")
    until = time.monotonic() + 4
    server.fault = lambda method, path: answer if time.monotonic() < until and method != "GET" else None
    append(store, "b")
    store.compact()
    server.fault = None
    assert sorted(row["trial_id"] for row in opened(uri, 1).read_trials()) == ["a", "b"]
    assert len(opened(uri, 1).read_curves({"b"})["b"]) == 2


@pytest.mark.fault("object store: errors to the end")
@pytest.mark.parametrize("table", ["epochs", "weights", "trials"])
def test_an_object_store_that_stays_in_trouble_stops_the_study(table: str, server: FaultyStore, uri: str) -> None:
    """Whichever file it is that cannot be put: the trial is not committed, and is once the store is well again."""
    with Store(uri, patience=1) as store:
        store.open(MANIFEST)
        append(store, "a")
        server.fault = lambda method, path: 503 if method in ("PUT", "POST") and f"/{table}/" in path else None
        with pytest.raises(StorageError, match=r"s3://.*tried for 1 s") as stopped:
            append(store, "b")
        assert_ended_in_words(str(stopped.value))
        assert [row["trial_id"] for row in Store(uri).read_trials()] == ["a"]
        server.fault = None
    assert sorted(row["trial_id"] for row in opened(uri, 1).read_trials()) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.fault("object store: errors during compaction")
def test_a_compaction_of_an_object_store_in_trouble_loses_nothing(server: FaultyStore, uri: str) -> None:
    """Neither when the joined file cannot be put nor when single ones cannot be removed."""
    for method, trial_ids in (("PUT", "abc"), ("DELETE", "abcde")):
        store = opened(uri, patience=1)
        for trial_id in trial_ids:
            append(store, trial_id)
        server.fault = lambda asked, path, method=method: 503 if asked == method else None
        with pytest.raises(StorageError) as stopped:
            store.compact()
        assert_ended_in_words(str(stopped.value))
        server.fault = None
        assert sorted(row["trial_id"] for row in Store(uri).read_trials()) == list(trial_ids)
    again = opened(uri, 1)
    assert sorted(again._read("trials")["trial_id"].to_pylist()) == list("abcde")


@pytest.mark.slow
@pytest.mark.fault
def test_a_writer_killed_at_any_point_of_a_write_loses_and_doubles_nothing(
    tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """At every point with `make test-faults`, else at each seventh: files have ten points, so all kinds are met."""
    script = ROOT / "tests" / "faults" / "interrupted_writer.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "1" if every_fault else "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    points = counts.pop("points")
    found = Damage(counts["lost"] + counts["half"], counts["duplicated"] + counts["run_again"], counts["unreadable"])
    tally.add("writer: SIGKILL at a point of a write", found, points)
    assert points >= 30
    assert set(counts.values()) == {0}, counts
