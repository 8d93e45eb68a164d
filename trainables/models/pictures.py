"""What is seen of a trained model: its filters, an image's way through its layers, a walk between codes, samples.

Made where the model is, since who draws figures has rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.models.autoencoder import Autoencoder, Stage, Switches
from trainables.models.layers import Layer
from trainables.ops.pooling import pool_with_phases, unpool, unpool_tile

MOST_FILTERS = 32
"""Filters of a layer, those of the largest norm."""

MOST_MAPS = 16
"""Maps of a layer, the first ones: the same number is the same map before and after pooling or unpooling."""

WALK_STEPS = 10
"""Images of a walk, both ends included."""

_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a model.

    Attributes:
        kind: ``filter``, weights; ``map``, what a layer makes of the image; ``switch``, where in their 2x2 windows the
            maxima were that unpooling uses, 0 to 3 as in `Switches`; ``walk``, a step between two codes, decoded;
            ``sample``, a draw from the prior, decoded.
        layer: its name, ``image`` for the image itself; None of a walk and a sample.
        depth: place of the layer, from 0, which is the image; None where there is no layer.
        index: of the filter or map in its layer, of the step or the sample.
        pixels: (height, width); the units of a fully connected layer are one map of height 1.
    """

    kind: str
    layer: str | None
    depth: int | None
    index: int
    pixels: NDArray[np.float16]

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return len(self.pixels)

    @property
    def width(self) -> int:
        """Pixels a row."""
        return len(self.pixels[0])

    @property
    def values(self) -> NDArray[np.float16]:
        """The pixels row by row, (height x width,)."""
        return self.pixels.ravel()


@torch.inference_mode()
def take_pictures(model: Autoencoder, images: Tensor) -> list[Picture]:
    """Return filters, the first image's way through the layers, and a walk from its code to the other's.

    Of a module of the user's own, whose layers are not known, it is the walk alone.

    Args:
        model: trained.
        images: two, ``(2, 1, side, side)`` float32 in [0, 1], on its device.
    """
    if not model.architecture.layered:
        return [*walk_codes(model, images)]
    return [*list_filters(model), *trace_layers(model, images[:1]), *walk_codes(model, images)]


def list_filters(model: Autoencoder) -> Iterator[Picture]:
    """Yield the filters of the first layer, and of the last that has more than one weight a filter.

    A last layer of 1x1 kernels only mixes maps: what gives them shape lies before it.
    """
    layers = [stage.layer for stage in model.stages]
    last = next(layer for layer in reversed(layers) if layer.kind == "linear" or layer.kernel > 1)
    for layer in (layers[0], last):
        filters = _order_as_images(layer, model.weight(layer), first=layer is layers[0])
        norms = filters.flatten(1).norm(dim=1)
        for index in norms.argsort(descending=True, stable=True)[:MOST_FILTERS].tolist():
            yield _make_picture("filter", layer.name, _find_depth(model, layer.name), index, filters[index])


def trace_layers(model: Autoencoder, image: Tensor) -> Iterator[Picture]:
    """Yield what every layer makes of ``image``, ``(1, 1, side, side)``, and the switches where the model uses them.

    Layer by layer, where the model itself takes several at once: pooling comes after the activation here. The last
    layer's maps are the reconstruction, in [0, 1].
    """
    switches: Switches = {}
    yield from _make_maps(model, "image", image)
    maps = image
    for stage in model.stages:
        if stage.unpool_level is not None:
            maps = _unpool(model, maps, switches.get(stage.unpool_level))
            yield from _make_maps(model, f"unpool{stage.unpool_level}", maps)
        alone = Stage(stage.layer, None, None)
        preactivation = model.preactivate(alone, maps, {})
        maps = model.activate(alone, preactivation)
        if stage is model.stages[-1]:
            maps = torch.sigmoid(maps).view_as(image)
        yield from _make_maps(model, stage.layer.name, maps)
        if stage.pool_level is not None:
            maps = F.avg_pool2d(maps, 2) if model.pooling == "average" else F.max_pool2d(maps, 2)
            yield from _make_maps(model, f"pool{stage.pool_level}", maps)
            if model.unpooling == "switches":
                # As the model takes them: after a saturated activation two values may be equal.
                switches[stage.pool_level] = pool_with_phases(preactivation)[1]
                yield from _make_maps(model, f"pool{stage.pool_level}", switches[stage.pool_level], "switch")


def walk_codes(model: Autoencoder, images: Tensor) -> Iterator[Picture]:
    """Yield the decoded codes on the straight line from the first of two ``images`` to the second, ends included.

    A model with switches has those of the first image at every step: what does not change on the way did not come
    through the code.
    """
    codes, switches = model.encode_with_switches(images)
    shares = torch.linspace(0, 1, WALK_STEPS, device=codes.device)[:, None]
    between = torch.lerp(codes[:1], codes[1:], shares)
    first = {level: phases[:1].repeat(WALK_STEPS, 1, 1, 1) for level, phases in switches.items()}
    yield from _make_decoded("walk", torch.sigmoid(model.decode(between, first)))


def blend_images(images: NDArray[np.floating[Any]]) -> Iterator[Picture]:
    """Yield the walk between the codes of two reconstructions ``(2, side, side)`` of a control.

    Its decoder is affine, so that a code between two decodes to the same mixture of their images.
    """
    first, second = torch.from_numpy(np.asarray(images, np.float32))
    shares = torch.linspace(0, 1, WALK_STEPS)[:, None, None]
    yield from _make_decoded("walk", torch.lerp(first, second, shares))


@torch.inference_mode()
def draw_samples(model: Autoencoder, count: int, seed: int) -> list[Picture]:
    """Return ``count`` decoded codes that are drawn from the standard normal distribution.

    Raises:
        InputError: the model unpools with switches, which a code without an image has not.
    """
    device = next(model.parameters()).device
    codes = torch.randn(count, model.code_size, generator=torch.Generator().manual_seed(seed)).to(device)
    return list(_make_decoded("sample", torch.sigmoid(model.decode(codes))))


def choose_ends(labels: NDArray[np.int64] | None, images: int) -> tuple[int, int]:
    """Return between which test images a walk goes: the first, and the first of another class.

    The second one where there are no labels or there is no other class, the first again where it is the only one.
    """
    other = [] if labels is None else np.flatnonzero(labels != labels[0]).tolist()
    return 0, other[0] if other else min(1, images - 1)


def _order_as_images(layer: Layer, weight: Tensor, *, first: bool) -> Tensor:
    """Return the weights of a layer that begins or ends at an image as (filters, height, width)."""
    if layer.kind != "linear":
        return weight.flatten(0, 1)
    each = weight if first else weight.T
    side = round(each.shape[1] ** 0.5)
    return each.reshape(len(each), side, side)


def _unpool(model: Autoencoder, maps: Tensor, phases: Tensor | None) -> Tensor:
    if model.unpooling in ("corner", "switches"):
        return unpool(maps, torch.zeros_like(maps) if phases is None else phases)
    return unpool_tile(maps if model.unpooling == "tile" else 0.25 * maps)


def _find_depth(model: Autoencoder, name: str) -> int:
    names = ["image"]
    for stage in model.stages:
        names += [] if stage.unpool_level is None else [f"unpool{stage.unpool_level}"]
        names += [stage.layer.name]
        names += [] if stage.pool_level is None else [f"pool{stage.pool_level}"]
    return names.index(name)


def _make_maps(model: Autoencoder, layer: str, maps: Tensor, kind: str = "map") -> Iterator[Picture]:
    each = maps[0] if maps.dim() == 4 and maps.shape[-1] > 1 else maps.reshape(1, 1, -1)
    depth = _find_depth(model, layer)
    for index, pixels in enumerate(each[:MOST_MAPS]):
        yield _make_picture(kind, layer, depth, index, pixels)


def _make_decoded(kind: str, images: Tensor) -> Iterator[Picture]:
    side = images.shape[-1]
    for index, pixels in enumerate(images.reshape(-1, side, side)):
        yield _make_picture(kind, None, None, index, pixels)


def _make_picture(kind: str, layer: str | None, depth: int | None, index: int, pixels: Tensor) -> Picture:
    bounded = pixels.detach().float().clamp(-_LARGEST, _LARGEST)
    return Picture(kind, layer, depth, index, bounded.half().cpu().numpy())
