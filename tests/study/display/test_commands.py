"""Commands that are told to be typed: they can be pasted, and do what is said of them."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from study import launch
from study.config.options import RunOptions
from study.config.presets import study_config
from study.config.study_config import StudyConfig
from study.config.study_file import format_study_file
from study.display.commands import make_command, make_resuming_command, name_python, suggest_report
from study.storage.location import parse_location
from tests.synthetic import write_synthetic_study
from trainables.models.architectures import ModuleAutoencoder

ROOT = Path(__file__).resolve().parents[3]
LAUNCHED = {"launches": [{"command": "study/launch.py --preset quick --seeds 2"}]}


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
        (
            ("study/launch.py", "--phase", "search", "--no-report", "--seeds", "2", "--no-rep"),
            "{python} study/launch.py --phase search --seeds 2",
            "{python} study/launch.py --seeds 2 --phase ablate",
        ),
    ],
)
def test_commands_are_named_so_that_they_can_be_pasted(typed: tuple[str, ...], again: str, ablated: str) -> None:
    """By their interpreter or path, with one --phase, the last, and with a report at the end."""
    python = name_python()
    assert make_command(RunOptions(command=typed)) == again.format(python=python)
    assert make_command(RunOptions(command=typed), "ablate") == ablated.format(python=python)


def test_an_installed_command_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name where that is the same file, else by its path."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cae-study").write_text("#!/bin/sh\n")
        (tmp_path / folder / "cae-study").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "first"))
    for folder, named in (("first", "cae-study"), ("second", str(tmp_path / "second" / "cae-study"))):
        command = (str(tmp_path / folder / "cae-study"), "run")
        assert make_command(RunOptions(command=command)) == f"{named} run"
        options = RunOptions(command=command, report=False)
        assert suggest_report(parse_location(tmp_path / "a study"), options) == f"{named} report '{tmp_path}/a study'"


def test_the_report_of_a_study_is_proposed_by_what_is_there(tmp_path: Path) -> None:
    """From another folder than the checkout's, and where no command was typed."""
    folder = parse_location(write_synthetic_study(tmp_path / "a study", code_sizes=(10,)))
    for command in ((str(ROOT / "study" / "launch.py"),), ()):
        words = shlex.split(suggest_report(folder, RunOptions(command=command, report=False)))
        words[0] = sys.executable
        done = subprocess.run([*words, "--no-tsne"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "a study" / "report" / "report.html").exists()
    own_script = RunOptions(command=(str(tmp_path / "mine" / "start.py"),), report=False)
    assert suggest_report(folder, own_script) == shlex.join([name_python(), *words[1:]])


def resuming(folder: Path, config: StudyConfig, typed: str = "study/launch.py", retry: bool = False) -> str:
    """Return the command that goes on with a study in ``folder``, which has its study file."""
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(format_study_file(config))
    return make_resuming_command(config, parse_location(folder), LAUNCHED, (typed, "--status", "x"), retry)


def test_a_study_goes_on_by_the_command_that_its_folder_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the same folder, whatever it is called and wherever it lies."""
    monkeypatch.chdir(tmp_path)
    config = study_config("quick", seeds=2)
    start = f"{name_python()} study/launch.py --preset"
    told = {folder: resuming(tmp_path / folder, config) for folder in ("results/quick-digits", "my studies/kept")}
    assert told["results/quick-digits"] == f"{start} results/quick-digits/study.toml"
    elsewhere = "'my studies/kept/study.toml' --name kept --results-dir 'my studies'"
    assert told["my studies/kept"] == f"{start} {elsewhere}"
    for folder, command in told.items():
        arguments = launch.make_parser().parse_args(shlex.split(command)[2:])
        found = launch.make_config(arguments)
        assert Path(arguments.results_dir).absolute() / found.name == tmp_path / folder
        assert dataclasses.replace(found, name=config.name) == config
    assert resuming(tmp_path / "results/again/quick-digits", config, "cae-study", retry=True) == (
        "cae-study run --preset results/again/quick-digits/study.toml --results-dir results/again --retry-failed"
    )


def test_functions_of_ones_own_are_to_be_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in no study file."""
    monkeypatch.chdir(tmp_path)
    own = ModuleAutoencoder(name="own", label="Own", notation="(own)", build=None)
    config = study_config("quick", models=(own,))
    assert resuming(tmp_path / "results" / config.name, config).endswith(
        "study.toml --models FILE  # the file of your own"
    )


def test_a_study_without_a_file_goes_on_by_the_command_that_launched_it(tmp_path: Path) -> None:
    """As one in an object store, whose study file no command takes."""
    folder, config = parse_location(tmp_path), study_config("quick")
    told = make_resuming_command(config, folder, LAUNCHED, ("study/launch.py", "--status", "x"), True)
    assert told == f"{name_python()} study/launch.py --preset quick --seeds 2 --retry-failed"
    for began in ([], [{"command": "/lib/ipykernel_launcher.py -f kernel.json"}]):
        assert make_resuming_command(config, folder, {"launches": began}, ("study/launch.py",), False) == ""


def test_where_data_models_and_a_ray_are_is_said_as_the_last_launch_had_it(tmp_path: Path) -> None:
    """They stand in no study file."""
    own = ModuleAutoencoder(name="own", label="Own", notation="(own)", build=None)
    config = study_config("quick", models=(own,))
    typed = "study/launch.py --dataset digits --data-dir='my data' --seeds 2 --models own.py --addr 10.0.0.1:6379"
    (tmp_path / "study.toml").write_text(format_study_file(config))
    launched = {"launches": [{"command": typed}]}
    told = make_resuming_command(config, parse_location(tmp_path), launched, ("cae-study", "status", "x"), False)
    assert told.endswith(" --data-dir 'my data' --models own.py --address 10.0.0.1:6379")
