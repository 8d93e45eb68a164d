"""The figures of a study, in the order of the report, and their files.

::

    from analysis.drawing import write_figures
    from analysis.results import load_study
    write_figures(load_study("results/sample-mnist"), "figures")

A figure without rows is absent and says why, as a table does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import loky
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG

from analysis.figures.codes import codes_2d, codes_tsne
from analysis.figures.differences import ablation_differences, model_differences
from analysis.figures.errors import error_by_code_size, error_by_cost
from analysis.figures.factorial import factorial_effects
from analysis.figures.learning_curves import learning_curves
from analysis.figures.pictures.decoded import code_walk, prior_samples
from analysis.figures.pictures.filters import learned_filters
from analysis.figures.pictures.layers import layer_maps
from analysis.figures.pictures.reconstructions import reconstructions
from analysis.figures.search import hyperparameter_importance, learning_rate
from analysis.figures.style import Drawing, use_style
from analysis.results import StudyResults
from analysis.tables.table import Absent

FORMATS: tuple[tuple[str, type[FigureCanvasBase], int, dict[str, Any]], ...] = (
    # A date in a file would make every report differ from the one before.
    ("svg", FigureCanvasSVG, 144, {"metadata": {"Date": None}}),
    ("pdf", FigureCanvasPdf, 144, {"metadata": {"CreationDate": None}}),
    # Packed half as hard: a fifth faster for files a tenth larger.
    ("png", FigureCanvasAgg, 200, {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}}),
)
"""Suffix, what draws it, dots per inch (in vector files: of the points that are pixels there), options."""
MOST_PROCESSES = 4
"""There are fifteen figures, and each process takes a second to start."""

CACHE = "tsne.parquet"
"""File in the report's folder that keeps the points of t-SNE."""


@dataclass(frozen=True, slots=True)
class Illustration:
    """A figure that was written.

    Attributes:
        name: of its files, without the suffix.
        title: a few words.
        caption: what is shown.
        svg: its drawing.
        width: in CSS pixels at natural size.
        height: likewise.
    """

    name: str
    title: str
    caption: str
    svg: str
    width: int
    height: int


def figures(results: StudyResults, cache: Path | None = None, *, tsne: bool = True) -> Iterator[Drawing | Absent]:
    """Yield every figure, one at a time so that no more than one is in memory.

    Args:
        results: of which studies.
        cache: file that keeps the points of t-SNE, which take seconds a trial.
        tsne: whether t-SNE is drawn.
    """
    yield model_differences(results)
    yield error_by_code_size(results)
    yield reconstructions(results)
    yield codes_2d(results)
    yield codes_tsne(results, cache) if tsne else Absent("codes_tsne", "t-SNE of larger codes", "left out as asked for")
    yield learning_curves(results)
    yield error_by_cost(results)
    yield factorial_effects(results)
    yield ablation_differences(results)
    yield learning_rate(results)
    yield hyperparameter_importance(results)
    yield code_walk(results)
    yield prior_samples(results)
    yield learned_filters(results)
    yield layer_maps(results)


def write_figures(results: StudyResults, folder: str | Path, *, tsne: bool = True) -> list[Illustration | Absent]:
    """Write every figure as SVG, PDF and PNG to ``folder/figures``; those of an earlier report that have no rows go.

    Args:
        results: of which studies.
        folder: of the report; made where it is missing.
        tsne: whether t-SNE is drawn; its points are kept in ``folder``.

    Raises:
        OSError: the folder cannot be written.
    """
    target = Path(folder) / "figures"
    target.mkdir(parents=True, exist_ok=True)
    target = target.absolute()  # processes that draw may have begun elsewhere
    # Files take far longer to draw than figures to be made: every core draws, while this one makes the next.
    with drawing_processes() as executor:
        drawings = figures(results, Path(folder) / CACHE, tsne=tsne)
        return [drawn.result() for drawn in [executor.submit(_write, drawing, target) for drawing in drawings]]


def _write(drawing: Drawing | Absent, folder: Path) -> Illustration | Absent:
    if isinstance(drawing, Drawing):
        return write_figure(drawing, folder)
    for suffix, *_ in FORMATS:
        (folder / f"{drawing.name}.{suffix}").unlink(missing_ok=True)
    return drawing


@use_style
def write_figure(drawing: Drawing, folder: Path) -> Illustration:
    """Write ``drawing`` in every format to ``folder``."""
    figure = drawing.figure
    # The layout is worked out once, and canvases are used directly: savefig would do it again, and draw twice.
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
    figure.set_layout_engine("none")
    for suffix, canvas, dpi, options in FORMATS:
        figure.dpi = dpi
        draw = getattr(canvas(figure), f"print_{suffix}")
        draw(folder / f"{drawing.name}.{suffix}", **options)
    svg = (folder / f"{drawing.name}.svg").read_text(encoding="utf-8")
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Illustration(drawing.name, drawing.title, drawing.caption, svg, width, height)


@contextmanager
def drawing_processes() -> Iterator[Any]:
    """Give loky's executor, whose processes start at once; they end with the block, whatever they are doing then.

    Who draws soon enters it before what comes first; inside another block it gives the same processes.
    """
    executor = loky.get_reusable_executor(
        max_workers=min(loky.cpu_count(), MOST_PROCESSES),
        timeout=None,
        initializer=_prepare,
        initargs=(os.getpid(),),
    )
    try:
        # Ctrl-C reaches every process of a terminal. They inherit that it is not for them: their parent ends them.
        resource_tracker.ensure_running()  # which lets the signal through again when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            executor.submit(int)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield executor
    finally:
        executor.shutdown(kill_workers=True)


def _prepare(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: one that was killed had no time to do so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
