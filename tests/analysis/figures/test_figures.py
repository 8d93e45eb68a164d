"""Figures show the numbers of the rows, say what is missing, and can be read by everyone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.drawing import FORMATS, figures, write_figure, write_figures
from analysis.figures.ablations import ablation_differences
from analysis.figures.codes import codes_2d, codes_tsne, select_trials_with_codes
from analysis.figures.errors import K_MEANS_ACCURACY, LINEAR_ERROR, SQUARED_ERROR, error_by_code_size, error_by_cost
from analysis.figures.images import learned_filters, reconstructions
from analysis.figures.learning_curves import SHOWN_EPOCHS, draw_learning_curves, learning_curves
from analysis.figures.plots import Plot
from analysis.figures.search import SHOWN_TRIALS, draw_learning_rate, hyperparameter_importance, learning_rate
from analysis.figures.style import choose_styles
from analysis.results import StudyResults, load_studies, load_study
from analysis.stats import tsne as embedding
from analysis.stats.importance import compute_importances, rank_in_cell
from analysis.tables.table import Absent
from study.storage.schema import table_of
from tests.synthetic import (
    MEAN_IMAGE_CROSS_ENTROPY,
    RECONSTRUCTED_IMAGES,
    level_effect,
    true_score,
    write_synthetic_study,
)
from trainables.models.architectures import ARCHITECTURES, CONTROLS

ROOT = Path(__file__).resolve().parents[3]
MODELS = ("model_1", "model_3", "model_4", "classic_autoencoder")
CONVOLUTIONAL = MODELS[:3]
SIZES = (2, 10)
SEEDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every figure can be drawn."""
    return full_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its rows."""
    return load_study(folder)


@pytest.fixture(autouse=True)
def unchanged_style() -> Iterator[None]:
    """Drawing leaves matplotlib's settings as they were."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before


def full_study(folder: Path, name: str = "synthetic") -> Path:
    """Write a study with codes, originals and weights to ``folder`` and return it."""
    write_synthetic_study(
        folder, name=name, architectures=MODELS, code_sizes=SIZES, seeds=SEEDS, ablations=True, codes=True, mishaps={}
    )
    originals = [
        {"trial_id": "confirm-raw_pixels-784-control-1", "image": image, "label": image % 10}
        | {"code": [0.0] * 784, "reconstruction": [image / 10] * 784}
        for image in range(RECONSTRUCTED_IMAGES)
    ]
    pq.write_table(table_of("codes", originals), folder / "codes" / "originals.parquet")
    (folder / "weights").mkdir()
    for model in CONVOLUTIONAL:
        for size in SIZES:
            weights = {"conv1.weight": filters_of(model)}
            safetensors.numpy.save_file(weights, folder / "weights" / f"confirm-{model}-{size}-tuned-1.safetensors")
    return folder


def filters_of(model: str) -> np.ndarray:
    """Return five filters of which the last has the largest norm."""
    side = 9 if model == "model_1" else 5
    return np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((5, 1, side, side), dtype=np.float32)


def drawn(plot: Plot | Absent) -> Plot:
    """Return the figure, which must be there."""
    assert isinstance(plot, Plot), plot
    return plot


def titled(figure: Figure) -> dict[str, Axes]:
    """Return the panels by their title."""
    return {axes.get_title() or axes.get_title(loc="left"): axes for axes in figure.axes}


def series(axes: Axes, colour: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and half width of the intervals of the one series in ``colour``."""
    (found,) = [
        container
        for container in axes.containers
        if isinstance(container, ErrorbarContainer) and container.lines[0].get_color() == colour
    ]
    x, y = found.lines[0].get_data()
    segments = found.lines[2][-1].get_segments()
    return (
        np.asarray(x, dtype=float),
        np.asarray(y, dtype=float),
        np.asarray([(top - bottom) / 2 for (_, bottom), (_, top) in segments]),
    )


def mean_and_half_width(values: list[float]) -> tuple[float, float]:
    """Return the mean and half of the 95 % t interval, as scipy gives it."""
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    return float(np.mean(values)), (high - low) / 2


def test_reading_a_report_draws_nothing_and_drawing_trains_nothing() -> None:
    """Tables need no matplotlib, figures neither Ray nor torch, and what is slow to import comes when it is needed."""
    code = (
        "import sys, analysis.report; assert 'matplotlib' not in sys.modules\n"
        "import analysis.drawing\n"
        "assert not {'ray', 'torch', 'sklearn', 'optuna', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_two_models_look_the_same_in_colour_or_in_grey() -> None:
    """Marker, filling and line tell models apart without colour, and each has a colour of its own."""
    known = [*ARCHITECTURES, *CONTROLS]
    assert set(choose_styles(known)) == set(known)
    styles = choose_styles([*known, "own_b", "own_a"])
    assert len({look.colour for look in styles.values()}) == len(styles)
    assert len({(look.marker, look.filled) for look in styles.values()}) == len(styles)
    assert choose_styles(["own_a", "own_b"]) == {name: styles[name] for name in ("own_a", "own_b")}


def test_every_axis_has_a_unit(results: StudyResults, tmp_path: Path) -> None:
    """A label with a unit in parentheses, but for pictures and for axes of names."""
    for plot in figures(results, tmp_path / "points.parquet"):
        figure = drawn(plot).figure
        assert plot.title and plot.caption.endswith(".")  # type: ignore[union-attr]
        pictures = plot.name in ("reconstructions", "learned_filters")
        labels = [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
        for label in filter(None, labels):
            assert "(" in label or label == "Hyperparameter", (plot.name, label)
        assert pictures or any(axes.get_xlabel() for axes in figure.axes), plot.name
        assert pictures or any(axes.get_ylabel() for axes in figure.axes) or plot.name == "ablation_differences"


def test_error_by_code_size_shows_means_and_intervals(results: StudyResults) -> None:
    """One panel a measure and arm; each series is the mean over seeds with its t interval."""
    figure = drawn(error_by_code_size(results)).figure
    assert [axes.get_title() for axes in figure.axes] == ["Tuned arm", "Published arm", "", "", "", ""]
    measures = [("reconstruction", "squared_error"), ("linear_classifier", "error"), ("k_means", "accuracy")]
    for row, (evaluator, metric) in enumerate(measures):
        for column, arm in enumerate(("tuned", "published")):
            axes = figure.axes[2 * row + column]
            for model, look in choose_styles(CONVOLUTIONAL).items():
                x, y, half_widths = series(axes, look.colour)
                expected = [
                    mean_and_half_width(
                        [true_score(evaluator, metric, model, size, arm, seed) for seed in range(1, SEEDS + 1)]
                    )
                    for size in SIZES
                ]
                np.testing.assert_allclose(y, [mean for mean, _ in expected])
                np.testing.assert_allclose(half_widths, [width for _, width in expected])
                np.testing.assert_allclose(x, SIZES, rtol=0.35)  # moved aside a little
            classic = series(axes, choose_styles(["classic_autoencoder"])["classic_autoencoder"].colour)
            own = [
                np.mean(
                    [true_score(evaluator, metric, "classic_autoencoder", size, "tuned", seed) for seed in (1, 2, 3)]
                )
                for size in SIZES
            ]
            np.testing.assert_allclose(classic[1], own)
            pca = series(axes, choose_styles(["pca"])["pca"].colour)
            np.testing.assert_allclose(pca[0], SIZES)
            np.testing.assert_allclose(
                pca[1], [true_score(evaluator, metric, "pca", size, "control", 1) for size in SIZES]
            )


def test_with_one_code_size_models_stand_side_by_side(tmp_path: Path) -> None:
    """And controls are lines across the panel."""
    folder = write_synthetic_study(tmp_path, architectures=MODELS, code_sizes=(10,), search_trials=1, mishaps={})
    axes = drawn(error_by_code_size(load_study(folder))).figure.axes[0]
    assert [series(axes, look.colour)[0].item() for look in choose_styles(CONVOLUTIONAL).values()] == [0, 1, 2]
    levels = {line.get_color(): line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1}  # type: ignore[index, arg-type]
    assert levels[choose_styles(["pca"])["pca"].colour] == pytest.approx(26.71)


def test_no_interval_pushes_the_means_out_of_sight() -> None:
    """Three seeds may have an interval a hundred times as long as what is compared, or beyond what can be."""
    assert LINEAR_ERROR.limits((1e-6, 500.0), pd.Series([5.0, 60.0])) == (2.0, 105.0)
    assert SQUARED_ERROR.limits((3.0, 20.0), pd.Series([5.0, 10.0])) == (3.0, 20.0)
    low, high = K_MEANS_ACCURACY.limits((-0.3, 1.4), pd.Series([0.5, 0.9]))
    assert -0.05 < low < 0 < 1 < high < 1.05
    perfect = LINEAR_ERROR.fitting(pd.Series([0.0, 5.0]))
    assert not perfect.logarithmic
    assert perfect.limits((-9.0, 9.0), pd.Series([0.0, 5.0])) == pytest.approx((-0.1, 9.0))


def test_first_epochs_far_above_the_mean_image_are_cut_and_ends_are_not(results: StudyResults) -> None:
    """The range of what is compared decides the axis."""
    first = results.epochs["epoch"] == 1
    worse = results.epochs.assign(train_cross_entropy=results.epochs["train_cross_entropy"].mask(first, 1e6))
    for axes in drawn(learning_curves(dataclasses.replace(results, epochs=worse))).figure.axes:
        assert 150 < axes.get_ylim()[1] < 300  # the mean image's is 206
    flat = dataclasses.replace(results, epochs=worse.assign(train_cross_entropy=900.0))
    assert drawn(learning_curves(flat)).figure.axes[0].get_ylim()[1] > 900


def test_learning_curves_are_means_over_seeds(results: StudyResults) -> None:
    """Confirmed runs by arm, and the best search trial on the validation images."""
    figure = drawn(learning_curves(results)).figure
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "Tuned arm, training",
        "Published arm, training",
        "Best of search, validation",
    ]
    axes = figure.axes[3]  # code size 10, tuned
    line = next(line for line in axes.lines if line.get_color() == choose_styles(["model_4"])["model_4"].colour)
    finals = [true_score("reconstruction", "cross_entropy", "model_4", 10, "tuned", seed) for seed in (1, 2, 3)]
    share = (4 - np.arange(1, 5)) / 4
    expected = np.mean(finals) + (MEAN_IMAGE_CROSS_ENTROPY - np.mean(finals)) * share
    np.testing.assert_allclose(line.get_ydata(), expected)  # type: ignore[arg-type]
    assert len(axes.lines) == len(MODELS) + 1  # and the mean image
    validation = figure.axes[5]
    lines = [line for line in validation.lines if line.get_color() == choose_styles(["model_4"])["model_4"].colour]
    train, validated = (np.asarray(line.get_ydata()) for line in lines)
    np.testing.assert_allclose(validated, train + 1)


def test_long_curves_are_thinned_and_keep_their_last_epoch() -> None:
    """The eye sees no more points than that, and the file stays small."""
    epochs = np.arange(1, 5_001)
    frame = pd.DataFrame({"architecture": "model_1", "epoch": epochs, "mean": 1.0, "minimum": 1.0, "maximum": 1.0})
    axes = draw_learning_curves(Figure().subplots(), frame.assign(validation=np.nan), choose_styles(["model_1"]))
    shown = np.asarray(axes.lines[0].get_xdata())
    assert (len(shown), shown[0], shown[-1]) == (SHOWN_EPOCHS, 1, 5_000)


def test_error_by_cost_shows_device_seconds(results: StudyResults) -> None:
    """The synthetic study takes 2 s an epoch and the number of the seed more."""
    axes = titled(drawn(error_by_cost(results)).figure)["Tuned arm"]
    x, y, _ = series(axes, choose_styles(["model_4"])["model_4"].colour)
    np.testing.assert_allclose(x, 2 * 4 + np.mean([1, 2, 3]))
    squared = [true_score("reconstruction", "squared_error", "model_4", 10, "tuned", seed) for seed in (1, 2, 3)]
    assert y[1] == pytest.approx(np.mean(squared))
    assert {text.get_text() for text in axes.texts} == {"2", "10"}


def test_ablation_differences_are_paired_by_seed(results: StudyResults) -> None:
    """The difference is the level's effect, the seeds' part being taken out."""
    figure = drawn(ablation_differences(results)).figure
    axes = titled(figure)["Tuned arm, code size 10"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    points = {
        names[round(float(np.asarray(container.lines[0].get_ydata())[0]))]: np.asarray(container.lines[0].get_xdata())[
            0
        ]
        for container in axes.containers
        if isinstance(container, ErrorbarContainer)
    }
    assert set(points) == set(names)
    for level in ("tanh", "relu"):
        expected = np.mean([level_effect(level, seed) for seed in (1, 2, 3)])
        assert points[f"activation: {level}"] == pytest.approx(expected)


def test_learning_rate_marks_the_best_trial(results: StudyResults) -> None:
    """Complete, stopped and lost trials are told apart by their markers; number 1 is the best of each cell."""
    figure = drawn(learning_rate(results)).figure
    axes = titled(figure)["Model 4, code size 10"]
    rows = results.trials[
        (results.trials["phase"] == "search")
        & (results.trials["architecture"] == "model_4")
        & (results.trials["code_size"] == 10)
    ]
    points = {line.get_marker(): np.asarray(line.get_data()) for line in axes.lines}
    for marker, statuses in {"o": ["complete"], "x": ["pruned"], "|": ["diverged", "failed"]}.items():
        assert len(points[marker][0]) == rows["status"].isin(statuses).sum()
    best = rows[rows["number"] == 1].iloc[0]
    assert (points["*"][0].item(), points["*"][1].item()) == (best["learning_rate"], best["validation_cross_entropy"])


def test_a_long_search_is_thinned_and_keeps_its_best(results: StudyResults) -> None:
    """Ten thousand trials of a cell give no more points than one can see."""
    rng = np.random.default_rng(0)
    one = results.trials[(results.trials["phase"] == "search") & (results.trials["status"] == "complete")].head(1)
    many = one.loc[one.index.repeat(10_000)].reset_index(drop=True)
    many = many.assign(
        learning_rate=10 ** rng.uniform(-4, -1, len(many)), validation_cross_entropy=rng.random(len(many))
    )
    axes = draw_learning_rate(Figure().subplots(), many, choose_styles(["model_1"])["model_1"])
    points = {line.get_marker(): np.asarray(line.get_data()) for line in axes.lines}
    assert len(points["o"][0]) == SHOWN_TRIALS
    assert points["*"][1].item() == many["validation_cross_entropy"].min()


def test_importance_finds_what_decides() -> None:
    """Shares of 1, highest for the hyperparameter that makes the loss."""
    rng = np.random.default_rng(0)
    count = 200
    trials = pd.DataFrame(
        {
            "study": "s",
            "phase": "search",
            "architecture": np.repeat(["model_1", "model_2"], count // 2),
            "code_size": 10,
            "number": range(count),
            "status": "complete",
            "epochs": 5,
            "learning_rate": 10 ** rng.uniform(-3, -1, count),
            "filters_1": rng.integers(2, 64, count),
            "filters_2": rng.integers(2, 64, count),
        }
    )
    trials["validation_cross_entropy"] = abs(np.log(trials["filters_1"] / 20)) + 0.01 * rng.random(count)
    shares = compute_importances(trials).set_index(["architecture", "hyperparameter"])["importance"]
    for architecture in ("", "model_1", "model_2"):
        assert shares[architecture].sum() == pytest.approx(1)
        assert shares[architecture].idxmax() == "filters_1"
        assert shares[architecture]["filters_1"] > 0.8
    assert compute_importances(trials.head(19)).empty


def test_trials_are_ranked_within_their_cell() -> None:
    """Complete before stopped before diverged; failed ones say nothing."""
    trials = pd.DataFrame(
        {
            "study": "s",
            "phase": "search",
            "architecture": "model_1",
            "code_size": 10,
            "number": range(6),
            "status": ["pruned", "complete", "diverged", "pruned", "complete", "failed"],
            "epochs": [1, 9, 1, 3, 9, 1],
            "validation_cross_entropy": [50.0, 90.0, np.nan, 70.0, 80.0, np.nan],
            "learning_rate": [0.001, 0.01, 0.1, 0.01, 0.01, 0.01],
            "filters_1": 4,
            "filters_2": 4,
        }
    )
    ranked = rank_in_cell(trials)
    assert ranked["rank"].to_dict() == {4: 0.0, 1: 0.25, 3: 0.5, 0: 0.75, 2: 1.0}
    assert ranked["learning_rate"].round(6).to_dict() == {4: 0.5, 1: 0.5, 3: 0.5, 0: 0.0, 2: 1.0}
    assert (ranked["filters_1"] == 0.5).all()  # nothing varied


def test_importance_draws_a_marker_a_model(results: StudyResults) -> None:
    """And a star for all together; the classic auto-encoder has no filter counts."""
    axes = drawn(hyperparameter_importance(results)).figure.axes[0]
    markers = [line.get_marker() for line in axes.lines]
    assert {marker: markers.count(marker) for marker in set(markers)} == {"o": 3, "^": 3, "D": 3, "*": 3}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["learning_rate", "filters_1", "filters_2"]


def test_reconstructions_stand_below_the_originals(results: StudyResults) -> None:
    """The same row is the same model in every panel; what has one arm is in both."""
    panels = titled(drawn(reconstructions(results)).figure)
    assert list(panels) == [f"{arm} arm, code size {size}" for size in SIZES for arm in ("Tuned", "Published")]
    axes = panels["Published arm, code size 10"]
    names = ["Original", "Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA"]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    picture = np.asarray(axes.images[0].get_array())
    for image in range(RECONSTRUCTED_IMAGES):
        np.testing.assert_allclose(picture[:28, 29 * image : 29 * image + 28], image / 10, atol=1e-3)
    kept = results.codes[results.codes["trial_id"] == "confirm-model_4-10-published-1"].sort_values("image")
    expected = np.asarray(kept["reconstruction"].iloc[1], dtype=np.float32).reshape(28, 28)
    np.testing.assert_allclose(picture[3 * 29 : 3 * 29 + 28, 29 : 29 + 28], expected)
    error = true_score("reconstruction", "squared_error", "model_4", 10, "published", 1)
    assert [text.get_text() for text in axes.texts][3] == f"{error:.1f}"


def test_without_originals_the_caption_says_so(tmp_path: Path) -> None:
    """The reconstructions are drawn all the same."""
    folder = write_synthetic_study(tmp_path, architectures=["model_4"], code_sizes=(10,), codes=True, mishaps={})
    plot = drawn(reconstructions(load_study(folder)))
    assert "The originals are left out" in plot.caption
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()] == ["Model 4", "PCA"]


def test_filters_come_from_the_kept_weights(results: StudyResults) -> None:
    """The largest norm first."""
    panels = titled(drawn(learned_filters(results)).figure)
    assert set(panels) == {f"Model {number}, code size {size}" for number in (1, 3, 4) for size in SIZES}
    picture = np.asarray(panels["Model 4, code size 10"].images[0].get_array())
    assert picture.shape == (6, 5 * 6)
    assert [picture[0, 6 * place] for place in range(5)] == [4, 3, 2, 1, 0]


def test_damaged_weights_are_no_figure(tmp_path: Path) -> None:
    """The sentence says where they should be."""
    folder = write_synthetic_study(tmp_path, architectures=["model_4"], code_sizes=(10,), search_trials=1, mishaps={})
    (folder / "weights").mkdir()
    (folder / "weights" / "confirm-model_4-10-tuned-1.safetensors").write_bytes(b"damaged")
    plot = learned_filters(load_study(folder))
    assert isinstance(plot, Absent)
    assert "weights" in plot.reason


def test_codes_are_points_coloured_by_class(results: StudyResults) -> None:
    """Every kept code of size 2 is there, and a digit at the median of its class."""
    panels = titled(drawn(codes_2d(results)).figure)
    assert {"Model 4, tuned arm", "Model 4, published arm", "Classic auto-encoder, tuned arm", "PCA"} <= set(panels)
    axes = panels["Model 4, tuned arm"]
    rows = results.codes[results.codes["trial_id"] == "confirm-model_4-2-tuned-1"].sort_values("image")
    codes = np.stack(rows["code"].to_list()).astype(np.float32)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), codes)  # type: ignore[arg-type]
    assert len({tuple(colour) for colour in axes.collections[0].get_facecolors()}) == 10  # type: ignore[attr-defined]
    digits = {text.get_text(): text.get_position() for text in axes.texts}
    assert digits["3"] == pytest.approx(np.median(codes[rows["label"].to_numpy() == 3], axis=0))


def test_codes_without_labels_are_drawn_in_one_colour(results: StudyResults) -> None:
    """Data may have no classes."""
    unlabelled = dataclasses.replace(
        results, codes=results.codes.assign(label=pd.array([None] * len(results.codes), "Int64"))
    )
    axes = titled(drawn(codes_2d(unlabelled)).figure)["Model 4, tuned arm"]
    assert len({tuple(colour) for colour in axes.collections[0].get_facecolors()}) == 1  # type: ignore[attr-defined]
    assert not axes.texts


def test_tsne_is_computed_once_and_again_for_other_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside the figures keeps the points of each trial with the digest of its codes; damage costs time."""
    cache = tmp_path / "points.parquet"
    rng = np.random.default_rng(0)
    codes = {"a": rng.normal(size=(30, 5)).astype(np.float32), "b": np.zeros((30, 5), dtype=np.float32)}
    calls: list[int] = []
    monkeypatch.setattr(embedding, "embed", counted(calls, embedding.embed))
    first = embedding.embedded(codes, cache)
    assert first["a"].shape == (30, 2)
    assert np.isfinite(first["a"]).all()
    assert not first["b"].any()  # no distances
    again = embedding.embedded(codes, cache)
    np.testing.assert_array_equal(again["a"], first["a"])
    assert len(calls) == 2
    embedding.embedded(codes | {"b": codes["a"] + 1}, cache)
    assert len(calls) == 3
    assert pq.read_table(cache)["trial_id"].to_pylist() == ["a", "b"]
    cache.write_bytes(b"damaged")
    embedding.embedded({"b": codes["b"]}, cache)
    assert len(calls) == 4
    assert embedding.embedded({"c": np.full((30, 5), np.nan, dtype=np.float32), "d": codes["a"][:3]}) == {}


def counted(calls: list[int], function: Callable[..., object]) -> Callable[..., object]:
    """Return ``function``, which adds to ``calls`` each time."""

    def wrapper(*args: object) -> object:
        calls.append(1)
        return function(*args)

    return wrapper


def test_tsne_shows_the_tuned_arm(results: StudyResults, tmp_path: Path) -> None:
    """Codes of two units need none, and originals are too few."""
    panels = titled(drawn(codes_tsne(results, tmp_path / "points.parquet")).figure)
    names = ["Model 1", "Model 3", "Model 4", "Classic auto-encoder", "PCA"]
    assert list(panels) == [f"{name}, code size 10" for name in names]
    assert set(select_trials_with_codes(results)["number"]) == {1}


def test_every_figure_without_rows_says_why(tmp_path: Path) -> None:
    """With the command that makes them."""
    folder = write_synthetic_study(tmp_path, architectures=[], controls=False)
    for plot in figures(load_study(folder)):
        assert isinstance(plot, Absent), plot
        assert "python study/launch.py --preset quick --phase " in plot.reason
    (tsne,) = [plot for plot in figures(load_study(folder), tsne=False) if plot.name == "codes_tsne"]
    assert isinstance(tsne, Absent)
    assert "as asked for" in tsne.reason


def test_part_of_the_phases_gives_part_of_the_figures(tmp_path: Path) -> None:
    """A search alone, and a confirmation without search, evaluations and controls."""
    search = write_synthetic_study(tmp_path / "a", architectures=["model_1", "model_4"], arms=(), controls=False)
    there = {plot.name for plot in figures(load_study(search)) if isinstance(plot, Plot)}
    assert there == {"learning_curves", "learning_rate", "importance"}
    confirm = write_synthetic_study(
        tmp_path / "b",
        architectures=["model_1"],
        arms=("published",),
        search_trials=0,
        evaluations=False,
        controls=False,
    )
    there = {plot.name for plot in figures(load_study(confirm)) if isinstance(plot, Plot)}
    assert there == {"error_by_code_size", "learning_curves", "error_by_cost"}


def test_two_studies_have_panels_of_their_own(folder: Path, tmp_path: Path) -> None:
    """Their names stand above the panels, and each study's weights are read from its folder."""
    both = load_studies([folder, full_study(tmp_path / "other", "other")])
    assert set(titled(drawn(error_by_code_size(both)).figure)) == {
        "synthetic\nTuned arm",
        "synthetic\nPublished arm",
        "other\nTuned arm",
        "other\nPublished arm",
        "",
    }
    assert len(drawn(learned_filters(both)).figure.axes) == 2 * len(CONVOLUTIONAL) * len(SIZES)
    for draw in (reconstructions, codes_2d, learning_curves, ablation_differences, learning_rate):
        drawn(draw(both))
    assert len(drawn(hyperparameter_importance(both)).figure.axes) == 2


def test_names_of_models_are_drawn_as_they_are(tmp_path: Path) -> None:
    """A dollar sign is no mathematics, and a leading underscore no reason to leave the legend."""
    names = ["_own", r"$\frac{1}{2$ & <b>"]
    folder = write_synthetic_study(tmp_path, architectures=names, code_sizes=(2, 10), search_trials=1, codes=True)
    results = load_study(folder)
    for draw in (error_by_code_size, reconstructions, codes_2d):
        drawn(draw(results)).figure.draw_without_rendering()
    legend = drawn(error_by_code_size(results)).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()][-2:] == [r"\$\frac{1}{2\$ & <b>", " _own"]


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


def test_codes_that_differ_in_their_last_digits_only_are_embedded() -> None:
    """A collapsed model's: scikit-learn's t-SNE, given these as they are, ends the whole process."""
    codes = np.tile(np.float32([4.23046875, 9.8046875, 0.0771484375, -19.84375, 20.453125]), (360, 1))
    codes[::24, 2] += np.float32(2**-13)
    assert np.isfinite(embedding.embed(codes)).all()
