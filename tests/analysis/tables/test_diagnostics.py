"""The tables' numbers against values worked out from what the synthetic study was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.provenance import command, list_missing, provenance
from analysis.results import Study, StudyResults, load_studies, load_study
from analysis.stats.ranking import against_best, marks
from analysis.tables import diagnostics as comparison
from analysis.tables.table import Absent, Table
from tests.synthetic import LEVELS, MEAN_IMAGE_CROSS_ENTROPY, level_effect, true_score, write_synthetic_study
from trainables.models.architectures import ARCHITECTURES
from trainables.models.layers import count_parameters

Tables = dict[str, Table | Absent]

SQUARED_ERROR = ("reconstruction", "squared_error")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """All architectures at code size 10, three seeds, with the mishaps of `tests.synthetic.MISHAPS` and ablations."""
    folder = write_synthetic_study(tmp_path_factory.mktemp("study"), code_sizes=(10,), ablations=True)
    return load_study(folder)


@pytest.fixture(scope="module")
def tables(results: StudyResults) -> Tables:
    """Every table of that study, by name."""
    return {table.name: table for table in comparison.comparison_tables(results)}


def made(tmp_path: Path, **arguments: Any) -> StudyResults:
    """Return a small study with other arguments."""
    defaults = {"architectures": ("model_1", "model_4"), "code_sizes": (10,), "search_trials": 2, "mishaps": {}}
    return load_study(write_synthetic_study(tmp_path / "study", **(defaults | arguments)))


def shown(table: Table | Absent) -> Table:
    """Return ``table``, which must not be absent."""
    assert isinstance(table, Table), table
    return table


def line(table: Table | Absent, architecture: str, arm: str = "tuned", code_size: int = 10) -> pd.Series:
    """Return the one row of a cell and arm."""
    frame = shown(table).frame
    rows = frame[(frame["architecture"] == architecture) & (frame["arm"] == arm) & (frame["code_size"] == code_size)]
    assert len(rows) == 1
    return rows.iloc[0]


def scores_of(architecture: str, arm: str = "tuned", numbers: tuple[int, ...] = (1, 2, 3), **key: str) -> np.ndarray:
    """Return what the synthetic study holds for the runs of these numbers."""
    evaluator, metric = key.get("evaluator", SQUARED_ERROR[0]), key.get("metric", SQUARED_ERROR[1])
    return np.array([true_score(evaluator, metric, architecture, 10, arm, number) for number in numbers])


def test_reconstruction_is_mean_and_t_interval_over_seeds(tables: Tables) -> None:
    """As SciPy gives them for the three runs of a cell."""
    row = line(tables["reconstruction"], "model_4")
    for metric in ("squared_error", "cross_entropy"):
        values = scores_of("model_4", metric=metric)
        low, high = scipy.stats.t.interval(0.95, 2, values.mean(), scipy.stats.sem(values))
        name = f"reconstruction_{metric}"
        assert row[name] == pytest.approx(values.mean())
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high))
        assert row[f"{name}_n"] == 3
    assert row["reconstruction_squared_error_per_pixel"] == pytest.approx(scores_of("model_4").mean() / 784)


def test_runs_that_go_wrong_are_counted_and_only_collapsed_ones_averaged(tables: Tables) -> None:
    """One diverged, one failed and one collapsed run, each in a cell of its own."""
    table = tables["reconstruction"]
    diverged, failed = line(table, "model_1", "published"), line(table, "unpool_only")
    collapsed = line(table, "model_2", "published")
    assert diverged[["diverged", "failed", "collapsed"]].tolist() == [1, 0, 0]
    assert failed[["diverged", "failed", "collapsed"]].tolist() == [0, 1, 0]
    assert collapsed[["diverged", "failed", "collapsed"]].tolist() == [0, 0, 1]
    name = "reconstruction_squared_error"
    assert (diverged[f"{name}_n"], failed[f"{name}_n"], collapsed[f"{name}_n"]) == (2, 2, 3)
    assert diverged[name] == pytest.approx(scores_of("model_1", "published", (1, 3)).mean())
    assert failed[name] == pytest.approx(scores_of("unpool_only", numbers=(2, 3)).mean())
    values = [*scores_of("model_2", "published", (1, 2)), MEAN_IMAGE_CROSS_ENTROPY / 4]
    assert collapsed[name] == pytest.approx(np.mean(values))


def test_controls_stand_beside_without_interval_or_rank(tables: Tables) -> None:
    """PCA is computed once and has no cross-entropy; the classic auto-encoder has seeds but more parameters."""
    table = tables["reconstruction"]
    pca = line(table, "pca", "control")
    assert pca["reconstruction_squared_error"] == pytest.approx(26.71)
    absent = [
        "reconstruction_squared_error_half_width",
        "reconstruction_squared_error_n",
        "reconstruction_cross_entropy",
    ]
    assert pca[absent].isna().all()
    classic = line(table, "classic_autoencoder")
    assert classic["reconstruction_squared_error"] < line(table, "model_5")["reconstruction_squared_error"]
    assert pd.isna(classic["reconstruction_squared_error_mark"])
    assert "raw_pixels" not in set(shown(table).frame["architecture"])
    assert line(tables["classification"], "raw_pixels", "control", 784)["linear_classifier_error"] > 0


def test_model_3_is_not_ranked_by_reconstruction_but_by_classification(tables: Tables) -> None:
    """Its switches carry the image past the code: shown, with a footnote."""
    table = shown(tables["reconstruction"])
    row = line(table, "model_3")
    assert row["reconstruction_squared_error"] == table.frame["reconstruction_squared_error"].min()
    assert row["reconstruction_squared_error_mark"] == "unranked"
    assert line(table, "model_5")["reconstruction_squared_error_mark"] == "best"
    assert any("switches carry the image past the code" in note for note in table.footnotes)
    classification = shown(tables["classification"])
    assert line(classification, "model_3")["linear_classifier_error_mark"] == ""
    assert line(classification, "model_5")["linear_classifier_error_mark"] == "best"
    assert not any("switches" in note for note in classification.footnotes)


def test_the_family_of_holm_is_the_column_of_the_table(tables: Tables) -> None:
    """Ranked: models 1, 2, 4, 5 and unpool_only in either arm, so eight tests a metric."""
    frame = shown(tables["differences"]).frame
    tests = frame[(frame["evaluator"] == "reconstruction") & (frame["metric"] == "squared_error")]
    assert len(tests) == 8
    expected = {}
    for row in tests.itertuples():
        numbers = {("model_1", "published"): (1, 3), ("unpool_only", "tuned"): (2, 3)}
        common = numbers.get((row.architecture, row.arm), (1, 2, 3))
        values = scores_of(row.architecture, row.arm, common)
        if (row.architecture, row.arm) == ("model_2", "published"):
            values[2] = MEAN_IMAGE_CROSS_ENTROPY / 4
        test = scipy.stats.ttest_rel(values, scores_of("model_5", row.arm, common))
        expected[row.architecture, row.arm] = test.pvalue
    adjusted, largest = {}, 0.0
    for place, (key, p) in enumerate(sorted(expected.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (8 - place)))
        adjusted[key] = largest
    for row in tests.itertuples():
        assert row.p_value == pytest.approx(expected[row.architecture, row.arm])
        assert row.p_holm == pytest.approx(adjusted[row.architecture, row.arm])
        assert row.worse == (adjusted[row.architecture, row.arm] < 0.05)
    # The collapsed run of model 2 makes its mean useless, so it cannot be told from the best, which is then no best.
    table = tables["reconstruction"]
    assert line(table, "model_2", "published")["reconstruction_squared_error_mark"] == "tie"
    assert line(table, "model_5", "published")["reconstruction_squared_error_mark"] == "tie"
    assert line(table, "model_4", "published")["reconstruction_squared_error_mark"] == ""


def ranking_rows(values: dict[str, list[float]], direction: str = "lower") -> pd.DataFrame:
    """Return rows of one group as `against_best` takes them, seeds from 1."""
    rows = [
        {
            "evaluator": "e",
            "metric": "m",
            "direction": direction,
            "study": "s",
            "code_size": 10,
            "arm": "tuned",
            "architecture": name,
            "seed": seed,
            "value": value,
        }
        for name, runs in values.items()
        for seed, value in enumerate(runs, start=1)
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_ties_are_marked_and_nobody_is_best_beside_one(direction: str) -> None:
    """Two models within their noise and one far off; the sense of the metric turns with its sign."""
    sign = 1.0 if direction == "lower" else -1.0
    rows = ranking_rows({"a": [1.0, 2.0, 3.0], "b": [1.1, 1.8, 3.2], "far": [11.0, 12.1, 12.9]}, direction)
    tests = against_best(rows.assign(value=sign * rows["value"]))
    assert tests["best"].tolist() == ["a", "a"]
    assert marks(tests).set_index("architecture")["mark"].to_dict() == {"a": "tie", "b": "tie", "far": ""}


def test_the_best_is_best_where_all_others_are_worse() -> None:
    """By paired tests, although the runs' own spread is larger than the differences."""
    tests = against_best(ranking_rows({"a": [1.0, 2.0, 3.0], "b": [1.3, 2.31, 3.3], "c": [1.5, 2.5, 3.51]}))
    assert marks(tests).set_index("architecture")["mark"].to_dict() == {"a": "best", "b": "", "c": ""}


def test_without_common_seeds_nobody_is_called_best() -> None:
    """One seed a model, or none in common: there is no test, and no mark."""
    rows = ranking_rows({"a": [1.0], "b": [9.0]})
    other = rows.assign(seed=rows["seed"] + rows["architecture"].map({"a": 0, "b": 5}))
    for case in (rows, other):
        tests = against_best(case)
        assert tests["p_holm"].isna().all()
        assert set(marks(tests)["mark"]) == {""}


def test_reliance_shows_that_model_3_passes_the_code_by(tables: Tables) -> None:
    """The mean code costs it little, another image's switches everything."""
    table = tables["reliance"]
    model_3, model_4 = line(table, "model_3"), line(table, "model_4")
    own = scores_of("model_4")
    assert model_4["own_code_squared_error"] == pytest.approx(own.mean())
    assert model_4["increase_squared_error"] == pytest.approx((4.5 * own - own).mean())
    assert model_4["increase_squared_error_half_width"] == pytest.approx(3.5 * own.std(ddof=1) * 4.302653 / 3**0.5)
    assert pd.isna(model_4["other_switches_squared_error"])
    assert model_3["increase_squared_error"] < 5 < 40 < model_4["increase_squared_error"]
    assert model_3["other_switches_squared_error"] > 80


def test_stability_is_the_share_of_runs_that_converge_and_their_spread(tables: Tables) -> None:
    """Neither diverged nor failed nor collapsed."""
    table = tables["stability"]
    assert line(table, "model_4")["converged_share"] == 1
    for cell in (("model_1", "published"), ("model_2", "published"), ("unpool_only", "tuned")):
        assert line(table, *cell)["converged_share"] == pytest.approx(2 / 3)
    spread = line(table, "model_2", "published")
    good = scores_of("model_2", "published", (1, 2))
    assert spread["reconstruction_squared_error_deviation"] == pytest.approx(good.std(ddof=1))
    assert spread["reconstruction_squared_error_maximum"] == pytest.approx(good.max())


def test_ablations_are_differences_to_the_base_paired_by_seed(tables: Tables) -> None:
    """Mean of the levels' effects, worked out by hand; Holm over the seven levels."""
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
    smallest = min(p_values, key=lambda level: p_values[level])
    assert frame.loc[smallest, f"{name}_p_holm"] == pytest.approx(7 * p_values[smallest])
    assert frame.loc["tile", f"{name}_mark"] == "significant"
    assert frame.loc["switches", f"{name}_mark"] == "unranked"
    assert any("its decoder has no unpooling" in note for note in shown(tables["ablations"]).footnotes)


def test_an_ablated_code_size_is_compared_with_the_cell_that_it_was_taken_from(results: StudyResults) -> None:
    """Its rows have the new code size, and beside it the base's."""
    tile = results.trials["level"] == "tile"
    changed = results.trials.assign(
        factor=results.trials["factor"].mask(tile, "code_size"),
        level=results.trials["level"].mask(tile, "30"),
        code_size=results.trials["code_size"].mask(tile, 30),
    )
    table = comparison.ablations(StudyResults(results.studies, changed, results.epochs, results.scores, results.codes))
    row = shown(table).frame.set_index("level").loc["30"]
    assert (row["code_size"], row["factor"]) == (10, "code_size")
    effects = [level_effect("tile", number) for number in (1, 2, 3)]
    assert row["reconstruction_squared_error_difference"] == pytest.approx(np.mean(effects))


def test_sizes_are_those_declared_at_the_published_filter_counts(tables: Tables) -> None:
    """And the tuned ones follow from the tuned filter counts."""
    table = tables["sizes"]
    for name, record in ARCHITECTURES.items():
        arm = "tuned" if name == "classic_autoencoder" else "published"
        row = line(table, name, arm)
        assert row["parameters"] == count_parameters(record, 10)
    published, tuned = line(table, "model_4", "published"), line(table, "model_4")
    assert published["multiply_adds"] == 4_047_000 - 10_000
    assert (tuned["filters_1"], tuned["filters_2"]) == (25, 35)
    assert tuned["parameters"] < published["parameters"]


def test_architectures_show_their_maps_layer_by_layer(tables: Tables) -> None:
    """Model 4 as in the paper's network file of the same design."""
    frame = shown(tables["architectures"]).frame.set_index("architecture")
    assert frame.loc["model_4", "layers"] == (
        "1@28, conv5 26@24, pool 26@12, conv5 36@8, pool 36@4, fc 250, code, fc 250, "
        "deconv4 36@4, unpool 36@8, deconv5 26@12, unpool 26@24, deconv5 1@28"
    )
    assert list(frame.index) == [*ARCHITECTURES, "pca", "raw_pixels"]


def test_cost_puts_device_seconds_beside_what_they_buy(tables: Tables) -> None:
    """Two seconds an epoch of four, and one more a seed's number."""
    row = line(tables["cost"], "model_4")
    assert row["device_seconds"] == pytest.approx(np.mean([9.0, 10.0, 11.0]))
    assert row["epochs"] == 4
    assert row["multiply_adds"] == line(tables["sizes"], "model_4")["multiply_adds"]
    assert row["linear_classifier_error"] == pytest.approx(
        scores_of("model_4", evaluator="linear_classifier", metric="error").mean()
    )


def test_search_shows_the_best_trial_and_what_tuning_gained(tables: Tables) -> None:
    """Of twelve: three pruned but one of them failed, one diverged; number 1 is the best, number 0 the published."""
    frame = shown(tables["search"]).frame.set_index("architecture")
    row = frame.loc["model_4"]
    assert row[["runs", "complete", "pruned", "diverged", "failed"]].tolist() == [12, 8, 2, 1, 1]
    assert row["best_number"] == 1
    assert (row["best_validation_cross_entropy"], row["first_validation_cross_entropy"]) == (100.0, 155.0)
    assert row["best_learning_rate"] == pytest.approx(10**-2.4)
    gain = scores_of("model_4") - scores_of("model_4", "published")
    assert row["tuned_minus_published"] == pytest.approx(gain.mean())
    assert row["tuned_minus_published_p_value"] == pytest.approx(scipy.stats.ttest_1samp(gain, 0.0).pvalue)
    assert pd.isna(frame.loc["classic_autoencoder", "tuned_minus_published"])


def test_layers_and_scores_without_a_table_of_their_own_are_not_lost(results: StudyResults) -> None:
    """An evaluator unknown here appears under other scores."""
    layer_values = shown(comparison.layer_values(results)).frame
    assert layer_values.groupby("layer")["dead_maps"].max().to_dict() == {"conv1": 0.0, "code": 1.0}
    assert isinstance(comparison.other_scores(results), Absent)
    renamed = results.scores.assign(evaluator=results.scores["evaluator"].astype("str").replace("k_means", "novel"))
    other = StudyResults(results.studies, results.trials, results.epochs, renamed, results.codes)
    frame = shown(comparison.other_scores(other)).frame
    assert set(frame["evaluator"]) == {"novel"}
    assert isinstance(comparison.clustering(other), Absent)


def test_one_seed_gives_values_without_intervals_or_marks(tmp_path: Path) -> None:
    """What one run cannot show is not shown."""
    row = line(comparison.reconstruction(made(tmp_path, seeds=1)), "model_4")
    assert row["reconstruction_squared_error"] == pytest.approx(scores_of("model_4", numbers=(1,))[0])
    assert row["reconstruction_squared_error_n"] == 1
    assert pd.isna(row["reconstruction_squared_error_half_width"])
    assert row["reconstruction_squared_error_mark"] == ""


def test_a_cell_of_which_no_run_came_through_is_there_with_its_counts(tmp_path: Path) -> None:
    """All diverged: no figures, but no silence either."""
    mishaps = {("model_1", 10, "tuned", number): "diverged" for number in (1, 2, 3)}
    row = line(comparison.reconstruction(made(tmp_path, mishaps=mishaps)), "model_1")
    assert row["diverged"] == 3
    assert pd.isna(row["reconstruction_squared_error"])


def test_tables_without_rows_say_how_to_get_them(tmp_path: Path) -> None:
    """Reconstruction was measured, nothing else; no ablation was run."""
    results = made(tmp_path, evaluations=False)
    for function in (comparison.classification, comparison.clustering, comparison.code, comparison.layer_values):
        absent = function(results)
        assert isinstance(absent, Absent)
        assert absent.reason.endswith("To get it: python study/launch.py --preset quick --phase confirm")
    absent = comparison.ablations(results)
    assert isinstance(absent, Absent)
    assert absent.reason.endswith("--phase ablate --factors FACTOR ...")


def test_the_command_for_missing_rows_gives_no_flag_twice() -> None:
    """What is asked for replaces what the last launch asked for; its factors mean nothing outside phase ablate."""
    last = "study/launch.py --preset sample --phase ablate --architectures model_4 model_1 --factors loss --seeds 2"
    study = Study("sample-mnist", "results/sample-mnist", {"launches": [{"command": last}]})
    assert command(study, "search confirm", "--architectures model_2") == (
        "python study/launch.py --preset sample --seeds 2 --phase search confirm --architectures model_2"
    )
    assert command(study, "ablate", "--factors activation") == (
        "python study/launch.py --preset sample --architectures model_4 model_1 --seeds 2 --phase ablate "
        "--factors activation"
    )


@pytest.mark.parametrize("left", [(), ("search",), ("control",)])
def test_every_table_or_its_absence_is_there_for_a_study_that_has_just_begun(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    """No rows, search alone, controls alone."""
    results = made(tmp_path)
    kept = results.trials["phase"].isin(left) | results.trials["arm"].isin(left)
    trials = results.trials[kept]
    scores = results.scores[results.scores["trial_id"].isin(trials["trial_id"])]
    tables = comparison.comparison_tables(
        StudyResults(results.studies, trials, results.epochs[:0], scores, results.codes)
    )
    names = [table.name for table in tables]
    assert names[:4] == ["summary", "architectures", "sizes", "reconstruction"]
    assert len(set(names)) == len(names)
    assert isinstance(tables[0], Absent)
    assert isinstance(tables[1], Table)
    assert isinstance(tables[3], Table if left == ("control",) else Absent)


def test_a_users_own_architecture_is_compared_like_any_other(tmp_path: Path) -> None:
    """Its layers are not known here, its parameters are in the rows."""
    results = made(tmp_path, architectures=("model_4", "mine"))
    table = comparison.reconstruction(results)
    assert line(table, "mine")["label"] == "mine"
    assert line(table, "model_4")["reconstruction_squared_error_mark"] == "best"
    assert line(comparison.sizes(results), "mine")["parameters"] == 100_000
    assert pd.isna(line(comparison.cost(results), "mine")["multiply_adds"])
    frame = shown(comparison.architectures(results)).frame.set_index("architecture")
    assert frame.loc["mine", "label"] == "mine"


def test_several_studies_are_told_apart_in_every_table(tmp_path: Path) -> None:
    """Each is ranked by itself; the study leads the sections."""
    for name, models in (("a", ("model_1", "model_4")), ("b", ("model_4", "model_5"))):
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), mishaps={})
    results = load_studies([tmp_path / "a", tmp_path / "b"])
    table = shown(comparison.reconstruction(results))
    assert [column.name for column in table.sections] == ["study", "code_size", "arm"]
    found = table.frame[table.frame["arm"] == "tuned"].set_index(["study", "architecture"])
    assert found["reconstruction_squared_error_mark"].to_dict() == {
        ("a", "model_1"): "",
        ("a", "model_4"): "best",
        ("b", "model_4"): "",
        ("b", "model_5"): "best",
    }
    assert all("study" in table.frame for table in comparison.comparison_tables(results) if isinstance(table, Table)
               and table.name != "architectures")  # fmt: skip


def test_a_folder_without_a_configuration_still_gives_tables(tmp_path: Path) -> None:
    """study.json of another hand: only the name is needed."""
    made(tmp_path)
    (tmp_path / "study" / "study.json").write_text(json.dumps({"name": "synthetic"}))
    results = load_study(tmp_path / "study")
    assert line(comparison.sizes(results), "model_4")["parameters"] > 0
    assert isinstance(comparison.reconstruction(results), Table)
    assert list_missing(results) == []
    assert provenance(results)[0][1]["folder"] == str(tmp_path / "study")
