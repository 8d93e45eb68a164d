"""What the analysis makes of a search by rounds: of rows that a plan has made, without their trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from analysis import export
from analysis.figures.search import learning_rate
from analysis.figures.style import Drawing
from analysis.provenance import list_missing
from analysis.results import StudyResults, average_finalists, find_superseded, load_studies, load_study
from analysis.stats.aggregate import count_runs
from analysis.stats.importance import rank_in_cell
from analysis.tables.costs import is_at_edge, search
from study.config.study_config import StudyConfig
from study.plan.planned_trial import PlannedTrial
from tests.analysis.tables.cells import shown
from tests.studies import small_config, write_rows
from trainables.trial_config import TrialConfig

BEST_RATE = 0.0004


def searched(trials: int = 18, **changes: Any) -> StudyConfig:
    """Return a study of one model with so many search trials."""
    values = {"architectures": ("model_4",), "trials": trials, "epochs": 33, "finalists": 3, "validation_seeds": 3}
    return small_config(**(values | {"arms": ("tuned",)} | changes))


def find_value(planned: PlannedTrial, trial_config: TrialConfig) -> float:
    """Return a loss that a low rate makes small, with a part of the seed."""
    return 100.0 + 1000 * abs(trial_config.learning_rate - BEST_RATE) + (planned.seed_number or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study."""
    return write_rows(searched(), tmp_path_factory.mktemp("rounds"), find_value)


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its frames."""
    return load_study(folder)


@pytest.fixture(scope="module")
def squared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose searches minimise squared error, by which trials come in the opposite order."""

    def find_both(planned: PlannedTrial, trial_config: TrialConfig) -> tuple[float, float]:
        value = find_value(planned, trial_config)
        return 1000.0 - value, value / 10

    config = searched(name="squared", search_metric="squared_error")
    return write_rows(config, tmp_path_factory.mktemp("squared"), find_both)


def find_best_rate(results: StudyResults) -> tuple[int, float]:
    """Return the finalist whose rate is nearest to the best, and how far it is from it, in thousandths."""
    tried = results.trials[results.trials["round"] == 3]
    away = {
        number: 1000 * abs(rate - BEST_RATE)
        for number, rate in zip(tried["number"], tried["learning_rate"], strict=True)
    }
    return min(away.items(), key=lambda each: each[1])


def test_a_search_is_told_by_what_it_minimises_and_rows_keep_their_gain_in_nats(squared: Path) -> None:
    """The winner's squared error is lower than trial 0's by a tenth of what its cross-entropy is higher by."""
    results = load_study(squared)
    assert list_missing(results) == []
    assert results.problems == ()
    winner, away = find_best_rate(results)
    table = shown(search(results))
    row = table.frame.set_index("architecture").loc["model_4"]
    gain = 1000 * (0.01 - BEST_RATE) - away
    assert winner != 0
    assert row["best_number"] == winner
    assert row["best_validation_squared_error"] == pytest.approx((102 + away) / 10)
    assert row["winner_gain_squared_error"] == pytest.approx(gain / 10)
    assert not {"winner_gain", "best_validation_cross_entropy"} & {*table.frame.columns}
    assert "its squared error on the validation images (per image), the mean" in table.caption
    assert [column.name for column in table.columns if column.header == "Gain"] == ["winner_gain_squared_error"]
    confirmed = results.trials[(results.trials["phase"] == "confirm") & (results.trials["arm"] == "tuned")]
    assert set(confirmed["winner"]) == {winner}
    assert confirmed["winner_gain"].iloc[0] == pytest.approx(-gain)


def test_importance_and_optuna_know_a_search_by_what_it_minimises(squared: Path, tmp_path: Path) -> None:
    """The best trial of each is that of the lowest squared error, which has the highest cross-entropy."""
    trials = load_study(squared).trials
    first = trials[(trials["round"] == 1) & (trials["number"] > 0)]
    best = first["validation_squared_error"].idxmin()
    assert best == first["validation_cross_entropy"].idxmax()
    assert rank_in_cell(trials)["rank"].idxmin() == best
    url = f"sqlite:///{tmp_path}/study.db"
    assert export.main([str(squared), "--optuna", url]) == 0
    last = optuna.load_study(study_name="squared/model_4-code10-round3", storage=url)
    finals = trials[trials["round"] == 3].set_index("trial_id")["validation_squared_error"]
    assert last.best_trial.user_attrs["trial_id"] == finals.idxmin()
    assert last.best_value == finals.min()


def test_searches_by_two_metrics_stand_side_by_side_each_under_its_own(folder: Path, squared: Path) -> None:
    """In columns of their own, and on axes that say which."""
    results = load_studies([folder, squared])
    table = shown(search(results))
    frame = table.frame.set_index("study")
    for metric, study, other in (
        ("cross_entropy", "quick-digits", "squared"),
        ("squared_error", "squared", "quick-digits"),
    ):
        assert frame[f"best_validation_{metric}"].notna().to_dict() == {study: True, other: False}
    headers = [column.header for column in table.columns]
    assert headers[5:11:3] == ["Best, cross-entropy", "Best, squared error"]
    figure = learning_rate(results)
    assert isinstance(figure, Drawing)
    assert "cross-entropy or squared error per image" in figure.caption
    labels = {axes.get_title(): axes.get_ylabel() for axes in figure.figure.axes}
    assert sorted(labels.values()) == ["Cross-entropy (nats/image)", "Squared error (per image)"]
    assert all(("squared" in title) == ("Squared" in label) for title, label in labels.items())
    stars = [
        np.asarray(line.get_ydata()).item()
        for axes in figure.figure.axes
        for line in axes.lines
        if line.get_marker() == "*"
    ]
    expected = [frame["best_validation_cross_entropy"].max(), frame["best_validation_squared_error"].max()]
    assert sorted(stars) == pytest.approx(sorted(expected))


def test_the_table_says_how_many_trained_in_each_round_and_who_won_by_how_much(results: StudyResults) -> None:
    """The mean over three seeds, which add 2 to each; trial 0 has a rate of .01."""
    row = shown(search(results)).frame.set_index("architecture").loc["model_4"]
    assert [row[f"round_{number}"] for number in (1, 2, 3)] == [18, 6, 3]
    assert row["chosen_by"] == "multivariate tpe"
    winner, away = find_best_rate(results)
    assert winner != 0
    assert row["best_number"] == winner
    assert row["best_validation_cross_entropy"] == pytest.approx(102 + away)
    assert row["winner_gain"] == pytest.approx(1000 * (0.01 - BEST_RATE) - away)
    confirmed = results.trials[(results.trials["phase"] == "confirm") & (results.trials["arm"] == "tuned")]
    assert set(confirmed["winner"]) == {winner}
    assert confirmed["winner_gain"].iloc[0] == pytest.approx(row["winner_gain"])


def test_a_whole_study_misses_nothing_and_an_interrupted_one_its_later_rounds(
    results: StudyResults, tmp_path: Path
) -> None:
    """What is to be decided yet is counted with what is not: 18 + 6 + 9 trials of search, of which 20 have ended."""
    assert list_missing(results) == []
    begun = load_study(write_rows(searched(), tmp_path, find_value, stop_after=20))
    said = list_missing(begun)
    assert "13 of 33 trials of phase search are not there" in said[0]
    assert "2 of 2 trials of phase confirm" in said[1]


def test_a_longer_search_leaves_what_it_replaced_out_of_every_table(tmp_path: Path) -> None:
    """A grid finds trial 1; eighteen trials find another: two confirmations of the first are left out and counted."""
    write_rows(searched(3), tmp_path, find_value)
    first = load_study(tmp_path / "quick-digits")
    assert shown(search(first)).frame["chosen_by"].tolist() == ["grid"]
    write_rows(searched(18, seeds=3), tmp_path, find_value)
    grown = load_study(tmp_path / "quick-digits")
    tuned = grown.trials[(grown.trials["phase"] == "confirm") & (grown.trials["arm"] == "tuned")]
    assert len(tuned) == 3
    assert len(set(tuned["configuration"])) == 1
    assert [problem for problem in grown.problems if "a longer search has replaced" in problem] == list(grown.problems)
    assert "model_4-code10 (2)" in grown.problems[0]
    searched_now = grown.trials[grown.trials["phase"] == "search"]
    assert set(searched_now["sampler"]) == {"multivariate_tpe"}, "the grid's finalists are none of this search's"
    best = average_finalists(searched_now).iloc[0]
    assert best["configuration"] == tuned["configuration"].iloc[0]
    # Asked for the short search again, its own winner counts, although the other was confirmed later.
    write_rows(searched(3), tmp_path, find_value)
    again = load_study(tmp_path / "quick-digits").trials
    tuned = again[(again["phase"] == "confirm") & (again["arm"] == "tuned")]
    before = first.trials[(first.trials["phase"] == "confirm") & (first.trials["arm"] == "tuned")]
    assert sorted(tuned["trial_id"]) == sorted(before["trial_id"])


def test_a_level_with_a_rate_of_its_own_counts_at_that_rate_alone(tmp_path: Path) -> None:
    """The lowest wins: .3 of the base's, tried once and trained by both seeds; seeds at the base's are left out."""
    phases = ("search", "confirm", "ablate")
    config = searched(3, phases=phases, factors=("activation",), ablated_architectures=("model_4",))
    results = load_study(write_rows(config, tmp_path, find_value))
    assert results.problems == ()
    assert list_missing(results) == []
    ablated = results.trials[(results.trials["phase"] == "ablate") & (results.trials["level"] == "tanh")]
    base = results.trials.loc[(results.trials["phase"] == "confirm") & (results.trials["arm"] == "tuned")].iloc[0]
    tried, trained = (ablated[ablated["round"].isna() == seeds] for seeds in (False, True))
    factors = tried["learning_rate"] / base["learning_rate"]
    assert factors.tolist() == pytest.approx([1, 0.3, 3])
    assert set(trained["learning_rate"]) == {0.3 * base["learning_rate"]}
    counts = count_runs(results, "ablate", ["level"]).set_index("level")["runs"]
    assert counts.to_dict() == {"tanh": 2, "relu": 2}
    # As an earlier version trained them, at the rate of the base.
    earlier = trained.assign(trial_id=trained["trial_id"] + "-", learning_rate=base["learning_rate"])
    trials = pd.concat([results.trials, earlier], ignore_index=True)
    superseded = find_superseded(trials, results.manifest)
    assert set(trials.loc[superseded, "trial_id"]) == set(earlier["trial_id"])
    # While a rate has still to be tried they are what there is.
    begun = trials[~trials["trial_id"].isin([*trained["trial_id"], tried["trial_id"].iloc[2]])]
    assert not find_superseded(begun, results.manifest).any()


def test_a_winner_at_an_end_of_its_range_is_flagged(tmp_path: Path) -> None:
    """The grid's lowest rate for the classic auto-encoder is .001; the range begins at .0003."""
    config = searched(8, architectures=("classic_autoencoder",))

    def favour_low(planned: PlannedTrial, trial_config: TrialConfig) -> float:
        return trial_config.learning_rate

    results = load_study(write_rows(config, tmp_path, favour_low))
    assert shown(search(results)).frame["at_edge"].tolist() == [""]
    assert is_at_edge(0.00031, (0.0003, 0.03), log=True)
    assert not is_at_edge(0.00035, (0.0003, 0.03), log=True)
    assert is_at_edge(0.03, (0.0003, 0.03), log=True)
    assert not is_at_edge(None, (0.5, 1.0), log=False)


def test_seeds_that_did_not_complete_put_a_finalist_behind() -> None:
    """As in the plan: the mean of what is left says too little."""
    rows = [
        {"number": number, "status": status, "full_budget": status == "complete", "search_value": value}
        for number, status, value in (
            (0, "complete", 9.0),
            (0, "complete", 11.0),
            (1, "complete", 1.0),
            (1, "failed", None),
        )
    ]
    cell = {"study": "s", "code_size": 10, "architecture": "model_4", "round": 3, "configuration": None}
    found = average_finalists(pd.DataFrame([cell | row for row in rows]))
    assert found[["number", "search_value", "lost"]].to_numpy().tolist() == [[0, 10.0, 0], [1, 1.0, 1]]


def test_optuna_gets_a_study_a_round_with_the_coordinates(folder: Path, tmp_path: Path) -> None:
    """Values of two rounds cannot be compared."""
    url = f"sqlite:///{tmp_path}/study.db"
    assert export.main([str(folder), "--optuna", url]) == 0
    name = "quick-digits/model_4-code10-round"
    counts = {
        each: len(optuna.load_study(study_name=each, storage=url).trials) for each in optuna.get_all_study_names(url)
    }
    assert counts == {f"{name}1": 18, f"{name}2": 6, f"{name}3": 9}
    trial = optuna.load_study(study_name=f"{name}1", storage=url).trials[5]
    assert set(trial.params) == {"learning_rate", "budget_share", "filters_ratio"}
    assert {"number", "round", "sampler", "filters_1", "filters_2"} <= set(trial.user_attrs)
    assert trial.distributions["filters_ratio"].high == 3.0  # type: ignore[attr-defined]
