"""A module of the user's own in the place of an `Autoencoder`, and what is asked of it before it is trained."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainables.errors import InputError
from trainables.models.architectures import IMAGE_SIZE, ModuleAutoencoder
from trainables.models.autoencoder import Autoencoder, Switches

_ACCEPTED = "an nn.Module with encode, from images to codes, and decode, from codes to logits of the images' shape"
_REMEDY = "correct the module, as docs/extending.md shows"


class OwnModule(Autoencoder):
    """An auto-encoder of which the user's module makes codes and images; it has no stages and no switches.

    Its state is the module's own, by names that begin with ``module``. Starting weights are those that the factory
    draws from PyTorch's generator, begun at ``seed``.

    Raises:
        InputError: the factory is not there, cannot be called so, or returns something else.
    """

    def __init__(
        self,
        row: ModuleAutoencoder,
        code_size: int,
        settings: Mapping[str, Any],
        image_size: int = IMAGE_SIZE,
        read_code: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        nn.Module.__init__(self)
        self.architecture, self.code_size, self.image_size = row, code_size, image_size
        self.pooling = self.unpooling = "none"
        self.plain, self.linear = True, False
        self._read_code = read_code
        if row.build is None:
            raise InputError(
                f"{row.name}, a module of your own, without the function that builds it",
                "the file that defines it",
                "give it again: --models FILE, or load_model(..., models=MODELS)",
            )
        call = f"{row.name}: build({', '.join([f'code_size={code_size}', *_name_values(settings)])})"
        with seeded(seed, torch.device("cpu")), _explaining(call):
            module = row.build(code_size=code_size, **settings)
        if not isinstance(module, nn.Module) or not all(
            callable(getattr(module, each, None)) for each in ("encode", "decode")
        ):
            raise InputError(f"{call} returned {type(module).__name__}, without encode or decode", _ACCEPTED, _REMEDY)
        self.module = module

    def compute_outputs(self, images: Tensor) -> tuple[Tensor, Switches]:
        """Return the module's codes, ``(batch, code_size)``, and no switches."""
        # Images lie last in memory elsewhere, which a module that views them otherwise could not.
        return self.module.encode(images.contiguous()), {}  # type: ignore[operator]

    def decode(self, code: Tensor, switches: Switches | None = None) -> Tensor:
        """Return the logits of the image that ``code`` stands for, ``(batch, 1, side, side)``."""
        return self.module.decode(code)  # type: ignore[operator,no-any-return]

    @torch.no_grad()
    def count_multiply_adds(self) -> int:
        """Return the multiply-adds of a forward pass for one image, of convolutions and products, as PyTorch counts."""
        training = self.training
        device = next(self.parameters()).device
        with FlopCounterMode(display=False) as counter:
            self.eval()(torch.zeros(1, 1, self.image_size, self.image_size, device=device))
        self.train(training)
        return int(counter.get_total_flops()) // 2


class ModuleSize(NamedTuple):
    """What a module takes: trained parameters, and multiply-adds of a forward pass for one image."""

    parameters: int
    multiply_adds: int


def measure_module(
    row: ModuleAutoencoder, code_size: int, settings: Mapping[str, Any], image_size: int = IMAGE_SIZE
) -> ModuleSize:
    """Build a module, let two images of ``image_size`` through it and back, and return its size.

    Raises:
        InputError: it raises, gives other shapes or kinds, or has parameters that no gradient reaches.
    """
    model = OwnModule(row, code_size, settings, image_size)
    what = f"{row.name} with {', '.join([f'code_size={code_size}', *_name_values(settings)])}"
    images = torch.rand(2, 1, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with seeded(0, torch.device("cpu")):
        with _explaining(f"{what}: encode"):
            codes = model.compute_outputs(images)[0]
        _require(f"{what}: encode", codes, (2, code_size))
        with _explaining(f"{what}: decode"):
            logits = model.decode(codes)
        _require(f"{what}: decode", logits, (*images.shape,))
        trained = {name: each for name, each in model.module.named_parameters() if each.requires_grad}
        if logits.requires_grad:
            logits.sum().backward()
        if without := [name for name, each in trained.items() if each.grad is None]:
            raise InputError(
                f"{what}: no gradient reaches {', '.join(without[:5])}",
                "parameters that the images depend on, or requires_grad_(False) of others",
                _REMEDY,
            )
        if not trained or any(each.dtype != torch.float32 for each in trained.values()):
            raise InputError(f"{what} has no parameters in float32 alone", "trained parameters in float32", _REMEDY)
        with _explaining(f"{what}: in evaluation mode"):
            return ModuleSize(sum(each.numel() for each in trained.values()), model.count_multiply_adds())


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let PyTorch's own generators, from which a module draws, begin at ``seed``; they are left as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed % 2**63)
        yield


def _require(what: str, given: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(given, Tensor) or given.shape != shape or given.dtype != torch.float32:
        found = f"{given.dtype} of shape {(*given.shape,)}" if isinstance(given, Tensor) else type(given).__name__
        raise InputError(f"{what} of two images returned {found}", f"float32 of shape {shape}", _REMEDY)


def _name_values(settings: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r:.60}" for name, value in settings.items()]


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """Say in one line what the user's code raised, and where."""
    try:
        yield
    except Exception as error:
        message = (str(error).strip().splitlines() or ["no message"])[0]
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if not each.filename.startswith((__file__, str(Path(torch.__file__).parent)))]
        place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        raise InputError(f"{what} raised {type(error).__name__}: {message[:200]}{place}", _ACCEPTED, _REMEDY) from None
