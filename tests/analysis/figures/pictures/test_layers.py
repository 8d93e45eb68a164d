"""Every layer is a strip in the colours of its values, in the order in which the image passes it."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb

from analysis.figures.pictures.layers import CELL, GAP, PLACES, layer_maps, make_strips
from analysis.results import StudyResults
from tests.analysis.figures.panels import drawn, titled

BRIGHT, DARK = (mpl.colormaps["viridis"](end)[:3] for end in (1.0, 0.0))


def test_each_model_has_its_layers_down_the_encoder_and_up_the_decoder(results: StudyResults) -> None:
    """Model 3 alone has switches, each below its pooling, and the legend says their colours."""
    figure = drawn(layer_maps(results)).figure
    panels = titled(figure)
    assert list(panels) == ["Model 1", "Model 3", "Model 4", "Classic auto-encoder"]
    labels = {name: [text.get_text().split("\n")[0] for text in axes.texts] for name, axes in panels.items()}
    assert labels["Model 3"] == [
        *("code", "image", "conv1", "pool1", "switches", "conv2", "pool2", "switches", "fc_in"),
        *("output", "unpool1", "deconv1", "unpool2", "deconv2", "fc_out"),
    ]
    assert labels["Model 1"] == ["code", "image", "conv1", "conv2", "fc_in", "output", "deconv1", "deconv2", "fc_out"]
    assert labels["Classic auto-encoder"][1:5] == ["image", "fc1_in", "fc2_in", "fc3_in"]
    heights = [text.get_position()[1] for text in panels["Model 3"].texts]
    assert heights[1:9] == sorted(heights[1:9]) and heights[9:] == sorted(heights[9:]) and heights[0] == max(heights)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(PLACES)


def test_a_strip_is_coloured_from_the_layers_smallest_to_its_largest_value() -> None:
    """Maps side by side, as many times larger as fit; units in stripes; ink dark; switches by their place."""
    maps = {
        "image": np.zeros((1, 28, 28)),
        "conv1": np.stack([np.full((20, 20), 3.0), np.full((20, 20), -1.0)]),
        "pool1": np.zeros((1, 2, 2)),
        "code": np.array([[[-2.0, 120.0]]]),
        "fc_out": np.linspace(0, 1, 250).reshape(1, 1, 250),
        "output": np.ones((1, 28, 28)),
    }
    strips = make_strips(maps, {"pool1": np.array([[[0.0, 1.0], [2.0, 3.0]]])})
    assert [label for label, _ in strips.encoder] == [
        *("image\n0.00 to 0.00", "conv1\n-1.00 to 3.00", "pool1\n0.00 to 0.00", "switches")
    ]
    assert [label for label, _ in strips.decoder] == ["output\n1.00 to 1.00", "fc_out\n0.00 to 1.00"]
    image, conv, _, switches = (pixels for _, pixels in strips.encoder)
    assert image.shape == (112, 112, 3) and (image == 1).all()
    assert not strips.decoder[0][1].any()
    first, second = conv[:, :CELL], conv[:, CELL + GAP : 2 * CELL + GAP]
    for place, colour in ((first, BRIGHT), (second, DARK)):
        np.testing.assert_allclose(place[8:48, 8:48], np.broadcast_to(colour, (40, 40, 3)))
        assert (place[:8] == 1).all() and (place[:, 48:] == 1).all()
    assert (conv[:, 2 * (CELL + GAP) :] == 1).all()
    corners = switches[[0, 0, CELL - 1, CELL - 1], [0, CELL - 1, 0, CELL - 1]]
    np.testing.assert_allclose(corners, [to_rgb(colour) for colour in PLACES.values()])
    label, code = strips.code
    assert label == "code\n-2.00 to 120"
    np.testing.assert_allclose(code[0, [0, -1]], [DARK, BRIGHT])
    units = strips.decoder[1][1]
    np.testing.assert_allclose(units[[0, -1], [0, -1]], [DARK, BRIGHT])
    assert units.shape == (36, 250, 3)


def test_code_sizes_that_differ_are_said_in_titles(results: StudyResults) -> None:
    """Model 1 is not confirmed at the code size of the others yet."""
    rest = results.trials[~results.trials["trial_id"].str.startswith("confirm-model_1-10-")]
    plot = drawn(layer_maps(dataclasses.replace(results, trials=rest)))
    assert plot.figure.axes[0].get_title() == "Model 1, code size 2"
    assert "(the middle one of its code sizes, first seed)" in plot.caption
    assert "(code size 10, first seed)" in drawn(layer_maps(results)).caption
