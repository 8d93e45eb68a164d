"""Rows written beside the driver: in order, whole, and with failures that stop the study."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.storage.files import Storage, StorageError
from study.storage.store import Store
from study.storage.writer import MOST_WAITING, Writer
from tests.study.storage.test_store import opened, trial_row


def hand_over(writer: Writer, *trial_ids: str) -> None:
    """Let trials end."""
    for trial_id in trial_ids:
        writer.append(trial_row(trial_id), {"epochs": [{"trial_id": trial_id, "epoch": 1}]}, None)


def finished(folder: Path) -> set[str]:
    """Return the trials that a reader finds."""
    return {row["trial_id"] for row in Store(folder).finished()}


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
    with Writer(store) as writer:
        hand_over(writer, *trial_ids)
        assert written == []
        going.set()
    assert finished(tmp_path / "study") == set(trial_ids)
    assert [name for name in written if name.startswith("trials/")] == [f"trials/{i}.parquet" for i in trial_ids]


def test_what_cannot_be_written_stops_the_driver_and_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    """Also the trials that were handed over in the meantime."""
    folder = tmp_path / "study"
    opened(folder)
    with Store(folder, patience=0.2) as store:
        with Writer(store) as writer:
            hand_over(writer, "a")
        (folder / "epochs").rename(folder / "elsewhere")
        (folder / "epochs").touch()  # no folder, so that nothing can be written into it, not even by root
        writer = Writer(store)
        with pytest.raises(StorageError, match="cannot be written"), writer:
            hand_over(writer, "b", "c")
        with pytest.raises(StorageError, match="cannot be written"):
            hand_over(writer, "d")
        assert finished(folder) == {"a"}
        (folder / "epochs").unlink()
        (folder / "elsewhere").rename(folder / "epochs")
    assert finished(folder) == {"a", "b", "c"}


def test_a_mistake_in_a_row_is_raised_as_it_is(tmp_path: Path) -> None:
    """It is the program's, so it keeps its kind and its place."""
    with pytest.raises(KeyError, match="no column"), Writer(opened(tmp_path / "study")) as writer:
        writer.append(trial_row("a") | {"nonsense": 1}, {}, None)
