"""A search by rounds on a real Ray: what is tried, who goes on and who wins do not depend on how it is run."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from analysis import export
from analysis.optuna_export import open_storage
from analysis.provenance import list_missing
from analysis.results import load_study
from analysis.tables.costs import search
from analysis.tables.table import Table
from study.config.study_file import read_config
from study.plan.rounds import list_rounds
from study.plan.trials import plan_trials
from tests.faults.launches import NAME, Launch
from tests.studies import run_here
from tests.tiny import write_tiny_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STUDY = f"""
name = "{NAME}"
dataset = "tiny.npz"
architectures = ["unpool_only"]
code_sizes = [2, 3]
phases = ["search", "confirm"]
arms = ["tuned"]
trials = 10
generation_size = 4
finalists = 2
validation_seeds = 2
seeds = 1
epochs = 9
batch_size = 50
"""
SETTINGS = ["round", "number", "seed", "status", "configuration", "sampler", "winner", "winner_gain", "learning_rate"]
SETTINGS += ["filters_1", "filters_2", "epochs", "validation_cross_entropy", "validation_squared_error"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study file, beside its data."""
    folder = tmp_path_factory.mktemp("rounds")
    write_tiny_data(folder)
    (folder / "rounds.toml").write_text(STUDY)
    return folder / "rounds.toml"


def read_settings(folder: Path) -> pd.DataFrame:
    """Return what was trained, and what came out, by trial."""
    frame = pd.read_parquet(folder / "trials", dtype_backend="pyarrow")
    return frame.set_index("trial_id").sort_index()[SETTINGS]


def run_on_ray(study: Path, results: Path, kills: int) -> pd.DataFrame:
    """Run the study, two trials at a time, killed so often on its way and continued; no word but the end is said."""
    results.parent.mkdir()
    total = len(list(plan_trials(read_config(str(study)))))
    flags = ("--preset", str(study), "--concurrency", "2", "--quiet", "--no-report")
    for kill in range(1, kills + 1):
        launch = Launch(results, *flags)
        try:
            launch.wait_for_rows(kill * total // (kills + 4))
            launch.process.kill()
        finally:
            launch.kill()
    said = Launch(results, *flags).finish()
    assert re.fullmatch(r"results: .*\nnext:   \S*python \S*analysis/report\.py .*\n(then:   .*\n)?", said), said
    return read_settings(results / NAME)


@pytest.fixture(scope="module")
def undisturbed(study: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The study, one trial after the other, without Ray."""
    return read_settings(run_here(read_config(str(study)), tmp_path_factory.mktemp("undisturbed")))


def test_every_trial_of_the_plan_is_there_round_by_round(study: Path, undisturbed: pd.DataFrame) -> None:
    """Ten trials of two epochs, the best four of three, two finalists of nine with two seeds, one of them trial 0."""
    config = read_config(str(study))
    assert [(each.trials, each.epochs, each.seeds) for each in list_rounds(config)] == [
        (10, 2, 1),
        (4, 3, 1),
        (2, 9, 2),
    ]
    rows: list[dict[Any, Any]] = undisturbed.reset_index().to_dict("records")
    assert set(undisturbed.index) == {planned.trial_id for planned in plan_trials(config, [row for row in rows])}
    searched = undisturbed[undisturbed["round"].notna() & undisturbed.index.str.contains("code2-")]
    assert searched.groupby("round").size().to_dict() == {1: 10, 2: 4, 3: 4}
    assert 0 in set(searched.loc[searched["round"] == 3, "number"])
    finals = searched[searched["round"] == 3].groupby("number")["validation_cross_entropy"].mean()
    confirmed = undisturbed[undisturbed["winner"].notna() & undisturbed.index.str.contains("code2-")].iloc[0]
    assert confirmed["winner"] == finals.idxmin()
    assert confirmed["winner_gain"] == pytest.approx(finals[0] - finals.min())


def test_a_search_of_squared_error_is_decided_told_and_exported_by_it(study: Path, tmp_path: Path) -> None:
    """From a study file: who goes on, who wins, the table of the report, and what Optuna is told after each epoch."""
    changes = (
        ("code_sizes = [2, 3]", "code_sizes = [2]"),
        ("trials = 10", 'trials = 4\nsearch_metric = "squared_error"'),
    )
    text = functools.reduce(lambda text, change: text.replace(*change), changes, STUDY)
    (file := study.parent / "squared.toml").write_text(text)
    folder, url = run_here(read_config(str(file)), tmp_path), str(tmp_path / "study.log")
    trials = read_settings(folder)
    first, last = (trials[trials["round"] == each] for each in (1, 3))
    best = first.set_index("number")["validation_squared_error"].sort_values().index
    assert set(last["number"]) == {0, next(number for number in best if number != 0)}
    means = last.groupby("number")[["validation_cross_entropy", "validation_squared_error"]].mean()
    squared = means["validation_squared_error"].to_dict()
    winner = min(squared, key=squared.__getitem__)
    confirmed = trials[trials["winner"].notna()].iloc[0]
    assert confirmed["winner"] == winner
    entropies = means["validation_cross_entropy"].to_dict()
    assert confirmed["winner_gain"] == pytest.approx(entropies[0] - entropies[winner])
    results = load_study(folder)
    assert list_missing(results) == []
    table = search(results)
    assert isinstance(table, Table)
    assert table.frame["best_validation_squared_error"].item() == pytest.approx(squared[winner])
    assert export.main([str(folder), "--optuna", url]) == 0
    with open_storage(url) as storage:
        tried = optuna.load_study(study_name=f"{NAME}/unpool_only-code2-round1", storage=storage).trials
    assert [trial.value for trial in tried] == first.sort_values("number")["validation_squared_error"].tolist()
    assert all(trial.intermediate_values[2] == trial.value for trial in tried)


@pytest.mark.fault("launcher: SIGKILL in a search of rounds")
@pytest.mark.parametrize("kills", [0, 1, 5])
def test_concurrency_and_interruptions_change_no_suggestion_promotion_or_winner(
    kills: int, study: Path, undisturbed: pd.DataFrame, tmp_path: Path, every_fault: bool
) -> None:
    """Two trials at a time, of which any ends first, and a launcher that is killed again and again."""
    if kills != 1 and not every_fault:
        pytest.skip("make test-faults does it; killed once is the short version")
    trials = run_on_ray(study, tmp_path / "again" / "results", kills)
    pd.testing.assert_frame_equal(trials, undisturbed, check_exact=True)
