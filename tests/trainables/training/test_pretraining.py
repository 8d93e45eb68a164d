"""Layer-wise pretraining: what a block is, what its steps change and minimise, and that epochs are counted."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.models.architectures import BUILT_IN
from trainables.training.pretraining import Block, list_blocks
from trainables.training.training import Training, make_model, measure
from trainables.trial_config import RECIPES

DIGITS = load_dataset("digits")


def start(name: str, epochs: int, images: int, batch_size: int, recipe: str = "modern") -> Training:
    """Return the training of a small model by layers first."""
    filters = None if name == "classic_autoencoder" else (5, 4)
    made = RECIPES[recipe].trial_config(BUILT_IN[name], 6, epochs, batch_size=batch_size, filters=filters)
    trial_config = dataclasses.replace(made, pretraining="layerwise")
    return Training(trial_config, 2, torch.tensor(DIGITS.training.pixels[:images]))


def name_layers(block: Block) -> tuple[str, str]:
    """Return the names of a block's layers, those of the encoder and those of the decoder."""
    encoder, decoder = (" ".join(stage.layer.name for stage in stages) for stages in (block.encoder, block.decoder))
    return encoder, decoder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model_4", [("conv1", "output"), ("conv2", "deconv1"), ("fc_in", "deconv2"), ("code", "fc_out")]),
        ("all_convolutional", [("conv1", "output"), ("conv2", "deconv1"), ("fc_in", "deconv2"), ("code", "fc_out")]),
        ("model_1", [("conv1 conv2", "deconv1 output"), ("fc_in", "deconv2"), ("code", "fc_out")]),
        ("model_2", [("conv1 conv2 fc_in", "deconv2 deconv1 output"), ("code", "fc_out")]),
        ("unpool_only", [("conv1 conv2 fc_in", "deconv2 deconv1 output"), ("code", "fc_out")]),
        (
            "classic_autoencoder",
            [("fc1_in", "output"), ("fc2_in", "fc1_out"), ("fc3_in", "fc2_out"), ("code", "fc3_out")],
        ),
    ],
)
def test_a_block_is_a_layer_and_the_one_that_mirrors_it(name: str, expected: list[tuple[str, str]]) -> None:
    """Where sizes do not agree in between, several layers are one; all of the model are in one of them."""
    model = make_model(RECIPES["modern"].trial_config(BUILT_IN[name], 10, 1), 28)
    blocks = list(list_blocks(model))
    assert [name_layers(block) for block in blocks] == expected
    for before, block in itertools.pairwise(blocks):
        assert block.below == before.below + before.encoder
    assert sum(len(block.encoder) + len(block.decoder) for block in blocks) == len(model.stages)


@pytest.mark.parametrize("name", ["model_4", "classic_autoencoder"])
@pytest.mark.parametrize("recipe", ["modern", "muon"])
def test_each_block_is_trained_alone_then_all_together(name: str, recipe: str) -> None:
    """Eight epochs of a step: one for each of four blocks, from the image up, then four of all layers."""
    training = start(name, 8, 40, 40, recipe)
    blocks = list(list_blocks(training.model))
    for epoch in range(8):
        before = {key: value.clone() for key, value in training.model.state_dict().items()}
        assert training.train_epoch().finite
        after = training.model.state_dict()
        changed = {key.split(".")[0] for key, value in before.items() if not torch.equal(value, after[key])}
        trained = blocks[epoch : epoch + 1] if epoch < 4 else blocks
        assert changed == set(" ".join(" ".join(name_layers(block)) for block in trained).split())
    assert training.done


def test_a_block_minimises_the_error_of_what_lies_below_it() -> None:
    """Model 4's second block, with PyTorch's functions; the first has the recipe's loss of the images."""
    training = start("model_4", 8, 40, 40)
    images = torch.tensor(DIGITS.training.pixels[:40]).unsqueeze(1) / 255
    first, second, *_ = list_blocks(training.model)
    weights = {key: value.detach() for key, value in training.model.named_parameters()}

    def encode(maps: Tensor, layer: str) -> Tensor:
        maps = F.conv2d(maps, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        return F.max_pool2d(torch.sigmoid(maps), 2)

    def decode(maps: Tensor, layer: str) -> Tensor:
        corners = maps.new_zeros(*maps.shape[:2], 2 * maps.shape[2], 2 * maps.shape[3])
        corners[:, :, ::2, ::2] = maps
        return F.conv_transpose2d(corners, weights[f"{layer}.weight"], weights[f"{layer}.bias"])

    below = encode(images, "conv1")
    found = torch.sigmoid(decode(encode(below, "conv2"), "deconv1"))
    expected = (found - below).square().flatten(1).sum(1).mean() / 2
    step = training.make_step(images)
    torch.testing.assert_close(second.find_loss(step), expected)
    entropy = F.binary_cross_entropy_with_logits(decode(below, "output"), images, reduction="none")
    torch.testing.assert_close(first.find_loss(step), entropy.flatten(1).sum(1).mean())


@pytest.mark.parametrize("name", ["model_3", "model_1", "classic_autoencoder"])
def test_pretrained_models_learn_the_digits(name: str) -> None:
    """In the planned epochs all told; what an epoch tells is of the whole model, also while blocks are trained."""
    training = start(name, 8, 400, 20)
    untrained = measure(training.model, training.train_pixels)[0]
    told = []
    while not training.done:
        told.append(training.train_epoch())
    assert [epoch.epoch for epoch in told] == list(range(1, 9))
    assert told[0].train_cross_entropy == pytest.approx(untrained, rel=0.5)
    assert measure(training.model, training.train_pixels)[0] < min(0.75 * untrained, told[3].train_cross_entropy)
