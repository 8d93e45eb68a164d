"""The engine computes what stock layers compute: values, gradients and training, whatever the row and the batch."""

from __future__ import annotations

import gc
import itertools
import math
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.models import initialization
from trainables.models.architectures import (
    BUILT_IN,
    Architecture,
    ClassicAutoencoder,
    ConvolutionalAutoencoder,
    Decoder,
    Encoder,
    with_variant,
)
from trainables.models.autoencoder import Autoencoder
from trainables.ops.engine import Chain, Losses, find_chain, find_norm
from trainables.training.devices import name_engine
from trainables.training.training import Training, reconstruction_losses
from trainables.trial_config import RECIPES

pytestmark = pytest.mark.skipif(name_engine(torch.device("cpu")) == "plain", reason="a machine without the engine")

ODD = ConvolutionalAutoencoder(
    name="odd",
    label="Images of 21x21",
    notation="(conv, pool (sw) <-> unpool (sw), deconv)",
    encoder=Encoder("odd", kernels=(4, 3), pooled=True),  # 21 -> 18 -> 9 -> 7 -> 3
    decoder=Decoder("odd", kernels=(3, 4, 4), unpooled=True),  # 1 -> 3 -> 6 -> 9 -> 18 -> 21
    published_filters=(7, 9),
    pooling="max",
    unpooling="switches",
)
LONE = ConvolutionalAutoencoder(
    name="lone",
    label="Single values between its layers",
    notation="(conv <-> unpool, deconv)",
    encoder=Encoder("whole", kernels=(13, 1), pooled=False),  # 13 -> 1 -> 1
    decoder=Decoder("lone", kernels=(1, 5, 2), unpooled=True),  # 1 -> 1 -> 2 -> 6 -> 12 -> 13
    published_filters=(3, 2),
    activation="relu",
    unpooling="corner",
)
SMALL_CLASSIC = ClassicAutoencoder("small", "Small", "(fully connected <-> fully connected)", widths=(5, 17))


def start(row: Architecture, code_size: int = 10, side: int = 28) -> Autoencoder:
    """Return the model with weights scaled on random images."""
    model = Autoencoder(row, code_size, None, side)
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), draw_images(64, side))
    return model


def draw_images(count: int, side: int = 28) -> Tensor:
    """Return images of noise with black areas, where maxima are tied, and no others that are nearly so."""
    images = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(count + side))
    images[..., : side // 3, :] = 0
    return images


def differentiate(model: Autoencoder, images: Tensor, *, plain: bool) -> dict[str, Tensor]:
    """Return code, switches and logits, and the gradients of what goes in and of every parameter."""
    model.plain = plain
    images = images.clone().requires_grad_()
    code, switches = model.encode_with_switches(images)
    logits = model.decode(code, switches)
    loss = sum(reconstruction_losses(logits, images.detach()))
    leaves = {"images": images, "codes": code, **dict(model.named_parameters())}
    gradients = torch.autograd.grad(loss, list(leaves.values()))  # type: ignore[arg-type]
    found = {"code": code, "logits": logits, **{f"switches{level}": value for level, value in switches.items()}}
    found |= {f"gradient of {name}": value for name, value in zip(leaves, gradients, strict=True)}
    return {name: value.detach() for name, value in found.items()}


def assert_same(ours: dict[str, Tensor], stock: dict[str, Tensor], most: float = 2e-4) -> None:
    """Compare within ``most`` of the largest value of each."""
    assert ours.keys() == stock.keys()
    for name, value in stock.items():
        assert ours[name].shape == value.shape, name
        assert ours[name].dtype == value.dtype, name
        error = (ours[name].double() - value.double()).abs().max() / value.double().abs().max().clamp_min(1e-9)
        assert error <= most, f"{name}: {error:.1e}"


@pytest.mark.parametrize(("code_size", "batch"), [(1, 7), (2, 100), (10, 1), (30, 33)])
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_architecture_equals_stock_layers(name: str, code_size: int, batch: int) -> None:
    """Values and gradients, at the published filter counts."""
    model = start(BUILT_IN[name], code_size)
    images = draw_images(batch)
    assert_same(differentiate(model, images, plain=False), differentiate(model, images, plain=True))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("unpooling", ["corner", "tile", "average", "switches"])
@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
def test_every_pooling_unpooling_and_activation_equals_stock_layers(
    pooling: str, unpooling: str, activation: str
) -> None:
    """Of model 4 with few filters, where they go together."""
    if unpooling == "switches" and pooling != "max":
        pytest.skip("switches are the positions of maxima")
    row = with_variant(BUILT_IN["model_4"], activation, pooling, unpooling)  # type: ignore[arg-type]
    model = Autoencoder(row, 3, (7, 13))
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), draw_images(64))
    images = draw_images(9)
    assert_same(differentiate(model, images, plain=False), differentiate(model, images, plain=True))


@pytest.mark.parametrize(
    "row",
    [*BUILT_IN.values(), with_variant(BUILT_IN["model_4"], pooling="average", unpooling="average")],
    ids=lambda row: f"{row.name}-{row.pooling}",
)
def test_layers_one_by_one_equal_stock_layers(row: Architecture) -> None:
    """Each ends with its own activation and pooling, whose derivatives are then the first of the way back."""
    model, images, results = start(row), draw_images(7), []
    for plain in (False, True):
        model.plain = plain
        maps, switches, layers = images.clone().requires_grad_(), dict[int, Tensor](), dict[str, Tensor]()
        first = maps
        for stage in model.stages:
            maps = layers[stage.layer.name] = model.run([stage], maps, switches)
        leaves = {"images": first, **layers, **dict(model.named_parameters())}
        leaves.pop("output")
        gradients = torch.autograd.grad(maps.square().sum(), list(leaves.values()))
        slopes = {f"gradient of {each}": value for each, value in zip(leaves, gradients, strict=True)}
        results.append({each: value.detach() for each, value in (layers | slopes).items()})
    ours, stock = results
    assert_same(ours, stock)


@pytest.mark.parametrize(
    ("row", "side"),
    [
        pytest.param(ODD, 21, id="maps of odd sides and switches"),
        pytest.param(with_variant(ODD, "tanh", "average", "tile"), 21, id="averages that leave out a row"),
        pytest.param(with_variant(ODD, "relu", "max", "average"), 21, id="unpooling of averages"),
        pytest.param(LONE, 13, id="single values"),
        pytest.param(SMALL_CLASSIC, 13, id="fully connected"),
    ],
)
def test_own_rows_and_images_of_other_sizes_equal_stock_layers(row: Architecture, side: int) -> None:
    """Sides and counts that are no multiple of anything."""
    model, images = start(row, 3, side), draw_images(5, side)
    assert_same(differentiate(model, images, plain=False), differentiate(model, images, plain=True))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_ten_steps_train_as_with_stock_layers(name: str, recipe: str) -> None:
    """The losses of ten steps of 20 images."""
    filters = None if name == "classic_autoencoder" else (5, 4)
    trial_config = RECIPES[recipe].trial_config(
        BUILT_IN[name], 4, 2, batch_size=20, filters=filters, learning_rate=RECIPES[recipe].tanh_learning_rate / 3
    )
    pixels = (draw_images(100)[:, 0] * 255).to(torch.uint8)
    losses = []
    for plain in (False, True):
        training = Training(trial_config, 1, pixels)
        training.model.plain = plain
        losses.append([training.train_epoch().train_cross_entropy for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", ["model_4", "model_5"])
def test_a_training_that_diverged_leaves_nothing_behind(name: str) -> None:
    """A worker trains others after it with the same memory, of which images fill a part: 7 of a vector's lanes."""
    model, found = start(BUILT_IN[name]), []
    (stage,) = [stage for stage in model.stages if stage.layer.name == "fc_out"]
    code, bias = torch.linspace(-1, 1, 70).view(7, 10), model.bias(stage.layer)
    for value in (0.0, math.nan, 0.0):
        with torch.no_grad():
            bias.fill_(value)
        found.append(torch.autograd.grad(model.run([stage], code, {}).sum(), [model.weight(stage.layer), bias]))
    assert not found[1][1].isfinite().any()
    for before, after in zip(found[0], found[2], strict=True):
        assert torch.equal(before, after)


def test_an_average_of_odd_maps_leaves_nothing_behind() -> None:
    """No window has their last row and column, which are passed over on the way back."""
    encoder = Encoder("uneven", kernels=(8, 4), pooled=True)  # 28 -> 21 -> 10 -> 7 -> 3
    decoder = Decoder("uneven", kernels=(7, 13, 10), unpooled=False)
    model = start(ConvolutionalAutoencoder("uneven", "Uneven", "()", encoder, decoder, (3, 2), pooling="average"))
    images, found = draw_images(7), []
    bias = model.get_parameter("conv1.bias")
    for value in (0.0, math.nan, 0.0):
        with torch.no_grad():
            bias.fill_(value)
        found.append(torch.autograd.grad(model(images).sum(), list(model.parameters())))
    for before, after in zip(found[0], found[2], strict=True):
        assert torch.equal(before, after)


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    """Kernels would read past the end of what they are given."""
    model = start(BUILT_IN["model_4"])
    stages = [stage for stage in model.decoder_stages if stage.layer.name != "deconv1"]
    with pytest.raises(ValueError, match="where the layer behind takes"):
        model.run(stages, torch.zeros(2, 10), {})


def test_the_first_of_equal_maxima_counts_and_what_is_not_a_number_is_the_largest() -> None:
    """As in PyTorch's max pooling."""
    model = start(with_variant(BUILT_IN["model_3"], "relu"))
    images = draw_images(3)
    images[0] = 0.5
    images[1, 0, 9, 9] = torch.nan
    found = []
    for plain in (False, True):
        model.plain = plain
        found.append(model.encode_with_switches(images))
    (code, switches), (stock_code, stock_switches) = found
    assert not switches[1][0].any()
    for level in (1, 2):
        assert (switches[level][:2] == stock_switches[level][:2]).all()
    assert torch.equal(code.isnan(), stock_code.isnan())
    assert code[1].isnan().all()


def test_what_is_not_a_number_goes_through_every_activation() -> None:
    """A training that diverged must show."""
    for activation in ("sigmoid", "tanh", "relu"):
        model = start(with_variant(BUILT_IN["unpool_only"], activation))
        model.get_parameter("deconv2.bias").data[0] = torch.nan
        assert model(draw_images(2)).isnan().any()


def test_two_passes_at_once_do_not_share_memory() -> None:
    """The gradients of the first are right although another came between, and so are its logits."""
    model = start(BUILT_IN["model_4"])
    first, second = draw_images(6), draw_images(6).flip(-1)
    expected = differentiate(model, first, plain=False)
    logits = model(first)
    model(second)
    loss = sum(reconstruction_losses(logits, first))
    parameters = dict(model.named_parameters())
    for _ in range(2):  # The second time with what is kept of the first.
        found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)  # type: ignore[arg-type]
        for name, gradient in zip(parameters, found, strict=True):
            assert torch.equal(gradient, expected[f"gradient of {name}"])
    assert torch.equal(logits, expected["logits"])


def test_switches_outlive_their_pass() -> None:
    """Another pass leaves them as they were."""
    model = start(BUILT_IN["model_3"])
    with torch.no_grad():
        _, switches = model.encode_with_switches(draw_images(6))
        before = {level: value.clone() for level, value in switches.items()}
        model.encode_with_switches(draw_images(6).flip(-1))
    assert all(torch.equal(value, before[level]) for level, value in switches.items())


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.5)])
def test_losses_are_pytorchs_with_their_gradients(weights: tuple[float, float]) -> None:
    """Far out too, where a logit leaves no doubt."""
    logits = (torch.randn(7, 1, 9, 9, generator=torch.Generator().manual_seed(0)) * 20).requires_grad_()
    images = draw_images(7, 9)
    stock = (
        torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum") / 7,
        torch.nn.functional.mse_loss(torch.sigmoid(logits), images, reduction="sum") / 7,
    )
    ours = Losses.apply(logits, images)
    torch.testing.assert_close(ours, stock, rtol=1e-6, atol=1e-6)
    found = []
    for losses in (ours, stock):
        loss = sum(weight * value for weight, value in zip(weights, losses, strict=True) if weight)
        found.append(torch.autograd.grad(loss, logits, retain_graph=True)[0])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)


def test_the_norm_is_that_of_all_values() -> None:
    """Worked by hand: 3, 4 and 12; and what is not a number shows."""
    assert find_norm([torch.tensor([3.0, 0.0]), torch.tensor([[4.0], [12.0]])]) == pytest.approx(13)
    assert math.isnan(find_norm([torch.tensor([3.0, torch.nan])]))


def test_images_weights_and_switches_may_lie_in_memory_in_any_way() -> None:
    """Strided images, a weight that is a view, switches of other images, as many as fill a vector."""
    model = start(BUILT_IN["model_3"])
    images = draw_images(16)
    expected = differentiate(model, images, plain=False)
    strided = torch.empty(1, 28, 28, 16).permute(3, 0, 2, 1).copy_(images)
    model.get_parameter("fc_in.weight").data = model.get_parameter("fc_in.weight").data.t().contiguous().t()
    assert_same(differentiate(model, strided, plain=False), expected, most=1e-6)
    code, switches = model.encode_with_switches(images)
    other = {level: value.roll(1, dims=0) for level, value in switches.items()}
    logits = model.decode(code, other)
    model.plain = True
    torch.testing.assert_close(logits, model.decode(code, other), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("row", [BUILT_IN["model_2"], ODD], ids=lambda row: row.name)
def test_the_weights_of_a_first_layer_learn_without_a_gradient_of_images(row: Architecture) -> None:
    """As they do with one, where maxima are spread for it."""
    side = 21 if row is ODD else 28
    model, images = start(row, side=side), draw_images(7, side)
    expected = differentiate(model, images, plain=False)
    sum(reconstruction_losses(model(images), images)).backward()  # type: ignore[union-attr]
    found = {f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()}
    assert_same(found, {name: expected[name] for name in found}, most=1e-5)  # type: ignore[arg-type]


def test_the_same_images_give_the_same_bits_again_and_the_same_to_rounding_in_any_batch() -> None:
    """Values of an image do not depend on the others; products of another number may round otherwise."""
    model = start(BUILT_IN["model_2"])
    images = draw_images(40)
    with torch.no_grad():
        logits = model(images)
        assert torch.equal(logits, model(images))
        torch.testing.assert_close(model(images[17:18]), logits[17:18], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model(images.flip(0)).flip(0), logits, rtol=1e-5, atol=1e-5)


def test_other_types_and_no_images_at_all_take_the_plain_path() -> None:
    """The engine is for float32 on a processor."""
    model = start(BUILT_IN["unpool_only"])
    assert model(draw_images(0)).shape == (0, 1, 28, 28)
    images = draw_images(2)
    logits = model(images)
    torch.testing.assert_close(model.double()(images.double()).float(), logits, rtol=1e-4, atol=1e-4)


def test_derivatives_of_derivatives_are_refused_and_the_plain_path_has_them() -> None:
    """Wrong ones would be worse."""
    model = start(BUILT_IN["unpool_only"])
    images = draw_images(2).requires_grad_()
    for plain, power in itertools.product((False, True), (1, 2)):  # of power 1 a gradient depends on weights alone
        model.plain = plain
        made = (model(images) ** power).sum()
        if plain:
            (gradient,) = torch.autograd.grad(made, images, create_graph=True)
            assert torch.autograd.grad(gradient.square().sum(), model.get_parameter("code.weight"))[0].abs().max() > 0
        else:
            with pytest.raises(RuntimeError, match="differentiated twice: an objective that needs it says plain=True"):
                torch.autograd.grad(made, images, create_graph=True)


@pytest.mark.parametrize("of_target", [False, True])
def test_losses_are_differentiated_twice_as_stock_ones_are(of_target: bool) -> None:
    """By what is given, and by the image where it is also what is compared with."""
    model = start(BUILT_IN["unpool_only"])
    model.plain = True
    weight = model.get_parameter("conv1.weight")
    slopes = []
    for stock in (False, True):
        images = draw_images(3).requires_grad_()
        target = images if of_target else images.detach()
        logits = model(images)
        if stock:
            cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / 3
            squared_error = F.mse_loss(torch.sigmoid(logits), target, reduction="sum") / 3
        else:
            cross_entropy, squared_error = reconstruction_losses(logits, target)
        (gradient,) = torch.autograd.grad(cross_entropy + 3 * squared_error, images, create_graph=True)
        slopes.append((gradient.detach(), *torch.autograd.grad(gradient.square().sum(), weight)))
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=1e-5)


def test_numba_is_not_imported_before_a_model_computes() -> None:
    """Nor does a study's command line wait for it."""
    code = "import sys, trainables.models.autoencoder, study.run; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_of_a_model_that_is_gone_is_freed_at_once() -> None:
    """A worker trains hundreds of models one after the other; Python seldom looks for what is held by a cycle alone."""
    model, images = start(BUILT_IN["model_5"]), draw_images(6)
    gc.disable()
    try:
        sum(reconstruction_losses(model(images), images)).backward()  # type: ignore[union-attr]
        held = [weakref.ref(memory) for memory in gc.get_objects() if type(memory) is Chain]
        find_chain.cache_clear()
        assert len(held) >= 2
        assert not [memory for memory in held if memory() is not None]
    finally:
        gc.enable()


def test_threads_compute_at_the_same_time_what_each_does_alone() -> None:
    """Kernels let other threads run, whose passes have buffers of their own.

    Each thread says anew that PyTorch's own products use one core; on some processors two round otherwise.
    """
    model = start(BUILT_IN["model_4"])
    batches = [draw_images(20) * share for share in (1.0, 0.5)]

    def repeat(images: Tensor, times: int = 30) -> list[Tensor]:
        with torch.no_grad():
            return [model(images) for _ in range(times)]

    alone = [repeat(images, 1)[0] for images in batches]
    find_chain.cache_clear()
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        together = [*pool.map(repeat, batches)]
    assert find_chain.cache_info().currsize == 4, "a chain for each half of the model and thread"
    for expected, found in zip(alone, together, strict=True):
        assert all(torch.equal(each, expected) for each in found)
