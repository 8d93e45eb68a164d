"""Rows converted for Optuna, TensorBoard and spreadsheets."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from tensorboardX.proto.event_pb2 import Event

from analysis import export
from analysis.export import write_csv
from analysis.optuna_export import _distributions, open_storage
from analysis.results import SEARCHED, StudyResults, load_study
from study.config.presets import study_config
from study.plan.identity import make_identity
from tests.synthetic import write_synthetic_study
from trainables.trial_config import RECIPES


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic study of two cells, whose searches had trials of every status."""
    folder = tmp_path_factory.mktemp("export") / "study"
    return write_synthetic_study(folder, architectures=("model_1", "model_4"), code_sizes=(10,))


@pytest.fixture(scope="module")
def results(study: Path) -> StudyResults:
    """Its rows."""
    return load_study(study)


@contextlib.contextmanager
def optuna_studies(url: str) -> Iterator[dict[str, optuna.Study]]:
    """Give the studies of a storage by name."""
    with open_storage(url) as storage:
        names = optuna.get_all_study_names(storage)
        yield {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def test_each_cell_is_an_optuna_study_in_order(study: Path, results: StudyResults, tmp_path: Path) -> None:
    """With parameters, values by epoch, and states as the rows have them."""
    url = f"sqlite:///{tmp_path}/study.db"
    assert export.main([str(study), "--optuna", url]) == 0
    name = results.studies[0].name
    with optuna_studies(url) as studies:
        assert set(studies) == {f"{name}/model_1-code10", f"{name}/model_4-code10"}
        trials, best = (getattr(studies[f"{name}/model_4-code10"], what) for what in ("trials", "best_trial"))
    rows = results.trials.query("phase == 'search' and architecture == 'model_4'").sort_values("number")
    assert [trial.user_attrs["trial_id"] for trial in trials] == rows["trial_id"].tolist()
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    assert [trial.state for trial in trials] == [states.get(status, TrialState.FAIL) for status in rows["status"]]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    for trial, row in zip(trials, rows.to_dict("records"), strict=True):
        expected = {parameter: row[parameter] for parameter in SEARCHED}
        assert trial.params == pytest.approx(expected)
        curve = results.epochs[results.epochs["trial_id"] == row["trial_id"]].set_index("epoch")[
            "validation_cross_entropy"
        ]
        assert trial.intermediate_values == pytest.approx(curve.dropna().to_dict())
        if row["status"] in states:
            assert trial.value == row["validation_cross_entropy"]
        assert trial.datetime_start is not None
        assert trial.datetime_start.astimezone() == row["started_at"]
    complete = rows[rows["status"] == "complete"].set_index("trial_id")["validation_cross_entropy"]
    assert best.user_attrs["trial_id"] == complete.idxmin()


def test_values_are_those_of_the_metric_that_a_search_minimises(study: Path, tmp_path: Path) -> None:
    """At the end and after each epoch; the study says which column."""
    copy = shutil.copytree(study, tmp_path / "squared")
    manifest = json.loads((copy / "study.json").read_text())
    manifest["identity"] = manifest.get("identity", {}) | {"search_metric": "squared_error"}
    (copy / "study.json").write_text(json.dumps(manifest))
    url = str(tmp_path / "study.log")
    assert export.main([str(copy), "--optuna", url]) == 0
    results = load_study(copy)
    rows = results.trials.query("phase == 'search' and architecture == 'model_4'").set_index("trial_id")
    with optuna_studies(url) as studies:
        found = studies[f"{results.studies[0].name}/model_4-code10"]
        assert found.user_attrs["metric"] == "validation_squared_error"
        trials = found.trials
    for trial in trials:
        trial_id = trial.user_attrs["trial_id"]
        curve = results.epochs[results.epochs["trial_id"] == trial_id].set_index("epoch")["validation_squared_error"]
        assert trial.intermediate_values == pytest.approx(curve.dropna().to_dict())
        assert trial.state == TrialState.FAIL or trial.value == rows["validation_squared_error"][trial_id]
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) > 5


def test_the_same_command_adds_what_has_ended_since(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trials that are there stay as they are."""
    url = f"sqlite:///{tmp_path}/study.db"
    fewer = write_synthetic_study(tmp_path / "fewer", architectures=("model_1",), code_sizes=(10,))
    assert export.main([str(fewer), "--optuna", url]) == 0
    assert "12 of 12 search trials added" in capsys.readouterr().out
    assert export.main([str(study), "--optuna", url]) == 0
    assert "12 of 24 search trials added" in capsys.readouterr().out
    with optuna_studies(url) as studies:
        assert [len(one.trials) for one in studies.values()] == [12, 12]
    manifest = json.loads((fewer / "study.json").read_text())
    (fewer / "study.json").write_text(json.dumps(manifest | {"study_sha256": None}))
    assert export.main([str(fewer), "--optuna", url]) == 2
    assert "has trials of another study called synthetic" in capsys.readouterr().err


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return the scalars of a folder of event files, by tag and step.

    Source: TensorBoard's records: length in 8 bytes, its checksum in 4, the message, its checksum in 4.
    """
    found: dict[str, dict[int, float]] = {}
    (file,) = folder.iterdir()
    content = file.read_bytes()
    at = 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + size])
        at += 16 + size
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_each_trial_has_events_of_its_losses_and_scores(study: Path, results: StudyResults, tmp_path: Path) -> None:
    """One folder a trial; single precision, as TensorBoard has it."""
    assert export.main([str(study), "--tensorboard", str(tmp_path / "events")]) == 0
    assert {path.name for path in (tmp_path / "events").iterdir()} == set(results.trials["trial_id"])
    trial_id = "confirm-model_4-10-tuned-1"
    shown = scalars(tmp_path / "events" / trial_id)
    curve = results.epochs[results.epochs["trial_id"] == trial_id].set_index("epoch")
    assert shown["train_cross_entropy"] == pytest.approx(curve["train_cross_entropy"].to_dict(), rel=1e-6)
    assert "validation_cross_entropy" not in shown
    scores = results.scores[results.scores["trial_id"] == trial_id]
    error = scores.query("evaluator == 'linear_classifier' and metric == 'error'")["value"].item()
    assert shown["test_linear_classifier/error"] == pytest.approx({4: error}, rel=1e-6)


def test_the_table_has_a_row_a_trial_and_a_column_a_score(study: Path, results: StudyResults, tmp_path: Path) -> None:
    """Nothing is lost or doubled."""
    file = tmp_path / "trials.csv"
    assert export.main([str(study), "--csv", str(file)]) == 0
    frame = pd.read_csv(file).set_index("trial_id")
    assert sorted(frame.index) == sorted(results.trials["trial_id"])
    score: dict[Any, Any] = results.scores.iloc[7].to_dict()
    name = f"{score['split']}_{score['evaluator']}_{score['metric']}"
    assert frame[name][score["trial_id"]] == pytest.approx(score["value"])
    assert frame.filter(regex="^(train|test)_.*").notna().to_numpy().sum() >= len(results.scores)
    write_csv(replace(results, scores=results.scores[:0]), str(file))  # as while only a search has ended
    assert sorted(pd.read_csv(file)["trial_id"]) == sorted(frame.index)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--optuna", "study.db"], "Optuna storage study.db"),
        (["--optuna", "sqlite:///missing/study.db"], "Optuna storage sqlite:///missing/study.db"),
        (["--optuna", "missing/study.log"], "Optuna storage missing/study.log"),
        (["--csv", "missing/trials.csv"], "--csv missing/trials.csv"),
        (["--tensorboard", "."], "holds files already"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused(
    study: Path,
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit status 2, one screen, nothing created."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text("mine")
    assert export.main([str(study), *arguments]) == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert len(shown.err.splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["own.txt"]


def test_a_study_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is written."""
    assert export.main([str(tmp_path / "nowhere"), "--csv", str(tmp_path / "trials.csv")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_write_is_a_mistake(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three formats are named."""
    with pytest.raises(SystemExit) as stopped:
        export.main([str(study)])
    assert stopped.value.code == 2
    assert "--tensorboard or --csv" in capsys.readouterr().err


def test_a_control_has_the_ranges_of_its_own_recipe() -> None:
    """The classic auto-encoder of preset sample has no weight decay to search, where the models' is on a log scale."""
    manifest = {"config": {"recipe": "muon"}, "identity": make_identity(study_config("sample"), "sha")}
    trials = pd.DataFrame(
        {"recipe": "modern", "learning_rate": [0.01, 0.02], "weight_decay": 0.0, "budget_share": None}
    )
    trials = trials.assign(filters_ratio=None, filters_1=None, filters_2=None)
    assert {*_distributions(trials, manifest)} == {"learning_rate"}
    found = _distributions(trials.assign(recipe="muon", weight_decay=[0.02, 0.1]), manifest)
    assert (found["weight_decay"].low, found["weight_decay"].high) == RECIPES["muon"].weight_decay_range
