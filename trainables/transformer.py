"""The encoder of a trained model as a transformer of scikit-learn, whose import takes a second: hence not `inference`.

::

    make_pipeline(CodeTransformer(model), StandardScaler(), LogisticRegression()).fit(images, labels)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from trainables.inference import encode
from trainables.models.autoencoder import Autoencoder


class CodeTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images to codes. The model is trained already: `fit` learns nothing.

    Args:
        model: a trained model, as `study.models.load_model` gives it; a clone has a copy of it.
    """

    def __init__(self, model: Autoencoder) -> None:
        self.model = model

    def fit(self, X: ArrayLike, y: object = None) -> CodeTransformer:
        """Return itself."""
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the codes of images, (n, code_size) float32.

        Args:
            X: (n, side, side), or (n, side * side) as scikit-learn's own data have it: uint8, or floats in [0, 1].

        Raises:
            InputError: they have another shape, kind or range.
        """
        images = np.asarray(X)
        side = self.model.image_size
        if images.ndim == 2 and images.shape[1] == side * side:
            images = images.reshape(-1, side, side)
        return encode(self.model, images)

    @property
    def _n_features_out(self) -> int:
        """Number of columns, for `get_feature_names_out` and `set_output`."""
        return self.model.code_size

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True
