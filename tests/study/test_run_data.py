"""What one launch checks of its data before it starts, and which commands it names at its end."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from study.config.options import RunOptions
from study.config.presets import study_config
from study.run import _make_command, _name_python, _suggest_next, load_study_data
from study.storage.store import Store
from tests.synthetic import write_synthetic_study
from trainables.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def save(folder: Path, side: int = 28) -> str:
    """Write 60 images to train on and 20 to test, and return the path."""
    path = folder / "mine.npz"
    np.savez(path, train_images=np.zeros((60, side, side)), test_images=np.zeros((20, side, side)))
    return str(path)


def test_images_of_another_size_are_refused_with_the_sizes_of_the_layers(tmp_path: Path) -> None:
    """Before anything starts."""
    path = save(tmp_path, 32)
    with pytest.raises(InputError, match="conv1 32 -> 24"):
        load_study_data(study_config("quick", dataset=path), None)
    with pytest.raises(InputError, match="images of 32x32\n  accepted: 28x28 pixels"):
        load_study_data(study_config("quick", dataset=path, architectures=("classic_autoencoder",)), None)


def test_a_control_that_sees_labels_is_refused_where_there_are_none(tmp_path: Path) -> None:
    """Before anything starts."""
    with pytest.raises(InputError, match=r"architecture siamese with .*mine.npz, which has no labels"):
        load_study_data(study_config("quick", dataset=save(tmp_path), architectures=("model_4", "siamese")), None)


def test_a_batch_larger_than_the_search_trains_on_is_refused(tmp_path: Path) -> None:
    """It would fail in every trial."""
    path = save(tmp_path)
    assert load_study_data(study_config("quick", dataset=path), None).name == "mine"
    with pytest.raises(InputError, match="batch_size 100 with 50 training images"):
        load_study_data(study_config("sample", dataset=path), None)


@pytest.mark.parametrize(
    ("typed", "again", "ablated"),
    [
        (
            ("study/launch.py", "--phase", "search", "confirm", "--seeds", "2"),
            "{python} study/launch.py --phase search confirm --seeds 2",
            "{python} study/launch.py --seeds 2 --phase ablate",
        ),
        (
            ("study/launch.py", "--dataset", "my images.npz", "--phase=search"),
            "{python} study/launch.py --dataset 'my images.npz' --phase=search",
            "{python} study/launch.py --dataset 'my images.npz' --phase ablate",
        ),
        (
            ("venv/bin/cae-study", "run", "--yes"),
            "venv/bin/cae-study run --yes",
            "venv/bin/cae-study run --yes --phase ablate",
        ),
    ],
)
def test_commands_are_named_so_that_they_can_be_pasted(typed: tuple[str, ...], again: str, ablated: str) -> None:
    """By their interpreter or path, with one --phase, the last."""
    python = _name_python()
    assert _make_command(RunOptions(command=typed)) == again.format(python=python)
    assert _make_command(RunOptions(command=typed), "ablate") == ablated.format(python=python)


def test_an_installed_command_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name where that is the same file, else by its path."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cae-study").write_text("#!/bin/sh\n")
        (tmp_path / folder / "cae-study").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "first"))
    for folder, named in (("first", "cae-study"), ("second", str(tmp_path / "second" / "cae-study"))):
        command = (str(tmp_path / folder / "cae-study"), "run")
        assert _make_command(RunOptions(command=command)) == f"{named} run"
        options = RunOptions(command=command, report=False)
        assert _suggest_next(Store(tmp_path / "a study"), options) == f"{named} report '{tmp_path}/a study'"


def test_the_report_of_a_study_is_proposed_by_what_is_there(tmp_path: Path) -> None:
    """From another folder than the checkout's, and where no command was typed."""
    store = Store(write_synthetic_study(tmp_path / "a study", code_sizes=(10,)))
    for command in ((str(ROOT / "study" / "launch.py"),), ()):
        words = shlex.split(_suggest_next(store, RunOptions(command=command, report=False)))
        words[0] = sys.executable
        done = subprocess.run([*words, "--no-tsne"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "a study" / "report" / "report.html").exists()
