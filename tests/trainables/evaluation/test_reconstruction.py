"""What is measured of a trained model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.evaluation.reconstruction import encode_pixels, measure_layers, measure_test
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.training import measure

PIXELS = torch.randint(0, 256, (40, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make_model(name: str) -> Autoencoder:
    """Return a model with starting weights."""
    model = Autoencoder(BUILT_IN[name], 3)
    initialization.draw_caffe(model, torch.Generator().manual_seed(0))
    return model.eval()


@pytest.mark.parametrize("name", ["model_3", "model_4"])
def test_reliance_on_the_code_is_measured_beside_the_reconstruction(name: str) -> None:
    """Switches of another image only where the model has switches; the reconstruction is the training's measure."""
    model = make_model(name)
    codes = encode_pixels(model, PIXELS)
    result = measure_test(model, PIXELS, codes.mean(0), 7)
    np.testing.assert_allclose(result.codes, codes, atol=1e-6)
    assert result.reconstructions.shape == (7, 784)
    values = {(score.evaluator, score.metric): score.value for score in result.scores}
    assert {evaluator for evaluator, _ in values} == {"reconstruction", "mean_code"} | (
        {"other_switches"} if name == "model_3" else set()
    )
    cross_entropy, squared_error = measure(model, PIXELS)
    assert values["reconstruction", "cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)
    assert values["reconstruction", "squared_error"] == pytest.approx(squared_error, rel=1e-5)


def test_a_layer_without_weights_has_dead_maps_only() -> None:
    """Its output is its bias, the same everywhere."""
    model = make_model("model_4")
    with torch.no_grad():
        model.get_submodule("code").get_parameter("weight").zero_()
        model.get_submodule("code").get_parameter("bias").fill_(0.25)
    values = {score.metric: score.value for score in measure_layers(model, PIXELS) if score.evaluator == "layer_code"}
    assert values == {
        "minimum": 0.25,
        "maximum": 0.25,
        "mean": 0.25,
        "standard_deviation": 0.0,
        "maps": 3.0,
        "dead_maps": 3.0,
    }
