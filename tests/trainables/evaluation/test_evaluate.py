"""The evaluation of a code, on codes whose scores are known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from study.storage.schema import SCORES, table_of
from tests.trainables.evaluation.blobs import CLASSES, blobs, by_name
from trainables.data.datasets import load_dataset
from trainables.evaluation.baselines import pca
from trainables.evaluation.evaluate import evaluate_codes
from trainables.evaluation.scores import Score

CLASSIFIERS = ("linear_classifier", "mlp_classifier", "nearest_neighbours")
EXPECTED = {
    **{
        (who, what): ("%" if what == "error" else "", "lower" if what == "error" else "higher")
        for who in CLASSIFIERS
        for what in ("error", "precision", "recall", "f_score")
    },
    **{
        (who, what): ("", "higher")
        for who in ("k_means", "k_means_whitened", "k_means_decoder_layer")
        for what in ("accuracy", "nmi", "ari", "silhouette")
    },
    **{("neighbourhood", what): ("", "higher") for what in ("trustworthiness", "continuity", "overlap")},
    **{("code", what): ("", "none") for what in ("hoyer_sparsity", "gini_index")},
    **{("code", what): ("units", "none") for what in ("effective_dimension", "dead_units")},
}


@pytest.fixture(scope="module")
def well_separated() -> dict[tuple[str, str], float]:
    """Scores of ten small, distant blobs."""
    return by_name(evaluate_codes(*blobs(600), *blobs(200, seed=1), seed=0))


def test_scores_are_rows_of_the_table() -> None:
    """A score has the columns of ``scores`` but the trial's, and the names, units and directions that are promised."""
    test = blobs(50, seed=1)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8)
    scores = evaluate_codes(*blobs(100), *test, seed=0, test_pixels=pixels, decoder_layer=test[0])
    columns = [field.name for field in fields(Score) if field.name != "per_image"]
    assert ["trial_id", *columns] == SCORES.names
    rows = [{"trial_id": "x"} | {name: getattr(score, name) for name in columns} for score in scores]
    assert table_of("scores", rows).num_rows == len(scores)
    assert {(score.evaluator, score.metric): (score.unit, score.direction) for score in scores} == EXPECTED
    assert {score.split for score in scores} == {"test"}


def test_separate_classes_are_found_without_error(well_separated: dict[tuple[str, str], float]) -> None:
    """Ten small, distant blobs: no errors, perfect agreement."""
    assert [well_separated[who, "error"] for who in CLASSIFIERS] == [0.0, 0.0, 0.0]
    for who, what in well_separated:
        if what in ("precision", "recall", "f_score", "accuracy", "nmi", "ari"):
            assert well_separated[who, what] == pytest.approx(1.0), (who, what)
    assert well_separated["k_means", "silhouette"] > 0.9


def test_the_same_seed_gives_the_same_scores(well_separated: dict[tuple[str, str], float]) -> None:
    """To the last digit; and only k-means and the perceptron depend on it."""
    overlapping = (*blobs(300, spread=0.6), *blobs(200, spread=0.6, seed=1))
    first, again, other = (by_name(evaluate_codes(*overlapping, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    changed = {who for (who, what), value in first.items() if value != other[who, what]}
    assert changed <= {"k_means", "k_means_whitened", "mlp_classifier"}
    assert first["mlp_classifier", "error"] > 0


@pytest.mark.parametrize("singular", [False, True], ids=["of five units", "of five units, one dead and one a sum"])
def test_an_invertible_map_of_the_code_changes_nothing_that_is_ranked(singular: bool) -> None:
    """To 1e-6 but for the perceptrons, whose errors move as they do by their seeds; it does change what is secondary.

    The decoder's first layer, which undoes the map, is not given: it has the same outputs.
    """
    (train, train_labels), (test, test_labels) = blobs(1_000, spread=0.7), blobs(500, spread=0.7, seed=1)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (500, 4, 4), np.uint8)
    if singular:
        train, test = (
            np.hstack([codes, np.full((len(codes), 1), 0.3), codes[:, :2] @ [[1], [2]]]) for codes in (train, test)
        )
    mapping = random.normal(size=(train.shape[1], train.shape[1]))
    perceptrons: list[list[float]] = []
    scores: list[dict[tuple[str, str], float]] = []
    for first, second in ((train, test), (train @ mapping + 3.0, test @ mapping + 3.0)):
        found = [
            by_name(evaluate_codes(first, train_labels, second, test_labels, seed, test_pixels=pixels))
            for seed in range(4)
        ]
        perceptrons.append([values["mlp_classifier", "error"] for values in found])
        scores.append(found[0])
    own, mapped = scores
    kept = {"linear_classifier", "nearest_neighbours", "k_means_whitened", "neighbourhood"}
    assert {name: value for name, value in mapped.items() if name[0] in kept} == pytest.approx(
        {name: value for name, value in own.items() if name[0] in kept}, abs=1e-6
    )
    for name in (("k_means", "silhouette"), ("code", "gini_index"), ("code", "effective_dimension")):
        assert abs(mapped[name] - own[name]) > 1e-3, name
    means, deviations = np.mean(perceptrons, axis=1), np.std(perceptrons, axis=1, ddof=1)
    assert abs(means[1] - means[0]) < 2 * deviations.max()


def test_pixels_are_not_whitened() -> None:
    """No layer has mapped them: neighbours and clusters are those of the pixels as they are."""
    (train, train_labels), (test, test_labels) = blobs(300, spread=0.5), blobs(200, spread=0.5, seed=1)
    stretched = np.array([1, 1, 30, 1, 1], np.float32)
    train, test = train * stretched, test * stretched
    scores = by_name(evaluate_codes(train, train_labels, test, test_labels, 0, whitened=False))
    assert not any(who == "k_means_whitened" for who, _ in scores)
    model = KNeighborsClassifier(10).fit(train, train_labels)
    error = 100 * float(np.mean(model.predict(test) != test_labels))
    assert scores["nearest_neighbours", "error"] == pytest.approx(error)
    whitened = by_name(evaluate_codes(train, train_labels, test, test_labels, 0))
    assert abs(whitened["nearest_neighbours", "error"] - error) > 1


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
    assert scores["nearest_neighbours", "error"] == pytest.approx(90, abs=5)
    assert [scores["k_means_whitened", what] for what in ("nmi", "ari", "silhouette")] == pytest.approx([0, 0, 0])
    for who in ("linear_classifier", "mlp_classifier"):
        assert scores[who, "error"] == 90.0
        assert scores[who, "precision"] == pytest.approx(0.01)
        assert scores[who, "recall"] == pytest.approx(0.1)
    assert scores["k_means", "accuracy"] == pytest.approx(0.1)
    assert [scores["k_means", what] for what in ("nmi", "ari", "silhouette")] == pytest.approx([0, 0, 0])
    assert scores["code", "dead_units"] == 3
    assert scores["code", "effective_dimension"] == 0


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
        monkeypatch.setattr("trainables.evaluation.evaluate.score_k_means", spy)
        with pytest.raises(RuntimeError):
            evaluate_codes(*blobs(50), *blobs(50), seed=0)
        after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert before.items() <= after.items()
    assert 2 in before.values()
    assert set(inside) == {1}


def test_a_score_can_be_had_without_scikit_learn() -> None:
    """Most trials are of the search and not evaluated; they need not wait for its import."""
    code = "import sys, trainables.evaluation.evaluate; sys.exit('sklearn' in sys.modules)"
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
    assert control.errors["squared_error"].mean() == pytest.approx(squared_error, abs=0.05)
    assert scores["linear_classifier", "error"] == pytest.approx(linear_error, abs=0.5)
    assert scores["mlp_classifier", "error"] < scores["linear_classifier", "error"]
    assert scores["k_means", "accuracy"] == pytest.approx(k_means_accuracy, abs=0.02)
    assert scores["code", "dead_units"] == 0
