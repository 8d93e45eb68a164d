"""Starting weights: Caffe's fillers, and weights scaled by data."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.models import initialization
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder

IMAGES = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_caffe_weights_have_the_fillers_share_of_zeros_and_spread() -> None:
    """Xavier of the authors' file: sqrt(3/fan_in) with out x k^2; sparse Gaussian with 25 of the outputs kept."""
    model = Autoencoder(BUILT_IN["model_4"], 30)
    initialization.draw_caffe(model, torch.Generator().manual_seed(0))
    state = model.state_dict()
    # fan_in of the unpool decoder at (26, 36): 36 x 4^2 = 576, 26 x 5^2 = 650, 1 x 5^2 = 25.
    for layer, fan_in in (("deconv2", 576), ("deconv1", 650), ("output", 25), ("conv1", 25), ("conv2", 650)):
        weight = state[f"{layer}.weight"]
        bound = math.sqrt(3 / fan_in)
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.95 * bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    for layer, outputs in (("fc_in", 250), ("code", 30), ("fc_out", 250)):
        weight = state[f"{layer}.weight"]
        kept = (weight != 0).double().mean().item()
        assert kept == pytest.approx(25 / outputs, rel=0.1)
        assert weight[weight != 0].std().item() == pytest.approx(1.0, rel=0.05)
    assert all(value.abs().max() == 0 for name, value in state.items() if name.endswith("bias"))


def test_classic_autoencoder_keeps_15_inputs_a_unit() -> None:
    """Caffe's example differs from the paper's file in this."""
    model = Autoencoder(BUILT_IN["classic_autoencoder"], 10)
    initialization.draw_caffe(model, torch.Generator().manual_seed(0))
    kept = (model.state_dict()["fc1_in.weight"] != 0).double().mean().item()
    assert kept == pytest.approx(15 / 1000, rel=0.05)


@pytest.mark.parametrize("name", BUILT_IN)
def test_data_scaled_weights_centre_and_scale_every_preactivation(name: str) -> None:
    """Deviation 1.5 before a sigmoid, 1 before tanh, code and output; the output's mean is the mean pixel's logit."""
    model = Autoencoder(BUILT_IN[name], 10)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    maps, switches = IMAGES, dict[int, torch.Tensor]()
    for stage in model.stages:
        before = model.preactivate(stage, maps, switches)
        axes = tuple(axis for axis in range(before.dim()) if axis != 1)
        expected = {"sigmoid": 1.5, "tanh": 1.0, "none": 1.0}[stage.layer.activation]
        assert before.var(axes).mean().sqrt().item() == pytest.approx(expected, rel=1e-2)
        centre = torch.logit(IMAGES.mean()).item() if stage.layer.name == "output" else 0.0
        torch.testing.assert_close(before.mean(axes), torch.full((before.shape[1],), centre), rtol=0, atol=1e-3)
        maps = model.activate(stage, before)


def test_weights_of_a_constant_layer_are_not_scaled() -> None:
    """Images that are all alike leave nothing to scale by: codes of any other would be millions."""
    model = Autoencoder(BUILT_IN["model_4"], 10)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), torch.zeros(20, 1, 28, 28))
    assert all(parameter.abs().max() < 100 for parameter in model.parameters())
