"""The command cae-study: it passes on what the scripts take, and trains one model."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from study import cli
from study.models import load_model
from tests.synthetic import write_synthetic_study
from trainables.data.datasets import load_dataset


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
    error = load_model(path).score(load_dataset("digits").test.pixels)
    assert f"squared error per test image: {error:.2f}" in told
    status, told = call("train", *words, "--code-size", "0")
    assert status == 2 and "to do:" in told and "Traceback" not in told
