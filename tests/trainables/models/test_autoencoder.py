"""The one module, for every row of the table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from trainables.checkpoint import load_checkpoint, pack_weights
from trainables.errors import InputError
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN, with_variant
from trainables.models.autoencoder import Autoencoder
from trainables.models.layers import count_parameters
from trainables.training.training import reconstruction_losses
from trainables.trial_config import RECIPES

IMAGES = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def started(name: str, code_size: int = 10) -> Autoencoder:
    """Return the model with weights scaled on random images."""
    model = Autoencoder(BUILT_IN[name], code_size)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    return model


@pytest.mark.parametrize("name", BUILT_IN)
def test_shapes_and_parameters(name: str) -> None:
    """Code and output have their shapes; the module has the parameters of its row."""
    model = started(name, 7)
    assert model.encode(IMAGES[:5]).shape == (5, 7)
    assert model(IMAGES[:5]).shape == (5, 1, 28, 28)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(model.architecture, 7)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_gradient_reaches_every_weight(name: str) -> None:
    """No layer is cut off."""
    model = started(name)
    reconstruction_losses(model(IMAGES), IMAGES)[0].backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("unpooling", ["corner", "tile", "average", "switches"])
@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
def test_variants_of_model_4_run(pooling: str, unpooling: str) -> None:
    """Every kind of pooling goes with every kind of unpooling but switches, which need maxima."""
    row = BUILT_IN["model_4"]
    if unpooling == "switches" and pooling != "max":
        with pytest.raises(ValueError, match="switches"):
            with_variant(row, pooling=pooling, unpooling=unpooling)  # type: ignore[arg-type]
        return
    model = Autoencoder(with_variant(row, pooling=pooling, unpooling=unpooling), 10)  # type: ignore[arg-type]
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    assert model(IMAGES).shape == IMAGES.shape


def test_switches_carry_the_image_in_model_3_alone() -> None:
    """Another image's switches change model 3's output; model 4 has none."""
    model = started("model_3")
    code, switches = model.encode_with_switches(IMAGES)
    assert {level: tuple(phase.shape[1:]) for level, phase in switches.items()} == {
        1: (26, 12, 12),
        2: (36, 4, 4),
    }
    rolled = {level: phase.roll(1, 0) for level, phase in switches.items()}
    assert not torch.allclose(model.decode(code, switches), model.decode(code, rolled))
    assert started("model_4").encode_with_switches(IMAGES)[1] == {}


def test_unpooling_with_switches_equals_max_unpool2d_of_the_encoders_maxima() -> None:
    """Model 3's decoder puts its values where the encoder's maxima were, zeros elsewhere."""
    model = started("model_3")
    _, switches = model.encode_with_switches(IMAGES[:2])
    stage = next(stage for stage in model.decoder_stages if stage.unpool_level == 1)
    maps = torch.rand(2, 26, 12, 12)
    first = model.stages[0].layer
    maxima = torch.nn.functional.conv2d(IMAGES[:2], model.weight(first), model.bias(first))
    _, positions = torch.nn.functional.max_pool2d(maxima, 2, return_indices=True)
    unpooled = torch.nn.functional.max_unpool2d(maps, positions, 2)
    expected = torch.nn.functional.conv_transpose2d(unpooled, model.weight(stage.layer), model.bias(stage.layer))
    given = model.preactivate(stage, maps, switches)
    assert torch.isclose(given, expected, rtol=1e-4, atol=1e-4).double().mean() > 0.99  # rounding may move a maximum


def test_model_3_cannot_decode_a_code_alone() -> None:
    """The message says what is missing."""
    model = started("model_3")
    with pytest.raises(InputError, match="switches"):
        model.decode(torch.zeros(2, 10))
    assert started("model_4").decode(torch.zeros(2, 10)).shape == (2, 1, 28, 28)


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
    model = started(name)
    maps, switches = IMAGES, {}
    for stage in model.stages:
        before = model.preactivate(stage, maps, switches)  # type: ignore[arg-type]
        axes = tuple(axis for axis in range(before.dim()) if axis != 1)
        expected = {"sigmoid": 1.5, "tanh": 1.0, "none": 1.0}[stage.layer.activation]
        assert before.var(axes).mean().sqrt().item() == pytest.approx(expected, rel=1e-2)
        centre = torch.logit(IMAGES.mean()).item() if stage.layer.name == "output" else 0.0
        torch.testing.assert_close(before.mean(axes), torch.full((before.shape[1],), centre), rtol=0, atol=1e-3)
        maps = model.activate(stage, before)


def test_weights_file_gives_the_same_model_back(tmp_path: Path) -> None:
    """Architecture, sizes and every weight travel in the file, without pickle."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["model_5"], 3, 1, filters=(5, 6))
    model = Autoencoder(trial_config.variant(), 3, trial_config.filters)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(model, trial_config, "some"))
    again = load_checkpoint(path)
    assert torch.equal(again(IMAGES), model(IMAGES))
    assert again.architecture == dataclasses.replace(model.architecture)


def test_a_file_that_is_no_weights_file_is_refused(tmp_path: Path) -> None:
    """Missing and foreign files are the user's mistakes."""
    with pytest.raises(InputError, match="no weights file"):
        load_checkpoint(tmp_path / "missing.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not a weights file at all")
    with pytest.raises(InputError, match="not a weights file"):
        load_checkpoint(foreign)
