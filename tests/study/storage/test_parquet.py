"""Rows alone are a study's state; those of an older, newer or other study are read by rule or named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.plan.plan import Plan
from study.storage import parquet
from study.storage.schema import TABLES, table_of
from study.storage.store import Store
from tests.studies import row_of, small_config, take_one
from tests.study.storage.test_store import append, trial_row
from trainables.errors import InputError

MANIFEST = {"schema_version": 1, "name": "some", "study_sha256": "ours"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of two trials."""
    store = Store(tmp_path / "study")
    store.open(MANIFEST)
    append(store, "a")
    append(store, "b")
    return tmp_path / "study"


def reopened(folder: Path) -> Store:
    """Return the store as the next launch opens it."""
    store = Store(folder)
    store.read_manifest()
    store.open(MANIFEST)
    return store


def write(path: Path, table: pa.Table, **metadata: str) -> None:
    """Write a file whose schema's metadata is changed."""
    changed = {key.encode(): value.encode() for key, value in metadata.items()}
    pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | changed), path)


def test_a_column_that_an_older_file_lacks_is_null(folder: Path) -> None:
    """Beside files of today, and after both were joined."""
    older = table_of("trials", [trial_row("c")]).drop_columns(["device", "reason"])
    write(folder / "trials" / "c.parquet", older, schema_version="0")
    store = reopened(folder)
    rows = {row["trial_id"]: row for row in store.read_trials()}
    assert set(rows) == {"a", "b", "c"}
    assert rows["c"]["device"] is None
    store.compact()
    assert {row["trial_id"] for row in store.read_trials()} == {"a", "b", "c"}
    assert pq.read_schema(next((folder / "trials").glob("*.parquet"))).names == TABLES["trials"].names


@pytest.mark.parametrize("table", ["trials", "epochs"])
def test_a_newer_file_is_refused_by_name(folder: Path, table: str) -> None:
    """An old program must not guess what new rows mean."""
    path = folder / table / "a.parquet"
    write(path, pq.read_table(path), schema_version="99")
    with pytest.raises(InputError, match=rf"{table}/a\.parquet: written with schema version 99"):
        reopened(folder).read_curves({"a"})


def test_a_file_of_another_study_is_named(folder: Path) -> None:
    """By the identity that its rows carry; what it holds is neither run again nor counted."""
    foreign = table_of("trials", [trial_row("c") | {"study_sha256": "theirs"}])
    write(folder / "trials" / "copied.parquet", foreign)
    with pytest.raises(InputError, match=r"trials/copied\.parquet: 1 of its 1 rows belong to another study"):
        reopened(folder)
    assert (folder / "trials" / "copied.parquet").exists()


def test_a_file_that_holds_something_else_is_named_and_stays(folder: Path) -> None:
    """Another table's rows, and a table of the user's own."""
    shutil.copy(folder / "epochs" / "a.parquet", folder / "trials" / "moved.parquet")
    with pytest.raises(InputError, match=r"trials/moved\.parquet: holds rows of epochs"):
        reopened(folder)
    pq.write_table(pa.table({"mine": [1]}), folder / "trials" / "moved.parquet")
    with pytest.raises(InputError, match=r"trials/moved\.parquet: lacks .*trial_id"):
        reopened(folder)
    assert (folder / "trials" / "moved.parquet").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_is_named(folder: Path, damage: str) -> None:
    """Whatever happened to its bytes: pages carry checksums."""
    path = folder / "trials" / "b.parquet"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(b"model_1", 4) if b"model_1" in content else len(content) // 3] ^= 0xFF
    damaged = {"truncated": content[: len(content) // 2], "flipped": content, "empty": bytearray()}
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"trials/b\.parquet: cannot be read") as raised:
        Store(folder).read_trials()
    assert raised.value.remedy == "restore it, or move it away: its trials then run again"
    (folder / "epochs" / "b.parquet").write_bytes(damaged["truncated"])
    with pytest.raises(InputError, match=r"epochs/b\.parquet: cannot be read") as raised:
        Store(folder).check_table("epochs")
    assert raised.value.remedy == "restore it, or move it away: its trials then have no epochs"


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), OSError("When reading: AWS Error NETWORK_CONNECTION during GetObject")]
)
def test_an_error_of_the_disk_or_the_network_is_no_damage_of_a_file(
    folder: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to take a file away that is whole; whatever reads it does not go on without it."""
    fragment = SimpleNamespace(physical_schema=TABLES["trials"], to_table=Mock(side_effect=error))
    monkeypatch.setattr(parquet, "_PARQUET", SimpleNamespace(make_fragment=lambda *_: fragment))
    with pytest.raises(InputError, match="trials cannot be read: ") as raised:
        Store(folder).read_trials()
    assert raised.value.remedy == "check its permissions and the network, then try again"


def test_files_that_are_joined_while_they_are_read_are_listed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a plan that is printed while another launcher ends."""
    stale = [["a.parquet", "b.parquet", "joined-already.parquet"], ["a.parquet", "b.parquet"]]
    monkeypatch.setattr("study.storage.files.Storage.names", lambda self, name: stale.pop(0))
    assert [row["trial_id"] for row in Store(folder).read_trials()] == ["a", "b"]
    stale += [["gone.parquet"]] * 3
    with pytest.raises(InputError, match=r"cannot be read.*gone\.parquet"):
        Store(folder).read_trials()


def test_rows_and_manifest_are_all_that_a_study_needs(folder: Path) -> None:
    """Weights, reports, leftovers and lock may go: what is finished stays finished."""
    before = Store(folder).read_trials()
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".parquet" and path.name != "study.json":
            path.unlink()
    shutil.rmtree(folder / "weights")
    shutil.rmtree(folder / "codes")
    store = reopened(folder)
    assert store.read_trials() == before
    append(store, "c")
    store.compact()
    assert sorted(row["trial_id"] for row in reopened(folder).read_trials()) == ["a", "b", "c"]
    assert json.loads((folder / "study.json").read_text())["name"] == "some"


def test_a_search_that_goes_on_from_parquet_suggests_what_the_uninterrupted_one_does(tmp_path: Path) -> None:
    """All that ended, in whichever way, is known to it: values, states and coordinates."""
    config = small_config(architectures=("model_1",), trials=20, generation_size=6)
    uninterrupted = Plan(config, ())
    store = Store(tmp_path / "study")
    store.open({"schema_version": 1, "name": "some"})
    for number in range(12):
        taken = take_one(uninterrupted)
        assert taken is not None
        planned, trial_config = taken
        status = {3: "diverged", 7: "failed"}.get(number, "complete")
        row = row_of(planned, trial_config, value=200.0 - number, status=status) | uninterrupted.list_columns(planned)
        store.append(row, {}, None)
        uninterrupted.finish(row)
    store.compact()
    rebuilt = Plan(config, Store(tmp_path / "study").read_trials())
    assert rebuilt.done == uninterrupted.done == 12
    for _ in range(6):
        ours = take_one(rebuilt)
        assert ours is not None
        assert ours == take_one(uninterrupted)
        assert ours[0].number >= 12
