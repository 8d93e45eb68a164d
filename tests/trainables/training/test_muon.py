"""Muon's steps against PyTorch's own, against NumPy's singular values, and for kernels and several seeds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Autoencoder
from trainables.training.muon import HALVED_SIZE, Muon, orthogonalize, orthogonalize_all
from trainables.training.optimizers import Optimizer
from trainables.training.training import make_optimizer
from trainables.trial_config import RECIPES, TrialConfig

CONFIG = dataclasses.replace(RECIPES["muon"], weight_decay=0.1).trial_config(BUILT_IN["model_4"], 10, 1)


def make_gradients(model: nn.Module, steps: int, seed: int = 0) -> list[dict[str, Tensor]]:
    """Draw gradients by name, which the model's weights do not decide: both optimizers are given the same."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {name: torch.randn(value.shape, generator=generator) for name, value in model.named_parameters()}
        for _ in range(steps)
    ]


def follow(
    model: nn.Module, gradients: list[dict[str, Tensor]], *optimizers: Optimizer | torch.optim.Optimizer
) -> nn.Module:
    """Take a step by each of the gradients."""
    for gradient in gradients:
        for name, value in model.named_parameters():
            value.grad = gradient[name].clone()
        for optimizer in optimizers:
            optimizer.step()
    return model


def make_linear(rows: int, columns: int) -> nn.Linear:
    """Return a layer whose weight is rows x columns."""
    torch.manual_seed(3)
    return nn.Linear(columns, rows)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize(("rows", "columns"), [(6, 20), (20, 6), (9, 9)])
def test_steps_are_those_of_pytorchs_muon_for_matrices_and_adam_for_biases(rows: int, columns: int, steps: int) -> None:
    """PyTorch orthogonalises in bfloat16, of 8 bits: the way that weights went agrees to 2 %."""
    ours, theirs, start = make_linear(rows, columns), make_linear(rows, columns), make_linear(rows, columns)
    gradients = make_gradients(ours, steps)
    follow(ours, gradients, make_optimizer(CONFIG, ours))
    muon = torch.optim.Muon(
        [theirs.weight], lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw", ns_steps=5
    )
    follow(theirs, gradients, muon, torch.optim.Adam([theirs.bias], lr=0.02, betas=(0.95, 0.99)))
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-5, atol=1e-7)
    went = (theirs.weight - start.weight).norm()
    assert went > 0.01
    assert (ours.weight - theirs.weight).norm() < 0.02 * went


def walk(weight: NDArray[np.float64], gradients: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Follow the definition step by step: a Newton-Schulz step changes singular values and leaves the vectors."""
    average = np.zeros_like(weight)
    for gradient in gradients:
        average = 0.95 * average + 0.05 * gradient
        left, values, right = np.linalg.svd(0.05 * gradient + 0.95 * average, full_matrices=False)
        values /= np.sqrt((values**2).sum())
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        weight = weight * (1 - 0.02 * 0.1) - 0.02 * 0.2 * max(weight.shape) ** 0.5 * (left * values) @ right
    return weight


@pytest.mark.parametrize("steps", [1, 10])
def test_steps_are_those_of_singular_values_in_double_precision(steps: int) -> None:
    """Worked out by NumPy for a wide and a tall matrix, to float32's rounding."""
    for rows, columns in ((6, 20), (20, 6)):
        layer = make_linear(rows, columns)
        gradients = make_gradients(layer, steps)
        expected = walk(
            layer.weight.detach().double().numpy(), [gradient["weight"].double().numpy() for gradient in gradients]
        )
        follow(layer, gradients, make_optimizer(CONFIG, layer))
        np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [30, HALVED_SIZE + 1])
def test_orthogonalised_matrices_keep_their_singular_vectors_and_have_singular_values_near_one(rows: int) -> None:
    """About U V^T: on its own vectors diagonal, from 0.65 to 1.25 where a value was not tiny."""
    matrix = torch.randn(rows, 3 * rows, generator=torch.Generator().manual_seed(1))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    assert values.min() / values.norm() > 0.02
    on_vectors = left.mT @ orthogonalize(matrix) @ right.mT
    assert on_vectors.diagonal().min() > 0.65 and on_vectors.diagonal().max() < 1.25
    assert (on_vectors - on_vectors.diagonal().diag()).abs().max() < 1e-4


def test_matrices_of_one_size_share_a_product_and_each_comes_back_in_its_place() -> None:
    """Wide, tall and alone: the same as one by one."""
    generator = torch.Generator().manual_seed(2)
    sizes = [(4, 9), (9, 4), (5, 5), (4, 9), (3, 7), (5, 5)]
    matrices = [torch.randn(size, generator=generator) for size in sizes]
    for matrix, found in zip(matrices, orthogonalize_all(matrices), strict=True):
        tall = matrix.shape[0] > matrix.shape[1]
        alone = orthogonalize(matrix.mT).mT if tall else orthogonalize(matrix)
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


def test_kernels_are_matrices_of_their_first_axis_and_the_rest() -> None:
    """Each weight of model 4, kernels of deconvolutions too, moves as a fully connected layer of that matrix would."""
    row = BUILT_IN["model_4"]
    model = Autoencoder(row, 10, (3, 5))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    flat = nn.ParameterDict({"one_bias": nn.Parameter(torch.zeros(1))})
    for stage in model.stages:
        name = stage.layer.name
        flat[f"{name}_weight"] = nn.Parameter(model.weight(stage.layer).detach().flatten(1).clone())
    (gradient,) = make_gradients(model, 1)
    follow(model, [gradient], make_optimizer(CONFIG, model))
    matrices = {
        f"{name.removesuffix('.weight')}_weight": value.flatten(1)
        for name, value in gradient.items()
        if name.endswith("weight")
    }
    follow(flat, [matrices | {"one_bias": torch.ones(1)}], make_optimizer(CONFIG, flat))
    assert len(flat) == 8 + 1
    for stage in model.stages:
        ours = model.weight(stage.layer).flatten(1)
        torch.testing.assert_close(ours, flat[f"{stage.layer.name}_weight"], rtol=1e-4, atol=1e-5)


def test_decay_takes_its_share_of_weights_and_nothing_of_biases() -> None:
    """Without a gradient nothing else moves them."""
    layer = make_linear(4, 3)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    zeros = {name: torch.zeros_like(value) for name, value in layer.named_parameters()}
    follow(layer, [zeros], make_optimizer(dataclasses.replace(CONFIG, weight_decay=0.5, learning_rate=0.1), layer))
    torch.testing.assert_close(layer.weight.detach(), weight * (1 - 0.1 * 0.5))
    torch.testing.assert_close(layer.bias.detach(), bias, rtol=0, atol=0)


class Stack(nn.Module):
    """Weights and biases of several seeds in a first axis, as `BatchedAutoencoder` holds them."""

    def __init__(self, seeds: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        for name, shape in (("fc", (7, 5)), ("conv", (3, 2, 4, 4)), ("mirror", (3, 2, 4, 4))):
            layer = nn.Module()
            layer.register_parameter("weight", nn.Parameter(torch.randn(seeds, *shape, generator=generator)))
            layer.register_parameter("bias", nn.Parameter(torch.randn(seeds, shape[0], generator=generator)))
            self.add_module(name, layer)

    def pick(self, seed: int) -> nn.Module:
        """Return a model of one seed's own."""
        alone = Stack(1)
        for name, value in alone.named_parameters():
            value.data = self.get_parameter(name).detach()[seed].clone()
        return alone


def test_several_seeds_take_each_its_own_step_and_none_hears_of_another_that_is_not_finite() -> None:
    """One batched product of all seeds, and matrices of one size, is what each does alone."""
    stack = Stack(3)
    alone = [stack.pick(seed) for seed in range(3)]
    gradients = make_gradients(stack, 3)
    gradients[1]["conv.weight"][1] = float("nan")
    follow(stack, gradients, make_optimizer(CONFIG, stack))
    for seed in (0, 2):
        own = [{name: value[seed] for name, value in gradient.items()} for gradient in gradients]
        follow(alone[seed], own, make_optimizer(CONFIG, alone[seed]))
        for name, value in alone[seed].named_parameters():
            torch.testing.assert_close(stack.get_parameter(name)[seed], value, rtol=1e-4, atol=1e-5)
    assert stack.get_parameter("conv.weight")[1].isnan().all()


def test_a_rate_in_a_tensor_is_read_there_at_every_step_by_weights_and_biases() -> None:
    """As a captured step has it: the number may change and the tensor stays."""
    ours, theirs = make_linear(4, 6), make_linear(4, 6)
    gradients = make_gradients(ours, 2)
    captured, eager = make_optimizer(CONFIG, ours), make_optimizer(CONFIG, theirs)
    assert isinstance(captured, Muon)
    rate = torch.zeros(())
    for group in captured.groups:
        group.rate = rate
    for value, gradient in zip((0.02, 0.005), gradients, strict=True):
        rate.fill_(value)
        for group in eager.groups:
            group.rate = value
        follow(ours, [gradient], captured)
        follow(theirs, [gradient], eager)
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)
    assert len(captured.list_state()) == 1 + 3, "momentum of the weight; averages, squares and count of the bias"


def make_config(**changes: object) -> TrialConfig:
    """Return the recipe's settings with changes."""
    return dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_biases_have_their_factor_of_the_rate_and_the_second_beta() -> None:
    """Adam's own, by the settings."""
    ours, theirs = make_linear(4, 6), make_linear(4, 6)
    gradients = make_gradients(ours, 3)
    optimizer = make_optimizer(make_config(bias_learning_rate_factor=2.0, second_moment_decay=0.9), ours)
    for group in optimizer.groups:
        group.rate = 0.01 * group.factor
    follow(ours, gradients, optimizer)
    follow(theirs, gradients, torch.optim.Adam([theirs.bias], lr=0.02, betas=(0.95, 0.9)))
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-5, atol=1e-7)
