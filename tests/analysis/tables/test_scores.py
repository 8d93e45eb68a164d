"""Tables of scores: means, intervals and marks against SciPy and what the synthetic study was made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.rendering.text import format_cell
from analysis.results import StudyResults
from analysis.stats.crossed import cross_confirmed
from analysis.stats.metrics import LINEAR_ERROR, MLP_ERROR, NEAREST_NEIGHBOUR_ERROR, SQUARED_ERROR, select_metric
from analysis.tables.scores import (
    CLASSIFICATION,
    CLUSTERING,
    CODE,
    NEIGHBOURHOOD,
    NO_LABELS,
    reconstruction,
    score_table,
)
from analysis.tables.summary import summary
from analysis.tables.table import IMAGES_CAPTION, SEEDS_ALONE_CAPTION
from tests.analysis.tables.cells import Tables, line, look_at, made, scores_of, shown
from tests.synthetic import MEAN_IMAGE_CROSS_ENTROPY, noise


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


@pytest.mark.parametrize(
    ("table", "evaluator", "metric"),
    [
        ("classification", "linear_classifier", "error"),
        ("classification", "mlp_classifier", "error"),
        ("classification", "nearest_neighbours", "error"),
        ("clustering", "k_means_whitened", "accuracy"),
        ("neighbourhood", "neighbourhood", "trustworthiness"),
    ],
)
def test_every_other_table_of_scores_has_the_t_interval_of_its_metric(
    tables: Tables, table: str, evaluator: str, metric: str
) -> None:
    """As SciPy gives it for the three runs of model 1."""
    row, values = line(tables[table], "model_1"), scores_of("model_1", evaluator=evaluator, metric=metric)
    low, high = scipy.stats.t.interval(0.95, 2, values.mean(), scipy.stats.sem(values))
    name = f"{evaluator}_{metric}"
    assert row[[name, f"{name}_low", f"{name}_high"]].tolist() == pytest.approx([values.mean(), low, high])


def test_neighbours_are_those_of_at_most_2_000_images(tables: Tables) -> None:
    """A set of digits has fewer: 360."""
    assert shown(tables["neighbourhood"]).caption.startswith("Of at most 2,000 test images, evenly spaced: ")


def test_the_code_is_described_by_its_runs_mean(tables: Tables) -> None:
    """Hoyer sparsity, which the synthetic study makes of the model and the metric alone."""
    row = line(tables["code"], "model_1")
    assert row["code_hoyer_sparsity"] == pytest.approx(0.3 + 0.01 * noise("model_1", "hoyer_sparsity"))
    assert row["code_effective_dimension"] == pytest.approx(6.0)


def test_an_interval_over_seeds_and_images_stands_beside_where_images_are_kept(tmp_path: Path, tables: Tables) -> None:
    """In both tables, controls included, and raw pixels in one; without images the caption says what is missing."""
    results = made(tmp_path, test_images=200, control_seeds=3)
    crossed = cross_confirmed(results)
    for table, metrics in (
        (reconstruction(results), (SQUARED_ERROR,)),
        (score_table(results, CLASSIFICATION), (LINEAR_ERROR, MLP_ERROR, NEAREST_NEIGHBOUR_ERROR)),
    ):
        columns = [column for column in shown(table).columns if column.kind == "interval"]
        assert [column.name for column in columns] == [f"{metric.name}_images" for metric in metrics]
        assert IMAGES_CAPTION in shown(table).caption
        for metric, column in zip(metrics, columns, strict=True):
            of_metric = select_metric(crossed, metric).set_index(["architecture", "arm"])
            for architecture, arm in (("model_4", "tuned"), ("pca", "control")):
                row = line(table, architecture, arm)
                low, high = of_metric.loc[(architecture, arm), ["images_low", "images_high"]]
                assert low < row[metric.name] < high
                assert format_cell(row.to_dict(), column).text == f"{low:.2f} to {high:.2f}"
    for name in ("reconstruction", "classification"):
        assert SEEDS_ALONE_CAPTION in shown(tables[name]).caption
        assert not any(column.kind == "interval" for column in shown(tables[name]).columns)
    assert "raw_pixels" not in set(shown(reconstruction(results)).frame["architecture"])
    assert line(score_table(results, CLASSIFICATION), "raw_pixels", "control", 784)[f"{MLP_ERROR.name}_images_low"] > 0


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


def test_a_control_that_sees_labels_is_said_to(results: StudyResults, tables: Tables) -> None:
    """Below tables of scores, where it has run."""
    told = "Siamese network (sees labels) is trained with the labels of the training images: no rival."
    trials = results.trials.assign(architecture=results.trials["architecture"].astype("str").replace("pca", "siamese"))
    assert told in shown(reconstruction(dataclasses.replace(results, trials=trials))).footnotes
    assert told not in shown(tables["reconstruction"]).footnotes


def test_model_3_is_not_ranked_by_reconstruction_but_by_classification(tables: Tables) -> None:
    """Its switches carry the image past the code: shown, with a footnote."""
    table = shown(tables["reconstruction"])
    row = line(table, "model_3")
    assert row["reconstruction_squared_error"] == table.frame["reconstruction_squared_error"].min()
    assert row["reconstruction_squared_error_mark"] == "unranked"
    assert "a" in line(table, "model_5")["reconstruction_squared_error_mark"]
    assert any("switches carry the image past the code" in note for note in table.footnotes)
    classification = shown(tables["classification"])
    assert "a" not in line(classification, "model_3")["linear_classifier_error_mark"]
    assert "a" in line(classification, "model_5")["linear_classifier_error_mark"]
    assert not any("switches" in note for note in classification.footnotes)


def test_the_family_of_holm_is_the_column_of_the_table(tables: Tables) -> None:
    """Of the tuned arm: models 1, 2, 4, 5 and unpool_only, of which one run failed, which leaves it out."""
    frame = shown(tables["differences"]).frame
    tests = frame[(frame["metric"] == "squared_error") & (frame["arm"] == "tuned")]
    assert len(tests) == 10
    assert tests.loc[tests["p_holm"].isna(), "architecture"].tolist() == 4 * ["unpool_only"]
    rows = tests[tests["p_holm"].notna()].to_dict("records")
    found = {(str(row["architecture"]), str(row["other"])): row for row in rows}
    expected = {
        pair: scipy.stats.ttest_ind(scores_of(pair[0]), scores_of(pair[1]), equal_var=False).pvalue for pair in found
    }
    adjusted, largest = {}, 0.0
    for place, (pair, p) in enumerate(sorted(expected.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (6 - place)))
        adjusted[pair] = largest
    for pair, row in found.items():
        assert row["p_value"] == pytest.approx(expected[pair])
        assert row["p_holm"] == pytest.approx(adjusted[pair])
        assert row["worse"] == (adjusted[pair] < 0.05)
    table = tables["reconstruction"]
    marks = {name: set(line(table, name)["reconstruction_squared_error_mark"]) for name in ("model_5", "unpool_only")}
    assert "a" in marks["model_5"] and not marks["unpool_only"]
    for (architecture, other), row in found.items():
        letters = (set(line(table, name)["reconstruction_squared_error_mark"]) for name in (architecture, other))
        assert set.intersection(*letters) == set() if row["worse"] else set.intersection(*letters)


def test_one_seed_gives_values_without_intervals_or_marks(tmp_path: Path) -> None:
    """What one run cannot show is not shown."""
    row = line(reconstruction(made(tmp_path, seeds=1)), "model_4")
    assert row["reconstruction_squared_error"] == pytest.approx(scores_of("model_4", numbers=(1,))[0])
    assert row["reconstruction_squared_error_n"] == 1
    assert pd.isna(row["reconstruction_squared_error_half_width"])
    assert row["reconstruction_squared_error_mark"] == ""


def test_a_cell_of_which_no_run_came_through_is_there_with_its_counts(tmp_path: Path) -> None:
    """All diverged: no figures, but no silence either."""
    mishaps = {("model_1", 10, "tuned", number): "diverged" for number in (1, 2, 3)}
    row = line(reconstruction(made(tmp_path, mishaps=mishaps)), "model_1")
    assert row["diverged"] == 3
    assert pd.isna(row["reconstruction_squared_error"])


def test_clusters_by_umap_stand_and_are_ranked_beside_those_by_k_means(tmp_path: Path) -> None:
    """In a study that has them; their mean is that of the runs."""
    results = made(tmp_path)
    assert not any("umap" in column.name for column in shown(score_table(results, CLUSTERING)).columns)
    scores = results.scores.astype({"evaluator": "str"})
    added = scores[scores["evaluator"] == "k_means_whitened"].assign(evaluator="umap_gmm")
    added = added.assign(value=added["value"] + 0.02)
    table = score_table(dataclasses.replace(results, scores=pd.concat([scores, added], ignore_index=True)), CLUSTERING)
    (column,) = (column for column in shown(table).columns if column.name == "umap_gmm_accuracy")
    assert (column.header, column.main) == ("UMAP + mixture accuracy", True)
    row = line(table, "model_4")
    runs = scores_of("model_4", evaluator="k_means_whitened", metric="accuracy") + 0.02
    assert row["umap_gmm_accuracy"] == pytest.approx(runs.mean())
    assert row["umap_gmm_accuracy_mark"] == row["k_means_whitened_accuracy_mark"]


def test_clusters_of_data_without_labels_are_shown_where_space_is_short(results: StudyResults, tables: Tables) -> None:
    """Their silhouettes, of which none is a main one; of classes there is nothing to say but that they are missing."""
    table = shown(tables["clustering"])
    assert table.caption.startswith("Agreement of clusters of the codes with the classes, ")
    assert "k_means_whitened_silhouette" not in [column.name for column in table.columns if column.main]
    (study,) = results.studies
    unlabelled = {**study.manifest, "dataset": study.manifest["dataset"] | {"labelled": False}}
    kept = results.scores[~results.scores["metric"].isin(["accuracy", "nmi", "ari"])]
    studies = (dataclasses.replace(study, manifest=unlabelled),)
    table = shown(score_table(dataclasses.replace(results, studies=studies, scores=kept), CLUSTERING))
    shown_columns = [column.name for column in table.columns if column.main and column.kind == "estimate"]
    assert shown_columns == ["k_means_whitened_silhouette", "k_means_silhouette"]
    assert table.caption.startswith("Clusters are of whitened codes, ")
    assert NO_LABELS in table.footnotes


def test_letters_of_a_study_that_looks_come_with_its_looks(results: StudyResults, tables: Tables) -> None:
    """By whose level they are: at a billionth no two differ, though at 5 % some do. Without letters nothing is said."""
    looked = look_at(results, 1e-9)
    scores = (score_table(looked, spec) for spec in (CLASSIFICATION, CLUSTERING, NEIGHBOURHOOD))
    for table in map(shown, (summary(looked), reconstruction(looked), *scores)):
        assert sum("at looks declared before the first" in note for note in table.footnotes) == 1, table.name
        assert not any("looks declared" in note for note in shown(tables[table.name]).footnotes)
    mark = "reconstruction_squared_error_mark"
    assert [line(reconstruction(looked), name)[mark] for name in ("model_1", "model_5")] == ["a", "a"]
    assert line(tables["reconstruction"], "model_1")[mark] != "a"
    assert not any("looks declared" in note for note in shown(score_table(looked, CODE)).footnotes)
