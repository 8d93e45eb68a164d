"""Ablations are drawn as differences paired by seed."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from analysis.figures.ablations import ablation_differences
from analysis.results import StudyResults
from tests.analysis.figures.panels import (
    drawn,
    titled,
)
from tests.synthetic import (
    level_effect,
)


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
