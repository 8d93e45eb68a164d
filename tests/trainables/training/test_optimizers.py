"""Our optimizers are PyTorch's to the bit, and a worker that uses them imports no compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.documents import ROOT
from trainables.models.architectures import ModuleAutoencoder
from trainables.training.optimizers import Adam, Group, Optimizer, StochasticGradientDescent
from trainables.training.training import Training
from trainables.trial_config import RECIPES

RATES = (0.01, 0.02, 0.005)
SHAPES = ((4, 3, 5, 5), (4,), (7, 9))


def draw(seed: int) -> list[Tensor]:
    """Return a tensor of each shape."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


@pytest.mark.parametrize("in_tensor", [False, True], ids=["number", "tensor"])
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (Adam, torch.optim.Adam, {"betas": (0.9, 0.99), "weight_decay": 0.0}),
        (Adam, torch.optim.Adam, {"betas": (0.8, 0.999), "weight_decay": 0.01}),
        (StochasticGradientDescent, torch.optim.SGD, {"momentum": 0.0}),
        (StochasticGradientDescent, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        (StochasticGradientDescent, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ],
    ids=["Adam", "Adam with a penalty", "plain", "momentum", "Nesterov"],
)
def test_steps_are_those_of_pytorch(ours: Any, theirs: Any, settings: dict[str, Any], in_tensor: bool) -> None:
    """Three steps of two groups at changing rates, that of the second twice the first's."""
    mine, stock = (list[torch.Tensor](map(nn.Parameter, draw(0))) for _ in range(2))
    optimizer: Optimizer = ours([Group(mine[:2]), Group(mine[2:], 2.0)], **settings)
    reference = theirs([{"params": stock[:2]}, {"params": stock[2:]}], lr=0.0, fused=True, **settings)
    for step, rate in enumerate(RATES):
        for parameters in (mine, stock):
            for parameter, gradient in zip(parameters, draw(step + 1), strict=True):
                parameter.grad = gradient
        for group, stock_group in zip(optimizer.groups, reference.param_groups, strict=True):
            group.rate = torch.tensor(rate * group.factor) if in_tensor else rate * group.factor
            stock_group["lr"] = group.rate
        optimizer.step()
        reference.step()
    for ours_now, theirs_now in zip(mine, stock, strict=True):
        torch.testing.assert_close(ours_now, theirs_now, rtol=0, atol=0)
    optimizer.clear_gradients()
    assert all(parameter.grad is None for parameter in mine)


def test_a_step_of_training_imports_no_compiler() -> None:
    """PyTorch's takes seconds to import, in every worker of a study."""
    script = """
import sys
import torch
from trainables.models.architectures import BUILT_IN
from trainables.training.training import Training
from trainables.trial_config import RECIPES

pixels = torch.randint(0, 256, (100, 28, 28), dtype=torch.uint8)
for recipe in RECIPES.values():
    Training(recipe.trial_config(BUILT_IN["model_4"], 10, 1), 1, pixels, pixels).train_epoch()
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("biases", [False, True], ids=["weights alone", "biases alone"])
def test_parameters_of_one_kind_alone_are_stepped(recipe: str, biases: bool) -> None:
    """As a module of one's own may have them."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shape = (784,) if biases else (4, 784)
            self.own = nn.Parameter(torch.full(shape, 0.01))

        def encode(self, images: Tensor) -> Tensor:
            return (images.flatten(1) * self.own).view(-1, 4, 196).sum(2) if biases else images.flatten(1) @ self.own.T

        def decode(self, codes: Tensor) -> Tensor:
            logits = codes.repeat(1, 196) * self.own if biases else codes @ self.own
            return logits.view(-1, 1, 28, 28)

    row = ModuleAutoencoder("own", "Own", "(own <-> own)", lambda code_size: Own(), {})
    settings = RECIPES[recipe].trial_config(row, 4, 1, batch_size=20)
    training = Training(settings, 1, torch.arange(40 * 784).view(40, 28, 28).to(torch.uint8), row=row)
    before = [parameter.clone() for parameter in training.model.parameters()]
    assert training.train_epoch().finite
    assert not any(map(torch.equal, before, training.model.parameters()))
