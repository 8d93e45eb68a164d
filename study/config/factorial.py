"""The matched factorial: model 4's own shape with every pooling and unpooling, as rows of the table of models.

Models 1 to 5 differ in several things at once; these differ in two, each crossed with the other. Switches go with
maxima alone, so they are a cell beside the nine.
"""

from __future__ import annotations

import dataclasses
import itertools

from trainables.models.architectures import BUILT_IN, Architecture, Pooling, Unpooling, with_variant

POOLINGS: tuple[Pooling, ...] = ("max", "average", "stride")
UNPOOLINGS: tuple[Unpooling, ...] = ("corner", "tile", "average")


def make_factorial() -> tuple[Architecture, ...]:
    """Return the nine combinations and the tenth, with switches; each is called POOLING_UNPOOLING."""
    combinations: list[tuple[Pooling, Unpooling]] = [*itertools.product(POOLINGS, UNPOOLINGS), ("max", "switches")]
    return tuple(
        dataclasses.replace(
            with_variant(BUILT_IN["model_4"], pooling=pooling, unpooling=unpooling),
            name=f"{pooling}_{unpooling}",
            label=f"{pooling.capitalize()}, {unpooling}",
            notation=f"(conv, pool ({pooling}) <-> unpool ({unpooling}), deconv)",
            source="[ours]: model 4 with another pooling or unpooling",
        )
        for pooling, unpooling in combinations
    )
