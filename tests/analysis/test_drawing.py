"""Figures of a study and their files: all that there are, in every format, the same bytes for the same rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.drawing import FORMATS, figures, write_figure, write_figures
from analysis.figures.codes import codes_2d
from analysis.figures.differences import ablation_differences
from analysis.figures.errors import error_by_code_size
from analysis.figures.learning_curves import learning_curves
from analysis.figures.pictures.decoded import code_walk
from analysis.figures.pictures.filters import learned_filters
from analysis.figures.pictures.layers import layer_maps
from analysis.figures.pictures.reconstructions import reconstructions
from analysis.figures.search import hyperparameter_importance, learning_rate
from analysis.figures.style import Drawing
from analysis.results import StudyResults, load_studies, load_study
from analysis.tables.table import Absent
from tests.analysis.figures.panels import (
    MODELS,
    drawn,
    full_study,
    titled,
)
from tests.faults.launches import children
from tests.synthetic import (
    write_synthetic_study,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every figure can be drawn."""
    return full_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its rows."""
    return load_study(folder)


def test_reading_a_report_draws_nothing_and_drawing_trains_nothing() -> None:
    """Tables need no matplotlib, figures neither Ray nor torch, and what is slow to import comes when it is needed."""
    code = (
        "import sys, analysis.report; assert 'matplotlib' not in sys.modules\n"
        "import analysis.drawing\n"
        "assert not {'ray', 'torch', 'sklearn', 'optuna', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_figure_without_rows_says_why(tmp_path: Path) -> None:
    """With the command that makes them; of what no study lacks, as a factorial or model 4, nothing."""
    folder = write_synthetic_study(tmp_path, architectures=[], controls=False)
    for plot in figures(load_study(folder)):
        assert isinstance(plot, Absent), plot
        made_by = "python study/launch.py --preset quick --phase "
        nothing_lacks = ("factorial_effects", "prior_samples", "difference_from_model_4")
        assert plot.reason == "" if plot.name in nothing_lacks else made_by in plot.reason
    (tsne,) = [plot for plot in figures(load_study(folder), tsne=False) if plot.name == "codes_tsne"]
    assert isinstance(tsne, Absent)
    assert "as asked for" in tsne.reason


def test_part_of_the_phases_gives_part_of_the_figures(tmp_path: Path) -> None:
    """A search alone, and a confirmation without search, evaluations and controls."""
    search = write_synthetic_study(tmp_path / "a", architectures=["model_1", "model_4"], arms=(), controls=False)
    there = {plot.name for plot in figures(load_study(search)) if isinstance(plot, Drawing)}
    assert there == {"learning_curves", "learning_rate", "importance"}
    confirm = write_synthetic_study(
        tmp_path / "b",
        architectures=["model_1"],
        arms=("published",),
        search_trials=0,
        evaluations=False,
        controls=False,
    )
    there = {plot.name for plot in figures(load_study(confirm)) if isinstance(plot, Drawing)}
    assert there == {"error_by_code_size", "learning_curves", "error_by_cost"}


def test_two_studies_have_panels_of_their_own(folder: Path, tmp_path: Path) -> None:
    """Their names stand above the panels, and each study has pictures of its own."""
    both = load_studies([folder, full_study(tmp_path / "other", "other")])
    assert set(titled(drawn(error_by_code_size(both)).figure)) == {
        "synthetic\nTuned arm",
        "synthetic\nPublished arm",
        "other\nTuned arm",
        "other\nPublished arm",
        "",
    }
    assert len(drawn(learned_filters(both)).figure.axes) == 2 * 2 * len(MODELS)
    assert len(drawn(layer_maps(both)).figure.axes) == 2 * len(MODELS)
    for draw in (reconstructions, code_walk, codes_2d, learning_curves, ablation_differences, learning_rate):
        drawn(draw(both))
    assert len(drawn(hyperparameter_importance(both)).figure.axes) == 2


def test_figures_are_written_in_every_format(results: StudyResults, tmp_path: Path) -> None:
    """The same rows give the same bytes."""
    files = []
    for _ in range(2):
        figure = write_figure(drawn(hyperparameter_importance(results)), tmp_path)
        files.append({suffix: (tmp_path / f"importance.{suffix}").read_bytes() for suffix, *_ in FORMATS})
    assert files[0] == files[1]
    starts = {suffix: content[:5] for suffix, content in files[0].items()}
    assert starts == {"svg": b"<?xml", "pdf": b"%PDF-", "png": b"\x89PNG\r"}
    assert (figure.name, figure.svg.encode()) == ("importance", files[0]["svg"])
    assert 'width="460.8pt"' in figure.svg
    assert figure.width == round(460.8 * 96 / 72)


def test_a_figure_of_an_earlier_report_goes_with_its_rows(tmp_path: Path) -> None:
    """What has no rows any more is not shown as if it had."""
    folder = write_synthetic_study(tmp_path / "study", architectures=[], controls=False)
    stale = tmp_path / "figures" / "ablation_differences.svg"
    stale.parent.mkdir()
    stale.write_text("of an earlier report")
    assert all(isinstance(each, Absent) for each in write_figures(load_study(folder), tmp_path))
    assert not stale.exists()


# A shell's background jobs ignore Ctrl-C, and what they start inherits that; a terminal's own do not.
CODE = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from analysis.drawing import drawing_processes
with drawing_processes():
    time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_and_none_says_a_word(sent: signal.Signals) -> None:
    """Also where the signal goes to all of them, as a terminal sends Ctrl-C."""
    parent = subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (drawing := [pid for pid, command in children(parent.pid).items() if "LokyProcess" in command]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(parent.pid, sent) if sent == signal.SIGINT else parent.send_signal(sent)
    _, said = parent.communicate(timeout=30)
    assert said.count("Traceback") == (1 if sent == signal.SIGINT else 0), said
    while any(os.path.exists(f"/proc/{pid}") for pid in drawing):
        assert time.monotonic() < deadline
        time.sleep(0.1)
