"""What is seen of a model is what it computes: by its weights, by stock layers, by its own reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stock_model import StockAutoencoder
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN, Architecture, with_variant
from trainables.models.autoencoder import Autoencoder
from trainables.models.layers import list_layers
from trainables.models.pictures import (
    MOST_FILTERS,
    MOST_MAPS,
    WALK_STEPS,
    Picture,
    blend_images,
    choose_ends,
    draw_samples,
    list_filters,
    take_pictures,
    trace_layers,
)
from trainables.trial_config import RECIPES

IMAGES = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
VARIANTS = [
    *BUILT_IN.values(),
    with_variant(BUILT_IN["model_4"], pooling="average", unpooling="average", activation="relu"),
    with_variant(BUILT_IN["model_4"], pooling="stride", unpooling="tile"),
]


def started(row: Architecture, code_size: int = 6) -> Autoencoder:
    """Return a model with weights scaled on its images."""
    model = Autoencoder(row, code_size)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(1), IMAGES)
    return model.eval()


def stack(pictures: Iterable[Picture], kind: str, layer: str | None = None) -> NDArray[np.float32]:
    """Return the pictures of a kind and layer in the order of their index, (pictures, height, width)."""
    chosen = [picture for picture in pictures if (picture.kind, picture.layer) == (kind, layer)]
    assert [picture.index for picture in chosen] == list(range(len(chosen)))
    return np.stack([picture.pixels for picture in chosen]).astype(np.float32)


def assert_near(ours: Any, theirs: Any) -> None:
    """Compare to the last digit of half precision."""
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("row", VARIANTS, ids=lambda row: f"{row.name}-{row.pooling}-{row.unpooling}")
def test_an_image_passes_every_layer_and_a_walk_ends_at_reconstructions(row: Architecture) -> None:
    """Each layer of the row in turn; the last gives what the model itself makes of the image, as does a walk's end."""
    model = started(row)
    pictures = take_pictures(model, IMAGES)
    assert pictures[0].values.dtype == np.float16
    maps = [picture for picture in pictures if picture.kind == "map"]
    layers = list_layers(row, 6)
    assert list(dict.fromkeys((each.depth, each.layer) for each in maps)) == list(
        enumerate(["image", *(layer.name for layer in layers)])
    )
    for layer in layers[:-1]:
        count, side = min(layer.out_maps, MOST_MAPS), layer.out_size
        shape = (count, side, side) if side > 1 else (1, 1, layer.out_maps)
        assert stack(maps, "map", layer.name).shape == shape
    assert_near(stack(maps, "map", "image")[0], IMAGES[0, 0])
    with torch.no_grad():
        codes, switches = model.encode_with_switches(IMAGES)
        own = torch.sigmoid(model(IMAGES))[:, 0].numpy()
        first = {level: phases[:1] for level, phases in switches.items()}
        third = torch.sigmoid(model.decode(codes[:1] + 3 / 9 * (codes[1:] - codes[:1]), first))[0, 0].numpy()
        last = torch.sigmoid(model.decode(codes[1:], first))[0, 0].numpy()
    assert_near(stack(maps, "map", "output")[0], own[0])
    assert_near(stack(maps, "map", "code")[0, 0], codes[0])
    walk = stack(pictures, "walk")
    assert len(walk) == WALK_STEPS == 10
    for step, expected in ((0, own[0]), (3, third), (9, last)):
        assert_near(walk[step], expected)
    # With the switches of the first image the second is not what comes out in the end.
    assert np.allclose(walk[9], own[1], atol=2e-3) == row.through_code


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_maps_of_a_layer_are_those_of_stock_layers(name: str) -> None:
    """PyTorch's own modules with the same weights, whose forward hooks keep what they give."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 6, 1)
    stock, model = StockAutoencoder(trial_config), Autoencoder(BUILT_IN[name], 6, trial_config.filters)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(1), IMAGES)
    stock.load_state_dict(model.state_dict())
    given: dict[str, Tensor] = {}

    def keep(layer: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _module, _given, output: given.update({layer: output}))

    for layer, activation in zip(stock.stack, stock.activations, strict=True):
        keep(layer.name, activation)
        if layer.kind == "pool":  # gives the maxima, and where in all of the map they are
            keep(f"{layer.name} positions", stock.get_submodule(layer.name))
    with torch.no_grad():
        stock(IMAGES[:1])
    pictures = list(trace_layers(model, IMAGES[:1]))
    for layer in stock.stack[:-1]:
        expected = given[layer.name][0][:MOST_MAPS] if layer.out_size > 1 else given[layer.name].view(1, 1, -1)
        assert_near(stack(pictures, "map", layer.name), expected)
    switches = {picture.layer for picture in pictures if picture.kind == "switch"}
    assert switches == ({"pool1", "pool2"} if name == "model_3" else set())
    for pool in switches:
        positions = given[f"{pool} positions"][1][0, :MOST_MAPS]
        rows, columns = positions // (2 * positions.shape[-1]), positions % (2 * positions.shape[-1])
        np.testing.assert_array_equal(stack(pictures, "switch", pool), rows % 2 * 2 + columns % 2)


def find_filter(model: Autoencoder, layer: str, index: int) -> Tensor:
    """Return the weights of filter ``index`` of a layer that begins or ends at an image."""
    weight = model.get_parameter(f"{layer}.weight").detach()
    if layer == "fc1_in":
        return weight[index].view(28, 28)
    if (layer, weight.dim()) == ("output", 2):
        return weight[:, index].view(28, 28)
    return weight[index // weight.shape[1], index % weight.shape[1]]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("model_1", "conv1", "deconv1"),
        ("model_2", "conv1", "deconv1"),
        ("model_4", "conv1", "output"),
        ("unpool_only", "conv1", "output"),
        ("classic_autoencoder", "fc1_in", "output"),
    ],
)
def test_filters_are_the_weights_of_the_first_and_the_last_layer_the_largest_first(
    name: str, first: str, last: str
) -> None:
    """A last layer of 1x1 kernels gives way to the one before it; none that is left out is larger."""
    model = started(BUILT_IN[name])
    pictures = list(list_filters(model))
    depths = {layer.name: depth for depth, layer in enumerate(list_layers(BUILT_IN[name], 6), 1)}
    assert {(picture.layer, picture.depth) for picture in pictures} == {(each, depths[each]) for each in (first, last)}
    for layer in (first, last):
        chosen = [picture for picture in pictures if picture.layer == layer]
        for picture in chosen:
            assert torch.equal(torch.from_numpy(picture.pixels), find_filter(model, layer, picture.index).half())
        weight = model.get_parameter(f"{layer}.weight")
        count = weight.numel() // chosen[0].values.size
        norms = [float(find_filter(model, layer, index).norm()) for index in range(count)]
        assert [norms[picture.index] for picture in chosen] == sorted(norms, reverse=True)[:MOST_FILTERS]


def test_samples_are_decoded_normal_draws_of_their_seed() -> None:
    """A model with switches has none, since a drawn code has no image."""
    model = started(BUILT_IN["model_4"])
    samples = stack(draw_samples(model, 3, 8), "sample")
    codes = torch.randn(3, 6, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        assert_near(samples, torch.sigmoid(model.decode(codes))[:, 0])
    assert not np.allclose(samples, stack(draw_samples(model, 3, 9), "sample"))
    with pytest.raises(InputError, match="without switches"):
        draw_samples(started(BUILT_IN["model_3"]), 3, 8)


def test_a_control_fades_one_reconstruction_into_the_other() -> None:
    """Its decoder is affine; nothing is clipped."""
    ends = np.stack([np.full((2, 2), -0.5, np.float32), np.full((2, 2), 1.3, np.float32)])
    walk = stack(blend_images(ends), "walk")
    assert_near(walk[:, 0, 0], -0.5 + 1.8 * np.arange(10) / 9)


@pytest.mark.parametrize(
    ("labels", "images", "ends"),
    [([3, 3, 1, 3], 4, (0, 2)), ([3, 3], 2, (0, 1)), (None, 5, (0, 1)), (None, 1, (0, 0)), ([3], 1, (0, 0))],
)
def test_a_walk_goes_to_another_class(labels: list[int] | None, images: int, ends: tuple[int, int]) -> None:
    """Or to the second image, where there is none; to itself, where it is alone."""
    assert choose_ends(None if labels is None else np.asarray(labels), images) == ends


def test_what_half_precision_cannot_hold_stands_at_its_largest() -> None:
    """A ReLU has no bound; nothing is infinite in a row."""
    model = started(with_variant(BUILT_IN["model_4"], activation="relu"))
    with torch.no_grad():
        model.get_parameter("conv1.weight").mul_(1e7)
    values = stack(trace_layers(model, IMAGES[:1]), "map", "conv1")
    assert values.max() == 65504
