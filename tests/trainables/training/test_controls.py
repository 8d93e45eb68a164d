"""Controls that are trained: what they minimise, worked out by hand, and what they reach."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.evaluation.baselines import pca
from trainables.evaluation.reconstruction import encode_control
from trainables.models.architectures import BUILT_IN, CONTROLS
from trainables.run_trial import Trial, TrialBatch, run_trial
from trainables.training.controls import CONTROL_OBJECTIVES, draw_partners, find_contrast
from trainables.training.training import Training
from trainables.trial_config import RECIPES, TrialConfig

DIGITS = load_dataset("digits")


def make_control(name: str, code_size: int, epochs: int) -> tuple[TrialBatch, TrialConfig]:
    """Return a control with one seed, and its settings."""
    row = CONTROLS[name]
    assert row.network is not None
    made = RECIPES["modern"].trial_config(
        row.network, code_size, epochs, batch_size=32, objective=row.objective, objective_strength=1.0
    )
    trial_config = dataclasses.replace(made, loss=row.loss)
    trials = (Trial(f"confirm-{name}", 3, keep_codes=True),)
    objective = CONTROL_OBJECTIVES[row.objective]
    return TrialBatch("confirm", row, code_size, trial_config, trials, objective=objective), trial_config


def start(trial_config: TrialConfig, images: int = 64, *, plain: bool = False) -> Training:
    """Return the training of a Siamese network on the first digits, by the engine or by PyTorch's layers."""
    pixels, labels = DIGITS.training.pixels[:images], DIGITS.training.labels
    assert labels is not None
    given = torch.tensor(pixels), CONTROLS["siamese"].network, CONTROL_OBJECTIVES["contrastive"]
    training = Training(trial_config, 3, given[0], None, given[1], given[2], torch.tensor(labels[:images]))
    training.model.plain |= plain
    return training


def test_contrast_by_hand() -> None:
    """Distance 0.6: alike half of 0.36, else half the square of 0.4; beyond the margin and at 0 as the formula says."""
    codes = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    others = torch.tensor([[0.36, 0.48], [0.36, 0.48], [3.0, 4.0], [1.0, 1.0]])
    alike = torch.tensor([True, False, False, False])
    losses = find_contrast(codes, others, alike, 1.0)
    torch.testing.assert_close(losses, torch.tensor([0.18, 0.08, 0.0, 0.5]), atol=1e-5, rtol=0)
    losses.sum().backward()
    assert codes.grad is not None
    assert torch.isfinite(codes.grad).all()
    torch.testing.assert_close(codes.grad[:2], torch.tensor([[-0.36, -0.48], [0.24, 0.32]]))


def test_half_of_the_pairs_are_alike_and_no_image_meets_itself() -> None:
    """Partners of the kind that the coin says are equally likely; where there is none it is one of the other kind."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    met = torch.zeros(6, 6)
    coins = 0
    for _ in range(4000):
        uniform = torch.rand(6, 7, generator=generator)
        partners, alike = draw_partners(labels, uniform)
        assert (partners != torch.arange(6)).all()
        assert torch.equal(alike, labels == labels[partners])
        assert not alike[5]
        met[torch.arange(6), partners] += 1
        coins += int(alike[:5].sum())
    assert coins / 20_000 == pytest.approx(0.5, abs=0.02)
    expected = torch.tensor([[0, 1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6], [1 / 8, 1 / 8, 1 / 8, 1 / 2, 0, 1 / 8]])
    torch.testing.assert_close(met[[0, 4]] / 4000, expected, atol=0.03, rtol=0)


def test_pairs_come_from_the_third_stream() -> None:
    """Weights and order are those of model 4 with the seed; another stream of noise alone gives other codes."""
    trial_config = make_control("siamese", 4, 2)[1]
    training = start(trial_config)
    model_4 = Training(
        RECIPES["modern"].trial_config(BUILT_IN["model_4"], 4, 2, batch_size=32), 3, training.train_pixels
    )
    starting = dict(model_4.model.named_parameters())
    for name, parameter in training.model.named_parameters():
        assert torch.equal(parameter, starting[name])
    assert set(starting) - set(dict(training.model.named_parameters())) == {
        f"{layer}.{kind}" for layer in ("fc_out", "deconv2", "deconv1", "output") for kind in ("weight", "bias")
    }
    same, other = start(trial_config), start(trial_config)
    other._noise.manual_seed(5)
    for each in (training, same, other):
        each.train_epoch()
    codes = [each.model.encode(torch.zeros(1, 1, 28, 28)) for each in (training, same, other)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.allclose(codes[0], codes[2])
    assert torch.equal(training.draw_order(), other.draw_order())


def test_the_engine_trains_it_as_pytorchs_own_layers_do() -> None:
    """Gradients of a step agree to rounding; no error of a reconstruction is told."""
    trial_config = make_control("siamese", 4, 2)[1]
    images = torch.tensor(DIGITS.training.pixels[:32]).unsqueeze(1) / 255
    labels = torch.tensor(DIGITS.training.labels)[:32]

    def find_gradients(plain: bool) -> list[Tensor]:
        training = start(trial_config, plain=plain)
        losses = training.objective.find_losses(training.make_step(images, labels))
        assert np.isnan([losses.cross_entropy, losses.squared_error]).all()
        losses.minimised.backward()
        return [parameter.grad for parameter in training.model.parameters() if parameter.grad is not None]

    plain, compiled = find_gradients(True), find_gradients(False)
    assert len(plain) == len(compiled) == 8
    largest = max(float(gradient.abs().max()) for gradient in plain)
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * largest, rtol=1e-4)


def test_without_labels_a_siamese_network_is_refused() -> None:
    """In words; other objectives do not ask for any."""
    batch, trial_config = make_control("siamese", 2, 1)
    pixels = torch.tensor(DIGITS.training.pixels[:64])
    with pytest.raises(InputError, match="objective contrastive without labels"):
        Training(trial_config, 1, pixels, objective=batch.objective, row=CONTROLS["siamese"].network)


def test_a_siamese_network_separates_classes_and_reconstructs_nothing() -> None:
    """Two units of code hold the digits apart as no code does without labels: PCA misses more than a third."""
    batch, _ = make_control("siamese", 2, 12)
    *epochs, last = run_trial(batch, DIGITS, torch.device("cpu"))
    assert [report.epoch.epoch for report in epochs if report.epoch] == list(range(1, 13))
    assert last.outcome is not None
    assert last.outcome.status == "complete"
    assert last.outcome.kept is not None
    assert last.outcome.kept.codes.shape == (len(DIGITS.test), 2)
    assert len(last.outcome.kept.reconstructions) == len(last.outcome.pictures) == 0
    assert last.outcome.weights is None
    assert last.columns["parameters"] == 26 * 26 + 36 * (26 * 25 + 1) + 250 * (36 * 16 + 1) + 2 * 251
    values = {(score.evaluator, score.metric): score.value for score in last.outcome.scores}
    assert {"reconstruction", "k_means_decoder_layer"}.isdisjoint(evaluator for evaluator, _ in values)
    assert values["nearest_neighbours", "error"] < 20
    assert values["k_means_whitened", "accuracy"] > 0.7


def test_a_linear_autoencoder_reaches_pca() -> None:
    """Its error on the images that it is trained on comes within 1 % of the least, in PCA's subspace."""
    batch, trial_config = make_control("linear_autoencoder", 4, 40)
    assert (trial_config.loss, trial_config.objective) == ("euclidean", "linear_reconstruction")
    pixels = torch.tensor(DIGITS.training.pixels)
    row = CONTROLS["linear_autoencoder"]
    training = Training(trial_config, 3, pixels, row=row.network, objective=batch.objective)
    while not training.done:
        last = training.train_epoch()
    reached = encode_control(training.model, pixels, pixels)
    least = pca(DIGITS.training.pixels, DIGITS.training.pixels, 4)
    error, best = (float(codes.errors["squared_error"].mean()) for codes in (reached, least))
    assert best < error < 1.01 * best
    assert last.train_squared_error == pytest.approx(error, rel=0.02)
    assert np.isnan(last.train_cross_entropy)
    # Of an orthonormal basis of what it decodes to, how much lies in PCA's subspace: 1 if all does.
    weight = training.model.get_submodule("output").get_parameter("weight").detach().numpy()
    projected = least.reconstructions.reshape(len(pixels), -1)
    components = np.linalg.svd(projected - projected.mean(0), full_matrices=False)[2][:4]
    overlap = np.linalg.svd(np.linalg.qr(weight)[0].T @ components.T, compute_uv=False)
    assert overlap.min() > 0.98


def test_a_trained_linear_autoencoder_stands_beside_pca() -> None:
    """With errors of its images as they are and clipped, kept reconstructions and a walk."""
    batch, _ = make_control("linear_autoencoder", 4, 1)
    *_, last = run_trial(batch, DIGITS, torch.device("cpu"))
    assert last.outcome is not None
    assert last.outcome.kept is not None
    assert len(last.outcome.kept.reconstructions) == 20
    assert {picture.kind for picture in last.outcome.pictures} == {"walk"}
    values = {score.metric: score for score in last.outcome.scores if score.evaluator == "reconstruction"}
    assert set(values) == {"squared_error", "clipped_squared_error"}
    assert values["clipped_squared_error"].value < values["squared_error"].value
    assert last.columns["parameters"] == 784 * 4 + 4 + 4 * 784 + 784
    kept = torch.tensor(last.outcome.kept.reconstructions.astype(np.float32))
    images = torch.tensor(DIGITS.test.pixels[:20]).flatten(1) / 255
    per_image = values["squared_error"].per_image
    assert per_image is not None
    np.testing.assert_allclose((kept - images).square().sum(1), per_image[:20], rtol=0.02)
