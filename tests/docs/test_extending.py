"""docs/extending.md as it is written: own models, own data and a study file, from the files to the tables."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray.cloudpickle
import torch

from analysis import report
from study import launch
from study.config.presets import study_config
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.config.study_file import read_config, read_models
from study.execution.recorder import make_batch
from study.plan.plan import Plan
from study.plan.planned_trial import make_trial_config
from tests.documents import ROOT, write_shown_files
from tests.tiny import write_tiny_data
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.training.training import Training, scale_pixels

SHOWN = ["my_models.py", "my_module.py", "my_module.toml", "my_objective.py", "my_images.py", "my_study.toml"]
MAINS = {"study/launch.py": launch.main, "analysis/report.py": report.main}


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


def test_the_objective_of_the_page_is_trained_where_its_file_is_not_known(tmp_path: Path) -> None:
    """As a worker is sent it, by value; its penalty makes codes smaller, the stronger the more."""
    assert write_shown_files("docs/extending.md", tmp_path) == SHOWN
    own = read_models(tmp_path / "my_objective.py")
    assert own.models == ()
    config = study_config("quick", architectures=("model_4",), own_objectives=own.objectives)
    assert [str(cell) for cell in config.list_cells(10)] == ["model_4-code10", "model_4-code10-small_code"]
    sent = ray.cloudpickle.loads(ray.cloudpickle.dumps(config.find_objective("small_code")))
    pixels = torch.from_numpy(np.array(load_dataset("digits").training.pixels[:64]))
    sizes = []
    for strength in sent.strengths:
        base = make_trial_config(config, Cell("model_4", 10, "small_code"), "modern", filters=(3, 2), epochs=15)
        assert base.objective_strength == 1
        training = Training(dataclasses.replace(base, objective_strength=strength), 1, pixels, objective=sent)
        while not training.done:
            assert training.train_epoch().finite
        sizes.append(training.model.encode(scale_pixels(pixels)).abs().sum().item())
    assert sizes == sorted(sizes, reverse=True)


def test_the_module_of_the_page_is_trained_where_its_file_is_not_known(tmp_path: Path) -> None:
    """As a worker is sent it, by value, with what the file imports; it learns."""
    write_shown_files("docs/extending.md", tmp_path)
    own = read_models(tmp_path / "my_module.py")
    config = read_config(str(tmp_path / "my_module.toml"), models=own.models, epochs=2)
    taken = Plan(dataclasses.replace(config, architectures=("perceptron",)), ()).take()
    assert taken is not None
    (tmp_path / "sent").write_bytes(ray.cloudpickle.dumps(make_batch(*taken, config)))
    (tmp_path / "my_module.py").unlink()
    code = (
        "import pickle, torch; from trainables.data.datasets import load_dataset; "
        "from trainables.run_trial import run_trial; batch = pickle.load(open('sent', 'rb')); "
        "reports = list(run_trial(batch, load_dataset('digits'), torch.device('cpu'))); "
        "print(reports[-1].outcome.status, *(each.epoch.validation_cross_entropy for each in reports))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    status, first, second = ran.stdout.split()
    assert status == "complete"
    assert float(second) < float(first) < 28 * 28 * np.log(2)


def test_what_is_no_objective_is_refused_with_its_line(tmp_path: Path) -> None:
    """A name that is taken, strengths out of order, or something else altogether."""
    good = (ROOT / "docs" / "extending.md").read_text().partition("# my_objective.py")[2].partition("```")[0]
    for before, after, told in [
        ('"small_code"', '"denoising"', "line 13: an objective called denoising, which is built in"),
        ("(0.1, 1.0, 10.0)", "(1.0, 0.1, 10.0)", "line 13: small_code: strengths"),
        ("OBJECTIVES = [", "OBJECTIVES = [3, ", "line 11: OBJECTIVES is"),
        ("10.0),", "10.0), outputs_per_unit=2,", "line 13: small_code: outputs_per_unit 2 without read_code"),
    ]:
        path = tmp_path / "wrong.py"
        path.write_text(good.replace(before, after))
        with pytest.raises(InputError, match=re.escape(told)):
            read_models(path)


@pytest.mark.slow
def test_the_example_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, tables and weights know the models; the study's own file goes on with it and finds nothing left to do.

    What makes images and what trains have processes of their own.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert write_shown_files("docs/extending.md", tmp_path) == SHOWN
    printed: list[str] = []
    for program, script, *arguments in commands("A study"):
        assert program == "python"
        path = ROOT / script if (ROOT / script).exists() else tmp_path / script
        if script == "study/launch.py" and "--dry-run" not in arguments:  # The command after it makes the report.
            arguments += ["--no-report", "--concurrency", "1", "--seeds", "1"]
        if script in MAINS and len(printed) != 2:
            assert MAINS[script](arguments) == 0
            printed.append(capsys.readouterr().out)
        else:
            done = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            printed.append(done.stdout)
        if "--dry-run" in arguments:
            assert "22 in all" in printed[-1]
            assert not (tmp_path / "results").exists()
    study = tmp_path / "results" / "my_study-my_images"
    manifest = json.loads((study / "study.json").read_text())
    assert [row["name"] for row in manifest["models"]] == ["relu_tile", "three_steps"]
    trials = pd.read_parquet(study / "trials")
    assert set(trials["dataset"]) == {"my_images"}
    assert (trials["status"] != "failed").all()
    counts = trials[trials["architecture"] == "relu_tile"].groupby("phase").size()
    assert counts.to_dict() == {"search": 4, "confirm": 1}
    assert "ReLU tile" in printed[3]
    assert "unpool (tile, relu), deconv)" in (study / "report" / "report.md").read_text()
    assert f"{len(trials)} of {len(trials)} trials are done already" in printed[-1]
    # In a process that has never heard of the row:
    (weights,) = (study / "weights").glob("confirm-relu_tile-code10-tuned-01-*.safetensors")
    code = (
        "import sys; from trainables.checkpoint import load_checkpoint; model = load_checkpoint(sys.argv[1]); "
        "print(model.architecture.label, model.unpooling, model.code_size)"
    )
    loaded = subprocess.run([sys.executable, "-c", code, str(weights)], capture_output=True, text=True, check=True)
    assert loaded.stdout == "ReLU tile tile 10\n"


@pytest.mark.slow
def test_the_module_of_the_page_is_searched_by_ray_and_goes_on_from_the_studys_own_file(tmp_path: Path) -> None:
    """The search by the first command, what is left by the second, whose configuration is the search's winner.

    Of fewer and smaller images than on the page.
    """
    write_shown_files("docs/extending.md", tmp_path)
    data = str(write_tiny_data(tmp_path))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    short = ["--architectures", "perceptron", "--trials", "2", "--epochs", "3", "--seeds", "1", "--dataset", data]
    phases = [["search"], ["search", "confirm"]]
    for (program, script, *arguments), phase in zip(commands("A module"), phases, strict=True):
        assert (program, script) == ("python", "study/launch.py")
        arguments = [word.replace("my_module-digits", "my_module-tiny") for word in arguments]
        arguments += [*short, "--phase", *phase, "--no-report", "--concurrency", "1"]
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    study = tmp_path / "results" / "my_module-tiny"
    trials = pd.read_parquet(study / "trials")
    trained = trials[trials["arm"] == "tuned"]
    assert (trained["status"] == "complete").all()
    assert set(trained["engine"]) == {"plain"}
    search, confirmed = (trained[trained["phase"] == phase] for phase in ("search", "confirm"))
    assert search["started_at"].max() < confirmed["started_at"].min()
    assert len(confirmed) == 1
    winner = search[search["number"] == confirmed["winner"].iloc[0]]
    assert set(confirmed["module_settings"]) == set(winner["module_settings"])
    assert {json.loads(each)["width"] for each in search[search["number"] == 0]["module_settings"]} == {64}
    (row,) = json.loads((study / "study.json").read_text())["models"]
    assert row["space"]["depth"] == {"distribution": "CategoricalDistribution", "choices": [1, 2]}


def test_every_field_of_a_study_file_is_in_the_table() -> None:
    """With its default, but for what a file cannot have: rows of its own stand in another."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*?) ?\|$", page, re.MULTILINE))
    for field in dataclasses.fields(StudyConfig):
        if field.name in ("preset", "models", "own_objectives"):
            continue
        if field.default is dataclasses.MISSING or field.default in (None, ()):
            assert rows[field.name] in ("", "none"), field.name
        else:
            assert rows[field.name] == f"`{json.dumps(field.default)}`", field.name
