"""Runs are told apart by model, objective and strength."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.objectives.runs import MODEL, NO_STRENGTH, STRENGTHS, collect_runs, collect_scores
from analysis.results import StudyResults, load_studies, load_study
from analysis.stats.metrics import INCREASE, select_metric
from tests.analysis.objectives.studies import BY_MODEL, SEEDS, write_study
from tests.synthetic import true_score, write_synthetic_study
from trainables.training.objectives import OBJECTIVES


def test_runs_are_those_of_the_tuned_arm_with_the_place_of_their_strength(results: StudyResults) -> None:
    """Three seeds each; at code size 2 the middle strength alone; plain reconstruction has none and comes first."""
    runs = collect_runs(results)
    assert set(runs["arm"]) == {"tuned"}
    counts = runs.groupby([*MODEL, "objective", "place"], observed=True).size()
    assert set(counts) == {SEEDS}
    found = {key[1:] for key in counts.index}
    assert found == {
        *((model, size, "reconstruction", NO_STRENGTH) for model in BY_MODEL for size in (2, 10)),
        *((model, 2, each, "middle") for model, others in BY_MODEL.items() for each in others),
        *((model, 10, each, place) for model, others in BY_MODEL.items() for each in others for place in STRENGTHS),
    }
    sparse = runs[(runs["objective"] == "k_sparse") & (runs["code_size"] == 10)].sort_values("place")
    assert sparse["strength"].drop_duplicates().tolist() == list(OBJECTIVES["k_sparse"].list_strengths(10))
    assert runs["objective"].cat.categories.tolist() == list(OBJECTIVES)


def test_a_model_by_one_objective_is_not_compared(tmp_path: Path) -> None:
    """Whether that is plain reconstruction, as in studies of older versions, or another, beside the published arm."""
    folder = write_synthetic_study(tmp_path / "plain", architectures=("model_4",), code_sizes=(10,), search_trials=1)
    results = load_study(folder)
    assert collect_runs(results).empty and collect_scores(results).empty
    trials = results.trials.assign(architecture=results.trials["architecture"].astype("str"))
    tuned = trials["arm"] == "tuned"
    trials.loc[tuned, "architecture"] = "model_4-variational"
    assert collect_runs(dataclasses.replace(results, trials=trials)).empty


def test_what_an_ablation_tries_first_and_what_it_changes_to_another_objective_is_left_out(
    results: StudyResults,
) -> None:
    """Trainings that chose a rate are none of the runs; objectives that are levels stand in the table of ablations."""
    before = len(collect_runs(results))
    ablated = results.trials["factor"] == "objective_strength"
    tried = results.trials.assign(round=results.trials["round"].mask(ablated, 1))
    assert len(collect_runs(dataclasses.replace(results, trials=tried))) == before - int(ablated.sum())
    levels = results.trials.assign(factor=results.trials["factor"].mask(ablated, "objective"))
    assert len(collect_runs(dataclasses.replace(results, trials=levels))) == before - int(ablated.sum())


def test_scores_are_of_whole_runs_and_have_the_increase_by_the_mean_code(results: StudyResults) -> None:
    """A run that ended early has a row of runs and no score."""
    rows = select_metric(collect_scores(results), INCREASE)
    of_model_3 = rows[
        (rows["model"] == "model_3") & (rows["objective"] == "reconstruction") & (rows["code_size"] == 10)
    ]
    squared = [
        true_score("mean_code", "squared_error", "model_3", 10, "tuned", number)
        - true_score("reconstruction", "squared_error", "model_3", 10, "tuned", number)
        for number in range(1, SEEDS + 1)
    ]
    np.testing.assert_allclose(sorted(of_model_3["value"]), sorted(squared))
    assert set(rows["direction"]) == {"higher"}
    ended = of_model_3["trial_id"].iloc[0]
    trials = results.trials.assign(full_budget=results.trials["full_budget"] & (results.trials["trial_id"] != ended))
    changed = dataclasses.replace(results, trials=trials)
    assert ended in set(collect_runs(changed)["trial_id"])
    assert ended not in set(collect_scores(changed)["trial_id"])


def test_studies_side_by_side_keep_their_runs_apart(results: StudyResults, tmp_path: Path) -> None:
    """Twice as many runs, and none is compared across studies."""
    other = write_study(tmp_path / "other", {"model_4": ("denoising",)}, name="other")
    runs = collect_runs(load_studies([results.path, other]))
    assert runs.groupby("study", observed=True)["model"].unique().map(set).to_dict() == {
        "synthetic": {"model_3", "model_4"},
        "other": {"model_4"},
    }


@pytest.mark.parametrize("objective", ["k_sparse"])
def test_an_ablated_strength_belongs_to_the_code_size_of_its_cell(results: StudyResults, objective: str) -> None:
    """That of the configuration that was confirmed."""
    moved = results.trials.assign(code_size=results.trials["code_size"].mask(results.trials["level"] == "weak", 64))
    runs = collect_runs(dataclasses.replace(results, trials=moved))
    assert set(runs.loc[(runs["objective"] == objective) & (runs["place"] == "weak"), "code_size"]) == {10}
