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


def script() -> str:
    """Return the page as a script: its Python, and its commands where they stand; its study has no report."""
    parts = ["import subprocess"]
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    options = 'RunOptions(results_dir="results")'
    assert text.count(options) == 1
    text = text.replace(options, options.replace(")", ", concurrency=1, report=False)"))
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            parts.append(block)
            continue
        for line in block.splitlines():
            program, file, *arguments = shlex.split(line)
            assert program == "python"
            command = [sys.executable, str(ROOT / file), *arguments]
            parts.append(f"subprocess.run({command!r}, check=True)")
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
        "unpool_only-code4",
    }
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert len(trials) == 2 * 2 + 2 + 2 * 2  # two finalists of two seeds, two seeds confirmed and of two controls
    assert {path.name for path in (tmp_path / "events").iterdir()} == set(trials["trial_id"])
