"""A module of the user's own through a whole study: searched, confirmed, trained again, loaded, shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow.parquet as pq
import pytest

from analysis import report
from analysis.optuna_export import write_optuna
from analysis.results import load_study
from study import codes, launch
from study.config.study_config import StudyConfig
from study.config.study_file import read_config, read_models
from study.models import load_model, train
from study.plan.plan import Plan
from study.storage import provenance
from study.storage.store import Store
from tests.documents import write_shown_files
from tests.faults.launches import find_tiny_data
from tests.studies import run_here, take_one
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.inference import TrainedModel

pytestmark = pytest.mark.slow

SHORT = {"trials": 5, "finalists": 2, "validation_seeds": 1, "seeds": 2, "epochs": 3, "dataset": find_tiny_data()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files of docs/extending.md."""
    folder = tmp_path_factory.mktemp("modules")
    write_shown_files("docs/extending.md", folder)
    return folder


@pytest.fixture(scope="module")
def config(files: Path) -> StudyConfig:
    """The study of the page, on tiny data and with a grid, of the module alone."""
    models = read_models(files / "my_module.py").models
    return read_config(str(files / "my_module.toml"), models=models, architectures=("perceptron",), **SHORT)


@pytest.fixture(scope="module", autouse=True)
def clean_checkout() -> Any:
    """A commit without changes, as for whoever does not work on the code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(provenance, "git_state", lambda: ("c" * 40, False))
        yield


@pytest.fixture(scope="module")
def study(config: StudyConfig, files: Path, clean_checkout: None) -> Path:
    """Its rows."""
    return run_here(config, files)


def test_every_trial_has_settings_of_the_space_and_the_confirmed_ones_are_the_winners(study: Path) -> None:
    """Trial 0 has the record's; those of a later round have their first round's."""
    rows = [row for row in Store(study).read_trials() if row["arm"] == "tuned"]
    assert {row["status"] for row in rows} == {"complete"}
    assert {(row["engine"], row["starting_weights"], row["activation"]) for row in rows} == {("plain", "module", None)}
    tried: dict[int, set[str]] = {}
    for row in rows:
        settings = json.loads(row["module_settings"])
        assert 16 <= settings["width"] <= 160 and settings["depth"] in (1, 2) and 0 <= settings["dropout"] <= 0.5
        if row["phase"] == "search":
            tried.setdefault(row["number"], set()).add(row["module_settings"])
    assert [len(each) for each in tried.values()] == [1] * 5
    assert json.loads(*tried[0]) == {"width": 64, "depth": 1, "dropout": 0.1}
    assert tried[0] == tried[1] == tried[2]
    assert len(set.union(*tried.values())) == 3
    confirmed = [row for row in rows if row["phase"] == "confirm"]
    assert {row["module_settings"] for row in confirmed} == tried[confirmed[0]["winner"]]
    assert {row["arm"] for row in Store(study).read_trials()} == {"tuned", "control"}


def test_its_rows_say_the_same_plan_again(study: Path, config: StudyConfig) -> None:
    """Whatever is missing of them: a study that goes on tries what it would have tried."""
    rows = Store(study).read_trials()
    assert Plan(config, rows).exhausted
    lost = [row for row in rows if row["phase"] == "search" and row["number"] in (3, 4)]
    plan = Plan(config, [row for row in rows if row["phase"] == "search" and row not in lost])
    again = {}
    while taken := take_one(plan):
        planned, trial_config = taken
        found = next(row for row in rows if row["trial_id"] == planned.trial_id)
        if trial_config is not None and planned.arm == "tuned":
            again[planned.trial_id] = trial_config.module_settings
            assert trial_config.module_settings == found["module_settings"]
        plan.finish(found)
    assert {row["trial_id"] for row in lost} <= set(again)


def test_a_loaded_model_gives_the_codes_of_the_rows(study: Path, config: StudyConfig) -> None:
    """Of the best of the cell, with the file of models; without it is said what to give."""
    model = load_model(study, "perceptron-code10", models=config.models)
    rows = [row for row in pq.read_table(study / "codes").to_pylist() if "perceptron" in row["trial_id"]]
    first = load_model(study, rows[0]["trial_id"], models=config.models)
    images = load_dataset(config.dataset).test.pixels
    made = first.encode(images).astype(np.float16)
    np.testing.assert_array_equal(made, np.array([row["code"] for row in rows], np.float16))
    assert model.decode(model.encode(images)).shape == images.shape
    with pytest.raises(InputError, match="perceptron, a module of your own, without the function that builds it"):
        load_model(study, "perceptron-code10")
    pictures = pq.read_table(study / "pictures").to_pylist()
    assert {row["kind"] for row in pictures if row["trial_id"] == rows[0]["trial_id"]} == {"walk"}


def test_its_codes_become_a_file_where_the_file_of_models_is_given(
    study: Path, files: Path, config: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that the loaded model gives; without the file nothing is written."""
    words = [str(study), "perceptron-code10", "--output", str(tmp_path / "codes.parquet")]
    assert codes.main(words) == 2
    assert "without the function that builds it" in capsys.readouterr().err
    assert codes.main([*words, "--models", str(files / "my_module.py")]) == 0
    written = [row["code"] for row in pq.read_table(tmp_path / "codes.parquet").to_pylist() if row["split"] == "test"]
    model = load_model(study, "perceptron-code10", models=config.models)
    np.testing.assert_array_equal(np.array(written, np.float32), model.encode(load_dataset(config.dataset).test.pixels))


def test_a_trial_of_it_comes_out_the_same_in_every_bit(
    study: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With dropout, search and confirmation alike; the file of models is asked for."""
    kept = ("confirm-perceptron-code10-tuned-02", "search-perceptron-code10-round3-grid0000-01")
    for trial_id in kept:
        assert launch.main(["--reproduce", trial_id, str(study), "--models", str(files / "my_module.py")]) == 0
        shown = capsys.readouterr().out
        assert "the same bits are expected" in shown
        assert re.search(r"\n(\d+) of \1 values came out the same, \1 of them bit for bit\n$", shown)
    assert launch.main(["--reproduce", kept[0], str(study)]) == 2
    assert "give it again: --models FILE" in capsys.readouterr().err


def test_the_report_shows_it_with_the_settings_that_won(study: Path, tmp_path: Path) -> None:
    """In the table of searches; its sizes are those that its trials counted."""
    assert report.main([str(study), "--output", str(tmp_path)]) == 0
    shown = (tmp_path / "report.md").read_text() + "".join(path.read_text() for path in tmp_path.rglob("*.md"))
    assert "a module of its own" in shown
    assert re.search(r'"depth": [12], "dropout": [0-9.]+, "width": \d+', shown)


def test_its_searches_go_to_optuna_with_its_settings(study: Path, tmp_path: Path) -> None:
    """Each as a parameter with the distribution of the space, in every round."""
    url = f"sqlite:///{tmp_path}/study.db"
    write_optuna(load_study(str(study)), url)
    names = [f"{study.name}/perceptron-code10-round{each}" for each in (1, 3)]
    assert optuna.get_all_study_names(url) == names
    trials = [trial for name in names for trial in optuna.load_study(study_name=name, storage=url).trials]
    assert {*trials[0].params} == {"learning_rate", "width", "depth", "dropout"}
    assert trials[0].distributions["width"] == optuna.distributions.IntDistribution(16, 160, log=True)
    searched = {row["trial_id"]: row for row in Store(study).read_trials() if row["phase"] == "search"}
    for trial in trials:
        settings = json.loads(searched[trial.user_attrs["trial_id"]]["module_settings"])
        assert {each: trial.params[each] for each in settings} == settings


def test_one_of_it_is_trained_without_a_study(config: StudyConfig, tmp_path: Path) -> None:
    """With the record's settings, and loaded with the record."""
    (row,) = config.models
    model = train(row, code_size=5, data=config.dataset, epochs=2, output=tmp_path / "one")
    again = load_model(tmp_path / "one", models=[row])
    images = load_dataset(config.dataset).test.pixels
    assert isinstance(again, TrainedModel)
    np.testing.assert_array_equal(again.encode(images), model.encode(images))
    assert again.settings.settings == {"width": 64, "depth": 1, "dropout": 0.1}


def test_images_that_do_not_fit_it_are_refused_before_it_is_trained(config: StudyConfig, tmp_path: Path) -> None:
    """By what its own code says of them."""
    pixels = np.zeros((80, 32, 32), np.uint8)
    np.savez(tmp_path / "large.npz", train_images=pixels[:60], test_images=pixels[60:])
    with pytest.raises(InputError, match=r"perceptron with .*: encode"):
        train(config.models[0], code_size=5, data=tmp_path / "large.npz", epochs=1)
