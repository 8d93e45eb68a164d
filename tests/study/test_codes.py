"""What a study of one's own models and data leaves, used where neither is known: reproduction and codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from study.config.study_file import read_config
from tests.studies import exit_status, run_here

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
preset = "quick"
dataset = "mine.npz"
architectures = ["tiles"]
phases = ["confirm"]
arms = ["published"]
published_epochs = 1
recipe = "caffe"
seeds = 1
epochs = 1
batch_size = 20

[[models]]
name = "tiles"
label = "Tiles"
notation = "(conv, pool <-> unpool, deconv)"
encoder = { name = "pooled", kernels = [5, 5], pooled = true }
decoder = { name = "unpool", kernels = [4, 5, 5], unpooled = true }
published_filters = [3, 4]
pooling = "max"
unpooling = "tile"
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of the checkout in a process of its own, which has seen no model and no data."""
    script, *rest = map(str, arguments)
    return subprocess.run(
        [sys.executable, str(ROOT / script), *rest], capture_output=True, text=True, check=False, env=os.environ
    )


@pytest.mark.slow
def test_own_models_and_data_are_reproduced_and_encoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From study.json and the weights alone; data that moved are given by --dataset, other data refused."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "train_images": random.integers(0, 256, (60, 28, 28), np.uint8),
        "test_images": random.integers(0, 256, (20, 28, 28), np.uint8),
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    (tmp_path / "study.toml").write_text(STUDY)
    results = run_here(read_config(str(tmp_path / "study.toml")), tmp_path / "results")
    trial_id = "confirm-tiles-code10-published-01"

    same = run("study/launch.py", "--reproduce", trial_id, results)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "values came out the same" in same.stdout

    written = run("study/codes.py", results, trial_id, "--output", tmp_path / "codes.parquet")
    assert written.returncode == 0, written.stderr
    assert pq.read_table(tmp_path / "codes.parquet").num_rows == 80

    (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
    np.savez(tmp_path / "mine.npz", **{name: values[::-1] for name, values in arrays.items()})
    changed = run("study/codes.py", results, trial_id, "--output", tmp_path / "others.parquet")
    assert changed.returncode == 2 and "it has changed since" in changed.stderr
    assert not (tmp_path / "others.parquet").exists()
    (tmp_path / "mine.npz").unlink()
    assert exit_status(("--reproduce", trial_id, str(results))) == 2
    assert "mine.npz" in capsys.readouterr().err
    moved = run("study/launch.py", "--reproduce", trial_id, results, "--dataset", tmp_path / "moved.npz")
    assert moved.returncode == 0, moved.stderr
    assert exit_status(("--reproduce", trial_id, str(results), "--dataset", "digits")) == 2
    assert "SHA-256" in capsys.readouterr().err
