"""A study's folder: rows are written at once, read back, compacted, and never half there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from study.storage.files import Storage, StorageError
from study.storage.schema import TABLES, table_of
from study.storage.store import MOST_WAITING, Store
from trainables.errors import InputError


def trial_row(trial_id: str) -> dict[str, Any]:
    """Return the least that a row of `trials` must hold."""
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
    }


def opened(folder: Path) -> Store:
    """Return the store of a new study."""
    store = Store(folder)
    store.open({"schema_version": 1, "name": "some"})
    return store


def append(store: Store, trial_id: str, epochs: int = 2) -> None:
    """Write a trial with rows in several tables."""
    rows = [
        {"trial_id": trial_id, "epoch": epoch, "train_cross_entropy": 1.0 / epoch} for epoch in range(1, epochs + 1)
    ]
    store.append(trial_row(trial_id), {"epochs": rows, "scores": []}, b"weights")


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    """And pandas reads the folder as README says."""
    store = opened(tmp_path / "study")
    for trial_id in ("a", "b"):
        append(store, trial_id)
    assert [row["trial_id"] for row in store.read_trials()] == ["a", "b"]
    assert [row["epoch"] for row in store.read_curves({"b"})["b"]] == [1, 2]
    frame = pd.read_parquet(tmp_path / "study" / "trials")
    assert frame.groupby(["architecture", "status"]).size().to_dict() == {("model_1", "complete"): 2}


def test_compaction_keeps_every_row_and_leaves_one_file_a_table(tmp_path: Path) -> None:
    """Also when it is done again after more trials."""
    store = opened(tmp_path / "study")
    for trial_id in "abc":
        append(store, trial_id)
    before = store.read_trials()
    store.compact()
    assert store.read_trials() == before
    assert len(list((tmp_path / "study" / "trials").iterdir())) == 1
    for trial_id in "de":
        append(store, trial_id)
    store.compact()
    assert sorted(row["trial_id"] for row in store.read_trials()) == list("abcde")
    assert len(store.read_curves(set("abcde"))) == 5


@pytest.mark.fault("rows: leftovers of a stopped writer")
def test_leftovers_of_a_stopped_writer_are_ignored_and_cleaned(tmp_path: Path) -> None:
    """Half-written files, and rows of a trial that was not committed by its row of `trials`."""
    folder = tmp_path / "study"
    store = opened(folder)
    append(store, "a")
    (folder / "trials" / ".b.parquet.partial").write_bytes(b"half")
    pyarrow.parquet.write_table(table_of("epochs", [{"trial_id": "b", "epoch": 1}]), folder / "epochs" / "b.parquet")
    (folder / "weights" / "b.safetensors").write_bytes(b"weights")
    assert [row["trial_id"] for row in store.read_trials()] == ["a"]
    again = opened(folder)
    assert {path.name for table in (*TABLES, "weights") for path in (folder / table).iterdir()} == {
        "a.parquet",
        "a.safetensors",
    }
    assert [row["trial_id"] for row in again.read_trials()] == ["a"]


@pytest.mark.fault("rows: compaction stopped midway")
def test_a_compaction_that_was_stopped_midway_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Joined file written, single files not removed yet."""
    folder = tmp_path / "study"
    store = opened(folder)
    for trial_id in "ab":
        append(store, trial_id)
    single = {path: path.read_bytes() for table in TABLES for path in (folder / table).iterdir()}
    store.compact()
    for path, content in single.items():
        path.write_bytes(content)
    assert sorted(row["trial_id"] for row in store.read_trials()) == ["a", "b"]
    assert len(store.read_curves({"a"})["a"]) == 2
    opened(folder)
    assert len(pd.read_parquet(folder / "trials")) == 2
    append(store := opened(folder), "c")
    joined = {path: path.read_bytes() for table in TABLES for path in (folder / table).iterdir()}
    append(store, "d")
    store.compact()
    for path, content in joined.items():
        path.write_bytes(content)
    opened(folder).compact()
    assert sorted(pd.read_parquet(folder / "trials")["trial_id"]) == list("abcd")
    assert len(pd.read_parquet(folder / "epochs")) == 8


@pytest.mark.fault("rows: a study that is launched again and again")
def test_files_stay_few_however_often_a_study_goes_on(tmp_path: Path) -> None:
    """A joined file is joined again when smaller ones have its size together, so each row is written anew few times."""
    store, epochs = opened(tmp_path / "study"), tmp_path / "study" / "epochs"
    random, launches, written = np.random.default_rng(0), 24, 0
    for launch in range(launches):
        for name in (f"{launch}-0", f"{launch}-1"):
            losses = enumerate(random.random(400).tolist(), start=1)
            rows = [{"trial_id": name, "epoch": epoch, "train_cross_entropy": loss} for epoch, loss in losses]
            store.append(trial_row(name), {"epochs": rows, "scores": []}, None)
        before = set(epochs.iterdir())
        store.compact()
        written += sum(file.stat().st_size for file in epochs.iterdir() if file not in before)
        assert len(list(epochs.iterdir())) <= 5
    assert len(pd.read_parquet(epochs)) == 2 * launches * 400
    assert written <= 6 * sum(file.stat().st_size for file in epochs.iterdir())


@pytest.mark.fault("rows: a joined file of trials taken away")
def test_trials_that_run_again_leave_no_row_of_before(tmp_path: Path) -> None:
    """A joined file of another table still has rows of theirs, as of every trial that is not committed."""
    folder = tmp_path / "study"
    store = opened(folder)
    for trial_id in "ab":
        append(store, trial_id, epochs=3)
    store.compact()
    rows = [trial_row("a")]
    for path in (folder / "trials").iterdir():
        path.unlink()
    pyarrow.parquet.write_table(table_of("trials", rows), folder / "trials" / "a.parquet")
    store = opened(folder)
    assert set(pd.read_parquet(folder / "epochs")["trial_id"]) == {"a"}
    append(store, "b", epochs=1)
    store.compact()
    assert pd.read_parquet(folder / "epochs").groupby("trial_id").size().to_dict() == {"a": 3, "b": 1}


@pytest.mark.fault("rows: compaction stopped, and nothing else to do")
def test_a_study_with_nothing_left_to_do_is_tidied(tmp_path: Path) -> None:
    """By the launch that finds so: what a stopped compaction left, and files that it had not yet joined."""
    store = opened(tmp_path / "study")
    for trial_id in "ab":
        append(store, trial_id)
    (tmp_path / "study" / "trials" / ".c.parquet.partial").touch()
    store.tidy()
    assert {table: len(list((tmp_path / "study" / table).iterdir())) for table in ("trials", "epochs")} == {
        "trials": 1,
        "epochs": 1,
    }


def test_files_carry_the_schema(tmp_path: Path) -> None:
    """A file explains itself."""
    store = opened(tmp_path / "study")
    append(store, "a")
    schema = pyarrow.parquet.read_schema(tmp_path / "study" / "trials" / "a.parquet")
    assert schema.field("seconds").metadata[b"unit"] == b"s"
    assert schema.metadata[b"schema_version"] == b"2"


@pytest.mark.fault("rows: folder of another study")
def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """Nothing of the user's is mixed with a study."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"no study\.json"):
        Store(tmp_path).read_manifest()


@pytest.mark.fault("rows: damaged file")
def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    """In words."""
    (tmp_path / "study").touch()
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "study").read_manifest()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """Rows cannot be believed when one file is not readable."""
    store = opened(tmp_path / "study")
    append(store, "a")
    (tmp_path / "study" / "trials" / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"a\.parquet"):
        store.read_trials()


def hand_over(store: Store, *trial_ids: str) -> None:
    """Let trials end."""
    for trial_id in trial_ids:
        store.hand_over(trial_row(trial_id), {"epochs": [{"trial_id": trial_id, "epoch": 1}]}, None)


def finished(folder: Path) -> set[str]:
    """Return the trials that a reader finds."""
    return {row["trial_id"] for row in Store(folder).read_trials()}


def test_the_driver_goes_on_while_rows_are_written_in_the_order_of_the_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may wait are taken without waiting for the disk; at the exit all are there."""
    store = opened(tmp_path / "study")
    going, written = threading.Event(), []
    write: Callable[..., None] = Storage.write

    def slowly(storage: Storage, name: str, content: Any) -> None:
        assert going.wait(60)
        write(storage, name, content)
        written.append(name)

    monkeypatch.setattr(Storage, "write", slowly)
    trial_ids = [f"trial-{number:03d}" for number in range(MOST_WAITING)]
    with store.writing():
        hand_over(store, *trial_ids)
        assert written == []
        going.set()
    assert finished(tmp_path / "study") == set(trial_ids)
    assert [name for name in written if name.startswith("trials/")] == [f"trials/{i}.parquet" for i in trial_ids]


def test_what_cannot_be_written_stops_the_driver_and_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    """Also the trials that were handed over in the meantime."""
    folder = tmp_path / "study"
    opened(folder)
    with Store(folder, patience=0.2) as store:
        with store.writing():
            hand_over(store, "a")
        (folder / "epochs").rename(folder / "elsewhere")
        (folder / "epochs").touch()  # no folder, so that nothing can be written into it, not even by root
        with pytest.raises(StorageError, match="cannot be written"), store.writing():
            hand_over(store, "b", "c")
        with pytest.raises(StorageError, match="cannot be written"):
            hand_over(store, "d")
        assert finished(folder) == {"a"}
        (folder / "epochs").unlink()
        (folder / "elsewhere").rename(folder / "epochs")
    assert finished(folder) == {"a", "b", "c"}


def test_what_stopped_the_writing_is_told_in_the_place_of_what_followed_from_it(tmp_path: Path) -> None:
    """As Tune's error, which has the text of ours; what has nothing to do with it comes through."""
    store = Store(tmp_path)
    with pytest.raises((StorageError, RuntimeError)) as raised, store.writing():
        store._failure = StorageError("a disk that is full", "room", "make some")
        raise RuntimeError("Tune's, with the traceback of it")
    assert raised.value is store._failure
    store._failure = None
    with pytest.raises(RuntimeError, match="another"), store.writing():
        raise RuntimeError("another")


def test_a_mistake_in_a_row_is_raised_as_it_is(tmp_path: Path) -> None:
    """It is the program's, so it keeps its kind and its place."""
    store = opened(tmp_path / "study")
    with pytest.raises(KeyError, match="no column"), store.writing():
        store.hand_over(trial_row("a") | {"nonsense": 1}, {}, None)
