"""The encoder as a step of scikit-learn's pipelines: trained by `fit`, or trained before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from trainables.data.images import Dataset
from trainables.inference import TrainedModel
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.training import Training, move_pixels, train_to_end
from trainables.transformer import CodeTransformer
from trainables.trial_config import RECIPES

SETTINGS = RECIPES["muon"].trial_config(BUILT_IN["model_4"], 10, 1)
IMAGES_ALONE = "a trained model takes images of 28x28 alone, and the check brings others"
EXCEPTIONS = dict.fromkeys(
    (
        "check_fit_score_takes_y",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_n_features_in_after_fitting",
        "check_positive_only_tag_during_fit",
        "check_estimators_dtypes",
        "check_dtype_object",
        "check_pipeline_consistency",
        "check_estimators_nan_inf",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_transformer_data_not_an_array",
        "check_transformer_general",
        "check_transformers_unfitted_stateless",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_fit2d_1feature",
        "check_dict_unchanged",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
        "check_n_features_in",
        "check_fit2d_predict1d",
    ),
    IMAGES_ALONE,
)
"""Checks of scikit-learn that a model which is trained already fails, and why. One that `fit` trains passes all."""


def trained(module: Autoencoder) -> TrainedModel:
    """Return a model as `load_model` does."""
    return TrainedModel(module, SETTINGS)


def test_fit_trains_as_a_training_does(digits: Dataset) -> None:
    """The same model as of the same settings, seed and images, whose codes it gives; a clone is not trained."""
    pixels = digits.training.pixels[:200]
    transformer = CodeTransformer("unpool_only", code_size=3, epochs=2, random_state=5)
    codes = transformer.fit_transform(pixels.reshape(-1, 784))
    settings = RECIPES["muon"].trial_config(BUILT_IN["unpool_only"], 3, 2)
    training = Training(settings, 5, move_pixels(pixels, torch.device("cpu")))
    train_to_end(training)
    np.testing.assert_array_equal(codes, TrainedModel(training.model, SETTINGS).encode(pixels))
    np.testing.assert_allclose(codes, transformer.transform(pixels / np.float64(255)), atol=1e-5)
    np.testing.assert_array_equal(codes, transformer.transform(pixels))
    with pytest.raises(NotFittedError):
        clone(transformer).transform(pixels)


def test_small_images_of_any_range_are_put_into_the_middle() -> None:
    """Those of scikit-learn, 8x8 from 0 to 16: the codes tell the digits apart."""
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(CodeTransformer(epochs=4), StandardScaler(), LogisticRegression(max_iter=2000))
    assert pipeline.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.8
    assert list(pipeline[0].get_feature_names_out()) == [f"codetransformer{unit}" for unit in range(10)]
    one = pipeline[0].transform(X[:1])
    np.testing.assert_allclose(one, pipeline[0].transform(X[:50])[:1], atol=1e-4)


def test_a_trained_model_is_a_step_of_a_pipeline(model: Autoencoder, digits: Dataset) -> None:
    """Cloned, fitted, with named outputs; images may be rows of pixels, and others than pixels are refused."""
    first = CodeTransformer(trained(model))
    np.testing.assert_array_equal(first.transform(digits.test.pixels), trained(model).encode(digits.test.pixels))
    between = np.random.default_rng(0).random((5, 28, 28))  # no multiples of 1/255
    np.testing.assert_array_equal(first.transform(between), trained(model).encode(between))
    classifier = clone(make_pipeline(first, StandardScaler(), LogisticRegression(max_iter=2000)))
    rows = digits.training.pixels.reshape(-1, 784)
    classifier.fit(rows, digits.training.labels)
    assert classifier.score(digits.test.pixels, digits.test.labels) > 0.5
    assert list(classifier[0].get_feature_names_out()) == [f"codetransformer{unit}" for unit in range(10)]
    np.testing.assert_array_equal(classifier[0].transform(rows), trained(model).encode(digits.training.pixels))
    for wrong, told in ((rows[:, :700], "700 features"), (rows.astype(float), "from 0.0 to 255.0, float64")):
        with pytest.raises(ValueError, match=told):
            first.transform(wrong)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "model_9"}, "accepted: model_1"),
        ({"recipe": "adam"}, "accepted: caffe"),
        ({"code_size": 0}, "from 1 to 784"),
        ({"epochs": 1.5}, "from 1 to 100,000"),
        ({"learning_rate": -0.01}, "a number above 0"),
        ({"learning_rate": "a"}, "a number above 0"),
        ({"model": None}, "a row or a trained model"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_fit(changes: dict[str, Any], told: str) -> None:
    """As scikit-learn wants it, with a ValueError, not when it is made."""
    with pytest.raises(ValueError, match=told):
        CodeTransformer(**changes).fit(np.random.default_rng(0).random((20, 9)))
    with pytest.raises(ValueError, match="785 features"):
        CodeTransformer().fit(np.zeros((20, 785)))
    with pytest.raises(ValueError, match=r"of shape \(20, 28, 20\); accepted: square images"):
        CodeTransformer().fit(np.zeros((20, 28, 20)))


@pytest.mark.slow
def test_one_that_fit_trains_passes_every_check_of_scikit_learn() -> None:
    """Without an exception; one check is skipped, of arrays that scikit-learn takes only when it is asked for."""
    found = check_estimator(CodeTransformer("unpool_only", code_size=2, epochs=1), on_fail=None, on_skip=None)
    assert {each["check_name"] for each in found if each["status"] != "passed"} <= {"check_array_api_input"}


def test_one_that_is_trained_already_passes_the_checks_that_bring_no_other_data() -> None:
    """The others fail, each for the reason that is given with it; one that passes is no exception."""
    estimator = CodeTransformer(trained(Autoencoder(BUILT_IN["model_4"], 10)))
    found = check_estimator(estimator, expected_failed_checks=EXCEPTIONS, on_fail=None, on_skip=None)
    assert {each["check_name"] for each in found if each["status"] == "xfail"} == set(EXCEPTIONS)
    assert {each["status"] for each in found} == {"passed", "xfail", "skipped"}


def test_pixels_are_read_alike_whatever_the_type_of_their_numbers() -> None:
    """Fitted on uint8, then given what a list or a table of the same pixels becomes."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 784), np.uint8)
    transformer = CodeTransformer("unpool_only", code_size=2, epochs=1).fit(pixels)
    expected = transformer.transform(pixels)
    for kind in (np.int64, np.float64):
        np.testing.assert_array_equal(transformer.transform(pixels.astype(kind)), expected)
