"""One image's way through every layer of each model: down the encoder, through the code, up the decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analysis.figures.pictures.tiles import (
    Images,
    explain_absence,
    name_code_size,
    read_pictures,
    select_models,
    strip_axes,
)
from analysis.figures.style import LEGEND_HEIGHT, Drawing, make_grid, make_heading, use_style
from analysis.results import StudyResults
from analysis.tables.table import Absent

SHOWN_MAPS = 6
"""Of a layer, the first ones: the same number is the same map before and after pooling and unpooling."""

CELL, GAP = 56, 2
"""Place for a map, which is drawn as many times larger as fits, and between two; pixels of the picture."""

WIDTH = SHOWN_MAPS * (CELL + GAP) - GAP
MIDDLE, SPACE, LABEL = 24, 12, 152
"""Between encoder and decoder, below a strip, and for the labels on either side."""

UNIT_WIDTH, UNITS_HEIGHT = 2, 36
"""Of a unit of a fully connected layer at least, and of all its units at least, which stand in rows."""

INCHES, TITLE = 4.75 / (2 * (WIDTH + LABEL) + MIDDLE), 0.35
"""Of a pixel, and of a panel's title."""

PLACES = {"top left": "#0072B2", "top right": "#F0E442", "bottom left": "#009E73", "bottom right": "#D55E00"}
"""Colours of switches 0 to 3."""

Pixels = NDArray[np.float64]
"""A coloured picture, (height, width, 3) in [0, 1]."""

_VALUES, _INK = mpl.colormaps["viridis"].with_extremes(bad="white"), mpl.colormaps["gray_r"]
_SWITCHES = ListedColormap(list(PLACES.values()))


@use_style
def layer_maps(results: StudyResults) -> Drawing | Absent:
    """Draw a panel for each model: encoder on the left, decoder on the right, the code below them."""
    name, title = "layer_maps", "One image's way through the layers"
    models = select_models(results, "map")
    if models.empty:
        return explain_absence(results, name, title)
    columns, code_size = name_code_size(models)
    records = models.to_dict("records")
    strips = [
        make_strips(*(read_pictures(results, model["trial_id"], kind) for kind in ("map", "switch")))
        for model in records
    ]
    heights = [max(each.height for each in strips[first : first + 2]) for first in range(0, len(strips), 2)]
    inches = [height * INCHES + TITLE for height in heights]
    below = LEGEND_HEIGHT if any(each.switched for each in strips) else 0
    shares = {"height_ratios": inches}
    figure, rows = make_grid(len(inches), 2, 4.75, sum(inches) / len(inches), below=below, gridspec_kw=shares)
    panels = [axes for row in rows for axes in row]
    for axes, model, each in zip(panels, records, strips, strict=False):
        draw_layers(axes, each)
        axes.set_title(make_heading(results, {name: model[name] for name in columns}))
    for axes in panels[len(records) :]:
        axes.remove()
    if below:
        handles = [
            Line2D([], [], color=colour, marker="s", linestyle="", label=place) for place, colour in PLACES.items()
        ]
        figure.legend(handles=handles, title="Switches", loc="outside lower center", ncols=4, handletextpad=0.2)
    return Drawing(
        name,
        title,
        f"Outputs of every layer for the first test image, by one confirmed run per model ({code_size}, first "
        "seed): down the encoder on the left, through the code, up the decoder on the right. Of a layer the first "
        f"{SHOWN_MAPS} maps, of a fully connected one all units, coloured from its smallest value (dark) to its "
        "largest (bright), which stand beside it; image and reconstruction ink dark. Switches say where in its 2x2 "
        "window each maximum was: unpooling puts values back there, and so draws the image again, whatever the code "
        "says. Maps of one colour, and layers that know only the ends of their range, tell little of the image.",
        figure,
    )


@dataclass(frozen=True, slots=True)
class Strips:
    """The layers of a model as coloured strips, each with its label.

    Attributes:
        encoder: from the image to the layer before the code, switches after the pooling that they are of.
        decoder: from the reconstruction to the layer after the code.
        code: the code.
    """

    encoder: list[tuple[str, Pixels]]
    decoder: list[tuple[str, Pixels]]
    code: tuple[str, Pixels]

    @property
    def switched(self) -> bool:
        """Whether there are switches among them."""
        return any(label == "switches" for label, _ in self.encoder)

    @property
    def height(self) -> int:
        """Of the longer half and the code, in pixels."""
        return max(map(_measure_height, (self.encoder, self.decoder))) + len(self.code[1])


def make_strips(maps: Mapping[str, Images], switches: Mapping[str, Images]) -> Strips:
    """Return the strips of outputs and switches by layer, from the image on, each (maps, height, width)."""
    encoder: list[tuple[str, Pixels]] = []
    decoder: list[tuple[str, Pixels]] = []
    layers = list(maps)
    for place, (layer, values) in enumerate(maps.items()):
        half = encoder if place < layers.index("code") else decoder
        half.append((_describe(layer, values), _paint_layer(layer, values)))
        if layer in switches:
            half.append(("switches", _paint_maps(switches[layer], _SWITCHES, 0, 3)))
    (code, *decoder) = decoder
    return Strips(encoder, decoder[::-1], code)


def draw_layers(axes: Axes, strips: Strips) -> Axes:
    """Draw the encoder on the left, the decoder on the right, either down to the code, and return ``axes``."""
    label, code = strips.code
    across = 2 * WIDTH + MIDDLE
    picture = np.ones((strips.height, across, 3))
    left = (across - code.shape[1]) // 2
    picture[-len(code) :, left : left + code.shape[1]] = code
    texts = [(left - 8, len(picture) - len(code) / 2, label, "right")]
    for half, left, x, side in ((strips.encoder, 0, -8, "right"), (strips.decoder, WIDTH + MIDDLE, across + 8, "left")):
        top = len(picture) - len(code) - _measure_height(half)
        for label, strip in half:
            picture[top : top + len(strip), left : left + strip.shape[1]] = strip
            texts.append((x, top + len(strip) / 2, label, side))
            top += len(strip) + SPACE
    for x, y, label, side in texts:
        axes.text(x, y, label, ha=side, va="center", fontsize=7, linespacing=1).set_in_layout(False)
    axes.imshow(picture, interpolation="none")
    axes.set_xlim(-LABEL, across + LABEL)
    axes.set_anchor("N")
    strip_axes(axes)
    return axes


def _measure_height(half: Sequence[tuple[str, Pixels]]) -> int:
    return sum(len(strip) + SPACE for _, strip in half)


def _describe(layer: str, values: Images) -> str:
    low, high = (f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}" for value in (values.min(), values.max()))
    return f"{layer}\n{low} to {high}"


def _paint_layer(layer: str, values: Images) -> Pixels:
    """Return the outputs of a layer as one strip: an image, stripes of units, or its first maps."""
    if layer in ("image", "output"):
        return _paint(_enlarge(values[0], 2 * CELL), _INK, 0, 1)
    low, high = float(values.min()), float(values.max())
    if values.shape[1] > 1:
        return _paint_maps(values, _VALUES, low, high)
    rows = -(-values.size * UNIT_WIDTH // WIDTH)
    units = np.concatenate([values.ravel(), np.full(-values.size % rows, np.nan)]).reshape(rows, -1)
    times = WIDTH // units.shape[1]
    return _paint(units.repeat(max(UNITS_HEIGHT // rows, 12), 0).repeat(times, 1), _VALUES, low, high)


def _paint_maps(maps: Images, colours: Colormap, low: float, high: float) -> Pixels:
    strip = np.ones((CELL, WIDTH, 3))
    for place, each in enumerate(maps[:SHOWN_MAPS]):
        picture = _paint(_enlarge(each, CELL), colours, low, high)
        top, left = (CELL - len(picture)) // 2, place * (CELL + GAP) + (CELL - picture.shape[1]) // 2
        strip[top : top + len(picture), left : left + picture.shape[1]] = picture
    return strip


def _enlarge(picture: Images, place: int) -> Images:
    """Return ``picture`` as many times larger as fits; where it is larger than ``place``, what fits of it."""
    times = max(1, place // max(picture.shape))
    return picture.repeat(times, 0).repeat(times, 1)[:place, :place]


def _paint(values: Images, colours: Colormap, low: float, high: float) -> Pixels:
    shares = (values - low) / max(high - low, 1e-30)
    painted: Pixels = colours(np.ma.masked_invalid(shares))[..., :3]
    return painted
