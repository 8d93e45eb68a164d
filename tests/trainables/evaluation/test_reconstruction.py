"""What is measured of a trained model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.evaluation.reconstruction import encode_pixels, measure_layers, measure_test
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.models.initialization import draw_data_scaled
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


@pytest.mark.parametrize("name", ["model_1", "model_3", "model_5", "classic_autoencoder"])
def test_the_decoder_s_first_layer_is_its_activation_of_the_code(name: str) -> None:
    """Fully connected in every model, before any switch comes in."""
    model = make_model(name)
    result = measure_test(model, PIXELS, np.zeros(3, np.float32), 1)
    layer = model.decoder_stages[0].layer
    sums = result.codes @ model.weight(layer).detach().numpy().T + model.bias(layer).detach().numpy()
    expected = np.tanh(sums) if name == "model_5" else 1 / (1 + np.exp(-sums))
    assert result.decoder_layer is not None
    np.testing.assert_allclose(result.decoder_layer, expected, atol=1e-5)


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


def random_pixels(count: int) -> torch.Tensor:
    """Return images of noise, (count, 28, 28) uint8."""
    return torch.randint(0, 256, (count, 28, 28), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_reliance_replaces_the_code_by_the_mean_and_the_switches_by_the_next_images() -> None:
    """Three images of model 3, each reconstructed again by itself with what it is given instead."""
    model = Autoencoder(BUILT_IN["model_3"], 4, (3, 3)).eval()
    pixels = random_pixels(3)
    images = pixels.unsqueeze(1).float() / 255
    draw_data_scaled(model, torch.Generator().manual_seed(0), images)
    mean_code = torch.tensor([0.5, -1.0, 2.0, 0.0])
    result = measure_test(model, pixels, mean_code.numpy(), kept_reconstructions=2)

    def squared_error(code_of: int | None, switches_of: int, image: int) -> float:
        with torch.no_grad():
            _, switches = model.encode_with_switches(images[[switches_of]])
            own = model.encode(images[[code_of]]) if code_of is not None else mean_code[None]
            return float((torch.sigmoid(model.decode(own, switches)) - images[[image]]).square().sum())

    expected = {
        "reconstruction": [squared_error(k, k, k) for k in range(3)],
        "mean_code": [squared_error(None, k, k) for k in range(3)],
        "other_switches": [squared_error(k, (k - 1) % 3, k) for k in range(3)],
    }
    found = {score.evaluator: score.value for score in result.scores if score.metric == "squared_error"}
    assert found == pytest.approx({name: sum(values) / 3 for name, values in expected.items()}, rel=1e-4)
    assert len({round(value, 3) for value in found.values()}) == 3
