"""Every block of docs/models.md runs, from top to bottom, on the real study that its first block runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


CALL = """
import runpy, subprocess, sys
def call(*command):
    sys.argv = [*command]
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, command
"""
SMALLER = {
    'RunOptions(results_dir="results")': 'RunOptions(results_dir="results", concurrency=1, report=False)',
    'architectures=("model_4",))': 'architectures=("model_4",), trials=2, seeds=1, validation_seeds=1, epochs=4)',
}


def script() -> str:
    """Return the page as a script: its Python, and its commands where they stand; its study is small, without report.

    The first command of a program has a process of its own, as all have for a reader.
    """
    parts = [CALL]
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for shown, smaller in SMALLER.items():
        assert text.count(shown) == 1
        text = text.replace(shown, smaller)
    begun = set()
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            parts.append(block)
            continue
        for line in block.splitlines():
            program, file, *arguments = shlex.split(line)
            assert program == "python"
            command = [str(ROOT / file), *arguments]
            first = f"subprocess.run({[sys.executable, *command]!r}, check=True)"
            parts.append(f"call(*{command!r})" if file in begun else first)
            begun.add(file)
    return "\n".join(parts)


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """In an empty folder; the trial comes out the same, and files are where the page says."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", script()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(360, 10) (360, 28, 28)" in done.stdout
    (verdict,) = re.findall(r"^(\d+) of (\d+) values came out the same, (\d+) of them bit for bit$", done.stdout, re.M)
    assert len(set(verdict)) == 1
    (accuracy,) = re.findall(r"^([\d.]+)% of the test images$", done.stdout, re.M)
    assert float(accuracy) > 80
    assert {path.name for path in tmp_path.iterdir()} == {
        "results",
        "codes.parquet",
        "first.parquet",
        "study.db",
        "events",
        "trials.csv",
        "model_4-digits",
    }
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert len(trials) == 2 + 1 + 2  # two finalists, one of them confirmed, and two controls
    assert {path.name for path in (tmp_path / "events").iterdir()} == set(trials["trial_id"])
