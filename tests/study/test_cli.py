"""The command cae-study: it passes on what the scripts take, and trains one model."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from study import cli
from study.models import load_model
from tests.documents import write_shown_files
from tests.synthetic import write_synthetic_study
from trainables.data.datasets import load_dataset
from trainables.evaluation.baselines import pca


def call(*words: str) -> tuple[int, str]:
    """Return exit status and output of a command."""
    done = CliRunner().invoke(cli.main, words, catch_exceptions=False)
    return done.exit_code, done.output


def test_it_says_its_version_and_its_commands() -> None:
    """The installed one; the distribution has an entry of that name."""
    assert call("--version") == (0, f"cae-study, version {importlib.metadata.version('cae-study')}\n")
    status, told = call("--help")
    assert status == 0
    assert all(name in told for name in ("run", "status", "report", "export", "train"))


def test_flags_go_to_the_scripts_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their exit statuses, their messages and their --help."""
    monkeypatch.setattr(cli, "leave", lambda status: (_ for _ in ()).throw(SystemExit(status)))
    status, told = call("run", "--preset", "quick", "--trials", "0")
    assert status == 2 and "trials" in told
    status, told = call("run", "--help")
    assert status == 0 and "--until-decided" in told
    folder = str(write_synthetic_study(tmp_path / "study", code_sizes=(10,)))
    assert call("report", folder, "--no-tsne")[0] == 0
    assert (tmp_path / "study" / "report" / "report.html").exists()
    assert call("export", folder, "--csv", str(tmp_path / "trials.csv"))[0] == 0
    assert (tmp_path / "trials.csv").exists()
    status, told = call("status", str(tmp_path / "nothing"))
    assert status == 2 and "to do:" in told


def test_a_model_is_trained_measured_and_written(tmp_path: Path) -> None:
    """The error that is told is that of the file's model on the test images; a mistake ends with 2, in words."""
    path = tmp_path / "model"
    words = ("--model", "unpool_only", "--data", "digits", "--epochs", "1", "--output", str(path))
    status, told = call("train", *words)
    assert status == 0, told
    assert "epoch 1 of 1: training cross-entropy" in told
    digits = load_dataset("digits")
    error = load_model(path).score(digits.test.pixels)
    by_pca = pca(digits.training.pixels, digits.test.pixels, 10).errors["squared_error"].mean()
    assert f"squared error per test image: {error:.2f}; PCA with as many units: {by_pca:.2f}\n" in told
    status, told = call("train", *words, "--code-size", "0")
    assert status == 2 and "to do:" in told and "Traceback" not in told


def test_models_of_ones_own_are_trained_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is loaded by what is told at the end; a name that neither the file nor the package has is refused."""
    write_shown_files("docs/extending.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ("--models", "my_module.py", "--data", "digits", "--epochs", "1", "--code-size", "3")
    status, told = call("train", "--model", "perceptron", *words)
    assert status == 0, told
    loaded: dict[str, Any] = {}
    exec(told.splitlines()[-1].removeprefix("next:").strip(), loaded)
    assert loaded["model"].encode(load_dataset("digits").test.pixels).shape == (360, 3)
    status, told = call("train", "--model", "perceptrons", *words)
    assert status == 2 and "perceptron, model_1" in told and "--models FILE" in told


def test_who_trains_another_model_into_a_folder_reads_so_before(tmp_path: Path) -> None:
    """What is there is replaced, as by other tools; the same training again is not another one."""
    words = ("--model", "unpool_only", "--data", "digits", "--epochs", "1", "--output", str(tmp_path / "model"))
    assert "note:" not in call("train", *words)[1]
    assert "note:" not in call("train", *words)[1]
    status, told = call("train", *words, "--seed", "2", "--code-size", "4")
    assert status == 0
    note = f"note: {tmp_path / 'model'} holds the model of another training (code_size 10, not 4; seed 1, not 2)"
    assert note in told and told.index(note) < told.index("epoch 1 of 1")
    assert load_model(tmp_path / "model").settings.code_size == 4


def test_status_wants_its_folder_first(tmp_path: Path) -> None:
    """Else a flag, or the value of one, would be taken for it, or another study be told of."""
    for words in (["--json", str(tmp_path)], ["--json"], ["--retry-failed", str(tmp_path)]):
        done = CliRunner().invoke(cli.main, ["status", *words])
        assert done.exit_code == 2
        assert "in the place of a folder: cae-study status FOLDER" in done.output
