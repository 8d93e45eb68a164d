"""How each model is drawn: one colour, marker and line style everywhere, in the order of tables.

Colours are those of Okabe and Ito, told apart by colour-blind readers but for the yellow, which is too pale on white;
markers and line styles tell the same apart in greyscale. Controls are grey or black and have no filled marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from analysis.stats.aggregate import label_of
from trainables.models.architectures import ARCHITECTURES, CONTROLS, ConvolutionalAutoencoder


@dataclass(frozen=True, slots=True)
class ModelStyle:
    """Colour, marker and line style of one model; ``filled`` is whether its marker is."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]
    filled: bool = True

    def line_style(self) -> dict[str, Any]:
        """Return keywords of a line with markers."""
        face = self.colour if self.filled else "white"
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.line,
            "markerfacecolor": face,
            "markeredgecolor": self.colour,
        }


_LOOKS: Mapping[str, ModelStyle] = MappingProxyType(
    {
        "model_1": ModelStyle("#0072B2", "o", "-"),
        "model_2": ModelStyle("#E69F00", "s", "--"),
        "model_3": ModelStyle("#009E73", "^", "-."),
        "model_4": ModelStyle("#D55E00", "D", "-"),
        "model_5": ModelStyle("#CC79A7", "v", (0, (5, 1, 1, 1, 1, 1))),
        "unpool_only": ModelStyle("#56B4E9", "P", (0, (3, 1))),
        "classic_autoencoder": ModelStyle("#000000", "o", (0, (6, 3)), filled=False),
        "pca": ModelStyle("#666666", "s", ":", filled=False),
        "raw_pixels": ModelStyle("#999999", "D", (0, (1, 3)), filled=False),
    }
)
_SPARE = (
    ModelStyle("#332288", "X", "-"),
    ModelStyle("#999933", "<", "--"),
    ModelStyle("#882255", ">", "-."),
    ModelStyle("#44AA99", "p", (0, (3, 1))),
    ModelStyle("#6699CC", "h", "-"),
)
"""For models that a user added. Source: Tol's muted scheme."""

CLASS_COLOURS = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
    "#777777",
)
"""Colours of the ten classes. Source: Tol's muted scheme, its pale grey darkened."""


def choose_styles(architectures: Iterable[str]) -> dict[str, ModelStyle]:
    """Return the look of each of ``architectures``, in the order given; unknown ones share the spare looks in turn."""
    names = list(dict.fromkeys(map(str, architectures)))
    unknown = sorted(name for name in names if name not in _LOOKS)
    spare = {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(unknown)}
    return {name: _LOOKS.get(name) or spare[name] for name in names}


def shown_label(architecture: str) -> str:
    """Return the name of a model as matplotlib shows it unchanged.

    A dollar sign would begin mathematics, and a leading underscore would keep the name out of the legend.
    """
    label = label_of(architecture).replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def is_control(architecture: str) -> bool:
    """Whether the model is drawn as a line to compare with: it is outside the parameter budget, or trains nothing."""
    record = ARCHITECTURES.get(architecture)
    return architecture in CONTROLS or (record is not None and not isinstance(record, ConvolutionalAutoencoder))
