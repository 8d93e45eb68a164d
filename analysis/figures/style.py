"""What all figures share: how each model is drawn, grids of panels, legends, axes that keep to the code sizes.

A model has one colour, marker and line style everywhere, in the order of tables. Colours are those of Okabe and Ito,
told apart by colour-blind readers but for the yellow, which is too pale on white; markers and line styles tell the same
apart in greyscale. Controls are grey or black and have no filled marker.
"""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis.results import StudyResults, list_objectives, split_model
from trainables.training.objectives import RECONSTRUCTION

STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "font.size": 9.0,
        "axes.titlesize": 9.0,
        "axes.labelsize": 9.0,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titley": 1.0,  # where it stands anyway; finding that out takes an eighth of the time of drawing
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.4,
        "lines.markersize": 5.0,
        "svg.hashsalt": "cae-study",  # the same rows give the same file
        "pdf.fonttype": 42,
    }
)

LEGEND_HEIGHT = 0.6
"""Inches below the panels."""

SHOWN_CODE_SIZES = 4
"""Code sizes that figures with a row of panels for each show, where there are more."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn figure.

    Attributes:
        name: of its files, and to refer to it.
        title: a few words.
        caption: what is shown, with the sense of lines and intervals, and what was left out.
        figure: what was drawn.
    """

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class ModelStyle:
    """Colour, marker and line style of one model.

    Attributes:
        colour: of line and marker.
        marker: as matplotlib calls it.
        line: likewise.
        filled: whether the marker is.
        label: what the model is called.
        control: whether it is drawn as a line to compare with: it is outside the parameter budget, or trains nothing.
    """

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]
    filled: bool = True
    label: str = ""
    control: bool = False

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


_STYLES = {
    "model_1": ModelStyle("#0072B2", "o", "-"),
    "model_2": ModelStyle("#E69F00", "s", "--"),
    "model_3": ModelStyle("#009E73", "^", "-."),
    "model_4": ModelStyle("#D55E00", "D", "-"),
    "model_5": ModelStyle("#CC79A7", "v", (0, (5, 1, 1, 1, 1, 1))),
    "unpool_only": ModelStyle("#56B4E9", "P", (0, (3, 1))),
    "classic_autoencoder": ModelStyle("#000000", "o", (0, (6, 3)), filled=False),
    "all_convolutional": ModelStyle("#117733", "d", (0, (1, 1))),
    "pca": ModelStyle("#666666", "s", ":", filled=False),
    "umap": ModelStyle("#7f7f7f", "v", ":", filled=False),
    "raw_pixels": ModelStyle("#999999", "D", (0, (1, 3)), filled=False),
    "siamese": ModelStyle("#AA4466", "^", ":", filled=False),
    "linear_autoencoder": ModelStyle("#4d4d4d", "P", (0, (1, 1)), filled=False),
}
_SPARE_COLOURS = ("#332288", "#999933", "#882255", "#44AA99", "#6699CC")
_SPARE_MARKERS = ("X", "<", ">", "p", "h", "*")
_SPARE_LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", "--", "-.", (0, (3, 1)))
_SPARE = tuple(
    ModelStyle(_SPARE_COLOURS[place % 5], _SPARE_MARKERS[place % 6], _SPARE_LINES[place % 4]) for place in range(60)
)
"""For models that a user added. Of thirty no two have both colour and marker in common, of sixty none looks like
another, since the three come again after different numbers of models. Source: Tol's muted scheme."""

_OBJECTIVE_STYLES = {
    RECONSTRUCTION: ModelStyle("#222222", "o", "-"),
    "denoising": ModelStyle("#4477AA", "s", "--"),
    "variational": ModelStyle("#882255", "^", "-."),
    "importance_weighted": ModelStyle("#CC6699", "v", (0, (5, 1, 1, 1))),
    "k_sparse": ModelStyle("#117733", "D", (0, (3, 1))),
    "dropout": ModelStyle("#999933", "P", "--"),
    "contractive": ModelStyle("#8844BB", "X", "-."),
    "what_where": ModelStyle("#332288", "<", (0, (5, 1, 1, 1))),
    "moment_matching": ModelStyle("#33AACC", ">", (0, (3, 1))),
}
"""Plain reconstruction is dark, since the others are compared with it; none has the colour of a model. Source: most of
Tol's schemes, the rest [ours]."""

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
"""Colours of the first ten classes. Source: Tol's muted scheme, its pale grey darkened."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Steps of this share of a range never meet, and each falls into one of the widest gaps that earlier ones left."""


def choose_styles(results: StudyResults, frame: pd.DataFrame) -> dict[str, ModelStyle]:
    """Return the style of each model of ``frame``, in the order of tables; added ones have the spare styles.

    Which one depends on all models of the report, so that a model looks the same in every figure; those that no row
    describes come last.
    """
    names = [str(name) for name in frame["architecture"].drop_duplicates().sort_values()]
    controls = list_controls(results)
    parts = {name: split_model(results.models, name) for name in names}
    added = {split_model(results.models, name)[0] for name in (*results.models, *names)} - {*_STYLES}
    added_in_order = sorted(added, key=lambda model: (model not in results.models, model))
    styles = _STYLES | {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(added_in_order)}
    # By another objective a model keeps its marker and line, and has the objective's colour, where a study tells of it.
    colours = {name: style.colour for name, style in choose_objective_styles(results).items() if name != RECONSTRUCTION}
    return {
        name: dataclasses.replace(
            styles[model],
            colour=colours.get(objective, styles[model].colour),
            label=format_label(results, name),
            control=name in controls,
        )
        for name, (model, objective) in parts.items()
    }


def choose_objective_styles(results: StudyResults) -> dict[str, ModelStyle]:
    """Return the style of each objective in panels of one model, in the order of tables; added ones have the spare."""
    known = list_objectives(results)
    added = [name for name in known if name not in _OBJECTIVE_STYLES]
    styles = _OBJECTIVE_STYLES | {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(added)}
    return {name: dataclasses.replace(styles[name], label=escape_label(each.label)) for name, each in known.items()}


def colour_class(label: int) -> str:
    """Return the colour of a class; beyond the first ten they differ, but less and less. No class, -1, is grey."""
    if label < len(CLASS_COLOURS):
        return CLASS_COLOURS[label]
    return mpl.colors.to_hex(mpl.colormaps["turbo"](label * _GOLDEN_RATIO % 1))


def list_controls(results: StudyResults) -> list[str]:
    """Return the models that are drawn as lines to compare with."""
    return [name for name, row in results.models.items() if not row.ranked]


def format_label(results: StudyResults, architecture: str) -> str:
    """Return the name of a model as matplotlib shows it unchanged.

    A dollar sign would begin mathematics, and a leading underscore would keep the name out of the legend.
    """
    return escape_label(results.get_label(architecture))


def escape_label(label: str) -> str:
    """Return ``label`` so that matplotlib shows it unchanged: see `format_label`."""
    label = label.replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


use_style = mpl.rc_context(dict(STYLE))
"""Decorator that gives what a function draws the style of all figures, and leaves matplotlib's settings alone."""


def make_grid(
    rows: int, columns: int, width: float, height: float, *, below: float = LEGEND_HEIGHT, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of ``rows`` x ``columns`` panels, each ``width`` x ``height`` inches, and the panels by row.

    Args:
        rows: of panels.
        columns: of panels.
        width: of a panel with its labels.
        height: likewise.
        below: what a legend takes.
        shared: ``sharex`` and ``sharey``, as `Figure.subplots` takes them.
    """
    figure = Figure(figsize=(columns * width, rows * height + below), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, [list(row) for row in panels]


def make_panels(count: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``count`` panels that wrap after ``columns``, and the panels in order."""
    figure, (panels,) = make_blocks([count], columns, width, height, **shared)
    return figure, panels


def make_blocks(
    counts: Sequence[int], columns: int, width: float, height: float, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of blocks of ``counts`` panels, each of which begins a row and wraps, and the panels by block."""
    columns = min(columns, max(counts))
    heights = [-(-count // columns) for count in counts]
    figure, rows = make_grid(sum(heights), columns, width, height, **shared)
    blocks, rest = [], iter(rows)
    for count, own in zip(counts, heights, strict=True):
        panels = [panel for row in itertools.islice(rest, own) for panel in row]
        for panel in panels[count:]:
            panel.remove()
        blocks.append(panels[:count])
    return figure, blocks


def draw_legend(figure: Figure, styles: Iterable[ModelStyle], others: Iterable[Line2D] = ()) -> None:
    """Put the legend of models, and of ``others``, below the panels, where it covers no data."""
    handles = [Line2D([], [], label=style.label, **style.line_style()) for style in styles]
    handles += others
    width = figure.get_figwidth()
    labels = [str(handle.get_label()) for handle in handles]
    columns = fit_columns(labels, width, 0.64, most=max(2, int(width / 1.55)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2, columnspacing=1.4)


def fit_columns(labels: Sequence[str], width: float, beside: float, most: int) -> int:
    """Return in how many columns, ``most`` of them at most, a legend of ``labels`` is about ``width`` inches wide.

    ``beside`` are the inches that an entry takes beside its label.
    """
    lengths = np.array([len(label) for label in labels])
    columns = min(len(labels), most)
    # It is filled column by column.
    while columns > 1 and sum(beside + 0.066 * part.max() for part in np.array_split(lengths, columns)) > width:
        columns -= 1
    return columns


def wrap_title(text: str, inches: float) -> str:
    """Return ``text`` in lines that fit above a panel of so many ``inches``."""
    return "\n".join(textwrap.fill(line, int(inches / 0.072)) for line in text.splitlines())


def make_heading(results: StudyResults, key: Mapping[str, Hashable]) -> str:
    """Return the title of the panel of ``key``, such as ``Tuned arm, code size 10``, below its study if need be."""
    parts = []
    if "architecture" in key:
        parts.append(format_label(results, str(key["architecture"])).strip())
    if "arm" in key and key["arm"] != "control":
        parts.append(f"{key['arm']} arm")
    if "code_size" in key:
        parts.append(f"code size {key['code_size']}")
    text = ", ".join(parts)
    text = text[:1].upper() + text[1:]
    if len(results.studies) == 1:
        return text
    return "\n".join(filter(None, (str(key["study"]).replace("$", r"\$"), text)))


def list_keys(frame: pd.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    """Return the distinct values of columns ``by``, in the order of tables."""
    distinct = frame[list(by)].drop_duplicates().sort_values(list(by))
    return [{str(name): value for name, value in row.items()} for row in distinct.to_dict("records")]


def select_rows(frame: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of ``frame`` that have the values of ``key``."""
    chosen = np.ones(len(frame), dtype=bool)
    for name, value in key.items():
        chosen &= (frame[name] == value).to_numpy()
    return frame[chosen]


def scale_code_sizes(axes: Axes, code_sizes: Sequence[int]) -> None:
    """Make x a logarithmic axis whose ticks are the code sizes."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(code_sizes), [f"{size:g}" for size in code_sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Code size (units)")


def format_log_axis(axis: Axis, sparse_from: float = 30) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, 2s and 5s too where there is room.

    Without them an axis from 12 to 40 would have no number at all.

    Args:
        axis: x or y of a panel.
        sparse_from: ratio of the axis's ends from which there is no room for the 2s and 5s.
    """

    def minor(value: float, _: int) -> str:
        low, high = sorted(axis.get_view_interval())
        return f"{value:g}" if high < sparse_from * low else ""

    axis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(minor))


def spread_code_sizes(code_sizes: Iterable[int], shown: int = SHOWN_CODE_SIZES) -> tuple[list[int], str]:
    """Return the code sizes, or ``shown`` of them from the smallest to the largest where there are more.

    With them what a caption says at its end of those that are left out: nothing where none is.
    """
    sizes = sorted({int(size) for size in code_sizes})
    if len(sizes) <= shown:
        return sizes, ""
    spread = [sizes[place] for place in np.linspace(0, len(sizes) - 1, shown).round().astype(int)]
    return spread, " Some code sizes are left out."


def dodge(count: int, span: float) -> list[float]:
    """Return ``count`` offsets around 0, ``span`` from first to last, so that intervals do not hide each other."""
    return [0.0] if count == 1 else np.linspace(-span / 2, span / 2, count).tolist()
