"""The evaluation of a code, against figures worked out by hand or taken from known data."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from study.storage.schema import SCORES, table_of
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.evaluation.baselines import pca, raw_pixels
from trainables.evaluation.classification import macro_averages
from trainables.evaluation.clustering import clustering_accuracy, k_means_scores, require_umap, umap_gmm_scores
from trainables.evaluation.evaluate import Score, evaluate_codes, reconstruction_scores
from trainables.evaluation.sparsity import dead_units, gini_index, hoyer_sparsity, participation_ratio

Codes = NDArray[np.float32]
Labels = NDArray[np.int64]

CLASSES = 10
EXPECTED = {
    **{
        (who, what): ("%" if what == "error" else "", "lower" if what == "error" else "higher")
        for who in ("linear_classifier", "mlp_classifier")
        for what in ("error", "precision", "recall", "f_score")
    },
    **{("k_means", what): ("", "higher") for what in ("accuracy", "nmi", "ari", "silhouette")},
    **{("code", what): ("", "none") for what in ("hoyer_sparsity", "gini_index")},
    **{("code", what): ("units", "none") for what in ("effective_dimension", "dead_units")},
}


def blobs(count: int, *, size: int = 5, spread: float = 0.05, seed: int = 0) -> tuple[Codes, Labels]:
    """Return codes that lie around ten centres, the same for every seed, as many for each class."""
    centres = np.random.default_rng(99).normal(size=(CLASSES, size))
    labels = np.arange(count) % CLASSES
    codes = centres[labels] + spread * np.random.default_rng(seed).normal(size=(count, size))
    return codes.astype(np.float32), labels.astype(np.int64)


def by_name(scores: list[Score]) -> dict[tuple[str, str], float]:
    """Return the values by evaluator and metric, which must be unique and finite."""
    values = {(score.evaluator, score.metric): score.value for score in scores}
    assert len(values) == len(scores)
    assert all(type(value) is float and math.isfinite(value) for value in values.values()), values
    return values


@pytest.fixture(scope="module")
def well_separated() -> dict[tuple[str, str], float]:
    """Scores of ten small, distant blobs."""
    return by_name(evaluate_codes(*blobs(600), *blobs(200, seed=1), seed=0))


# Sparsity


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 2 - 10 / math.sqrt(30)),  # (2 - l1 / l2) / (2 - 1)
        ([3.0, -4.0], (math.sqrt(2) - 7 / 5) / (math.sqrt(2) - 1)),
        ([0.0, 0.0, -7.0, 0.0], 1.0),
        ([2.0, -2.0, 2.0], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([5.0], 0.0),
        ([[0.0, 1.0], [1.0, 1.0]], 0.5),
    ],
)
def test_hoyer_sparsity_agrees_with_hand_worked_values(values: list[Any], expected: float) -> None:
    """Signs do not matter, rows are averaged, zeros and single values count as 0."""
    assert hoyer_sparsity(values) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.0, 1.0, 3.0, 2.0], 0.25),  # 1 - 2 (1 x 3.5 + 2 x 2.5 + 3 x 1.5 + 4 x 0.5) / (10 x 4)
        ([3.0, -4.0], 1 / 14),  # 1 - 2 (3 x 1.5 + 4 x 0.5) / (7 x 2)
        ([0.0, 0.0, -7.0, 0.0], 0.75),
        ([2.0, -2.0, 2.0], 0.0),
        ([0.0, 0.0, 0.0], 0.0),
        ([5.0], 0.0),
        ([[0.0, 1.0], [1.0, 1.0]], 0.25),
    ],
)
def test_gini_index_agrees_with_hand_worked_values(values: list[Any], expected: float) -> None:
    """Order and signs do not matter, rows are averaged, zeros count as 0."""
    assert gini_index(values) == pytest.approx(expected, abs=1e-12)


def test_sparsity_does_not_depend_on_scale() -> None:
    """Not even where squares would leave the range of numbers."""
    row = np.array([1.0, 2.0, 3.0, 4.0])
    for factor in (1e-200, 1e200):
        assert hoyer_sparsity(factor * row) == pytest.approx(hoyer_sparsity(row))
        assert gini_index(factor * row) == pytest.approx(gini_index(row))


# Use of the units


def test_participation_ratio_agrees_with_hand_worked_values() -> None:
    """Variances 4 : 1 give (4 + 1)^2 / (16 + 1), whatever the axes and the mean."""
    cross = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert participation_ratio(cross) == pytest.approx(25 / 17)
    assert participation_ratio(1e-3 * cross @ turn + 5) == pytest.approx(25 / 17)


def test_participation_ratio_counts_equal_directions() -> None:
    """One for a line, three for a cube, none for a point."""
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    assert participation_ratio(cube) == pytest.approx(3)
    assert participation_ratio(np.outer(np.arange(5.0), [1.0, 2.0, -1.0])) == pytest.approx(1)
    assert participation_ratio(np.full((5, 3), 0.3, np.float32)) == 0.0


def test_dead_units_are_judged_by_the_unit_that_varies_most() -> None:
    """Deviations 1, 0.02 and 0.005 of the largest, and one that is constant but for rounding."""
    signs = np.resize([1.0, -1.0], 100)
    codes = np.stack([signs, 0.02 * signs, 0.005 * signs + 3, np.full(100, 0.3)], axis=1).astype(np.float32)
    assert dead_units(codes) == 2
    assert dead_units(codes * np.float32(1e-6)) == 2
    assert dead_units(codes[:, :1]) == 0


def test_units_that_differ_by_rounding_are_all_dead() -> None:
    """A collapsed code is computed in batches, whose results differ in the last digit."""
    codes = np.full((100, 4), 0.7, np.float32)
    codes[::2] = np.nextafter(codes[::2], np.float32(1))
    assert dead_units(codes) == 4
    assert participation_ratio(codes) == 0.0


# Agreement with the classes


@pytest.mark.parametrize(
    ("labels", "clusters", "expected"),
    [
        ([0, 0, 0, 1, 1, 2], [5, 5, 7, 7, 7, 5], 4 / 6),  # 5 for 0, 7 for 1, none is left for 2
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 1, 2], 0.5),  # one cluster a class
        ([0, 0, 1, 1, 1], [0, 0, 0, 0, 0], 3 / 5),
        # The larger overlap, 3 images of class 0 in cluster 0, is not taken: 2 + 2 beats 3 + 0.
        ([0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0, 0], 4 / 7),
    ],
)
def test_clustering_accuracy_assigns_clusters_at_best(labels: list[int], clusters: list[int], expected: float) -> None:
    """The names of clusters do not matter, and each stands for another class."""
    assert clustering_accuracy(labels, clusters) == pytest.approx(expected)


def test_f_score_is_that_of_averaged_precision_and_recall() -> None:
    """Precisions 1 and 1/2, recalls 2/3 and 1: 15/19, where the classes' own F-scores have the mean 11/15."""
    precision, recall, f_score = macro_averages(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert (precision, recall, f_score) == pytest.approx((3 / 4, 5 / 6, 15 / 19))


def test_macro_averages_count_what_is_never_predicted_as_0() -> None:
    """Class 2 is never right; class 9 does not occur and only takes an image from class 1."""
    assert macro_averages(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 9, 0])) == pytest.approx(
        ((2 / 3 + 1 + 0) / 3, (1 + 1 / 2 + 0) / 3, 2 * (5 / 9) * (1 / 2) / (5 / 9 + 1 / 2))
    )
    assert macro_averages(np.array([0, 1]), np.array([1, 0])) == (0.0, 0.0, 0.0)


def test_macro_averages_agree_with_scikit_learn() -> None:
    """On labels and predictions that are drawn."""
    from sklearn.metrics import precision_score, recall_score

    labels, predictions = np.random.default_rng(0).integers(0, 7, (2, 500))
    precision, recall, _ = macro_averages(labels, predictions)
    assert precision == pytest.approx(precision_score(labels, predictions, average="macro"))
    assert recall == pytest.approx(recall_score(labels, predictions, average="macro"))


# The whole


def test_scores_are_rows_of_the_table() -> None:
    """A score has the columns of ``scores`` but the trial's, and the names, units and directions that are promised."""
    scores = evaluate_codes(*blobs(100), *blobs(50, seed=1), seed=0)
    columns = [field.name for field in fields(Score)]
    assert ["trial_id", *columns] == SCORES.names
    rows = [{"trial_id": "x"} | {name: getattr(score, name) for name in columns} for score in scores]
    assert table_of("scores", rows).num_rows == len(scores)
    assert {(score.evaluator, score.metric): (score.unit, score.direction) for score in scores} == EXPECTED
    assert {score.split for score in scores} == {"test"}


def test_separate_classes_are_found_without_error(well_separated: dict[tuple[str, str], float]) -> None:
    """Ten small, distant blobs: no errors, perfect agreement."""
    assert well_separated["linear_classifier", "error"] == 0.0
    assert well_separated["mlp_classifier", "error"] == 0.0
    for who, what in EXPECTED:
        if what in ("precision", "recall", "f_score", "accuracy", "nmi", "ari"):
            assert well_separated[who, what] == pytest.approx(1.0), (who, what)
    assert well_separated["k_means", "silhouette"] > 0.9


def test_the_perceptron_separates_what_no_line_does() -> None:
    """An exclusive-or: the linear classifier guesses, the perceptron does not."""
    codes = np.random.default_rng(0).uniform(-1, 1, (2_000, 2)).astype(np.float32)
    labels = (codes[:, 0] * codes[:, 1] > 0).astype(np.int64)
    scores = by_name(evaluate_codes(codes[:1_500], labels[:1_500], codes[1_500:], labels[1_500:], seed=0))
    assert scores["linear_classifier", "error"] > 35
    assert scores["mlp_classifier", "error"] < 4


def test_the_same_seed_gives_the_same_scores(well_separated: dict[tuple[str, str], float]) -> None:
    """To the last digit; and only k-means and the perceptron depend on it."""
    overlapping = (*blobs(300, spread=0.6), *blobs(200, spread=0.6, seed=1))
    first, again, other = (by_name(evaluate_codes(*overlapping, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert {who for (who, what), value in first.items() if value != other[who, what]} <= {"k_means", "mlp_classifier"}
    assert first["mlp_classifier", "error"] > 0


def test_units_may_have_any_scale_and_offset(well_separated: dict[tuple[str, str], float]) -> None:
    """Classifiers see standardised units; k-means sees distances in proportion, however large or small."""
    (train, train_labels), (test, test_labels) = blobs(600), blobs(200, seed=1)
    for factor in (1e-25, 1e25):
        scores = by_name(evaluate_codes(train * factor, train_labels, test * factor, test_labels, seed=0))
        for name, value in well_separated.items():
            assert scores[name] == pytest.approx(value, abs=1e-3), name


def test_a_dead_unit_changes_no_classification(well_separated: dict[tuple[str, str], float]) -> None:
    """Not even where it comes to life in the test codes: nothing was learned for it."""
    (train, train_labels), (test, test_labels) = blobs(600), blobs(200, seed=1)
    dead = np.full((600, 1), 0.3, np.float32)
    alive = np.random.default_rng(0).normal(0, 100, (200, 1)).astype(np.float32)
    scores = by_name(evaluate_codes(np.hstack([train, dead]), train_labels, np.hstack([test, alive]), test_labels, 0))
    assert scores["linear_classifier", "error"] == 0.0
    assert scores["mlp_classifier", "error"] == 0.0


@pytest.mark.parametrize("jitter", [0.0, 1e-7], ids=["exactly", "but for rounding"])
def test_a_collapsed_code_scores_as_a_guess(jitter: float) -> None:
    """The most frequent class is predicted for all, all codes are one cluster, and nothing is NaN."""
    noise = np.random.default_rng(0).normal(0, jitter, (1_000, 3))
    codes = (0.7 * (1 + noise)).astype(np.float32)
    labels = np.append(np.zeros(200), np.arange(800) % CLASSES).astype(np.int64)
    scores = by_name(evaluate_codes(codes, labels, codes[500:], labels[500:], seed=0))
    for who in ("linear_classifier", "mlp_classifier"):
        assert scores[who, "error"] == 90.0
        assert scores[who, "precision"] == pytest.approx(0.01)
        assert scores[who, "recall"] == pytest.approx(0.1)
    assert scores["k_means", "accuracy"] == pytest.approx(0.1)
    assert [scores["k_means", what] for what in ("nmi", "ari", "silhouette")] == pytest.approx([0, 0, 0])
    assert scores["code", "dead_units"] == 3
    assert scores["code", "effective_dimension"] == 0


def test_fewer_distinct_codes_than_clusters_are_as_many_clusters() -> None:
    """Ten classes on three points: 3 of 10 classes can be right."""
    labels = np.arange(60) % CLASSES
    codes = np.array([[0, 0], [1, 0], [0, 1]], np.float32)[np.minimum(labels, 2)]
    scores = by_name(k_means_scores(codes, labels, clusters=CLASSES, seed=0))
    assert scores["k_means", "accuracy"] == pytest.approx(0.3)
    assert scores["k_means", "silhouette"] == pytest.approx(1.0)


def test_fewer_codes_than_clusters_are_clustered() -> None:
    """Each its own cluster, for which silhouette is not defined."""
    codes, labels = blobs(4)
    scores = by_name(k_means_scores(codes, labels, clusters=CLASSES, seed=0))
    assert scores["k_means", "accuracy"] == 1.0
    assert scores["k_means", "silhouette"] == 0.0


@pytest.mark.parametrize("labelled", ["train", "test", "neither"])
def test_without_labels_only_what_needs_none_is_measured(labelled: str) -> None:
    """Classifiers need both sets of labels, agreement with the classes those of the test codes, silhouette none."""
    (train, train_labels), (test, test_labels) = blobs(100), blobs(50, seed=1)
    scores = evaluate_codes(
        train, train_labels if labelled == "train" else None, test, test_labels if labelled == "test" else None, seed=0
    )
    names = set(by_name(scores))
    assert not any(who.endswith("classifier") for who, _ in names)
    assert ("k_means", "silhouette") in names
    assert (("k_means", "accuracy") in names) == (labelled == "test")
    assert ("code", "gini_index") in names


def test_codes_of_one_unit_are_evaluated() -> None:
    """Sparsity says nothing of a single unit, and is 0."""
    scores = by_name(evaluate_codes(*blobs(200, size=1), *blobs(50, size=1, seed=1), seed=0))
    assert scores["code", "hoyer_sparsity"] == scores["code", "gini_index"] == 0.0
    assert scores["code", "effective_dimension"] == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["training", "test"])
def test_codes_that_are_not_finite_are_refused(bad: float, where: str) -> None:
    """One value suffices, and the message says in which codes."""
    (train, train_labels), (test, test_labels) = blobs(100), blobs(50)
    (train if where == "training" else test)[3, 2] = bad
    with pytest.raises(ValueError, match=f"{where} codes are not finite"):
        evaluate_codes(train, train_labels, test, test_labels, seed=0)


def test_shapes_that_do_not_agree_are_refused() -> None:
    """Labels for each code, and training and test codes of the same units."""
    codes, labels = blobs(100)
    with pytest.raises(ValueError, match=r"test labels have shape \(99,\) for 100 codes"):
        evaluate_codes(codes, labels, codes, labels[1:], seed=0)
    with pytest.raises(ValueError, match="training codes have 5 units and test codes 4"):
        evaluate_codes(codes, labels, codes[:, :4], labels, seed=0)
    with pytest.raises(ValueError, match=r"training codes have shape \(100,\)"):
        evaluate_codes(codes[:, 0], labels, codes, labels, seed=0)
    with pytest.raises(ValueError, match=r"test codes have shape \(0, 5\)"):
        evaluate_codes(codes, labels, codes[:0], labels[:0], seed=0)


def test_the_caller_s_threads_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside, every pool has one thread; afterwards, also after an error, as many as before."""
    inside: list[int] = []

    def spy(*_: object) -> list[Score]:
        inside.extend(pool["num_threads"] for pool in threadpool_info())
        raise RuntimeError

    with threadpool_limits(limits=2):
        before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
        monkeypatch.setattr("trainables.evaluation.evaluate.k_means_scores", spy)
        with pytest.raises(RuntimeError):
            evaluate_codes(*blobs(50), *blobs(50), seed=0)
        after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert before.items() <= after.items()
    assert 2 in before.values()
    assert set(inside) == {1}


def test_a_score_can_be_had_without_scikit_learn() -> None:
    """Most trials are of the search and not evaluated; they need not wait for its import."""
    code = "import sys, trainables.evaluation; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_digits_are_read_from_their_principal_components() -> None:
    """A small real data set goes through the whole, and the perceptron beats the line."""
    digits = load_dataset("digits")
    control = pca(digits.training.pixels, digits.test.pixels, 10)
    scores = by_name(
        evaluate_codes(control.train_codes, digits.training.labels, control.test_codes, digits.test.labels, seed=0)
    )
    assert scores["mlp_classifier", "error"] < scores["linear_classifier", "error"] < 15
    assert scores["k_means", "accuracy"] > 0.6


# UMAP


def test_umap_without_the_extra_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is computed, with what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[umap\]'"):
        evaluate_codes(*blobs(50), *blobs(50), seed=0, with_umap=True)
    with pytest.raises(InputError):
        require_umap()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="needs the extra umap")
def test_umap_and_a_mixture_find_separate_classes() -> None:
    """And a collapsed code gives one cluster, not an error."""
    codes, labels = blobs(500)
    scores = by_name(evaluate_codes(codes, labels, codes, labels, seed=0, with_umap=True))
    assert set(scores) == set(EXPECTED) | {("umap_gmm", what) for what in ("accuracy", "nmi", "ari", "silhouette")}
    assert scores["umap_gmm", "accuracy"] > 0.95
    collapsed = by_name(umap_gmm_scores(np.full((50, 3), 0.7, np.float32), labels[:50], CLASSES, seed=0))
    assert collapsed["umap_gmm", "accuracy"] == pytest.approx(0.1)


# Reconstruction and controls


def test_reconstruction_scores_leave_out_what_is_not_known() -> None:
    """PCA has no cross-entropy; another source of the reconstruction is another evaluator."""
    assert reconstruction_scores("test", 90.0, 13.5) == [
        Score("test", "reconstruction", "cross_entropy", 90.0, "nats/image", "lower"),
        Score("test", "reconstruction", "squared_error", 13.5, "1/image", "lower"),
    ]
    assert reconstruction_scores("train", None, 13.5, "mean_code") == [
        Score("train", "mean_code", "squared_error", 13.5, "1/image", "lower")
    ]


def test_pca_of_two_pixels_agrees_with_hand_worked_values() -> None:
    """Training images on the diagonal of two pixels: the component is (1, 1) / sqrt 2, the mean (1/2, 1/2)."""
    train = np.array([[[0, 0]], [[255, 255]], [[51, 51]], [[204, 204]]], np.uint8)
    test = np.array([[[255, 255]], [[255, 0]]], np.uint8)
    control = pca(train, test, 1)
    assert control.train_codes == pytest.approx(np.array([[-0.5], [0.5], [-0.3], [0.3]]) * math.sqrt(2), abs=1e-6)
    assert control.test_codes == pytest.approx(np.array([[math.sqrt(0.5)], [0.0]]), abs=1e-6)
    assert control.reconstructions == pytest.approx(np.array([[[1.0, 1.0]], [[0.5, 0.5]]]), abs=1e-6)
    assert control.squared_error == pytest.approx((0 + 0.5) / 2)


def test_pca_of_all_pixels_loses_nothing() -> None:
    """As many components as pixels, and codes of float32."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4), np.uint8)
    control = pca(pixels, pixels, 12)
    assert control.squared_error == pytest.approx(0, abs=1e-10)
    assert control.train_codes.dtype == control.test_codes.dtype == control.reconstructions.dtype == np.float32
    assert control.reconstructions.shape == (50, 3, 4)


def test_pca_of_digits_agrees_with_scikit_learn() -> None:
    """Codes up to their signs, and the squared error."""
    from sklearn.decomposition import PCA

    digits = load_dataset("digits")
    train, test = (images.pixels.reshape(len(images), -1) / 255 for images in (digits.training, digits.test))
    model = PCA(5, svd_solver="full").fit(train)
    control = pca(digits.training.pixels, digits.test.pixels, 5)
    assert np.abs(control.test_codes) == pytest.approx(np.abs(model.transform(test)), abs=1e-3)
    expected = np.square(model.inverse_transform(model.transform(test)) - test).sum(1).mean()
    assert control.squared_error == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("code_size", [0, 7])
def test_pca_refuses_more_components_than_pixels(code_size: int) -> None:
    """A message for the user, who chose the code size."""
    pixels = np.zeros((9, 2, 3), np.uint8)
    with pytest.raises(InputError, match="1 to 6"):
        pca(pixels, pixels, code_size)


def test_raw_pixels_are_their_own_reconstruction() -> None:
    """Flat, in [0, 1], float32."""
    pixels = np.array([[[0, 51], [255, 102]]], np.uint8)
    control = raw_pixels(pixels, pixels)
    assert control.train_codes == pytest.approx(np.array([[0.0, 0.2, 1.0, 0.4]]))
    assert control.train_codes.dtype == np.float32
    assert control.squared_error == 0.0
    assert np.array_equal(control.reconstructions[0].ravel(), control.test_codes[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code_size", "squared_error", "linear_error", "k_means_accuracy"),
    [(2, 43.65, 55.4, 0.39), (10, 26.71, 19.1, 0.53), (30, 13.87, 10.4, 0.55)],
)
def test_principal_components_of_mnist_score_as_known(
    data_dir: Path, code_size: int, squared_error: float, linear_error: float, k_means_accuracy: float
) -> None:
    """Hinton and Salakhutdinov (2006) report 13.87 for 30 components; the other figures were computed apart."""
    mnist = load_dataset("mnist", data_dir)
    control = pca(mnist.training.pixels, mnist.test.pixels, code_size)
    scores = by_name(
        evaluate_codes(control.train_codes, mnist.training.labels, control.test_codes, mnist.test.labels, seed=0)
    )
    assert control.squared_error == pytest.approx(squared_error, abs=0.05)
    assert scores["linear_classifier", "error"] == pytest.approx(linear_error, abs=0.5)
    assert scores["mlp_classifier", "error"] < scores["linear_classifier", "error"]
    assert scores["k_means", "accuracy"] == pytest.approx(k_means_accuracy, abs=0.02)
    assert scores["code", "dead_units"] == 0
