"""Whole studies on a real local Ray: rows, resuming, determinism, interruptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from jupyter_client.manager import start_new_kernel

from analysis.optuna_export import open_storage
from study.config.options import RunOptions
from study.config.presets import study_config
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.run import _conclude
from study.storage.store import Store
from tests.faults.launches import NAME, TIMES
from tests.studies import small_config
from tests.tiny import write_tiny_data
from trainables.training.devices import name_engine

LAUNCH = str(Path(__file__).resolve().parents[2] / "study" / "launch.py")
ARCHITECTURES = ("model_3", "unpool_only")
PHASES = ("search", "confirm", "ablate")
TINY = (
    *("--preset", "quick", "--architectures", *ARCHITECTURES, "--trials", "4", "--seeds", "2", "--epochs", "3"),
    *("--phase", *PHASES, "--factors", "unpooling"),
)

pytestmark = pytest.mark.slow


def launch(results: Path, *arguments: str, script: Sequence[str] = (LAUNCH,)) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, on the tiny data beside its results."""
    data = write_tiny_data(results.parent)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, *script, *TINY, "--dataset", str(data), "--results-dir", str(results), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=results.parent,
    )


def finished(results: Path, *arguments: str, **how: Any) -> str:
    """Run the command line to its end, which must be a success, and return what it printed."""
    process = launch(results, *arguments, **how)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    return out


def rows(results: Path, table: str) -> pd.DataFrame:
    """Read a table of the study as README says, in a fixed order."""
    # Arrow's types, in which a seed stays a whole number beside the controls that have none.
    frame = pd.read_parquet(results / NAME / table, dtype_backend="pyarrow")
    keys = {"trials": ["trial_id"], "epochs": ["trial_id", "epoch"]}
    return frame.sort_values(keys.get(table, ["trial_id", "split", "evaluator", "metric"])).reset_index(drop=True)


def planned_ids(trials: pd.DataFrame) -> list[str]:
    """Return the ids of the tiny study's plan, by what its search has decided."""
    config = study_config(
        "quick", architectures=ARCHITECTURES, trials=4, seeds=2, epochs=3, phases=PHASES, factors=("unpooling",)
    )
    known: list[dict[Any, Any]] = trials.to_dict("records")
    return sorted(planned.trial_id for planned in plan_trials(config, known))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A complete study, one trial at a time, and what it printed."""
    results = tmp_path_factory.mktemp("complete") / "results"
    return results, finished(results, "--concurrency", "1")


def test_every_planned_trial_ends_once_with_its_rows(complete: tuple[Path, str]) -> None:
    """Search trials have validation figures, confirmed ones scores, weights and codes."""
    results, _ = complete
    trials = rows(results, "trials")
    assert trials.trial_id.tolist() == planned_ids(trials)
    assert set(trials.status) == {"complete"}
    assert (trials.status[trials.phase != "search"] == "complete").all()
    searched = trials[(trials.phase == "search") & (trials.status == "complete")]
    assert searched.validation_cross_entropy.notna().all()
    epochs = rows(results, "epochs").groupby("trial_id").size()
    trained = trials[trials.arm != "control"].set_index("trial_id")
    assert epochs.to_dict() == trained.epochs.to_dict()
    scores = rows(results, "scores")
    assert set(scores.trial_id) == set(trials.trial_id[trials.phase != "search"])
    assert scores.value.notna().all()
    weights = {path.stem for path in (results / NAME / "weights").iterdir()}
    assert weights == set(trials.trial_id[(trials.phase == "confirm") & (trials.arm != "control")])
    codes = pd.read_parquet(results / NAME / "codes")
    assert codes.groupby("trial_id").size()["confirm-pca-code10"] == 60


def test_ablations_change_their_factor_and_pair_with_the_confirmed_trials(complete: tuple[Path, str]) -> None:
    """Model 3 with three other kinds of unpooling; the rest as confirmed."""
    trials = rows(complete[0], "trials")
    ablated = trials[trials.phase == "ablate"]
    assert set(ablated.level) == set(ablated.unpooling) == {"corner", "tile", "average"}
    base = trials[(trials.trial_id.str.startswith("confirm-model_3")) & (trials.arm == "tuned")]
    for column in ("learning_rate", "filters_1", "filters_2", "activation", "pooling", "optimizer"):
        assert set(ablated[column]) == set(base[column]), column
    assert set(ablated.seed) == set(base.seed)


def test_search_goes_by_rounds_within_cells(complete: tuple[Path, str]) -> None:
    """Four trials of two epochs, two finalists of three with two seeds; each trains to its end."""
    trials = rows(complete[0], "trials")
    searched = trials[trials.phase == "search"]
    assert (searched.epochs == searched.epochs_planned).all()
    assert set(searched.sampler) == {"grid"}
    counts = searched.groupby(["architecture", "round", "epochs"]).size()
    assert counts.to_dict() == {(name, *each): 4 for name in ARCHITECTURES for each in ((1, 2), (3, 3))}
    confirmed = trials[(trials.phase == "confirm") & (trials.arm == "tuned")]
    assert (confirmed.winner_gain >= 0).all()


def test_rows_say_which_code_data_versions_and_hardware_made_them(complete: tuple[Path, str]) -> None:
    """No provenance column is empty."""
    trials = rows(complete[0], "trials")
    for column in ("study_sha256", "dataset_sha256", "versions", "host", "device", "started_at", "finished_at"):
        assert trials[column].notna().all(), column
    assert set(trials.engine[trials.arm != "control"]) == {name_engine(torch.device("cpu"))}
    assert {"python", "torch", "ray", "optuna"} <= set(json.loads(trials.versions[0]))
    manifest = json.loads((complete[0] / NAME / "study.json").read_text())
    assert manifest["study_sha256"] == trials.study_sha256[0]


def test_a_folder_of_results_holds_data_and_no_code(complete: tuple[Path, str]) -> None:
    """Parquet, JSON, the study file and safetensors, beside the pages and figures of the report."""
    folder = complete[0] / NAME
    files = [path for path in folder.rglob("*") if path.is_file() and folder / "report" not in path.parents]
    assert {path.suffix for path in files if not path.name.startswith(".")} == {
        ".parquet",
        ".json",
        ".toml",
        ".safetensors",
    }


def test_the_tables_name_every_architecture_and_control(complete: tuple[Path, str]) -> None:
    """What the launcher prints at its end."""
    for label in ("Model 3", "Unpool only", "PCA"):
        assert label in complete[1]


def test_a_complete_study_launched_again_runs_nothing(complete: tuple[Path, str], tmp_path: Path) -> None:
    """It prints the tables again, and gives its searches to a storage of Optuna where one is named."""
    before = rows(complete[0], "trials")
    made = {file: file.stat().st_mtime_ns for file in (complete[0] / NAME).rglob("*") if not file.name.startswith(".")}
    url = f"sqlite:///{tmp_path}/study.db"
    out = finished(complete[0], "--concurrency", "1", "--optuna-storage", url)
    with open_storage(url) as storage:
        searches = {summary.study_name: summary.n_trials for summary in optuna.get_all_study_summaries(storage)}
    assert searches == {f"{NAME}/{name}-code10-round{each}": 4 for name in ARCHITECTURES for each in (1, 3)}
    assert "done already" in out
    assert "PCA" in out
    assert made == {file: file.stat().st_mtime_ns for file in made}
    pd.testing.assert_frame_equal(rows(complete[0], "trials"), before)


SEVERAL_SEEDS = """
import sys
from study import launch
from study.execution import tuner as tuning

tuning.SEEDS_AT_ONCE = {"cpu": 2}
sys.exit(launch.main(sys.argv[1:]))
"""


def test_the_same_seed_gives_the_same_rows_however_it_is_launched(complete: tuple[Path, str], tmp_path: Path) -> None:
    """Stopped by its time budget, then with both seeds of a configuration in one trial of Tune's.

    Trials that were cut off are owed again and not taken for pruned; what had ended is not run again.
    """
    results = tmp_path / "results"
    out = finished(results, "--concurrency", "2", "--time-budget", "0.002", "--no-report")
    assert "still pending" in out
    ended = {row["trial_id"]: row["finished_at"] for row in Store(results / NAME).read_trials()}
    finished(results, "--concurrency", "1", "--no-report", script=("-c", SEVERAL_SEEDS))
    trials = rows(results, "trials")
    assert trials.trial_id.tolist() == planned_ids(trials)
    assert len(ended) < len(trials)
    assert ended.items() <= dict(zip(trials.trial_id, trials.finished_at, strict=True)).items()
    for table in ("trials", "epochs", "scores"):
        ours, theirs = rows(results, table), rows(complete[0], table)
        drop = [column for column in TIMES if column in ours]
        pd.testing.assert_frame_equal(ours.drop(columns=drop), theirs.drop(columns=drop), check_exact=True)


NOTEBOOK = """
from study.config.options import RunOptions
from study.config.presets import study_config
from study.run import run

config = study_config("quick", architectures=("unpool_only",), trials=1, epochs=1, seeds=1)
launched = run(config, RunOptions(results_dir={results!r}, concurrency=1, report=False))
print("ended with", launched.status, sorted(set(launched.load().trials["architecture"])))
"""


def test_a_study_runs_in_a_notebook(tmp_path: Path) -> None:
    """In a real kernel, whose standard output cannot be pickled, with the same lines and the rows as frames."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    said: list[str] = []

    def listen(message: dict[str, Any]) -> None:
        content = message["content"]
        said.append(content.get("text") or "\n".join(content.get("traceback", ())))

    try:
        cell = NOTEBOOK.format(results=str(tmp_path / "results"))
        reply = client.execute_interactive(cell, timeout=300, output_hook=listen)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    text = "".join(said)
    assert reply["content"]["status"] == "ok", text
    assert "ended with 0 ['pca', 'raw_pixels', 'unpool_only']" in text
    assert "estimate:" in text and "confirm-unpool_only-code10-tuned-01" in text
    assert "--phase" not in text  # no command was typed


def test_what_was_cut_off_is_pending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A time budget may end while the last trials run; the next command is then the same one."""
    plan = Plan(small_config(architectures=("model_1",), phases=("search",), trials=2), ())
    while plan.take() is not None:
        pass
    with Store(tmp_path / "study") as store:
        assert _conclude(plan, store, RunOptions(report=False, command=("study/launch.py",))) == 0
    said = capsys.readouterr().out
    assert f"{plan.total} of {plan.total} trials are still pending" in said
    assert "study/launch.py\n" in said
