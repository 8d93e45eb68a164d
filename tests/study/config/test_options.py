"""Where and how a study runs: the command line and Python say the same."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import study.run
from study import launch
from study.config.options import RunOptions
from study.config.study_config import StudyConfig
from trainables.errors import InputError

GIVEN = RunOptions(
    results_dir="s3://bucket/results",
    data_dir=Path("/data"),
    address="auto",
    concurrency=3,
    gpus_per_trial=0.25,
    time_budget=1.5,
    epoch_limit=7.0,
    retry_failed=True,
    optuna_storage="study.log",
    report=False,
    ask=True,
    command=("launch.py",),
    verbosity="verbose",
)


def launched(monkeypatch: pytest.MonkeyPatch, *flags: str) -> tuple[StudyConfig, RunOptions]:
    """Return what the command line hands to a launch."""
    seen: list[tuple[StudyConfig, RunOptions]] = []

    def spy(config: StudyConfig, options: RunOptions) -> study.run.Launched:
        seen.append((config, options))
        return study.run.Launched(0, "")

    monkeypatch.setattr(study.run, "run", spy)
    assert launch.main(["--preset", "quick", *flags]) == 0
    return seen[0]


def test_a_launch_without_flags_has_the_defaults_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """But that its folder is seen from the root."""
    _, options = launched(monkeypatch)
    assert options == RunOptions(results_dir=str(Path("results").resolve()), command=(*sys.argv,))


def test_who_sits_before_a_terminal_is_asked_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both ends at a terminal, and not with --yes."""
    terminal = SimpleNamespace(isatty=lambda: True, write=lambda text: None, flush=lambda: None)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert not launched(monkeypatch)[1].ask
    monkeypatch.setattr(sys, "stdout", terminal)
    assert launched(monkeypatch)[1].ask
    assert not launched(monkeypatch, "--yes")[1].ask


def test_every_flag_reaches_the_launch_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option differs from its default, so that none is lost on the way."""
    values = dataclasses.asdict(GIVEN)
    assert all(values[name] != value for name, value in dataclasses.asdict(RunOptions()).items())
    for name in ("verbosity", "report", "retry_failed", "ask", "command"):
        del values[name]
    flags = [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert launched(monkeypatch, *flags, "--retry-failed", "--no-report", "--verbose")[1] == (
        dataclasses.replace(GIVEN, ask=False, command=(*sys.argv,))
    )


def test_no_option_changes_what_is_studied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration is the same with all of them as without."""
    assert launched(monkeypatch, "--concurrency", "3", "--quiet")[0] == launched(monkeypatch)[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"concurrency": -1}, "at least 1"),
        ({"concurrency": 0}, "at least 1"),
        ({"concurrency": 1.5}, "a whole number"),
        ({"gpus_per_trial": 1.5}, "a fraction below 1"),
        ({"time_budget": 0}, "above 0"),
        ({"epoch_limit": float("nan")}, "above 0"),
        ({"verbosity": "debug"}, "quiet, normal, verbose"),
    ],
)
def test_what_the_command_line_refuses_python_refuses(given: dict[str, Any], told: str) -> None:
    """A launch with such a number would wait for ever, or take it for none."""
    with pytest.raises(InputError, match=told):
        RunOptions(**given)
