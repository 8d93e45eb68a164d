"""What one launch checks of its data before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study import launch
from study.config.presets import study_config
from study.run import load_study_data
from trainables.errors import InputError


def save(folder: Path, side: int = 28) -> str:
    """Write 60 images to train on and 20 to test, and return the path."""
    path = folder / "mine.npz"
    np.savez(path, train_images=np.zeros((60, side, side)), test_images=np.zeros((20, side, side)))
    return str(path)


@pytest.mark.parametrize("side", [8, 32])
def test_images_of_another_size_are_refused_with_what_to_make_of_them(side: int, tmp_path: Path) -> None:
    """Before anything starts."""
    path = save(tmp_path, side)
    with pytest.raises(InputError) as refused:
        load_study_data(study_config("quick", dataset=path), None)
    assert str(refused.value).splitlines() == [
        f"{path} has images of {side}x{side}",
        "  accepted: 28x28",
        "  to do:    enlarge or pad them, as docs/extending.md (Data) shows",
    ]


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


@pytest.mark.slow
def test_a_study_whose_images_are_not_here_is_planned_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run downloads nothing; what takes time is measured on as many other images."""
    monkeypatch.delenv("CAE_STUDY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    flags = ["--preset", "sample", "--architectures", "unpool_only", "--results-dir", str(tmp_path / "results")]
    assert launch.main([*flags, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "note: mnist is not here: a launch downloads 12 MB of it first" in shown
    assert "trials:" in shown and "estimate:" in shown
    assert not list(tmp_path.rglob("*mnist*"))
