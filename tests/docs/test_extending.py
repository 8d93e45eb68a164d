"""docs/extending.md as it is written: own models, own data and a study file, from the files to the tables."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study.config.study_file import read_models
from tests.documents import ROOT, write_shown_files


def commands(heading: str) -> list[list[str]]:
    """Return the shell commands of a section of the page."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, flags=re.S)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line]


def test_the_readme_adds_a_model_in_five_lines(tmp_path: Path) -> None:
    """Its row is accepted."""
    assert write_shown_files("README.md", tmp_path) == ["my_models.py"]
    assert len((tmp_path / "my_models.py").read_text().splitlines()) <= 1 + 5
    assert [row.name for row in read_models(tmp_path / "my_models.py").models] == ["relu_tile"]


@pytest.mark.slow
def test_the_example_runs_as_it_is_written(tmp_path: Path) -> None:
    """Rows, tables and weights know the models; the study's own file goes on with it and finds nothing left to do."""
    assert write_shown_files("docs/extending.md", tmp_path) == ["my_models.py", "my_images.py", "my_study.toml"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    printed = []
    for program, script, *arguments in commands("A study"):
        assert program == "python"
        path = ROOT / script if (ROOT / script).exists() else tmp_path / script
        done = subprocess.run(
            [sys.executable, str(path), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
        if "--dry-run" in arguments:
            assert not (tmp_path / "results").exists()
    study = tmp_path / "results" / "my_study-my_images"
    manifest = json.loads((study / "study.json").read_text())
    assert [row["name"] for row in manifest["models"]] == ["relu_tile", "three_steps"]
    trials = pd.read_parquet(study / "trials")
    assert set(trials["dataset"]) == {"my_images"}
    assert (trials["status"] != "failed").all()
    counts = trials[trials["architecture"] == "relu_tile"].groupby("phase").size()
    assert counts.to_dict() == {"search": 4, "confirm": 2}
    assert "ReLU, tile" in printed[3]
    assert "unpool (tile, relu), deconv)" in (study / "report" / "report.md").read_text()
    assert f"{len(trials)} of {len(trials)} trials are done already" in printed[-1]
    # In a process that has never heard of the row:
    (weights,) = (study / "weights").glob("confirm-relu_tile-code10-tuned-01-*.safetensors")
    code = (
        "import sys; from trainables.checkpoint import load_checkpoint; model = load_checkpoint(sys.argv[1]); "
        "print(model.architecture.label, model.unpooling, model.code_size)"
    )
    loaded = subprocess.run([sys.executable, "-c", code, str(weights)], capture_output=True, text=True, check=True)
    assert loaded.stdout == "ReLU, tile tile 10\n"
