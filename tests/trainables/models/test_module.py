"""Modules of the user's own: trained from a seed alone, measured, kept, and refused in words where they cannot be."""

from __future__ import annotations

import dataclasses
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.checkpoint import load_checkpoint, pack_weights
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.models.architectures import ModuleAutoencoder
from trainables.models.module import ModuleSize, OwnModule, measure_module
from trainables.run_trial import Trial, TrialBatch, run_trial
from trainables.training.training import Training, make_optimizer, measure
from trainables.trial_config import RECIPES, TrialConfig


class Tied(nn.Module):
    """A convolution, a batch normalisation, dropout, and one matrix for both ways."""

    def __init__(self, code_size: int, maps: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, maps, 4, stride=4)
        self.normalise = nn.BatchNorm2d(maps)
        self.drop = nn.Dropout(dropout)
        self.there = nn.Linear(maps * 7 * 7, code_size)
        self.matrix = self.there.weight
        self.back = nn.ConvTranspose2d(maps, 1, 4, stride=4)

    def encode(self, images: Tensor) -> Tensor:
        """From images to codes."""
        return self.there(self.drop(torch.relu(self.normalise(self.conv(images)))).view(len(images), -1))  # type: ignore[no-any-return]

    def decode(self, codes: Tensor) -> Tensor:
        """From codes to logits."""
        return self.back((codes @ self.matrix).view(len(codes), -1, 7, 7))  # type: ignore[no-any-return]


TIED = ModuleAutoencoder("tied", "Tied", "(own <-> own)", Tied, {"maps": 3, "dropout": 0.3})


def make_config(recipe: str = "modern", row: ModuleAutoencoder = TIED) -> TrialConfig:
    """Return the settings of a short trial with a code of 5 units."""
    return RECIPES[recipe].trial_config(row, 5, 2, batch_size=20)


def make_pixels() -> Tensor:
    """Return 100 images."""
    return torch.randint(0, 256, (100, 28, 28), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_what_it_takes_is_counted_as_of_rows() -> None:
    """Convolution, matrix, the matrix back, deconvolution; a matrix of two places is one of the parameters."""
    conv, linear = 3 * 16 * 49, 5 * 3 * 49
    expected = ModuleSize((3 * 16 + 3) + (3 + 3) + (linear + 5) + (3 * 16 + 1), conv + linear + linear + conv)
    assert measure_module(TIED, 5, TIED.settings) == expected


def train(config: TrialConfig, seed: int = 1) -> Training:
    """Return a training at its end."""
    training = Training(config, seed, make_pixels(), make_pixels()[:40], TIED)
    while not training.done:
        assert training.train_epoch().finite
    return training


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_seed_decides_weights_and_dropout_whatever_else_the_process_draws(recipe: str) -> None:
    """And nothing else that the process draws is changed by a training."""
    config = make_config(recipe)
    assert (config.starting_weights, config.settings) == ("module", {"dropout": 0.3, "maps": 3})
    torch.manual_seed(7)
    one = train(config)
    after = torch.rand(3)
    torch.manual_seed(8)
    again = train(config)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), after)
    for first, second in zip(one.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(first, second)
    other = train(config, seed=2)
    assert not torch.equal(one.model.get_parameter("module.matrix"), other.model.get_parameter("module.matrix"))


def test_validation_is_measured_in_evaluation_mode() -> None:
    """Without dropout, and changing no running mean; the training goes on in its own mode."""
    config = make_config()
    training = Training(config, 1, make_pixels(), make_pixels()[:40], TIED)
    metrics = training.train_epoch()
    assert training.model.training
    model = training.model.eval()
    assert measure(model, make_pixels()[:40])[0] == metrics.validation_cross_entropy


class Noisy(Tied):
    """One that draws wherever it is asked, also in evaluation."""

    def encode(self, images: Tensor) -> Tensor:
        """From images to codes."""
        return super().encode(images) + torch.randn(len(images), self.there.out_features)


def test_a_seed_decides_what_is_drawn_where_a_module_is_measured() -> None:
    """Whatever else the process draws: searches are decided by these figures."""
    row = dataclasses.replace(TIED, name="noisy", build=Noisy)
    figures: list[Any] = []
    for drawn in (1, 2):
        torch.manual_seed(drawn)
        metrics = Training(make_config(row=row), 1, make_pixels(), make_pixels()[:40], row).train_epoch()
        figures.append(metrics.validation_cross_entropy)
        batch = TrialBatch("confirm", row, 5, make_config(row=row), (Trial("noisy", 1),))
        outcome = list(run_trial(batch, load_dataset("digits"), torch.device("cpu")))[-1].outcome
        assert outcome is not None
        figures.append([score.value for score in outcome.scores])
    assert figures[:2] == figures[2:]


def test_a_module_of_images_of_another_size_is_measured_with_them() -> None:
    """As one that `study.models.train` trains on images of 32x32."""
    row = ModuleAutoencoder("wide", "Wide", "(own)", Wide)
    found = None
    with suppress(InputError):
        found = measure_module(row, 4, {}, 32).multiply_adds
    assert found == 2 * 4 * 32 * 32


def test_muon_takes_matrices_and_kernels_for_weights() -> None:
    """All else, of a batch normalisation as well, are biases; what is not trained is in neither."""
    model = OwnModule(TIED, 5, TIED.settings)
    model.get_parameter("module.back.bias").requires_grad_(False)
    weights, biases = make_optimizer(make_config("muon"), model).groups
    assert [each.dim() for each in weights.parameters] == [2, 4, 4]
    assert [each.dim() for each in biases.parameters] == [1, 1, 1, 1]


def test_its_weights_load_with_the_module_alone(tmp_path: Path) -> None:
    """The file describes all but the factory, and keeps what is in two places."""
    config = make_config("muon")
    model = train(config).model.eval()
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(model, config, "some"))
    images = torch.rand(3, 1, 28, 28)
    again = load_checkpoint(path, models=[TIED])
    assert torch.equal(again.encode(images), model.encode(images))
    assert torch.equal(again(images), model(images))
    with pytest.raises(InputError, match=r"tied, a module of your own, without the function that builds it"):
        load_checkpoint(path)
    changed = dataclasses.replace(TIED, settings={"maps": 4, "dropout": 0.3})
    with pytest.raises(InputError, match="a model called tied, which is another"):
        load_checkpoint(path, models=[changed])
    edited = dataclasses.replace(TIED, build=lambda code_size, maps, dropout: Tied(code_size, maps + 1, dropout))
    with pytest.raises(InputError, match=r"has other weights than tied as it is built now: size mismatch for module\."):
        load_checkpoint(path, models=[edited])


class Wide(nn.Module):
    """One matrix each way, for images of 32x32."""

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(1024, code_size), nn.Linear(code_size, 1024)

    def encode(self, images: Tensor) -> Tensor:
        """From images to codes."""
        return self.there(images.flatten(1))  # type: ignore[no-any-return]

    def decode(self, codes: Tensor) -> Tensor:
        """From codes to logits."""
        return self.back(codes).view(-1, 1, 32, 32)  # type: ignore[no-any-return]


class Wrong(nn.Module):
    """Does one thing wrong."""

    def __init__(self, code_size: int, fault: str) -> None:
        super().__init__()
        if fault == "build":
            raise ValueError("no such width\nat all")
        self.there, self.back = nn.Linear(784, code_size), nn.Linear(code_size, 784)
        self.fault = fault
        if fault == "unused":
            self.spare = nn.Linear(3, 3)
        if fault == "kind":
            self.double()

    def encode(self, images: Tensor) -> Any:
        """From images to codes, or something else."""
        if self.fault == "raise":
            return self.there(images)
        kind = torch.float64 if self.fault == "kind" else torch.float32
        codes = self.there(images.flatten(1).to(kind))
        return (codes, codes) if self.fault == "pair" else codes[:, :-1] if self.fault == "codes" else codes

    def decode(self, codes: Tensor) -> Tensor:
        """From codes to logits, or something else."""
        flat = self.back(codes)
        if self.fault == "constant":
            return torch.zeros(len(codes), 1, 28, 28)
        return flat if self.fault == "images" else flat.view(-1, 1, 28, 28)  # type: ignore[no-any-return]


@pytest.mark.fault("wrong modules of the user's own, by example")
@pytest.mark.parametrize(
    ("build", "settings", "told"),
    [
        (Wrong, {"fault": "build"}, "build(code_size=4, fault='build') raised ValueError: no such width (test_module"),
        (Wrong, {"width": 3}, "raised TypeError: Wrong.__init__() got an unexpected keyword argument 'width'"),
        (lambda code_size: nn.Linear(784, code_size), {}, "returned Linear, without encode or decode"),
        (lambda code_size: None, {}, "returned NoneType, without encode or decode"),
        (Wrong, {"fault": "raise"}, "encode raised RuntimeError: mat1 and mat2"),
        (Wrong, {"fault": "pair"}, "encode of two images returned tuple\n  accepted: float32 of shape (2, 4)"),
        (Wrong, {"fault": "codes"}, "encode of two images returned torch.float32 of shape (2, 3)"),
        (Wrong, {"fault": "kind"}, "encode of two images returned torch.float64 of shape (2, 4)"),
        (Wrong, {"fault": "images"}, "returned torch.float32 of shape (2, 784)\n  accepted: float32 of shape (2, 1"),
        (Wrong, {"fault": "unused"}, "no gradient reaches spare.weight, spare.bias"),
        (Wrong, {"fault": "constant"}, "no gradient reaches there.weight"),
        (None, {}, "wrong, a module of your own, without the function that builds it"),
    ],
)
def test_a_module_that_cannot_be_trained_is_refused(build: Any, settings: dict[str, Any], told: str) -> None:
    """With what it did, and what it should do."""
    assert measure_module(ModuleAutoencoder("right", "Right", "()", Wrong), 4, {"fault": ""}).parameters == 7060
    row = ModuleAutoencoder("wrong", "Wrong", "(own)", build, settings)
    with pytest.raises(InputError, match=re.escape(told)) as refused:
        measure_module(row, 4, settings)
    assert len(str(refused.value).splitlines()) == 3
