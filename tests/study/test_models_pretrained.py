"""Trained models that come with the package: each has its card, and is what its card says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from study.models import PRETRAINED, pretrained
from trainables.data.datasets import DATASETS, load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate_codes
from trainables.inference import TrainedModel
from trainables.transformer import CodeTransformer

CARDS = sorted(PRETRAINED.glob("*.md"))
MOST_BYTES = 3_000_000
ROUNDING = 0.001
"""Share of its squared error by which half precision may change a model's, and half a unit of what a card shows."""
MEASURED = {
    "Squared error": ("reconstruction", "squared_error", 0.0),
    "Linear error (%)": ("linear_classifier", "error", 0.05),
    "MLP error (%)": ("mlp_classifier", "error", 0.25),
    "k-means accuracy": ("k_means_whitened", "accuracy", 0.02),
}
"""Evaluator, metric and by how much another processor's rounding may change it: what is fitted is fitted anew."""


def read_rows(card: str) -> dict[str, list[str]]:
    """Return the rows of all tables of a card by their first cell."""
    rows = (line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| "))
    return {name: values for name, *values in rows}


def check_card(card: str, model: TrainedModel, dataset: Dataset) -> None:
    """Compare what a card says with what the model does with the test images."""
    rows = read_rows(card)
    assert rows["SHA-256 of images and labels"] == [dataset.sha256]
    assert rows["Test images"] == [f"{len(dataset.test):,}"]
    training, test = (model.encode(images.pixels) for images in (dataset.training, dataset.test))
    labels = dataset.training.labels, dataset.test.labels
    scores = evaluate_codes(training, labels[0], test, labels[1], int(rows["Seed"][0]))
    found = {(score.evaluator, score.metric): score.value for score in scores}
    errors = np.square(model.decode(test).astype(np.float64) - dataset.test.pixels / 255).sum(axis=(1, 2))
    found["reconstruction", "squared_error"] = float(errors.mean())
    shown = {name: rows[name] for name in MEASURED if name in rows}
    assert "Squared error" in shown
    assert dataset.test.labels is None or len(shown) == len(MEASURED)
    for name, (half, single, seeds) in shown.items():
        evaluator, metric, tolerance = MEASURED[name]
        last = 0.5 * 10.0 ** -len(half.partition(".")[2])
        assert abs(found[evaluator, metric] - float(half)) <= tolerance + 1.1 * last, name
        assert re.fullmatch(r"[\d.]+ ± [\d.]+ \(\d+\)", seeds)
        if name == "Squared error":
            assert abs(float(half) - float(single)) <= ROUNDING * float(single) + 2 * last


def test_every_model_has_a_card_and_every_card_a_model_and_all_are_small() -> None:
    """Nothing else lies beside them."""
    names = {path.name for path in PRETRAINED.glob("*")}
    assert names == {f"{path.stem}{suffix}" for path in CARDS for suffix in (".md", ".safetensors")}
    assert sum(path.stat().st_size for path in PRETRAINED.glob("*.safetensors")) < MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_cards_figures_are_measured_again(path: Path, request: pytest.FixtureRequest) -> None:
    """On the test images, with classifiers fitted anew; without files of the data it is skipped."""
    card = path.read_text(encoding="utf-8")
    (name,) = read_rows(card)["Data set"]
    dataset = load_dataset(name, request.getfixturevalue("data_dir") if DATASETS[name].files else None)
    architecture, size = path.stem.split("-code")
    model = pretrained(architecture, int(size))
    check_card(card, model, dataset)
    codes = CodeTransformer(model).fit_transform(dataset.test.pixels[:100])
    np.testing.assert_array_equal(codes, model.encode(dataset.test.pixels[:100]))


def test_a_model_that_does_not_come_with_the_package_is_refused_with_those_that_do() -> None:
    """Whatever is asked for; a name is no path."""
    for name in ("model_9", "../models", "x" * 1000):
        with pytest.raises(InputError, match="comes with this version") as refused:
            pretrained(name, 10)
        assert refused.value.accepted.split(", ") == sorted(path.stem for path in CARDS) or not CARDS
        assert len(refused.value.received) < 130
