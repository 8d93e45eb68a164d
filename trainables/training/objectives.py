"""Objectives as a table: what a training minimises besides the plain error of its reconstructions.

An objective is a record with a function that is given a step of training, `training.Step`, and returns its losses. The
functions below use tensors by their own methods, so that the table can be read where PyTorch is not installed. Sources
in brackets are those of `trainables.models.architectures`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trainables.errors import InputError
from trainables.models.architectures import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.models.autoencoder import Stage
    from trainables.training.training import Step, StepLosses

RECONSTRUCTION = "reconstruction"
"""The name of the objective that the others are compared with; the only one that trials of older versions have."""

Strengths = tuple[float, float, float]
"""The smallest number first; the middle one is the default, at which settings are searched."""


def _fits_all(row: Architecture) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, and what becomes of the code for it.

    Attributes:
        name: in rows, flags and ids.
        label: in tables and figures.
        formula: what is minimised, in words.
        strengths: the three that are studied, or a function of the code size that returns them; none of reconstruction.
        find_losses: returns the losses of a training step, averaged over its images.
        source: of the method, and of the strengths.
        code: what the code is once training is done, in words.
        explain_misfit: returns why a row of the table of architectures cannot be trained so; empty where it can. What
            holds of modules of the user's own `find_misfit` adds.
        outputs_per_unit: of the code layer, 2 where it gives a mean and a logarithm of a variance for each unit.
        read_code: makes the code, (batch, code_size), of the code layer's outputs and the strength; None where the
            outputs are the code.
        measure_outputs: returns scores of all test images from the code layer's outputs and the strength.
        measure_images: returns values of each image of a step, (batch,), whose means over the test images are scores.
        prior: whether codes are drawn to N(0, I), so that draws from it can be decoded.
        plain: whether it needs derivatives of derivatives, which the engine does not give. Then PyTorch's own layers
            compute it.
        shared: whether seeds can be trained as one batched model, as `batched` does.
        layers: whether it needs a model's layers one by one.
        labelled: whether a step needs the labels of its images.
        decodes: whether there is a decoder.
        linear: whether what it gives is the image itself, not its logits.
        compares_images: whether it compares the images of a batch with each other, so that one is too few.
    """

    name: str
    label: str
    formula: str
    strengths: Strengths | Callable[[int], Strengths] | None
    find_losses: Callable[[Step], StepLosses]
    source: str = ""
    code: str = "outputs of the code layer"
    explain_misfit: Callable[[Architecture], str] = _fits_all
    outputs_per_unit: int = 1
    read_code: Callable[[Tensor, float], Tensor] | None = None
    measure_outputs: Callable[[Tensor, float], Mapping[str, float]] | None = None
    measure_images: Callable[[Step], Mapping[str, Tensor]] | None = None
    prior: bool = False
    plain: bool = False
    shared: bool = False
    layers: bool = False
    labelled: bool = False
    decodes: bool = True
    linear: bool = False
    compares_images: bool = False

    def limit(self, pretraining: str, layered: bool) -> Objective:
        """Return the same for a training with that pretraining, of a row that is ``layered`` or not.

        Layers by themselves are trained seed after seed, and so are modules, which are PyTorch's to compute.
        """
        shared = self.shared and pretraining == "none" and layered
        return replace(self, plain=self.plain or not layered, shared=shared)

    def find_misfit(self, row: Architecture) -> str:
        """Return why ``row`` cannot be trained so; empty where it can."""
        if not row.layered and (self.layers or self.outputs_per_unit > 1):
            needed = (
                "its layers one by one" if self.layers else f"{self.outputs_per_unit} outputs for a unit of its code"
            )
            return f"{row.name} is a module of its own, and {self.name} needs {needed}"
        return self.explain_misfit(row)

    def list_strengths(self, code_size: int) -> Strengths | tuple[()]:
        """Return the three strengths at a code size; none where there are none."""
        return (self.strengths(code_size) if callable(self.strengths) else self.strengths) or ()

    def default_strength(self, code_size: int) -> float | None:
        """Return the middle strength at a code size; None where there are none."""
        strengths = self.list_strengths(code_size)
        return strengths[1] if strengths else None


def check_objective(objective: Objective) -> None:
    """Refuse an objective of the user's own whose name is taken, or that lacks what every study needs of it.

    Raises:
        InputError: with what is accepted.
    """
    if not isinstance(objective.name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,39}", objective.name):
        raise InputError(
            f"an objective called {objective.name!r:.60}",
            "small letters, digits and '_', from a letter on, at most 40",
            "give it another name",
        )
    if objective.name in OBJECTIVES:
        raise InputError(
            f"an objective called {objective.name}, which is built in",
            f"a name of its own, none of {', '.join(OBJECTIVES)}",
            "give it another name",
        )
    strengths: Any = objective.strengths
    numbers = isinstance(strengths, tuple | list) and all(isinstance(each, int | float) for each in strengths)
    if not numbers or len(strengths) != 3 or not strengths[0] < strengths[1] < strengths[2] < math.inf:
        raise InputError(
            f"{objective.name}: strengths {strengths!r:.60}", "three numbers, the smallest first", "correct strengths"
        )
    if not callable(objective.find_losses):
        raise InputError(
            f"{objective.name}: find_losses {objective.find_losses!r:.60}",
            "a function that returns the losses of a step",
            "see docs/extending.md",
        )
    if objective.labelled or objective.linear or not objective.decodes:
        raise InputError(
            f"{objective.name}: labelled {objective.labelled}, linear {objective.linear}, decodes {objective.decodes}",
            "an objective without labels, of models that decode to logits; the others are of controls",
            "leave these out",
        )
    if objective.outputs_per_unit == 2 and objective.read_code is None:
        raise InputError(
            f"{objective.name}: outputs_per_unit 2 without read_code",
            "a function that makes the code of twice as many outputs, such as their mean",
            "give read_code, as docs/extending.md shows",
        )
    if objective.shared or not 1 <= objective.outputs_per_unit <= 2:
        raise InputError(
            f"{objective.name}: shared {objective.shared}, outputs_per_unit {objective.outputs_per_unit}",
            "shared False, and 1 or 2 outputs for a unit",
            "see docs/extending.md",
        )


_DUMPED = ("name", "label", "formula", "strengths", "source", "code", "outputs_per_unit", "plain")

TRAINED_BY = ("strengths", "outputs_per_unit")
"""What of a dumped objective decides how a trial is trained; its functions do, too, and are in no dump."""


def dump_objective(objective: Objective, rows: Iterable[Architecture]) -> dict[str, Any]:
    """Return what can be said of an objective of the user's own without its functions, and which ``rows`` misfit."""
    reasons = {row.name: reason for row in rows if (reason := objective.find_misfit(row))}
    return {name: getattr(objective, name) for name in _DUMPED} | {"misfits": reasons}


def load_objective(values: Mapping[str, Any]) -> Objective:
    """Return the objective that `dump_objective` described: it can be planned and shown, but not trained."""
    misfits: Mapping[str, str] = values["misfits"]

    def refuse(step: Step) -> StepLosses:
        raise InputError(f"objective {values['name']} without its function", "--models FILE", "give the file again")

    described = {name: values[name] for name in _DUMPED} | {"strengths": tuple(values["strengths"])}
    return Objective(find_losses=refuse, explain_misfit=lambda row: misfits.get(row.name, ""), **described)


def _reconstruct(step: Step) -> StepLosses:
    return step.compare(step.model(step.images))


def _denoise(step: Step) -> StepLosses:
    return step.compare(step.model(mask_pixels(step.images, step.strength, step.draw_uniform(step.images))))


def mask_pixels(images: Tensor, share: float, uniform: Tensor) -> Tensor:
    """Return ``images`` with about ``share`` of the pixels set to 0: those whose number of [0, 1) is below it."""
    return images * (uniform >= share)


def keep_largest(outputs: Tensor, count: float) -> Tensor:
    """Return ``outputs``, (batch, units), of which all but the ``count`` largest of each row are 0."""
    largest = outputs.topk(int(count), dim=1).indices
    return outputs * outputs.new_zeros(outputs.shape).scatter(1, largest, 1.0)


def _list_sparse_strengths(code_size: int) -> Strengths:
    """Return 3, 5 and 8 units of 10, and 4, 8 and 16 of 64: shares of the code, at least a unit."""
    shares = (0.3, 0.5, 0.8) if code_size < 64 else (1 / 16, 1 / 8, 1 / 4)
    weak, middle, strong = (max(1.0, float(round(share * code_size))) for share in shares)
    return weak, middle, strong


def _measure_sparsity(outputs: Tensor, count: float) -> Mapping[str, float]:
    return {"nonzero_units": float((keep_largest(outputs, count) != 0).sum(1).double().mean())}


def _read_mean(outputs: Tensor, strength: float) -> Tensor:
    return outputs.chunk(2, dim=1)[0]


def _vary(step: Step) -> StepLosses:
    outputs, switches = step.model.compute_outputs(step.images)
    mean, log_variance = outputs.chunk(2, dim=1)
    code = mean + (log_variance / 2).exp() * step.draw_normal(mean)
    losses = step.compare(step.model.decode(code, switches))
    return losses.add(step.strength * find_divergence(mean, log_variance).mean())


def find_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of N(mean, variance) from N(0, I), in nats, (batch,) of (batch, units)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)


ACTIVE_VARIANCE = 0.01
"""A unit is active when the variance of its posterior mean over images is above this. The idea is that of Burda et al.
(2015); the number [ours]."""


def _measure_posterior(outputs: Tensor, strength: float) -> Mapping[str, float]:
    mean, log_variance = outputs.double().chunk(2, dim=1)
    return {
        "kl_divergence": float(find_divergence(mean, log_variance).mean()),
        "active_units": float((mean.var(0, correction=0) > ACTIVE_VARIANCE).sum()),
    }


def _weigh(step: Step, count: int, likelihood: bool = False) -> StepLosses:
    """Return the bound by ``count`` codes of each image, and the mean errors of their reconstructions.

    Of the ``likelihood`` an image's error is its cross-entropy, whatever loss the recipe minimises.
    """
    outputs, switches = step.model.compute_outputs(step.images)
    mean, log_variance = outputs.repeat(count, 1).chunk(2, dim=1)
    noise = step.draw_normal(mean)
    code = mean + (log_variance / 2).exp() * noise
    many = {level: phases.repeat(count, 1, 1, 1) for level, phases in switches.items()}
    each = step.compare_each(step.model.decode(code, many), count)
    # Of posterior over prior; the constants of both densities are the same.
    log_ratio = 0.5 * (code.square() - noise.square() - log_variance).sum(1)
    error = each.cross_entropy if likelihood else each.minimised
    bound = find_bound(-(error + log_ratio).view(count, -1))
    return each._replace(
        minimised=-bound, cross_entropy=each.cross_entropy.mean(), squared_error=each.squared_error.mean()
    )


def find_bound(log_weights: Tensor) -> Tensor:
    """Return the logarithm of the mean weight of each image, (batch,) of (samples, batch): at most its likelihood's."""
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def _weigh_training(step: Step) -> StepLosses:
    losses = _weigh(step, int(step.strength))
    return losses._replace(minimised=losses.minimised.mean())


BOUND_SAMPLES = 10
"""Codes of each image by which the bound is measured, of every objective that has one, so that they can be compared."""


def _measure_bound(step: Step) -> Mapping[str, Tensor]:
    return {"bound": _weigh(step, BOUND_SAMPLES, likelihood=True).minimised}


def _contract(step: Step) -> StepLosses:
    images = step.images.clone().requires_grad_()
    logits = step.model(images)
    reconstruction = logits.sigmoid()
    # The squared norm of draws of N(0, I) through the transposed derivative is that of the derivative, on average.
    slope = step.differentiate((reconstruction * step.draw_normal(reconstruction)).sum(), images)
    return step.compare(logits).add(step.strength * slope.square().sum() / len(images))


def _drop(step: Step) -> StepLosses:
    maps, switches, layers = step.images, dict[int, "Tensor"](), list["Stage"]()
    for stage in step.model.stages:
        layers.append(stage)
        if stage.layer.kind == "linear" and stage.layer.activation != "none":
            maps = step.model.run(layers, maps, switches)
            maps = maps * (step.draw_uniform(maps) >= step.strength) / (1 - step.strength)
            layers.clear()
    return step.compare(step.model.run(layers, maps, switches).view(step.images.shape))


def _match_maps(step: Step) -> StepLosses:
    maps, switches, encoded = step.images, dict[int, "Tensor"](), dict[int, "Tensor"]()
    layers, distance = list["Stage"](), maps.new_zeros(())
    for stage in step.model.stages:
        if stage.unpool_level is not None:
            maps = step.model.run(layers, maps, switches)
            distance = distance + (maps - encoded[stage.unpool_level]).square().sum()
            layers.clear()
        layers.append(stage)
        if stage.pool_level is not None:
            maps = encoded[stage.pool_level] = step.model.run(layers, maps, switches)
            layers.clear()
    losses = step.compare(step.model.run(layers, maps, switches).view(step.images.shape))
    return losses.add(step.strength * distance / len(step.images))


def _explain_no_switches(row: Architecture) -> str:
    return "" if row.unpooling == "switches" else f"{row.name} does not unpool with switches"


def _compare_moments(step: Step) -> StepLosses:
    code, switches = step.model.encode_with_switches(step.images)
    losses = step.compare(step.model.decode(code, switches))
    return losses.add(step.strength * find_discrepancy(code, step.draw_normal(code)))


def find_discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    """Return an unbiased estimate of the squared maximum mean discrepancy of two samples, (batch, units) both.

    The kernel is c / (c + squared distance), c twice the units: what the squared distance of two draws of N(0, I) is on
    average. Source: Tolstikhin et al. (2018), who match codes so; c [ours].
    """
    count, scale = len(codes), 2.0 * codes.shape[1]

    def weigh(one: Tensor, other: Tensor) -> Tensor:
        return scale / (scale + (one[:, None] - other[None]).square().sum(-1))

    within = (weigh(codes, codes).sum() + weigh(draws, draws).sum() - 2 * count) / (count * (count - 1))
    return within - 2 * weigh(codes, draws).mean()


def _measure_moments(outputs: Tensor, strength: float) -> Mapping[str, float]:
    codes = outputs.double()
    around = codes - codes.mean(0)
    covariance = around.T @ around / len(codes)
    return {
        "mean_distance": float(codes.mean(0).square().mean().sqrt()),
        "covariance_distance": float((covariance - covariance.new_ones(len(covariance)).diag()).square().mean().sqrt()),
    }


_OBJECTIVES = (
    Objective(
        RECONSTRUCTION,
        "Reconstruction",
        "error of the reconstruction",
        None,
        _reconstruct,
        shared=True,
    ),
    Objective(
        "denoising",
        "Denoising",
        "error of the reconstruction of an image from one of whose pixels a share, the strength, was set to 0",
        (0.1, 0.25, 0.5),
        _denoise,
        "Vincent et al. (2008); strengths [ours]",
        code="code of the image as it is",
    ),
    Objective(
        "variational",
        "Variational",
        "error of the reconstruction from a code drawn from N(mean, variance), which the code layer gives, plus the "
        "strength times its Kullback-Leibler divergence from N(0, I)",
        (0.25, 1.0, 4.0),
        _vary,
        "Kingma and Welling (2013), whose bound has strength 1; the others [ours]",
        code="posterior mean",
        outputs_per_unit=2,
        read_code=_read_mean,
        measure_outputs=_measure_posterior,
        measure_images=_measure_bound,
        prior=True,
    ),
    Objective(
        "importance_weighted",
        "Importance weighted",
        "minus the logarithm of the mean of as many weights as the strength says, p(image, code) / q(code), of codes "
        "drawn from N(mean, variance)",
        (2.0, 5.0, 10.0),
        _weigh_training,
        "Burda, Grosse and Salakhutdinov (2015), whose bound of one sample is the variational one; strengths [ours]",
        code="posterior mean",
        outputs_per_unit=2,
        read_code=_read_mean,
        measure_outputs=_measure_posterior,
        measure_images=_measure_bound,
        prior=True,
    ),
    Objective(
        "k_sparse",
        "k-sparse",
        "error of the reconstruction from as many of the largest units of the code as the strength says, the others 0",
        _list_sparse_strengths,
        _reconstruct,
        "Makhzani and Frey (2013); strengths [ours]",
        code="the same: its largest units",
        read_code=keep_largest,
        measure_outputs=_measure_sparsity,
    ),
    Objective(
        "dropout",
        "Dropout",
        "error of the reconstruction where a share of the units beside the code, the strength, is 0 in each step",
        (0.1, 0.2, 0.5),
        _drop,
        "Srivastava et al. (2014); strengths [ours]",
        code="without any dropped",
        layers=True,
    ),
    Objective(
        "contractive",
        "Contractive",
        "error of the reconstruction plus the strength times the squared norm of its derivative by the image",
        (0.001, 0.01, 0.1),
        _contract,
        "Rifai et al. (2011), here as Alain and Bengio (2014) have it; strengths [ours]",
        plain=True,
    ),
    Objective(
        "what_where",
        "What-where",
        "error of the reconstruction plus the strength times the squared distance of the decoder's maps from the "
        "encoder's of the same level",
        (0.01, 0.1, 1.0),
        _match_maps,
        "Zhao et al. (2016); strengths [ours]",
        explain_misfit=_explain_no_switches,
        layers=True,
    ),
    Objective(
        "moment_matching",
        "Moment matching",
        "error of the reconstruction plus the strength times the squared maximum mean discrepancy of codes and draws "
        "of N(0, I)",
        (1.0, 10.0, 100.0),
        _compare_moments,
        "Tolstikhin et al. (2018): the adversarial auto-encoder's aim without an adversary; strengths [ours]",
        measure_outputs=_measure_moments,
        prior=True,
        compares_images=True,
    ),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({each.name: each for each in _OBJECTIVES})
"""The objectives of this file by name, in the order of tables."""
