"""Runs a step again and again: eagerly on a processor, on a GPU as one captured CUDA graph that is replayed.

These models are so small that a GPU waits for its launches; a graph is one launch. A step that is captured must take
all it needs from tensors that stay where they are, and may not ask the host for anything.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP_STEPS = 3
"""Steps before the capture, in which libraries choose their kernels and the optimizer makes its state."""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes a step and returns what replays it."""


class StepRunner:
    """Runs ``step`` as often as asked.

    Args:
        step: works on tensors that stay where they are.
        list_changed: returns the tensors that a step changes, those of the optimizer's state too, once they exist.
        device: where they are; on a GPU the step is captured at its first run.
        capture: how, None for eager steps; by default a CUDA graph on a GPU and eager steps elsewhere.
    """

    def __init__(
        self,
        step: Callable[[], None],
        list_changed: Callable[[], list[Tensor]],
        device: torch.device,
        capture: Capture | None = None,
    ) -> None:
        self._step, self._list_changed = step, list_changed
        self._capture = capture or (capture_cuda_graph if device.type == "cuda" else None)
        self._replay: Callable[[], None] | None = None

    def run(self, steps: int) -> None:
        """Run the step ``steps`` times, without waiting for the last to end."""
        if self._capture is not None and self._replay is None:
            self._replay = self._capture_step(self._capture)
        step = self._replay or self._step
        for _ in range(steps):
            step()

    def _capture_step(self, capture: Capture) -> Callable[[], None]:
        """Capture the step and leave every tensor as it was before."""
        before = [tensor.detach().clone() for tensor in self._list_changed()]
        replay = capture(self._step)
        after = self._list_changed()
        with torch.no_grad():
            for tensor, value in zip(after[: len(before)], before, strict=True):
                tensor.copy_(value)
            # The optimizer's state came with the first step: zeros are where Adam and momentum begin.
            for tensor in after[len(before) :]:
                tensor.zero_()
        return replay


def capture_cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Warm ``step`` up on a stream of its own, capture it, and return what replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
