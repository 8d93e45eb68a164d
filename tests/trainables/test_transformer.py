"""The encoder as a step of scikit-learn's pipelines."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from trainables.data.images import Dataset
from trainables.inference import encode
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.transformer import CodeTransformer


def test_the_transformer_is_a_step_of_a_pipeline(model: Autoencoder, digits: Dataset) -> None:
    """Cloned, fitted, with named outputs; images may be rows of pixels."""
    classifier = clone(make_pipeline(CodeTransformer(model), StandardScaler(), LogisticRegression(max_iter=2000)))
    rows = digits.training.pixels.reshape(-1, 784)
    classifier.fit(rows, digits.training.labels)
    assert classifier.score(digits.test.pixels, digits.test.labels) > 0.5
    assert list(classifier[0].get_feature_names_out()) == [f"codetransformer{unit}" for unit in range(10)]
    np.testing.assert_array_equal(classifier[0].transform(rows), encode(model, digits.training.pixels))


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_the_transformer_passes_the_checks_of_scikit_learn_that_bring_no_data(check: object) -> None:
    """The others give it random data, which are no images."""
    check("CodeTransformer", CodeTransformer(Autoencoder(BUILT_IN["model_4"], 10)))  # type: ignore[operator]
