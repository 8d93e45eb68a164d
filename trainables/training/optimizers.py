"""The optimizers of the recipes: stochastic gradient descent with momentum, and Adam, by PyTorch's fused kernels.

They are those of `torch.optim`, to the bit. The first optimizer of that package imports PyTorch's compiler, which takes
longer than anything else that a worker does before its first trial, and every step of it looks for hooks that nothing
here has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Group:
    """Parameters that share a learning rate.

    Attributes:
        parameters: each with its gradient when a step is taken.
        factor: what the schedule's learning rate is multiplied by for them.
        rate: learning rate of the next step, a number or a scalar tensor on their device.
    """

    parameters: list[Tensor]
    factor: float = 1.0
    rate: float | Tensor = 0.0

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients of the parameters, all of which must have one that is laid out as they are."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter needs a gradient"
        return gradients


class Optimizer(ABC):
    """Changes the parameters of its groups by their gradients.

    A step asks nothing of the host and its state, which begins at zeros, stays where it is: a CUDA graph can hold it.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)

    @abstractmethod
    def step(self) -> None:
        """Change every parameter."""

    @abstractmethod
    def list_state(self) -> list[Tensor]:
        """Return the tensors that steps change besides the parameters."""

    def clear_gradients(self) -> None:
        """Let the next backward pass begin with none."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None


def make_zeros(group: Group) -> list[Tensor]:
    """Return a state of zeros, a tensor of each parameter's shape."""
    return [torch.zeros_like(parameter, requires_grad=False) for parameter in group.parameters]


class StochasticGradientDescent(Optimizer):
    """Gradient descent with momentum, of Nesterov's kind or the classic one, or without; `torch.optim.SGD`."""

    def __init__(
        self, groups: Sequence[Group], *, momentum: float, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups)
        self._momentum, self._nesterov, self._weight_decay = momentum, nesterov, weight_decay
        self._averages = [make_zeros(group) if momentum else [] for group in groups]

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter."""
        for group, averages in zip(self.groups, self._averages, strict=True):
            if not group.parameters:  # A module may have weights or biases alone.
                continue
            torch._fused_sgd_(
                group.parameters,
                group.gradients,
                averages,
                weight_decay=self._weight_decay,
                momentum=self._momentum,
                lr=group.rate,
                dampening=0.0,
                nesterov=self._nesterov,
                maximize=False,
                is_first_step=False,  # averages of zeros give what a first step would
            )

    def list_state(self) -> list[Tensor]:
        """Return the averages of gradients."""
        return [average for averages in self._averages for average in averages]


class Adam(Optimizer):
    """Adam with an L2 penalty; `torch.optim.Adam`."""

    def __init__(self, groups: Sequence[Group], *, betas: tuple[float, float], weight_decay: float = 0.0) -> None:
        super().__init__(groups)
        self._betas, self._weight_decay = betas, weight_decay
        self._averages = [make_zeros(group) for group in groups]
        self._squares = [make_zeros(group) for group in groups]
        # PyTorch's kernel counts the steps of each parameter by itself, on its device.
        self._steps = [[torch.zeros((), device=tensor.device) for tensor in group.parameters] for group in groups]

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter."""
        for group, averages, squares, steps in zip(
            self.groups, self._averages, self._squares, self._steps, strict=True
        ):
            if not group.parameters:
                continue
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                group.parameters,
                group.gradients,
                averages,
                squares,
                [],
                steps,
                lr=group.rate,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=self._weight_decay,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    def list_state(self) -> list[Tensor]:
        """Return averages of gradients and of their squares, and counts of steps."""
        return [tensor for lists in (self._averages, self._squares, self._steps) for list_ in lists for tensor in list_]
