"""A trial from start to rows: every seed reports its epochs, ends once, and is measured as it was trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import trainables.evaluation.evaluate
import trainables.run_trial
from tests.trainables.evaluation.blobs import CLASSES, blobs, by_name
from trainables.checkpoint import unpack_weights
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset, LabelledImages
from trainables.evaluation.baselines import embed_pixels, pca
from trainables.evaluation.clustering import score_umap_gmm
from trainables.evaluation.evaluate import evaluate_codes
from trainables.evaluation.scores import make_scores
from trainables.inference import encode
from trainables.models.architectures import BUILT_IN, CONTROLS, with_variant
from trainables.models.layers import count_multiply_adds, count_parameters
from trainables.models.pictures import draw_samples, take_pictures
from trainables.run_trial import (
    KEPT_RECONSTRUCTIONS,
    KEPT_SAMPLES,
    Report,
    Trial,
    TrialBatch,
    _halve,
    _measure_control,
    run_trial,
)
from trainables.training.batched import BatchedTraining
from trainables.training.devices import name_engine
from trainables.training.objectives import OBJECTIVES
from trainables.training.training import EpochMetrics, Training
from trainables.trial_config import RECIPES, TrialConfig

SEEDS = (1, 2, 3)


def make_trial_config(name: str) -> TrialConfig:
    """Return settings of a small model."""
    return RECIPES["modern"].trial_config(BUILT_IN[name], 4, 3, batch_size=20, filters=(3, 2))


def assert_close(ours: EpochMetrics, theirs: EpochMetrics, rel: float = 1e-4) -> None:
    """Compare all values but the time."""
    for name in EpochMetrics.__slots__:
        ours_value, theirs_value = getattr(ours, name), getattr(theirs, name)
        if name != "seconds" and theirs_value is not None:
            assert ours_value == pytest.approx(theirs_value, rel=rel), name


def spec_of(trial_config: TrialConfig) -> TrialBatch:
    """Return a confirmed trial of three seeds."""
    runs = tuple(Trial(f"confirm-{seed}", seed, keep_codes=seed == 1) for seed in SEEDS)
    return TrialBatch("confirm", BUILT_IN[trial_config.architecture], trial_config.code_size, trial_config, runs)


def few_digits() -> Dataset:
    """Return a hundred digits to train on and forty to test."""
    digits = load_dataset("digits")
    return Dataset("digits", digits.training.select(0, 100), 20, digits.test.select(0, 40), "0" * 64)


def test_seeds_of_a_trial_end_with_the_rows_that_they_have_alone() -> None:
    """One trial reports every epoch of every seed; outcomes, scores and weights are each seed's own."""
    trial_config = dataclasses.replace(make_trial_config("model_4"), epochs_planned=2)
    cpu = torch.device("cpu")
    ours = list(run_trial(spec_of(trial_config), few_digits(), cpu, at_once=3))
    theirs = list(run_trial(spec_of(trial_config), few_digits(), cpu, at_once=1))
    assert [report.trial_id for report in ours] == [f"confirm-{seed}" for seed in SEEDS] * 2
    assert [report.trial_id for report in theirs] == [f"confirm-{seed}" for seed in SEEDS for _ in range(2)]
    for report in theirs:
        (same,) = [
            other
            for other in ours
            if (other.trial_id, other.epoch and other.epoch.epoch)
            == (report.trial_id, report.epoch and report.epoch.epoch)
        ]
        assert same.epoch is not None
        assert report.epoch is not None
        assert_close(same.epoch, report.epoch, rel=2e-3)
        assert same.columns["parameters"] == report.columns["parameters"]
        assert same.columns["device_seconds"] == pytest.approx(same.columns["seconds"] / 3)
        if report.outcome is None:
            assert same.outcome is None
            continue
        assert same.outcome is not None
        assert same.outcome.status == report.outcome.status == "complete"
        assert (same.outcome.kept is None) == (report.outcome.kept is None)
        errors = [
            [score.value for score in outcome.scores if score.metric == "squared_error"]
            for outcome in (same.outcome, report.outcome)
        ]
        assert errors[0] == pytest.approx(errors[1], rel=1e-2)
        assert same.outcome.weights is not None
    weights = {report.outcome.weights for report in ours if report.outcome is not None}
    assert len(weights) == len(SEEDS)


def test_a_seed_that_diverges_ends_and_the_others_are_trained_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report says so in its epoch, and no other report of it follows."""
    trial_config = make_trial_config("unpool_only")
    train_epoch = BatchedTraining.train_epoch

    def breaks(batch: BatchedTraining) -> list[EpochMetrics]:
        if batch.epoch == 1:
            with torch.no_grad():
                batch.trainings[2].model.get_parameter("code.weight").fill_(float("inf"))
        return train_epoch(batch)

    monkeypatch.setattr(BatchedTraining, "train_epoch", breaks)
    reports = list(run_trial(spec_of(trial_config), few_digits(), torch.device("cpu"), at_once=3))
    ends = {report.trial_id: (report.outcome.status, report.epoch.epoch) for report in reports if report.outcome}  # type: ignore[union-attr]
    assert ends == {"confirm-1": ("complete", 3), "confirm-2": ("complete", 3), "confirm-3": ("diverged", 2)}
    assert [report.trial_id for report in reports].count("confirm-3") == 2


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [("code.bias", "a code is not finite"), ("output.bias", "cross_entropy of reconstruction on test is not finite")],
)
def test_a_trial_whose_codes_or_scores_are_not_finite_is_diverged(
    parameter: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses were finite to the last epoch; none of its scores becomes a row."""
    trial_config = dataclasses.replace(make_trial_config("unpool_only"), epochs_planned=1)
    train_epoch = Training.train_epoch

    def breaks_after(training: Training) -> EpochMetrics:
        figures = train_epoch(training)
        with torch.no_grad():
            training.model.get_parameter(parameter).fill_(float("inf"))
        return figures

    monkeypatch.setattr(Training, "train_epoch", breaks_after)
    *_, last = run_trial(spec_of(trial_config), few_digits(), torch.device("cpu"), at_once=1)
    assert last.epoch is not None
    assert last.epoch.finite
    assert last.outcome is not None
    assert (last.outcome.status, last.outcome.reason) == ("diverged", reason)
    assert not last.outcome.scores
    assert last.outcome.weights is None


def test_a_search_trial_is_measured_on_validation_images_alone() -> None:
    """It trains without them, and leaves no scores and no weights."""
    batch = TrialBatch("search", BUILT_IN["model_1"], 4, make_trial_config("model_1"), (Trial("search-1", 1),))
    reports = list(run_trial(batch, few_digits(), torch.device("cpu")))
    assert [report.epoch.epoch for report in reports if report.epoch] == [1, 2, 3]
    assert all(report.epoch and report.epoch.validation_cross_entropy for report in reports)
    assert reports[-1].columns["train_images"] == 80
    assert reports[-1].columns["engine"] == name_engine(torch.device("cpu"))
    assert reports[-1].outcome is not None
    assert (reports[-1].outcome.status, reports[-1].outcome.scores, reports[-1].outcome.weights) == (
        "complete",
        [],
        None,
    )


@pytest.mark.parametrize(("name", "code_size", "codes"), [("raw_pixels", 784, KEPT_RECONSTRUCTIONS), ("pca", 4, 40)])
def test_a_control_reports_once_and_keeps_its_codes(name: str, code_size: int, codes: int) -> None:
    """Raw pixels come back as they are, and few of them are kept, since their codes are images."""
    batch = TrialBatch("confirm", CONTROLS[name], code_size, None, (Trial("control", None, keep_codes=True),))
    (report,) = run_trial(batch, few_digits(), torch.device("cpu"))
    assert report.epoch is None
    assert report.outcome is not None
    kept = report.outcome.kept
    assert kept is not None
    assert kept.codes.shape == (codes, code_size)
    assert kept.reconstructions.shape == (KEPT_RECONSTRUCTIONS, 784)
    walk = [picture.values for picture in report.outcome.pictures]
    np.testing.assert_array_equal([walk[0], walk[-1]], kept.reconstructions[:2])
    values = {(score.evaluator, score.metric): score.value for score in report.outcome.scores}
    error, clipped = (values["reconstruction", metric] for metric in ("squared_error", "clipped_squared_error"))
    assert error == clipped == 0 if name == "raw_pixels" else error > clipped > 0
    # Pixels are neighbours as they are; a code of four components, whitened, keeps some of them.
    assert (("k_means_whitened", "silhouette") in values) == (name == "pca")
    assert (values["neighbourhood", "overlap"] == 1) == (name == "raw_pixels")
    if name == "raw_pixels":
        originals = few_digits().test.pixels[:KEPT_RECONSTRUCTIONS].reshape(-1, 784) / 255
        np.testing.assert_allclose(kept.reconstructions, originals, atol=1e-3)


@pytest.mark.parametrize("what", ["confirm", "ablate", "pca"])
def test_a_trial_that_is_measured_keeps_a_value_of_every_test_image(what: str, dataset: Dataset) -> None:
    """Of an error 0 or 100 %; of the squared error what the first reconstructions give; the mean is the score."""
    batch = batch_of(what, keep_codes=True)
    if what == "pca":
        batch = TrialBatch("confirm", CONTROLS["pca"], 4, None, (Trial("control", None, keep_codes=True),))
    outcome = reports_of(batch, dataset)[-1].outcome
    assert outcome is not None
    assert outcome.kept is not None
    kept = {(score.evaluator, score.metric): score for score in outcome.scores if score.per_image is not None}
    classifiers = ("linear_classifier", "mlp_classifier", "nearest_neighbours")
    clipped = [("reconstruction", "clipped_squared_error")] if what == "pca" else []
    assert list(kept) == [("reconstruction", "squared_error"), *clipped, *((who, "error") for who in classifiers)]
    for score in kept.values():
        assert score.per_image is not None
        assert score.per_image.dtype == np.float16
        assert score.per_image.shape == (len(dataset.test),)
        assert score.per_image.mean(dtype=np.float64) == pytest.approx(score.value, rel=1e-3)
    errors = kept["linear_classifier", "error"].per_image
    assert errors is not None
    assert set(errors.tolist()) <= {0.0, 100.0}
    originals = dataset.test.pixels[:KEPT_RECONSTRUCTIONS].reshape(KEPT_RECONSTRUCTIONS, -1) / 255
    differences = np.square(outcome.kept.reconstructions.astype(np.float64) - originals).sum(axis=1)
    squared = kept["reconstruction", "squared_error"].per_image
    assert squared is not None
    np.testing.assert_allclose(squared[:KEPT_RECONSTRUCTIONS], differences, rtol=1e-2)


@pytest.mark.parametrize(("code_size", "kept"), [(2, 10_000), (10, 10_000), (11, 2_000)])
def test_small_codes_are_kept_of_all_of_mnists_test_images(code_size: int, kept: int) -> None:
    """With their labels, the first of them; reconstructions of a few."""
    images = LabelledImages(np.zeros((10_010, 2, 2), np.uint8), np.arange(10_010))
    codes = np.arange(10_010, dtype=np.float32)[:, None].repeat(code_size, axis=1)
    data = Dataset("tiny", images, 20, images, "0" * 64)
    made = trainables.run_trial._keep_codes(codes, np.zeros((10_010, 2, 2), np.float32), data)
    assert made.codes.shape == (kept, code_size)
    assert made.labels is not None
    np.testing.assert_array_equal(made.labels, np.arange(kept))
    assert len(made.reconstructions) == KEPT_RECONSTRUCTIONS


def test_pictures_are_of_the_weights_that_are_kept_and_of_the_test_images(dataset: Dataset) -> None:
    """Of a trial that keeps its codes, the same bits each time; the walk goes to the second image, of another class."""
    batch = batch_of("confirm", keep_codes=True)
    outcome = reports_of(batch, dataset)[-1].outcome
    assert outcome is not None and outcome.weights is not None and outcome.kept is not None
    assert len(repr(outcome)) < 100  # which Tune works out of every report
    model = unpack_weights(outcome.weights, "the trial")[0]
    ends = torch.from_numpy(dataset.test.pixels[:2])[:, None] / 255
    expected = take_pictures(model, ends)
    assert len(outcome.pictures) == len(expected)
    for ours, theirs in zip(outcome.pictures, expected, strict=True):
        assert dataclasses.replace(ours, pixels=theirs.pixels) == theirs
        np.testing.assert_allclose(ours.pixels, theirs.pixels, rtol=2e-3, atol=2e-3)
    walk = [picture.values for picture in outcome.pictures if picture.kind == "walk"]
    np.testing.assert_allclose([walk[0], walk[-1]], outcome.kept.reconstructions[:2], rtol=2e-3, atol=2e-3)
    again = reports_of(batch, dataset)[-1].outcome
    assert again is not None
    assert [each.values.tobytes() for each in again.pictures] == [each.values.tobytes() for each in outcome.pictures]
    other = reports_of(batch_of("confirm"), dataset)[-1].outcome
    assert other is not None and other.pictures == []


def test_a_users_own_row_is_trained_from_the_batch() -> None:
    """Its name is known nowhere else."""
    row = dataclasses.replace(with_variant(BUILT_IN["model_4"], unpooling="tile"), name="mine")
    trial_config = dataclasses.replace(RECIPES["modern"].trial_config(row, 4, 1, batch_size=20, filters=(3, 2)))
    (report,) = run_trial(
        TrialBatch("search", row, 4, trial_config, (Trial("search-mine", 1),)), few_digits(), torch.device("cpu")
    )
    assert report.outcome is not None
    assert report.outcome.status == "complete"


TRAIN, VALIDATION, TEST = 50, 150, 250
"""Value of the first pixel of the images of each split."""


def marked_images(mark: int, count: int, seed: int) -> LabelledImages:
    """Return blobs whose first pixel is ``mark``, of two classes."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((count, 28, 28), np.uint8)
    labels = np.arange(count) % 2
    for image, label in zip(pixels, labels, strict=True):
        image[4 : 16 + 8 * label, 8:20] = random.integers(100, 255, (12 + 8 * label, 12))
    pixels[:, 0, 0] = mark
    return LabelledImages(pixels, labels.astype(np.int64))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """40 images to train on, 20 of them for validation at the end, and 30 for the test."""
    train, validation = marked_images(TRAIN, 40, 0), marked_images(VALIDATION, 20, 1)
    assert train.labels is not None
    assert validation.labels is not None
    both = LabelledImages(
        np.concatenate([train.pixels, validation.pixels]), np.concatenate([train.labels, validation.labels])
    )
    return Dataset("marked", both, 20, marked_images(TEST, 30, 2), "0" * 64)


def batch_of(phase: str, **changes: Any) -> TrialBatch:
    """Return one trial of a small model of two epochs."""
    row = BUILT_IN["unpool_only"]
    trial_config = RECIPES["modern"].trial_config(row, 2, 2, batch_size=10, filters=(2, 2))
    return TrialBatch(phase, row, 2, trial_config, (Trial("trial", 7, **changes),))


def reports_of(batch: TrialBatch, dataset: Dataset) -> list[Report]:
    """Run a trial to its end."""
    return list(run_trial(batch, dataset, torch.device("cpu")))


class SpiedTraining(Training):
    """Keeps the marks of the images that it trains and validates on."""

    seen: list[tuple[set[int], set[int]]] = []  # noqa: RUF012

    def __init__(
        self,
        trial_config: Any,
        seed: int,
        train_pixels: Tensor,
        validation_pixels: Tensor | None = None,
        row: Any = None,
        objective: Any = None,
    ) -> None:
        validation = set() if validation_pixels is None else set(validation_pixels[:, 0, 0].tolist())
        self.seen.append((set(train_pixels[:, 0, 0].tolist()), validation))
        super().__init__(trial_config, seed, train_pixels, validation_pixels, row, objective)


@pytest.mark.parametrize(
    ("phase", "trained", "validated", "images"),
    [
        ("search", {TRAIN}, {VALIDATION}, 40),
        ("confirm", {TRAIN, VALIDATION}, set(), 60),
        ("ablate", {TRAIN, VALIDATION}, set(), 60),
    ],
)
def test_search_validates_on_images_that_it_does_not_train_on_and_other_phases_train_on_both(
    phase: str,
    trained: set[int],
    validated: set[int],
    images: int,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The images that reach the training, and column `train_images`."""
    monkeypatch.setattr(SpiedTraining, "seen", [])
    monkeypatch.setattr(trainables.run_trial, "Training", SpiedTraining)
    reports = reports_of(batch_of(phase), dataset)
    assert SpiedTraining.seen == [(trained, validated)]
    assert {report.columns["train_images"] for report in reports} == {images}


def test_search_minimises_the_loss_of_the_validation_images(dataset: Dataset) -> None:
    """Worked out again from the weights that the training ends with, by PyTorch's own loss."""
    batch = batch_of("search")
    assert batch.trial_config is not None
    last = reports_of(batch, dataset)[-1].epoch
    assert last is not None
    trained, validated = (torch.from_numpy(images.pixels) for images in (dataset.search_train, dataset.validation))
    training = Training(batch.trial_config, 7, trained, validated)
    training.train_epoch()
    training.train_epoch()
    images = torch.from_numpy(dataset.validation.pixels).unsqueeze(1) / 255
    with torch.no_grad():
        losses = torch.nn.functional.binary_cross_entropy_with_logits(training.model(images), images, reduction="none")
    assert last.validation_cross_entropy == pytest.approx(float(losses.sum() / 20), rel=1e-5)


def test_confirmed_codes_are_evaluated_as_training_and_test_codes_with_their_own_labels_and_seed(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes, labels and codes of both splits reach the evaluation, and the seed of the trial."""
    seen: list[tuple[Any, ...]] = []
    named: dict[str, Any] = {}

    def spy(*arguments: Any, **options: Any) -> list[Any]:
        seen.append(arguments)
        named.update(options)
        return []

    monkeypatch.setattr(trainables.evaluation.evaluate, "evaluate_codes", spy)
    control = TrialBatch("confirm", CONTROLS["pca"], 2, None, (Trial("control", 5), Trial("earlier", None)))
    reports_of(control, dataset)
    assert [arguments[4] for arguments in seen] == [5, 0]
    assert named["with_umap"] is False
    seen.clear()
    outcome = reports_of(batch_of("confirm", keep_codes=True), dataset)[-1].outcome
    assert outcome is not None
    train_codes, train_labels, test_codes, test_labels, seed = seen[0]
    assert train_codes.shape == (60, 2)
    assert test_codes.shape == (30, 2)
    np.testing.assert_array_equal(train_labels, dataset.training.labels)
    np.testing.assert_array_equal(test_labels, dataset.test.labels)
    assert seed == 7
    np.testing.assert_array_equal(named["test_pixels"], dataset.test.pixels)
    assert named["decoder_layer"].shape == (30, 250)
    assert outcome.kept is not None
    np.testing.assert_allclose(outcome.kept.codes, test_codes, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(outcome.kept.labels, dataset.test.labels)


def test_a_confirmed_trial_measures_the_test_images(dataset: Dataset) -> None:
    """Test images of noise are reconstructed worse than those alike the training images."""

    def squared_error(test: NDArray[np.uint8]) -> float:
        changed = Dataset("marked", dataset.training, 20, LabelledImages(test, dataset.test.labels), "0" * 64)
        outcome = reports_of(batch_of("confirm"), changed)[-1].outcome
        assert outcome is not None
        scores = {(score.split, score.evaluator, score.metric): score.value for score in outcome.scores}
        return scores["test", "reconstruction", "squared_error"]

    noise = np.random.default_rng(3).integers(0, 255, (30, 28, 28), np.uint8)
    assert squared_error(noise) > 1.5 * squared_error(dataset.test.pixels)


@pytest.mark.slow
def test_umap_and_a_mixture_find_separate_classes() -> None:
    """And a collapsed code gives one cluster, not an error. It is here, where UMAP is compiled for the next tests."""
    codes, labels = blobs(500)
    scores = by_name(evaluate_codes(codes, labels, codes, labels, seed=0, with_umap=True))
    found = {metric for evaluator, metric in scores if evaluator == "umap_gmm"}
    assert found == {"accuracy", "nmi", "ari", "silhouette"}
    assert scores["umap_gmm", "accuracy"] > 0.95
    collapsed = by_name(score_umap_gmm(np.full((50, 3), 0.7, np.float32), labels[:50], CLASSES, seed=0))
    assert collapsed["umap_gmm", "accuracy"] == pytest.approx(0.1)


@pytest.mark.slow
def test_umap_is_a_code_without_a_decoder() -> None:
    """It is fitted on the training images alone, keeps classes together better than PCA, and reconstructs nothing."""
    whole = load_dataset("digits")
    digits = Dataset("digits", whole.training.select(0, 600), 100, whole.test.select(0, 200), "0" * 64)
    batch = TrialBatch("confirm", CONTROLS["umap"], 2, None, (Trial("control", 5, keep_codes=True),))
    (report,) = run_trial(batch, digits, torch.device("cpu"))
    assert report.outcome is not None
    assert report.outcome.kept is not None
    assert report.outcome.kept.codes.shape == (len(digits.test), 2)
    assert len(report.outcome.kept.reconstructions) == len(report.outcome.pictures) == 0
    values = {(score.evaluator, score.metric): score.value for score in report.outcome.scores}
    assert "reconstruction" not in {evaluator for evaluator, _ in values}
    principal = run_trial(dataclasses.replace(batch, row=CONTROLS["pca"]), digits, torch.device("cpu"))
    (outcome,) = (each.outcome for each in principal)
    assert outcome is not None
    of_pca = {(score.evaluator, score.metric): score.value for score in outcome.scores}
    neighbours = ("nearest_neighbours", "error")
    assert values[neighbours] < 10 < 30 < of_pca[neighbours]
    again = embed_pixels(digits.training.pixels, digits.test.pixels, 2, seed=5)
    other = embed_pixels(digits.training.pixels, digits.test.pixels, 2, seed=6)
    np.testing.assert_array_equal(again.test_codes.astype(np.float16), report.outcome.kept.codes)
    assert not np.allclose(again.train_codes, other.train_codes)


@pytest.mark.slow
def test_codes_are_clustered_by_umap_where_a_study_asks_for_it(dataset: Dataset) -> None:
    """Those of a model, of PCA and the pixels themselves, by the real umap-learn."""
    pca = TrialBatch("confirm", CONTROLS["pca"], 2, None, (Trial("control", 5),))
    raw = dataclasses.replace(pca, row=CONTROLS["raw_pixels"], code_size=784)
    for batch in (batch_of("confirm"), pca, raw):
        outcome = reports_of(dataclasses.replace(batch, with_umap=True), dataset)[-1].outcome
        assert outcome is not None
        found = {score.metric: score.value for score in outcome.scores if score.evaluator == "umap_gmm"}
        assert found.keys() == {"accuracy", "nmi", "ari", "silhouette"}
        assert 0.1 <= found["accuracy"] <= 1


def test_a_model_with_switches_makes_nothing_of_a_draw() -> None:
    """They are an image's, and a draw has none; all other pictures are there."""
    trial_config = dataclasses.replace(
        make_trial_config("model_3"), epochs_planned=1, objective="variational", objective_strength=1.0
    )
    batch = dataclasses.replace(spec_of(trial_config), trials=(Trial("confirm-1", 1, keep_codes=True),))
    (report,) = run_trial(batch, few_digits(), torch.device("cpu"))
    assert report.outcome is not None
    assert {picture.kind for picture in report.outcome.pictures} == {"filter", "map", "switch", "walk"}


@pytest.mark.parametrize(
    ("objective", "metrics"),
    [
        ("variational", {"kl_divergence", "active_units", "bound"}),
        ("importance_weighted", {"kl_divergence", "active_units", "bound"}),
        ("k_sparse", {"nonzero_units"}),
        ("moment_matching", {"mean_distance", "covariance_distance"}),
        ("contractive", set()),
    ],
)
def test_a_trial_has_the_scores_of_its_objective_and_weights_that_say_how_codes_are_read(
    objective: str, metrics: set[str]
) -> None:
    """The model that is loaded again gives the codes that were kept; what computed the layers is said."""
    strength = OBJECTIVES[objective].default_strength(4)
    trial_config = dataclasses.replace(
        make_trial_config("model_4"), epochs_planned=1, objective=objective, objective_strength=strength
    )
    batch = dataclasses.replace(spec_of(trial_config), trials=(Trial("confirm-1", 1, keep_codes=True),))
    (report,) = run_trial(batch, few_digits(), torch.device("cpu"))
    assert report.outcome is not None and report.outcome.weights is not None and report.outcome.kept is not None
    assert {score.metric for score in report.outcome.scores if score.evaluator == "objective"} == metrics
    model = unpack_weights(report.outcome.weights, "weights")[0]
    codes = encode(model, few_digits().test.pixels)
    np.testing.assert_array_equal(codes.astype(np.float16), report.outcome.kept.codes)
    kept = [picture.pixels for picture in report.outcome.pictures if picture.kind == "sample"]
    assert bool(kept) == (objective in ("variational", "importance_weighted", "moment_matching"))
    if kept:
        expected = [picture.pixels for picture in draw_samples(model, KEPT_SAMPLES, seed=1)]
        np.testing.assert_allclose(kept, expected, atol=2e-3)
    plain = OBJECTIVES[objective].plain
    assert report.columns["engine"] == ("plain" if plain else name_engine(torch.device("cpu")))
    outputs = OBJECTIVES[objective].outputs_per_unit
    assert report.columns["parameters"] == count_parameters(BUILT_IN["model_4"], 4, (3, 2), outputs)
    assert report.columns["multiply_adds"] == count_multiply_adds(BUILT_IN["model_4"], 4, (3, 2)) + 1000 * (outputs - 1)


def test_a_control_with_an_error_that_is_not_finite_has_diverged() -> None:
    """Of a row no figure may be infinite: the store would refuse it, and the study stop there every time."""
    dataset = few_digits()
    batch = TrialBatch("confirm", CONTROLS["pca"], 4, None, (Trial("control", None),))
    control = pca(dataset.training.pixels, dataset.test.pixels, 4)
    errors = {name: np.full_like(values, np.inf) for name, values in control.errors.items()}
    outcome = _measure_control(dataclasses.replace(control, errors=errors), batch, batch.trials[0], dataset)
    assert outcome.status == "diverged"
    assert "of reconstruction on test is not finite" in str(outcome.reason)
    assert _measure_control(control, batch, batch.trials[0], dataset).status == "complete"


def test_what_half_precision_does_not_hold_is_kept_at_its_end() -> None:
    """Of codes and reconstructions; of an image's score nothing is kept then, and the mean stays as it is."""
    assert _halve(np.array([7e4, -1e9, 1.5])).tolist() == [65504.0, -65504.0, 1.5]
    (large,) = make_scores("reconstruction", {"squared_error": np.array([1e5, 3e5])})
    assert (large.value, large.per_image) == (2e5, None)
    (usual,) = make_scores("reconstruction", {"squared_error": np.array([1.0, 3.0])})
    assert usual.per_image is not None
