"""The table of the headline says of every model how it stands to each other one."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.rendering.text import format_csv, format_latex, format_markdown
from analysis.tables.headline import headline, headline_pairs, join_labels
from analysis.tables.table import Absent
from tests.analysis.tables.cells import made, scores_of, shown


def test_every_model_has_its_share_and_its_place_to_every_other(tmp_path: Path) -> None:
    """Model 5 is better than models 1 and 2, which differ by 0.1 in 14."""
    results = made(tmp_path, architectures=("model_1", "model_2", "model_5", "model_3"), seeds=5)
    table = shown(headline(results))
    frame = table.frame[table.frame["arm"] == "tuned"].set_index("architecture")
    assert list(frame.index) == ["model_1", "model_2", "model_5"]
    share = scores_of("model_5", numbers=(1, 2, 3, 4, 5)).mean() / 0.2671
    assert frame.loc["model_5", "share"] == pytest.approx(share)
    assert frame["share_mark"].to_dict() == {"model_1": "b", "model_2": "b", "model_5": "a"}
    assert frame.loc["model_5", "better_than"] == "Models 1 and 2"
    stands = frame.loc[["model_1", "model_2"], ["equivalent_to", "undecided_with", "better_than"]]
    for own, other in (("model_1", "Model 2"), ("model_2", "Model 1")):
        assert other in set(stands.loc[own].dropna())
    assert "not clipped to [0, 1]" in table.caption
    assert table.footnotes[0] == "100 % is PCA's squared error per image, not clipped: 26.71 at code size 10."
    pairs = shown(headline_pairs(results))
    assert len(pairs.frame) == 2 * 3
    for render in (format_markdown, format_csv, format_latex):
        assert render(table) and render(pairs)


def test_only_what_is_undecided_has_seeds_that_would_decide(tmp_path: Path) -> None:
    """And their number is at least three."""
    frame = shown(headline_pairs(made(tmp_path, architectures=("model_1", "model_2", "model_5"), seeds=3))).frame
    undecided = frame["outcome"] == "undecided"
    assert undecided.any()
    assert frame.loc[~undecided, "seeds"].isna().all()
    assert (frame.loc[undecided, "seeds"].dropna() >= 3).all()


@pytest.mark.parametrize("arguments", [{"seeds": 2}, {"controls": False}, {"architectures": ("model_4", "model_3")}])
def test_without_seeds_pca_or_a_second_model_it_says_what_is_missing(
    tmp_path: Path, arguments: dict[str, object]
) -> None:
    """Two seeds of the best model are no evidence."""
    table = headline(made(tmp_path, **arguments))
    assert isinstance(table, Absent)
    assert table.reason.startswith("no two models have 3 confirmed runs beside PCA at a code size")
    assert isinstance(headline_pairs(made(tmp_path, **arguments)), Absent)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({"seeds": 2}, "--phase confirm --seeds 3"),
        (
            {"architectures": ("model_4",), "seeds": 2},
            "--phase search confirm --architectures model_4 model_1 --seeds 3",
        ),
    ],
)
def test_what_makes_models_comparable_is_a_command_that_does_so(
    tmp_path: Path, arguments: dict[str, object], command: str
) -> None:
    """More seeds where they are too few, a second model where there is one."""
    table = headline(made(tmp_path, **arguments))
    assert isinstance(table, Absent)
    assert table.reason.endswith(command)


@pytest.mark.parametrize(
    ("labels", "joined"),
    [
        (["Model 1", "Unpool only", "Model 2"], "Models 1, 2 and Unpool only"),
        (["Model 4"], "Model 4"),
        (["mine", "Model 4"], "Model 4 and mine"),
        (["Model 4, denoising"], "Model 4, denoising"),
        (["Model 4, denoising", "Model 4"], "Model 4, denoising; and Model 4"),
        (["Model 4", "mine", "Model 4, denoising"], "Model 4; mine; and Model 4, denoising"),
    ],
)
def test_names_are_joined_as_one_says_them(labels: list[str], joined: str) -> None:
    """Numbered models share the word, unless a comma belongs to a name: semicolons then part the names."""
    assert join_labels(labels) == joined
