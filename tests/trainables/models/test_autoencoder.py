"""The one module, for every row of the table."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainables.errors import FieldError, InputError
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN, with_variant
from trainables.models.autoencoder import Autoencoder
from trainables.models.layers import count_parameters
from trainables.training.training import reconstruction_losses

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
        with pytest.raises(FieldError, match="switches"):
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
    unpooled = torch.nn.functional.max_unpool2d(maps, positions, (2, 2))
    expected = torch.nn.functional.conv_transpose2d(unpooled, model.weight(stage.layer), model.bias(stage.layer))
    given = model.preactivate(stage, maps, switches)
    assert torch.isclose(given, expected, rtol=1e-4, atol=1e-4).double().mean() > 0.99  # rounding may move a maximum


def test_model_3_cannot_decode_a_code_alone() -> None:
    """The message says what is missing."""
    model = started("model_3")
    with pytest.raises(InputError, match="switches"):
        model.decode(torch.zeros(2, 10))
    assert started("model_4").decode(torch.zeros(2, 10)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("unpooling", ["corner", "tile", "average"])
@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
def test_every_pooling_and_unpooling_computes_what_stock_layers_do(pooling: str, unpooling: str) -> None:
    """Model 4 with each: its logits written out by PyTorch's own layers from the same weights."""
    row = with_variant(BUILT_IN["model_4"], pooling=pooling, unpooling=unpooling)  # type: ignore[arg-type]
    model = Autoencoder(row, 5, (3, 4))
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), IMAGES)
    state = model.state_dict()

    def apply(layer: str, maps: torch.Tensor, function: object, **options: int) -> torch.Tensor:
        return function(maps, state[f"{layer}.weight"], state[f"{layer}.bias"], **options)  # type: ignore[operator,no-any-return]

    maps = IMAGES
    for layer in ("conv1", "conv2"):
        maps = torch.sigmoid(apply(layer, maps, F.conv2d, stride=2 if pooling == "stride" else 1))
        if pooling != "stride":
            maps = F.max_pool2d(maps, 2) if pooling == "max" else F.avg_pool2d(maps, 2)
    code = apply("code", torch.sigmoid(apply("fc_in", maps.flatten(1), F.linear)), F.linear)
    maps = torch.sigmoid(apply("fc_out", code, F.linear))[:, :, None, None]
    window = {"corner": [[1.0, 0.0], [0.0, 0.0]], "tile": [[1.0] * 2] * 2, "average": [[0.25] * 2] * 2}[unpooling]
    for layer in ("deconv2", "deconv1"):
        maps = torch.sigmoid(apply(layer, maps, F.conv_transpose2d))
        maps = torch.kron(maps, torch.tensor(window))
    logits = apply("output", maps, F.conv_transpose2d)
    torch.testing.assert_close(model(IMAGES), logits, rtol=1e-4, atol=1e-4)
