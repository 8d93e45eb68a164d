"""Muon: orthogonalised Nesterov momentum with decoupled weight decay for weights, Adam for biases.

Every weight is read as a matrix, its first axis x the rest as it is stored: outputs x inputs for a fully connected
layer and a convolution, inputs x outputs for a deconvolution, which is stored as the convolution whose adjoint it is.
That is the matrix by which its layer multiplies the maps of a position or the values of a window, or its transpose,
and a matrix and its transpose are orthogonalised alike.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); scale and decay as in Liu et
al., "Muon is scalable for LLM training" (2025). `torch.optim.Muon` with ``adjust_lr_fn="match_rms_adamw"`` is the same
for matrices, in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.training.optimizers import Adam, Group, Optimizer, make_zeros

NEWTON_SCHULZ_STEPS = 5

COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of x, x^3 and x^5 in a step: they bring small singular values up fast and leave all near 1, from 0.68 to 1.21."""

SMALLEST_NORM = 1e-7
"""A matrix of a smaller norm is divided by this one: zeros stay zeros."""


HALVED_SIZE = 128
"""Rows from which a symmetric product is computed by halves: smaller ones take no longer whole."""


class Muon(Optimizer):
    """Steps weights by Muon and biases by Adam; both groups follow the schedule.

    Args:
        weights: the group of weights, ``(rows, columns)`` or ``(maps, maps, kernel, kernel)``; a further first axis
            holds those of several seeds, each a matrix of its own.
        biases: the group of biases.
        momentum: of the weights, and first beta of the biases.
        second_moment_decay: second beta of the biases.
        weight_decay: share of its weights that a step of learning rate 1 would take away.
    """

    def __init__(
        self, weights: Group, biases: Group, *, momentum: float, second_moment_decay: float, weight_decay: float
    ) -> None:
        super().__init__((weights, biases))
        self._momentum, self._weight_decay = momentum, weight_decay
        self._averages = make_zeros(weights)
        self._adam = Adam([biases], betas=(momentum, second_moment_decay))

    @torch.no_grad()
    def step(self) -> None:
        """Change weights and biases by their gradients."""
        weights = self.groups[0]
        ahead = [
            gradient.lerp(average.lerp_(gradient, 1 - self._momentum), self._momentum)
            for gradient, average in zip(weights.gradients, self._averages, strict=True)
        ]
        directions = orthogonalize_all([step.flatten(-3) if step.dim() > 3 else step for step in ahead])
        for weight, direction in zip(weights.parameters, directions, strict=True):
            scale = 0.2 * max(direction.shape[-2:]) ** 0.5  # Its elements' root mean square is then that of Adam.
            weight.mul_(1 - weights.rate * self._weight_decay)
            weight.sub_(direction.view_as(weight).mul_(scale * weights.rate))
        self._adam.step()

    def list_state(self) -> list[Tensor]:
        """Return the momentum of the weights and what Adam keeps of the biases."""
        return [*self._averages, *self._adam.list_state()]


def orthogonalize_all(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return ``(..., rows, columns)`` matrices orthogonalised, contiguous; those of one size in one product.

    An auto-encoder is near its own mirror image: most sizes come twice, a deconvolution's as its convolution's.
    """
    wide = [matrix.mT if matrix.shape[-2] > matrix.shape[-1] else matrix for matrix in matrices]
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, matrix in enumerate(wide):
        # A large one fills a core's cache alone.
        alone = matrix.device.type == "cpu" and matrix.shape[-2] >= HALVED_SIZE
        groups.setdefault((matrix.shape, alone and index), []).append(index)
    found = list(matrices)
    for indices in groups.values():
        first = wide[indices[0]]
        together = orthogonalize(first if len(indices) == 1 else torch.stack([wide[index] for index in indices]))
        for index, matrix in zip(indices, together[None] if len(indices) == 1 else together, strict=True):
            found[index] = (matrix.mT if matrix.shape != matrices[index].shape else matrix).contiguous()
    return found


def orthogonalize(matrices: Tensor, steps: int = NEWTON_SCHULZ_STEPS) -> Tensor:
    """Return about U V^T of each U S V^T, ``(..., rows, columns)`` with no more rows than columns.

    A Newton-Schulz step multiplies X by a polynomial P of its Gram matrix G = X X^T; the next Gram matrix is then
    P G P. So all steps are done among matrices of rows x rows, and the product of all P meets X once, at the end. The
    trace of G is the square of the norm that X begins with.
    """
    first, third, fifth = COEFFICIENTS
    gram = _multiply_to_symmetric(matrices, matrices.mT)
    norms = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].sqrt().clamp(min=SMALLEST_NORM)
    gram.div_(norms).div_(norms)  # A square of the smallest norm would be no float32 of full precision.
    polynomials = None
    for step in range(steps):
        polynomial = _multiply_to_symmetric(gram, gram).mul_(fifth).add_(gram, alpha=third)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(first)
        polynomials = polynomial if polynomials is None else _multiply_to_symmetric(polynomials, polynomial)
        if step < steps - 1:
            gram = _multiply_to_symmetric(polynomial, _multiply_to_symmetric(gram, polynomial))
    return matrices / norms if polynomials is None else (polynomials / norms) @ matrices


def _multiply_to_symmetric(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right`` where that is symmetric; on a processor, of large matrices without a fourth of it."""
    size = left.shape[-2]
    if left.is_cuda or size < HALVED_SIZE:
        return left @ right
    half = size // 2
    product = left.new_empty((*left.shape[:-1], size))
    torch.matmul(left[..., :half, :], right, out=product[..., :half, :])
    torch.matmul(left[..., half:, :], right[..., half:], out=product[..., half:, half:])
    product[..., half:, :half] = product[..., :half, half:].mT
    return product
