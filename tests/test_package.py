"""What is shipped: an sdist, the wheel made from it, and a study of that wheel's code far from the checkout."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from study.models import PRETRAINED
from tests.tiny import write_tiny_data

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("study", "trainables", "analysis")
MOST_BYTES = 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of the checkout and a wheel made from the sdist's files."""
    folder = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "files", filter="data")
    (files,) = (folder / "files").iterdir()
    subprocess.run([*build, "wheel"], cwd=files, check=True)
    return folder


@pytest.fixture(scope="module")
def python(built: Path) -> Callable[..., str]:
    """Runs Python in an environment whose project is the wheel's; all other packages are those of this Python."""
    environment = built / "environment"
    venv.create(environment, symlinks=True)
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (library,) = environment.glob("lib/python*/site-packages")
    (library / "others.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    elsewhere = built / "elsewhere"
    elsewhere.mkdir()
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}

    def run(*arguments: str) -> str:
        command = [str(environment / "bin" / "python"), *arguments]
        done = subprocess.run(command, cwd=elsewhere, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_sdist_is_small(built: Path) -> None:
    """No rows of a reference, no results; trained models come on top, with a bound of their own."""
    (sdist,) = built.glob("*.tar.gz")
    assert sdist.stat().st_size < MOST_BYTES + sum(path.stat().st_size for path in PRETRAINED.glob("*.safetensors"))


def test_the_trained_models_come_with_the_wheel(python: Callable[..., str]) -> None:
    """Each with its card, and it can be loaded."""
    code = (
        "from study.models import PRETRAINED, pretrained; print(*(path.name for path in PRETRAINED.glob('*')))\n"
        "for path in PRETRAINED.glob('*.md'):\n"
        "    name, size = path.stem.split('-code')\n"
        "    assert pretrained(name, int(size)).module.code_size == int(size)"
    )
    assert set(python("-c", code).split()) == {path.name for path in PRETRAINED.glob("*")}


def test_the_wheel_says_that_its_packages_are_typed(built: Path) -> None:
    """So that a type checker looks into them, wherever they are installed."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


@pytest.fixture(scope="module")
def command(python: Callable[..., str]) -> Callable[[str], str]:
    """Runs a line of the shell with the installed command on its PATH."""
    path = "import os, subprocess, sys; os.environ['PATH'] = os.path.dirname(sys.executable) + ':' + os.environ['PATH']"
    call = "print(subprocess.run({line!r}, shell=True, check=True, capture_output=True, text=True).stdout)"
    return lambda line: python("-c", f"{path}; {call.format(line=line)}")


def test_a_dry_run_a_study_and_a_report_work_from_the_wheel_alone(
    built: Path, python: Callable[..., str], command: Callable[[str], str]
) -> None:
    """In a folder that is no checkout, so that rows name no commit; what it names at its end can be pasted."""
    code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{package}.__file__' for package in PACKAGES)})"
    assert all(path.startswith(str(built / "environment")) for path in python("-c", code).split())
    study = ("--preset", "quick", "--dataset", str(write_tiny_data(built)), "--architectures", "unpool_only")
    counts = ("--trials", "1", "--seeds", "1", "--epochs", "1", "--concurrency", "1")
    flags = (*study, *counts, "--name", "tiny", "--no-report")
    assert "search" in python("-m", "study.launch", *flags, "--dry-run")
    assert not (built / "elsewhere" / "results").exists()
    said = command(f"cae-study run {shlex.join(flags)}").splitlines()
    trials = pd.read_parquet(built / "elsewhere" / "results" / "tiny" / "trials")
    assert set(trials["status"]) == {"complete"}
    assert set(trials["architecture"]) == {"unpool_only", "pca", "raw_pixels"}
    assert trials["git_commit"].isna().all()
    (proposed,) = (line.removeprefix("next:").strip() for line in said if line.startswith("next:"))
    assert proposed.startswith("cae-study report ")
    assert "report.html" in command(proposed)
    assert (built / "elsewhere" / "results" / "tiny" / "report" / "report.html").exists()


def test_the_installed_command_says_its_version_and_completes(command: Callable[[str], str]) -> None:
    """By its name on the PATH."""
    assert "cae-study, version" in command("cae-study --version")
    assert "complete" in command("_CAE_STUDY_COMPLETE=bash_source cae-study")
    completed = command("COMP_WORDS='cae-study tr' COMP_CWORD=1 _CAE_STUDY_COMPLETE=bash_complete cae-study")
    assert completed.split() == ["plain,train"]


@pytest.mark.parametrize("script", ["study/launch.py", "analysis/report.py"])
def test_a_python_without_the_package_is_told_which_one_has_it(script: str) -> None:
    """As where nobody activated the environment: `-S` leaves out what is installed, `-E` what PYTHONPATH names."""
    done = subprocess.run([sys.executable, "-ES", ROOT / script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cae-study is not installed for {sys.executable}\n")
    assert f".venv/bin/python {script}" in done.stderr
    assert "Traceback" not in done.stderr
