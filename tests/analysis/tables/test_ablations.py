"""Ablations are differences to their base, paired by seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.rendering.text import format_markdown
from analysis.results import StudyResults
from analysis.tables.ablations import ablations, factorial
from analysis.tables.table import Absent
from tests.analysis.stats.test_factorial import add_denoised, make_crossed
from tests.analysis.tables.cells import Tables, look_at, scores_of, shown
from tests.synthetic import LEVELS, level_effect


def test_ablations_are_differences_to_the_base_paired_by_seed(tables: Tables) -> None:
    """Mean of the levels' effects, worked out by hand; Holm over the levels that are tested."""
    frame = shown(tables["ablations"]).frame.set_index("level")
    name = "reconstruction_squared_error_difference"
    levels = [level for group in LEVELS.values() for level in group]
    assert sorted(frame.index) == sorted(levels)
    p_values = {}
    for level in levels:
        effects = np.array([level_effect(level, number) for number in (1, 2, 3)])
        assert frame.loc[level, name] == pytest.approx(effects.mean())
        test = scipy.stats.ttest_1samp(effects, 0.0)
        assert frame.loc[level, f"{name}_low"] == pytest.approx(test.confidence_interval().low)
        p_values[level] = test.pvalue
    del p_values["switches"]  # Reconstructions with switches and without are not compared, so it is no test of them.
    smallest = min(p_values, key=lambda level: p_values[level])
    assert frame.loc[smallest, f"{name}_p_holm"] == pytest.approx(6 * p_values[smallest])
    assert frame[f"{name}_p_holm"].isna()["switches"]
    assert frame.loc["tile", f"{name}_mark"] == "significant"
    assert frame.loc["switches", f"{name}_mark"] == "unranked"
    assert any("its decoder has no unpooling" in note for note in shown(tables["ablations"]).footnotes)


def test_a_level_says_its_learning_rate_and_those_that_were_tried(results: StudyResults) -> None:
    """Three runs on validation images are no runs of the level, which has three seeds."""
    relu = results.trials[results.trials["level"] == "relu"]
    tried = relu.assign(
        trial_id=relu["trial_id"] + "-rate", round=1, number=[0, 1, 2], learning_rate=[0.01, 0.003, 0.03]
    )
    trials = pd.concat([results.trials, tried], ignore_index=True)
    frame = shown(ablations(dataclasses.replace(results, trials=trials))).frame.set_index("level")
    assert frame["runs"].tolist() == [3] * len(frame)
    assert list(frame.loc["relu", ["learning_rate", "rates_tried"]]) == [0.01, "0.003, 0.01, 0.03"]
    assert list(frame.loc["x3", ["learning_rate", "rates_tried"]]) == [pytest.approx(0.03), ""]


def test_a_level_says_what_it_stands_instead_of(results: StudyResults) -> None:
    """The confirmed configuration's value, where one column has it."""
    frame = shown(ablations(results)).frame.set_index("level")
    base = results.trials[results.trials["trial_id"] == "confirm-model_4-10-tuned-1"].iloc[0]
    assert frame.loc["relu", "instead_of"] == base["activation"] == "sigmoid"
    assert frame.loc["x3", "instead_of"] == f"{base['learning_rate']:g}"
    of_filters = results.trials.assign(
        factor=results.trials["factor"].astype("str").mask(results.trials["level"] == "relu", "filters")
    )
    frame = shown(ablations(dataclasses.replace(results, trials=of_filters))).frame.set_index("level")
    assert frame["instead_of"].isna()["relu"]


def test_rates_that_were_tried_are_no_ablation_yet(results: StudyResults) -> None:
    """A study that was stopped before a level was trained has no table of them."""
    ablated = results.trials["phase"] == "ablate"
    trials = results.trials.assign(round=results.trials["round"].mask(ablated, 1))
    assert isinstance(ablations(dataclasses.replace(results, trials=trials)), Absent)


def test_runs_pair_by_seed_where_a_seed_is_the_same_weights(results: StudyResults) -> None:
    """Other starting weights are compared by Welch's test with the base's."""
    relu = results.trials["level"] == "relu"
    changed = results.trials.assign(starting_weights=results.trials["starting_weights"].mask(relu, "data_scaled"))
    frame = shown(ablations(dataclasses.replace(results, trials=changed))).frame.set_index("level")
    assert frame["test"].to_dict() == dict.fromkeys(frame.index, "paired") | {"relu": "Welch"}
    base = scores_of("model_4")
    level = base + [level_effect("relu", number) for number in (1, 2, 3)]
    test = scipy.stats.ttest_ind(level, base, equal_var=False)
    row = frame.loc["relu"]
    name = "reconstruction_squared_error_difference"
    assert row[name] == pytest.approx(level.mean() - base.mean())
    assert row[f"{name}_low"] == pytest.approx(test.confidence_interval().low)
    assert row[f"{name}_n"] == 3
    assert row[f"{name}_p_value"] == pytest.approx(test.pvalue)
    assert np.isnan(row[f"{name}_effect_size"])


@pytest.mark.parametrize(("parameters", "test"), [(1, "Welch"), (0, "paired"), (None, "paired")])
def test_runs_do_not_pair_where_a_level_has_other_parameters(
    results: StudyResults, parameters: int | None, test: str
) -> None:
    """A seed draws other weights for a code of two outputs a unit; older rows do not say how many there are."""
    relu = results.trials["level"] == "relu"
    counts = results.trials["parameters"].astype("Int64")
    counts = (
        counts + parameters * relu.fillna(False).astype("int64") if parameters is not None else counts.mask(counts > 0)
    )
    frame = shown(ablations(dataclasses.replace(results, trials=results.trials.assign(parameters=counts)))).frame
    assert frame.set_index("level")["test"].to_dict() == dict.fromkeys(frame["level"], "paired") | {"relu": test}


def test_levels_of_two_seeds_are_not_tested(results: StudyResults) -> None:
    """Their intervals stay."""
    third = (results.trials["phase"] == "ablate") & (results.trials["number"] == 3)
    two = dataclasses.replace(results, trials=results.trials[~third])
    frame, name = shown(ablations(two)).frame, "reconstruction_squared_error_difference"
    assert (frame[f"{name}_n"] == 2).all()
    assert frame[f"{name}_half_width"].notna().all()
    assert frame[f"{name}_p_holm"].isna().all()
    assert set(frame[f"{name}_mark"]) == {"", "unranked"}


@pytest.mark.parametrize("weights", ["caffe", "data_scaled"])
def test_a_difference_that_no_seed_changes_is_not_tested(results: StudyResults, weights: str) -> None:
    """Paired or not: linear errors of 8.4 % each, beside 8.3 %, or .1 more whatever the seed."""
    linear = (results.scores["evaluator"] == "linear_classifier") & (results.scores["metric"] == "error")
    trials = results.trials.assign(
        starting_weights=results.trials["starting_weights"]
        .astype("str")
        .mask(results.trials["phase"] == "ablate", weights)
    )
    ablated = results.scores["trial_id"].isin(trials.loc[trials["phase"] == "ablate", "trial_id"])
    values = results.scores["value"].mask(linear, 8.3).mask(linear & ablated, 8.4)
    changed = dataclasses.replace(results, trials=trials, scores=results.scores.assign(value=values))
    frame, name = shown(ablations(changed)).frame, "linear_classifier_error_difference"
    assert frame[name].to_numpy() == pytest.approx(0.1)
    assert set(frame["test"]) == {"paired" if weights == "caffe" else "Welch"}
    assert frame[[f"{name}_p_value", f"{name}_p_holm", f"{name}_effect_size"]].isna().all(axis=None)
    assert set(frame[f"{name}_mark"]) == {""}
    table = shown(ablations(changed))
    assert "not tested under 3 seeds or where no seed changes the difference" in table.caption


def test_a_model_that_no_row_describes_is_a_row_of_the_table(results: StudyResults) -> None:
    """Taken to have no switches, as elsewhere."""
    models = {name: row for name, row in results.models.items() if name != "model_4"}
    frame = shown(ablations(dataclasses.replace(results, models=models))).frame
    marks = frame.set_index("level")["reconstruction_squared_error_difference_mark"]
    assert marks["switches"] == "unranked" and marks["tile"] == "significant"


def test_an_ablated_code_size_is_compared_with_the_cell_that_it_was_taken_from(results: StudyResults) -> None:
    """Its rows have the new code size, and beside it the base's."""
    tile = results.trials["level"] == "tile"
    changed = results.trials.assign(
        factor=results.trials["factor"].mask(tile, "code_size"),
        level=results.trials["level"].mask(tile, "30"),
        code_size=results.trials["code_size"].mask(tile, 30),
    )
    table = ablations(dataclasses.replace(results, trials=changed))
    row = shown(table).frame.set_index("level").loc["30"]
    assert (row["code_size"], row["factor"]) == (10, "code_size")
    effects = [level_effect("tile", number) for number in (1, 2, 3)]
    assert row["reconstruction_squared_error_difference"] == pytest.approx(np.mean(effects))


def test_levels_without_switches_of_a_model_with_them_are_not_tested(results: StudyResults) -> None:
    """As model 3 with its pooled values put into the corner: its own error is what the switches draw."""
    of_model_4 = results.trials["architecture"] == "model_4"
    names = (
        results.trials["architecture"]
        .astype("str")
        .mask(of_model_4, "model_3")
        .where(of_model_4, results.trials["architecture"].astype("str").replace("model_3", "model_4"))
    )
    switched = dataclasses.replace(results, trials=results.trials.assign(architecture=names))
    frame = shown(ablations(switched)).frame.set_index("level")
    marks = frame["reconstruction_squared_error_difference_mark"]
    assert marks[["tile", "average"]].tolist() == ["unranked"] * 2
    assert "unranked" not in marks[["relu", "x3", "switches"]].tolist(), "these have what their base has"


def test_levels_that_all_have_other_weights_are_a_table(results: StudyResults) -> None:
    """Then nothing pairs, and no test has an effect size; where no base ended there is no table."""
    ablated = results.trials["phase"] == "ablate"
    apart = results.trials["starting_weights"].astype("str").mask(ablated, "data_scaled")
    table = shown(ablations(dataclasses.replace(results, trials=results.trials.assign(starting_weights=apart))))
    assert set(table.frame["test"]) == {"Welch"}
    assert "| relu |" in format_markdown(table)
    without = results.trials[(results.trials["phase"] != "confirm") | (results.trials["arm"] == "control")]
    assert isinstance(ablations(dataclasses.replace(results, trials=without)), Absent)


def test_a_study_that_looks_is_judged_at_its_level(results: StudyResults, tables: Tables) -> None:
    """What differs at 5 % and not at the level of its look has no star; without looks 5 % is said."""
    plain = shown(tables["ablations"])
    assert "* differs at 5 % (Holm-adjusted" in plain.caption
    p_holm = plain.frame.set_index("level")["reconstruction_squared_error_difference_p_holm"]["tile"]
    looked = shown(ablations(look_at(results, p_holm / 2)))
    assert looked.frame.set_index("level")["reconstruction_squared_error_difference_mark"]["tile"] == ""
    assert f"* differs at {100 * p_holm / 2:.2g} % (Holm-adjusted" in looked.caption
    assert any("at looks declared before the first" in note for note in looked.footnotes)
    assert not any("looks" in note for note in plain.footnotes)


def test_effects_are_adjusted_over_a_study_and_judged_at_its_level(tmp_path: Path) -> None:
    """Of two crossings with nine effects each that are tested by squared error; Holm's smallest p value is 18-fold.

    A tenth, of .75 for every seed, is not tested.
    """
    both = add_denoised(make_crossed(tmp_path))
    table, name = shown(factorial(both)), "reconstruction_squared_error_difference"
    assert table.frame[f"{name}_p_value"].notna().sum() == 18
    assert table.frame[f"{name}_p_holm"].min() / table.frame[f"{name}_p_value"].min() == pytest.approx(18)
    significant = table.frame[f"{name}_mark"] == "significant"
    level = table.frame.loc[significant, f"{name}_p_holm"].median()
    looked = shown(factorial(look_at(both, level)))
    assert 0 < (looked.frame[f"{name}_mark"] == "significant").sum() < significant.sum()
    assert "* differs from 0 at 5 % (t test" in table.caption
    assert f"* differs from 0 at {100 * level:.2g} % (t test" in looked.caption
    assert any("at looks declared before the first" in note for note in looked.footnotes)
