"""Codes of images as a transformer of scikit-learn, whose import takes a second: hence not `inference`.

::

    make_pipeline(CodeTransformer("model_4", code_size=10), StandardScaler(), LogisticRegression()).fit(X, y)
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from trainables.inference import TrainedModel
from trainables.models.architectures import BUILT_IN, IMAGE_SIZE, Architecture
from trainables.training.training import Training, train_to_end
from trainables.trial_config import RECIPES


class CodeTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images to codes, by a model that `fit` trains, or by one that is trained already, to which it adds nothing.

    An image is a row of pixels, as scikit-learn's own data have it, or a square: uint8, or floats in [0, 1]. A trained
    model takes no others, of 28x28. One that is trained here takes smaller ones, too, as those of `load_digits`, which
    are put into the middle; a row whose length is no square number is filled up to one. Where values lie beyond
    [0, 1], the lowest and the highest that `fit` sees become black and white, and others beyond them are cut.

    Args:
        model: a built-in model by name, a row of one's own, or a trained model (`study.models.load_model`).
        code_size: units of the code. This and what follows is for a model that is trained here.
        epochs: passes over the images.
        recipe: how it is trained: a key of `RECIPES`.
        learning_rate: None for the recipe's.
        random_state: seed of starting weights and order of images, or a generator of them.

    Attributes:
        model_: the trained model.
    """

    def __init__(
        self,
        model: str | Architecture | TrainedModel = "model_4",
        *,
        code_size: int = 10,
        epochs: int = 12,
        recipe: str = "muon",
        learning_rate: float | None = None,
        random_state: int | np.random.RandomState | None = 1,
    ) -> None:
        self.model = model
        self.code_size = code_size
        self.epochs = epochs
        self.recipe = recipe
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a model on images, (n, features) or (n, side, side), and return itself.

        Raises:
            ValueError: they have a size, kind or range that the model does not take, or a parameter is not accepted.
            InputError: a loss is not finite.
        """
        given = self._check(X, reset=True)
        if isinstance(self.model, TrainedModel):
            self.model_, self._range = self.model, None
            return self
        self._check_parameters()
        self._range, self._pixels = _find_range(given), given.dtype == np.uint8
        pixels = torch.from_numpy(_make_images(given, self._range))
        row = BUILT_IN[self.model] if isinstance(self.model, str) else self.model
        settings = RECIPES[self.recipe].trial_config(
            row, int(self.code_size), int(self.epochs), learning_rate=self.learning_rate
        )
        settings = dataclasses.replace(settings, batch_size=min(settings.batch_size, len(pixels)))
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31)
        training = Training(settings, int(seed), pixels, row=row)
        train_to_end(training)
        self.model_ = TrainedModel(training.model.eval().requires_grad_(False), settings)
        return self

    @property
    def _n_features_out(self) -> int:
        """Number of columns, for `get_feature_names_out` and `set_output`."""
        return self._find_model().module.code_size

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the codes of images, (n, code_size) float32.

        Args:
            X: as `fit` takes them, with as many pixels.

        Raises:
            ValueError: they have another shape or kind.
            NotFittedError: `fit` has not been called, and the model is not trained already.
        """
        check_is_fitted(self)
        given = self._check(X, reset=False)
        if isinstance(self.model, TrainedModel) and given.dtype.kind == "f":
            return self.model.encode(given.reshape(-1, IMAGE_SIZE, IMAGE_SIZE))
        span = getattr(self, "_range", None)
        whole = np.issubdtype(given.dtype, np.integer) and given.dtype != np.uint8
        if getattr(self, "_pixels", False) and (whole or _find_range(given)):  # The same numbers in another type.
            span = (0.0, 255.0)
        return self._find_model().encode(_make_images(given, span))

    def _find_model(self) -> TrainedModel:
        return self.model if isinstance(self.model, TrainedModel) else self.model_

    def _check(self, X: ArrayLike, reset: bool) -> NDArray[Any]:
        """Return images as rows of numbers."""
        if getattr(X, "ndim", 0) == 3:
            if X.shape[1] != X.shape[2]:  # type: ignore[union-attr]
                raise ValueError(f"X of shape {X.shape}; accepted: square images, pad them")  # type: ignore[union-attr]
            X = np.asarray(X).reshape(len(X), -1)  # type: ignore[arg-type]
        if reset or hasattr(self, "n_features_in_"):
            given = validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=2 if reset else 1)
        else:  # a trained model, which needs no `fit`
            given = check_array(X, dtype="numeric")
        trained, most = isinstance(self.model, TrainedModel), IMAGE_SIZE**2
        if given.shape[1] > most or (trained and given.shape[1] < most):
            raise ValueError(f"X has {given.shape[1]} features; accepted: {most}{'' if trained else ' or fewer'}")
        if trained and _find_range(given):
            raise ValueError(
                f"X has values from {given.min()} to {given.max()}, {given.dtype}; accepted: uint8, or floats in [0, 1]"
            )
        return given  # type: ignore[no-any-return]

    def _check_parameters(self) -> None:
        row = isinstance(self.model, Architecture)
        if not row and not (isinstance(self.model, str) and self.model in BUILT_IN):
            raise ValueError(f"model {self.model!r}; accepted: {', '.join(BUILT_IN)}, a row or a trained model")
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe {self.recipe!r}; accepted: {', '.join(RECIPES)}")
        for name, most in (("code_size", IMAGE_SIZE**2), ("epochs", 100_000)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or not 1 <= int(value) <= most:
                raise ValueError(f"{name} {value!r}; accepted: a whole number from 1 to {most:,}")
        rate = self.learning_rate
        if rate is not None and not (isinstance(rate, Real) and 0 < float(rate) < math.inf):
            raise ValueError(f"learning_rate {rate!r}; accepted: a number above 0, or None for the recipe's")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        trained = isinstance(self.model, TrainedModel)
        tags.requires_fit = not trained
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # codes are float32
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return isinstance(self.model, TrainedModel) or hasattr(self, "model_")


def _find_range(given: NDArray[Any]) -> tuple[float, float] | None:
    """Return the lowest and the highest value; None of pixels, which are uint8 or lie in [0, 1]."""
    least, most = float(given.min()), float(given.max())
    return None if given.dtype == np.uint8 or (least >= 0 and most <= 1) else (least, most)


def _make_images(given: NDArray[Any], span: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Return rows of values as (n, 28, 28) uint8, of pixels or of values that ``span`` scales."""
    black, white = span or (0.0, 255.0 if given.dtype == np.uint8 else 1.0)
    if black == white:
        scaled = np.zeros(given.shape)
    else:  # in halves, since the difference of two large values may be infinite
        scaled = np.clip((given.astype(np.float64) / 2 - black / 2) / (white / 2 - black / 2), 0, 1)
    side = math.isqrt(given.shape[1] - 1) + 1
    images = np.zeros((len(given), side * side), np.uint8)
    images[:, : given.shape[1]] = np.rint(scaled * 255)
    before = (IMAGE_SIZE - side) // 2
    around = (before, IMAGE_SIZE - side - before)
    return np.pad(images.reshape(-1, side, side), ((0, 0), around, around))
