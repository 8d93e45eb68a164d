"""Objectives: each in the limits where it is something that is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.evaluation.reconstruction import measure_objective
from trainables.models.architectures import BUILT_IN
from trainables.models.autoencoder import Switches
from trainables.training.objectives import (
    OBJECTIVES,
    RECONSTRUCTION,
    find_bound,
    find_discrepancy,
    find_divergence,
    keep_largest,
    mask_pixels,
)
from trainables.training.training import Step, Training, scale_pixels
from trainables.trial_config import RECIPES, TrialConfig


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Blurred blobs: 40 images with something to learn."""
    coarse = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) ** 3
    smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bilinear")
    return (smooth[:, 0] * 255).to(torch.uint8)


def make_trial_config(name: str = "model_4", objective: str = RECONSTRUCTION, strength: float = 0.0) -> TrialConfig:
    """Return settings of a small model, trained by an objective of that strength."""
    filters = None if name == "classic_autoencoder" else (3, 2)
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[name], 4, 2, batch_size=20, filters=filters)
    return dataclasses.replace(trial_config, objective=objective, objective_strength=strength)


def train(trial_config: TrialConfig, pixels: Tensor, *, plain: bool = False) -> list[Tensor]:
    """Train two epochs and return the weights."""
    training = Training(trial_config, 1, pixels)
    training.model.plain |= plain
    for _ in range(2):
        assert training.train_epoch().finite
    return [parameter.detach() for parameter in training.model.parameters()]


@pytest.mark.parametrize(
    ("name", "objective", "strength"),
    [
        ("model_4", "denoising", 0.0),
        ("model_4", "k_sparse", 4.0),
        ("model_4", "dropout", 0.0),
        ("model_4", "contractive", 0.0),
        ("model_3", "what_where", 0.0),
        ("model_4", "moment_matching", 0.0),
    ],
    ids=lambda value: str(value),
)
def test_without_its_strength_an_objective_is_reconstruction(
    name: str, objective: str, strength: float, pixels: Tensor
) -> None:
    """Bit for bit, through the same layers."""
    plain = OBJECTIVES[objective].plain
    base = train(make_trial_config(name), pixels, plain=plain)
    for one, other in zip(train(make_trial_config(name, objective, strength), pixels), base, strict=True):
        assert torch.equal(one, other)


FITTING = [
    (name, objective)
    for name in BUILT_IN
    for objective in OBJECTIVES
    if objective != RECONSTRUCTION and not OBJECTIVES[objective].explain_misfit(BUILT_IN[name])
]


@pytest.mark.parametrize(("name", "objective"), FITTING)
def test_every_objective_trains_every_architecture_that_it_fits(name: str, objective: str, pixels: Tensor) -> None:
    """With finite losses at its default strength, and otherwise than reconstruction does."""
    strength = OBJECTIVES[objective].default_strength(4)
    assert strength is not None
    weights = train(make_trial_config(name, objective, strength), pixels)
    base = train(make_trial_config(name), pixels)
    assert all(weight.isfinite().all() for weight in weights)
    assert not torch.equal(weights[0], base[0])


@pytest.mark.parametrize(("name", "objective"), [pair for pair in FITTING if not OBJECTIVES[pair[1]].plain])
def test_objectives_of_the_engine_are_those_of_stock_layers(name: str, objective: str, pixels: Tensor) -> None:
    """The loss of a step with its noise, and the gradient of every parameter, at the strongest."""
    found = []
    for plain in (True, False):
        trial_config = make_trial_config(name, objective, max(OBJECTIVES[objective].list_strengths(4)))
        training, step = make_step(trial_config, pixels)
        training.model.plain = plain
        loss = training.objective.find_losses(step).minimised
        found.append((loss, *torch.autograd.grad(loss, list(training.model.parameters()))))
    for stock, ours in zip(*found, strict=True):
        assert (ours - stock).abs().max() <= 2e-4 * stock.abs().max()


def test_a_linear_model_of_masked_images_is_a_ridge_regression_with_a_diagonal_penalty() -> None:
    """Least squares from masked to clean values: (1 - p) S ((1 - p)^2 S + p (1 - p) diag S)^-1 of their products S."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(50, 4, generator=generator, dtype=torch.float64).cumsum(1)
    many, share = images.repeat(4000, 1), 0.3
    masked = mask_pixels(many, share, torch.rand(many.shape, generator=generator, dtype=torch.float64))
    fitted = torch.linalg.lstsq(masked, many).solution.T
    products = images.T @ images
    kept = 1 - share
    expected = kept * products @ torch.linalg.inv(kept**2 * products + share * kept * products.diag().diag())
    np.testing.assert_allclose(fitted, expected, atol=0.01)


def make_step(trial_config: TrialConfig, pixels: Tensor, seed: int = 1) -> tuple[Training, Step]:
    """Return a training that has not begun, and its first step."""
    training = Training(trial_config, seed, pixels)
    return training, training.make_step(scale_pixels(pixels[:20]))


def still(training: Training) -> None:
    """Give the code's posterior a variance of next to nothing and the means as they are."""
    bias = training.model.get_parameter("code.bias")
    weight = training.model.get_parameter("code.weight")
    half = len(bias) // 2
    with torch.no_grad():
        weight[half:], bias[half:] = 0.0, -200.0


def test_k_sparse_keeps_exactly_so_many_units_and_those_are_the_largest() -> None:
    """In every row; sizes of the code have three counts of their own."""
    outputs = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    kept = keep_largest(outputs, 3.0)
    assert ((kept != 0).sum(1) == 3).all()
    torch.testing.assert_close(kept.sum(1), outputs.sort(1).values[:, -3:].sum(1))
    strengths = {size: OBJECTIVES["k_sparse"].list_strengths(size) for size in (2, 10, 64)}
    assert strengths == {2: (1, 1, 2), 10: (3, 5, 8), 64: (4, 8, 16)}


def test_a_k_sparse_model_reads_and_decodes_sparse_codes_when_it_is_trained(pixels: Tensor) -> None:
    """The code of evaluation is that of training."""
    training, step = make_step(make_trial_config("model_4", "k_sparse", 2.0), pixels)
    code = training.model.encode(step.images)
    assert ((code != 0).sum(1) == 2).all()
    assert torch.equal(training.model(step.images), training.model.decode(code))
    assert measure_objective(training, pixels)[0].value == 2


def test_divergence_from_the_prior_is_what_samples_say() -> None:
    """By two million draws of a posterior of two units."""
    mean, log_variance = torch.tensor([[0.7, -1.2]]).double(), torch.tensor([[-1.0, 0.5]]).double()
    noise = torch.randn(2_000_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    code = mean + (log_variance / 2).exp() * noise
    sampled = 0.5 * (code.square() - noise.square() - log_variance).sum(1).mean()
    assert find_divergence(mean, log_variance).item() == pytest.approx(sampled.item(), rel=0.005)


def test_a_variational_model_without_divergence_and_noise_is_reconstruction(pixels: Tensor) -> None:
    """Its loss is that of the code that its means are, and the code that is evaluated is the mean."""
    training, step = make_step(make_trial_config("model_4", "variational", 0.0), pixels)
    still(training)
    losses = training.objective.find_losses(step)
    again = step.compare(training.model(step.images))
    assert losses.minimised.item() == pytest.approx(again.minimised.item(), rel=1e-6)
    outputs, _ = training.model.compute_outputs(step.images)
    assert torch.equal(training.model.encode(step.images), outputs[:, :4])
    stronger = dataclasses.replace(step, trial_config=make_trial_config("model_4", "variational", 2.0))
    divergence = find_divergence(*outputs.chunk(2, dim=1)).mean()
    added = training.objective.find_losses(stronger).minimised - losses.minimised
    assert added.item() == pytest.approx(2 * divergence.item(), rel=1e-4)


def test_a_unit_is_active_when_its_mean_varies() -> None:
    """Of three units one varies enough, whatever its variance."""
    mean = torch.tensor([[0.0, 1.0, 0.05], [1.0, 1.0, -0.05]]).repeat(10, 1)
    measure = OBJECTIVES["variational"].measure_outputs
    assert measure is not None
    assert measure(torch.cat((mean, torch.zeros(20, 3)), 1), 1.0)["active_units"] == 1


def test_the_bound_grows_with_samples_and_is_exact_where_the_posterior_is() -> None:
    """Weights that are all alike are the likelihood; of others the mean bound of more samples lies higher, below it."""
    exact = torch.full((5, 3), -80.0, dtype=torch.float64)
    torch.testing.assert_close(find_bound(exact), exact[0])
    noise = torch.randn(12, 40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_weights = noise - 0.5  # of which the mean weight is 1
    bounds = [find_bound(log_weights[:count]).mean().item() for count in (1, 2, 4, 12)]
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(-0.5, abs=0.02)
    assert bounds[-1] < 0


def test_importance_weighted_by_one_sample_is_variational(pixels: Tensor) -> None:
    """On average over the noise: the one takes the divergence as it is, the other as the sample says."""
    training, step = make_step(make_trial_config("model_4", "importance_weighted", 1.0), pixels)
    variational = dataclasses.replace(step, trial_config=make_trial_config("model_4", "variational", 1.0))
    with torch.no_grad():
        sampled = [OBJECTIVES["importance_weighted"].find_losses(step).minimised.item() for _ in range(200)]
        known = [OBJECTIVES["variational"].find_losses(variational).minimised.item() for _ in range(200)]
    deviation = np.hypot(np.std(sampled), np.std(known)) / np.sqrt(200)
    assert np.mean(sampled) == pytest.approx(np.mean(known), abs=4 * deviation)
    many = dataclasses.replace(step, trial_config=make_trial_config("model_4", "importance_weighted", 10.0))
    with torch.no_grad():
        assert training.objective.find_losses(many).minimised.item() < np.mean(sampled)


def find_penalty(training: Training, step: Step, strength: float = 1.0) -> float:
    """Return what an objective of that strength adds to the loss of a step."""
    changed = dataclasses.replace(step.trial_config, objective_strength=strength)
    state = step.noise.get_state()
    losses = training.objective.find_losses(dataclasses.replace(step, trial_config=changed))
    step.noise.set_state(state)
    return (losses.minimised - step.compare(training.model(step.images)).minimised).item()


def test_the_contractive_penalty_is_the_derivative_along_its_draws(pixels: Tensor) -> None:
    """Its square, by finite differences of the reconstruction, of a model without maxima, in double precision."""
    training, step = make_step(make_trial_config("model_1", "contractive", 1.0), pixels)
    training.model.double()
    step = dataclasses.replace(step, images=step.images[:2].double())
    state = step.noise.get_state()
    draws = step.draw_normal(step.images)
    step.noise.set_state(state)
    total, width = 0.0, 1e-5
    with torch.no_grad():
        for pixel in range(28 * 28):
            moved = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
            moved.view(-1)[pixel] = width
            change = training.model(step.images + moved).sigmoid() - training.model(step.images - moved).sigmoid()
            total += ((change * draws).flatten(1).sum(1) / (2 * width)).square().sum().item()
    assert find_penalty(training, step) == pytest.approx(total / 2, rel=1e-3)


def test_the_contractive_penalty_does_not_see_an_invertible_map_of_the_code(pixels: Tensor) -> None:
    """So that it cannot be shrunk away by smaller codes and larger weights after them."""
    training, step = make_step(make_trial_config("model_4", "contractive", 1.0), pixels)
    before = find_penalty(training, step)
    turn = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)) + 3 * torch.eye(4)
    model = training.model
    with torch.no_grad():
        for name in ("code.weight", "code.bias"):
            model.get_parameter(name).copy_(turn @ model.get_parameter(name))
        model.get_parameter("fc_out.weight").copy_(model.get_parameter("fc_out.weight") @ torch.linalg.inv(turn))
    assert find_penalty(training, step) == pytest.approx(before, rel=1e-3)


def test_what_where_adds_the_distance_of_the_maps_of_each_level(pixels: Tensor) -> None:
    """By maps that are taken from the model layer by layer: of side 4 and of side 12."""
    training, step = make_step(make_trial_config("model_3", "what_where", 1.0), pixels)
    outputs, maps = dict[str, Tensor](), step.images
    switches: Switches = {}
    for stage in training.model.stages:
        maps = training.model.activate(stage, training.model.preactivate(stage, maps, switches))
        outputs[stage.layer.name] = maps
    distance = sum((outputs[f"deconv{level}"] - outputs[f"conv{level}"]).square().sum().item() / 20 for level in (1, 2))
    assert outputs["conv1"].shape[-1] == 12
    assert find_penalty(training, step) == pytest.approx(distance, rel=1e-4)
    assert OBJECTIVES["what_where"].explain_misfit(BUILT_IN["model_4"]) == "model_4 does not unpool with switches"


def test_dropout_leaves_the_mean_of_a_unit_and_evaluation_has_none(
    pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is linear in the units that are dropped before it: on average it is that of the whole model."""
    training, step = make_step(make_trial_config("model_4", "dropout", 0.5), pixels)
    whole, codes, read = training.model.encode(step.images), [], training.model.read_code

    def watch(outputs: Tensor) -> Tensor:
        codes.append(read(outputs))
        return codes[-1]

    monkeypatch.setattr(training.model, "read_code", watch)
    with torch.no_grad():
        for _ in range(400):
            training.objective.find_losses(step)
    drawn = torch.stack(codes)
    assert not torch.equal(drawn[0], drawn[1])
    error = drawn.std(0) / 20
    assert ((drawn.mean(0) - whole).abs() < 5 * error).all()


def test_moment_matching_draws_the_moments_of_the_codes_to_the_priors(pixels: Tensor) -> None:
    """Mean and covariance come nearer to those of N(0, I) than with reconstruction alone."""
    distances = []
    for strength in (0.0, 100.0):
        trial_config = make_trial_config("model_4", "moment_matching", strength)
        training = Training(dataclasses.replace(trial_config, epochs_planned=60), 1, pixels)
        while not training.done:
            training.train_epoch()
        distances.append(sum(score.value for score in measure_objective(training, pixels)))
    assert distances[1] < 0.5 * distances[0]


def test_discrepancy_is_zero_on_average_for_draws_of_the_prior_and_not_for_others() -> None:
    """It is unbiased, so samples of one distribution give values on both sides of 0 once constants are taken away."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 2000, 3, generator=generator)
    assert find_discrepancy(one, other).item() == pytest.approx(0.0, abs=2e-3)
    assert find_discrepancy(one + 1, other).item() > 0.1
    assert find_discrepancy(0.1 * one, other).item() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), FITTING)
def test_every_objective_learns_the_digits_with_every_architecture_that_it_fits(name: str, objective: str) -> None:
    """At its default strength and the recipe's rate no training diverges, and the error falls from epoch to epoch."""
    pixels = torch.from_numpy(np.array(load_dataset("digits").training.pixels[:320]))
    strength = OBJECTIVES[objective].default_strength(10)
    trial_config = RECIPES["modern"].trial_config(
        BUILT_IN[name], 10, 3, batch_size=32, objective=objective, objective_strength=strength
    )
    training = Training(trial_config, 1, pixels)
    epochs = [training.train_epoch() for _ in range(3)]
    errors = [each.train_cross_entropy for each in epochs]
    print(f"{name} {objective}: {errors[0]:.1f} to {errors[-1]:.1f}, {epochs[-1].seconds:.1f} s an epoch")
    assert all(each.finite for each in epochs)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("loss", ["euclidean", "both"])
@pytest.mark.parametrize("name", ["variational", "importance_weighted"])
def test_a_bound_is_of_the_likelihood_whatever_loss_is_minimised(name: str, loss: str, pixels: Tensor) -> None:
    """Another error would be no logarithm of a probability, and its bound beside the others' none at all."""
    bounds = []
    for each in ("cross_entropy", loss):
        training = Training(dataclasses.replace(make_trial_config("model_4", name), loss=each), 1, pixels)  # type: ignore[arg-type]
        bounds.append([score.value for score in measure_objective(training, pixels) if score.metric == "bound"])
    assert bounds[0] == bounds[1] != []
