"""The command line: bad input is one screen with exit status 2, and nothing is begun."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from study import launch, run
from study.config.presets import study_config
from study.config.study_file import read_config, read_models
from study.plan.identity import next_manifest
from study.signals import NotStarted
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from tests.studies import exit_status
from trainables.data.datasets import load_dataset

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line, which must refuse, and return its one screen."""
    status = exit_status(arguments)
    shown = capsys.readouterr()
    assert status == 2
    assert re.fullmatch(r"(study \S+: loading libraries and data \.\.\.\n)?", shown.out)
    assert_ended_in_words(shown.err)
    assert 0 < len(shown.err.splitlines()) <= 24
    return shown.err


@pytest.mark.fault("wrong flags, by example")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--architectures", "model_9"], "model_1, model_2"),
        (["--architectures", "relu_tile"], "choose from these, or give the file that defines it, --models FILE"),
        (["--objectives", "mine"], "choose from these, or give the file that defines it, --models FILE"),
        (["--architectures", "model_1", "model_1"], "twice"),
        (["--code-sizes", "0"], "code_sizes 0"),
        (["--code-sizes", "10", "10"], "each code size once"),
        (["--code-sizes", "ten"], "'ten': accepted is a whole number"),
        (["--preset", "fast"], "quick, sample, paper, reference"),
        (["--dataset", "cifar"], "mnist"),
        (["--recipe", "secret"], "caffe, modern, muon"),
        (["--phase", "train"], "search, confirm, ablate"),
        (["--factors", "luck"], "learning_rate"),
        (["--trials", "0"], "trials 0"),
        (["--seeds", "-1"], "seeds -1"),
        (["--epochs", "0"], "epochs 0"),
        (["--seed", "-1"], "seed -1"),
        (["--name", "../elsewhere"], "letters, digits"),
        (["--name", ""], "letters, digits"),
        (["--concurrency", "0"], "at least 1"),
        (["--gpus-per-trial", "1.5"], "fraction below 1"),
        (["--gpus-per-trial", "nan"], "fraction below 1"),
        (["--time-budget", "-1"], "above 0"),
        (["--status", "--missing"], "not allowed with"),
        (["--dry-run", "--status"], "not allowed with"),
        (["--quiet", "--verbose"], "not allowed with"),
        (["--no-such-flag"], "unrecognized arguments"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_a_flag_is_explained(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was received, what is accepted, and no folder made."""
    results = tmp_path / "results"
    assert expected in refused(capsys, "--preset", "quick", "--results-dir", str(results), *arguments)
    assert not results.exists()


def test_a_dry_run_refuses_what_a_launch_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of another study, and a model of one's own that is another than the study's of that name."""
    models = tmp_path / "my_models.py"
    source = "from dataclasses import replace\nfrom trainables.models.architectures import BUILT_IN\n"
    source += "MODELS = [replace(BUILT_IN['model_4'], name='own', label={!r})]\n"
    models.write_text(source.format("First"))
    flags = ("--preset", "quick", "--models", str(models), "--results-dir", str(tmp_path))
    begun = read_config("quick", models=read_models(models).models)
    store = Store(tmp_path / "quick-digits")
    store.open(next_manifest(begun, load_dataset("digits"), None, store.folder))
    models.write_text(source.format("Second"))
    for more in (("--dry-run",), ()):
        assert "another model called own: label was First, is Second" in refused(capsys, *flags, *more)
        assert "epochs was 8, is 9" in refused(capsys, *flags, "--epochs", "9", *more)


def test_a_missing_data_folder_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path that was given is in the message."""
    missing = tmp_path / "nowhere"
    assert str(missing) in refused(capsys, "--preset", "sample", "--data-dir", str(missing))


def test_a_study_that_clusters_by_umap_is_refused_where_it_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As preset reference, before data are fetched and before anything is written."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    flags = (
        "--preset",
        "reference",
        *("--data-dir", str(tmp_path / "nowhere")),
        "--results-dir",
        str(tmp_path / "new"),
    )
    for more in ((), ("--dry-run",)):
        assert "install the extra: pip install -e '.[umap]'" in refused(capsys, *flags, *more)
    assert not (tmp_path / "new").exists()


@pytest.mark.fault("data: truncated, bit-flipped, empty, HTML, swapped")
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_data_file_is_named(
    damage: str, tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A truncated file and one with a flipped bit both fail their checksum."""
    shutil.copytree(data_dir / "mnist", tmp_path / "mnist")
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert path.name in refused(capsys, "--preset", "sample", "--data-dir", str(tmp_path))


@pytest.mark.fault("data: truncated, bit-flipped, empty, HTML, swapped")
def test_a_gzip_of_something_else_is_named(tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Well-formed compression of the wrong bytes is refused like any other."""
    shutil.copytree(data_dir / "mnist", tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    path.chmod(0o644)
    path.write_bytes(gzip.compress(b"something else"))
    assert path.name in refused(capsys, "--preset", "sample", "--data-dir", str(tmp_path))


def test_gpus_where_there_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before Ray is started and before a folder is made."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    results = tmp_path / "results"
    message = refused(capsys, "--preset", "quick", "--gpus-per-trial", "1", "--results-dir", str(results))
    assert "there is no GPU" in message
    assert not results.exists()


def test_a_results_folder_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here a file stands where the folder should be, which stops even root."""
    (tmp_path / "results").write_text("a file")
    assert "cannot be written" in refused(capsys, "--preset", "quick", "--results-dir", str(tmp_path / "results"))


@pytest.mark.slow
@pytest.mark.fault("names that are no UTF-8")
@pytest.mark.parametrize(("here", "results"), [(".", "f\u00fcr/results"), ("f\u00fcr", "../results")])
def test_a_name_that_is_not_ascii_where_names_are_ascii_is_refused_with_what_to_export(
    here: str, results: str, tmp_path: Path
) -> None:
    """As in a container without a locale: Arrow or Ray would not find it; with what is exported they do."""
    (tmp_path / "f\u00fcr").mkdir()
    ascii_only = os.environ | {"RAY_ADDRESS": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "study" / "launch.py"), "--preset", "quick", "--results-dir", results]
        environment = ascii_only | variables
        return subprocess.run(
            [*command, *flags], cwd=tmp_path / here, env=environment, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "a name that is no UTF-8 where Python reads names as ascii" in done.stderr
    assert_ended_in_words(done.stderr)
    assert not list(tmp_path.rglob("study.json"))
    exported = done.stderr.partition("export ")[2].partition(",")[0].split()
    if here != ".":
        return
    mended = run("--dry-run", **dict(word.split("=") for word in exported))
    assert mended.returncode == 0, mended.stderr


@pytest.mark.fault("rows: folder of another study")
def test_a_folder_of_another_configuration_is_refused_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same name with other epochs is another study."""
    from study.plan.identity import next_manifest
    from study.storage.store import Store
    from trainables.data.datasets import load_dataset

    config = study_config("quick")
    store = Store(tmp_path / config.name)
    store.open(next_manifest(config, load_dataset("digits"), None, store.folder))
    before = sorted(tmp_path.rglob("*"))
    message = refused(capsys, "--preset", "quick", "--results-dir", str(tmp_path), "--epochs", "99")
    assert f"epochs was {config.epochs}, is 99" in message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.fault("Optuna's storage: locked by another program")
def test_a_storage_of_optuna_that_is_locked_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As by a dashboard that writes; nothing is begun."""
    results, storage = tmp_path / "results", tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(storage, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        flags = ("--preset", "quick", "--results-dir", str(results), "--optuna-storage", f"sqlite:///{storage}")
        message = refused(capsys, *flags)
    assert "database is locked" in message
    assert "no other program keeps it locked" in message
    assert not results.exists()


def test_confirmation_without_a_search_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no best configuration to confirm."""
    message = refused(capsys, "--preset", "quick", "--phase", "confirm", "--results-dir", str(tmp_path / "results"))
    assert "search" in message


@pytest.mark.slow
def test_dry_run_says_for_which_machine_it_planned_where_no_cluster_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its address is given, and nobody is there."""
    flags = ["--preset", "quick", "--architectures", "model_1", "--dry-run", "--results-dir", str(tmp_path)]
    assert launch.main([*flags, "--address", "127.0.0.1:9"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "The plan is for this machine: no Ray cluster at '127.0.0.1:9'" in shown


@pytest.mark.slow
def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    """From any directory, without starting Ray."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "study" / "launch.py"), "--preset", "quick", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_ADDRESS": ""},
    )
    assert done.returncode == 0, done.stderr
    said = (
        "7 cells",
        "trials:",
        "epochs:",
        "3 configurations per cell by a grid: 3 for 2 epochs",
        "estimate:",
        "measured on this machine",
    )
    for word in (*said, "disk:", "search-model_1-code10-round1-grid0000"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert [line for line in done.stdout.splitlines() if len(line) > 80 and "/" not in line] == []


def test_who_declines_reads_that_nothing_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing of trials that were kept, since there are none; the exit status is that of a stop."""

    def decline(*_: object) -> None:
        raise NotStarted

    monkeypatch.setattr(run, "run", decline)
    assert launch.main(["--preset", "quick", "--results-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "not started; --yes starts without asking\n"


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """Grouped flags with their defaults."""
    with pytest.raises(SystemExit):
        launch.main(["--help"])
    shown = capsys.readouterr().out
    assert "--preset" in shown
    assert len(shown.splitlines()) <= 64


@pytest.mark.parametrize("flag", ["--status", "--missing"])
def test_a_question_about_a_folder_without_a_name_starts_nothing(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a variable of the shell is not set."""
    monkeypatch.setattr(run, "run", lambda *_: pytest.fail("a study was started"))
    assert "a folder without a name" in refused(capsys, flag, "")


def test_a_dry_run_refuses_what_follows_from_a_search_that_is_not_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the launch does."""
    flags = ["--preset", "quick", "--phase", "ablate", "--results-dir", str(tmp_path), "--dry-run"]
    assert "phase ablate without a finished search" in refused(capsys, *flags)


def test_factors_without_an_ablation_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given as a flag, which would change nothing; those of a study file wait for the phase."""
    flags = ["--results-dir", str(tmp_path), "--preset"]
    message = refused(capsys, *flags, "quick", "--factors", "loss", "unpooling", "--missing")
    assert "--factors loss unpooling with phase search confirm" in message
    assert launch.main([*flags, "quick", "--factors", "loss", "--phase", "search", "ablate", "--missing"]) == 0
    (tmp_path / "own.toml").write_text('preset = "quick"\nfactors = ["loss"]\n')
    assert launch.main([*flags, str(tmp_path / "own.toml"), "--missing"]) == 0


@pytest.mark.parametrize("asked", ["--status", "--missing"])
@pytest.mark.parametrize("flags", ["--seeds 8", "--preset quick", "--until-decided", "--code-sizes 2 10"])
def test_flags_of_a_study_beside_the_folder_of_one_are_refused(
    asked: str, flags: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer would be of its last launch; where it runs, and which trials are missing, may be said."""
    config = study_config("quick")
    store = Store(tmp_path / config.name)
    store.open(next_manifest(config, load_dataset("digits"), None, store.folder))
    message = refused(capsys, asked, str(store.folder), *flags.split())
    name, *values = flags.removeprefix("--").replace("-", "_").split()
    assert f"error: {' '.join([name, *(values or ['True'])])} beside {store.folder}" in message
    allowed = ["--retry-failed", "--results-dir", str(tmp_path), *(["--json"] if asked == "--status" else [])]
    assert launch.main([asked, str(store.folder), *allowed]) == 0


def test_the_first_line_comes_before_what_takes_seconds_to_import() -> None:
    """Who pressed Enter sees at once that something happens."""
    first = (
        "import os, sys\n"
        "from study import launch\n"
        "def tell(text):\n"
        "    heavy = {'torch', 'ray', 'scipy', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "    os.write(2, f'{text.strip()} {sorted(heavy)}'.encode())\n"
        "    os._exit(0)\n"
        "sys.stdout.write = tell\n"
        "launch.main(['--preset', 'quick'])\n"
    )
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "study quick-digits: loading libraries and data ... []"
