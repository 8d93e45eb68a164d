"""Every table is there or says why not, study by study."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Set
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.provenance import list_missing, provenance
from analysis.report import comparison_tables
from analysis.results import load_studies, load_study
from analysis.tables.ablations import ablations
from analysis.tables.diagnostics import layer_values
from analysis.tables.models import sizes
from analysis.tables.scores import SCORE_TABLES, reconstruction, score_table
from analysis.tables.table import (
    LETTERS_CAPTION,
    NO_LETTERS_CAPTION,
    Absent,
    Table,
    describe_letters,
    letter_models,
    make_incomparable,
    make_letters,
)
from tests.analysis.tables.cells import line, made, shown
from tests.synthetic import write_synthetic_study


def test_several_studies_are_told_apart_in_every_table(tmp_path: Path) -> None:
    """Each is ranked by itself; the study leads the sections."""
    for name, models in (("a", ("model_1", "model_4")), ("b", ("model_4", "model_5"))):
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), seeds=5, mishaps={})
    results = load_studies([tmp_path / "a", tmp_path / "b"])
    table = shown(reconstruction(results))
    assert [column.name for column in table.sections] == ["study", "code_size", "arm"]
    found = table.frame[table.frame["arm"] == "tuned"].set_index(["study", "architecture"])
    assert found["reconstruction_squared_error_mark"].to_dict() == {
        ("a", "model_1"): "b",
        ("a", "model_4"): "a",
        ("b", "model_4"): "b",
        ("b", "model_5"): "a",
    }
    assert all("study" in table.frame for table in comparison_tables(results) if isinstance(table, Table)
               and table.name != "architectures")  # fmt: skip


def test_tables_without_rows_say_how_to_get_them(tmp_path: Path) -> None:
    """Reconstruction was measured, nothing else; no ablation was run."""
    results = made(tmp_path, evaluations=False)
    for absent in (*(score_table(results, spec) for spec in SCORE_TABLES[1:]), layer_values(results)):
        assert isinstance(absent, Absent)
        assert absent.reason.endswith("To get it: python study/launch.py --preset quick --phase confirm")
    absent = ablations(results)
    assert isinstance(absent, Absent)
    assert absent.reason.endswith("--phase ablate")


@pytest.mark.parametrize("left", [(), ("search",), ("control",)])
def test_every_table_or_its_absence_is_there_for_a_study_that_has_just_begun(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    """No rows, search alone, controls alone."""
    results = made(tmp_path)
    kept = results.trials["phase"].isin(left) | results.trials["arm"].isin(left)
    trials = results.trials[kept]
    scores = results.scores[results.scores["trial_id"].isin(trials["trial_id"])]
    tables = comparison_tables(dataclasses.replace(results, trials=trials, epochs=results.epochs[:0], scores=scores))
    names = [table.name for table in tables]
    assert names[:5] == ["headline", "summary", "architectures", "sizes", "reconstruction"]
    assert len(set(names)) == len(names)
    assert isinstance(tables[0], Absent)
    assert isinstance(tables[1], Absent)
    assert isinstance(tables[2], Table)
    assert isinstance(tables[4], Table if left == ("control",) else Absent)


def test_a_folder_without_a_configuration_still_gives_tables(tmp_path: Path) -> None:
    """study.json of another hand: only the name is needed."""
    made(tmp_path)
    (tmp_path / "study" / "study.json").write_text(json.dumps({"name": "synthetic"}))
    results = load_study(tmp_path / "study")
    assert line(sizes(results), "model_4")["parameters"] > 0
    assert isinstance(reconstruction(results), Table)
    assert list_missing(results) == []
    assert provenance(results)[0][1]["folder"] == str(tmp_path / "study")


@pytest.mark.parametrize(
    ("separated", "letters"),
    [
        ([], ["a", "a", "a", "a"]),
        (["14"], ["a", "ab", "ab", "b"]),
        (["13", "14"], ["a", "ab", "b", "b"]),
        (["13", "14", "24"], ["a", "ab", "bc", "c"]),
        (["12", "13", "14"], ["a", "b", "b", "b"]),
        # The second has so wide a spread that it is told apart from nobody.
        (["13", "14", "34"], ["a", "abc", "b", "c"]),
        (["12", "13", "14", "23", "24", "34"], ["a", "b", "c", "d"]),
        # No order from best to worst explains these: the best differs from the second alone.
        (["12"], ["a", "b", "ab", "ab"]),
    ],
)
def test_letters_are_those_worked_out_by_hand(separated: list[str], letters: list[str]) -> None:
    """Of four models, best first, in whatever order the pairs are given."""
    for pairs in (separated, separated[::-1]):
        assert make_letters("1234", [(pair[0], pair[1]) for pair in pairs]) == dict(zip("1234", letters, strict=True))


PAIRS = [*itertools.combinations(range(7), 2)]


@settings(deadline=None)
@given(st.sets(st.sampled_from(PAIRS)))
def test_two_models_share_a_letter_exactly_where_they_are_not_separated(separated: Set[tuple[int, int]]) -> None:
    """Whatever the pairs; every model has a letter, the best an a, and no letter says what another says, too."""
    letters = make_letters([str(name) for name in range(7)], [(str(one), str(other)) for one, other in separated])
    sets = [set(letters[str(name)]) for name in range(7)]
    for one, other in PAIRS:
        assert bool(sets[one] & sets[other]) == ((one, other) not in separated)
    assert all(sets) and "a" in sets[0]
    groups = [{name for name in range(7) if letter in sets[name]} for letter in sorted(set().union(*sets))]
    assert not any(one < other for one, other in itertools.permutations(groups, 2))


def test_after_z_letters_go_on_with_numbers() -> None:
    """Of 27 models that all differ."""
    names = [str(place) for place in range(27)]
    assert [*make_letters(names, itertools.combinations(names, 2)).values()][-2:] == ["z", "a2"]


def test_models_without_a_test_have_no_letter() -> None:
    """One of two seeds is in no letter; a group in which nobody is tested has none, and the caption says why."""
    tests = pd.DataFrame(
        [
            ("x", "far", "near", True, 0.01),
            ("x", "few", "near", False, float("nan")),
            ("x", "far", "few", False, float("nan")),
            ("y", "far", "near", False, float("nan")),
        ],
        columns=["group", "architecture", "other", "worse", "p_holm"],
    )
    found = letter_models(tests, ["group"]).set_index(["group", "architecture"])["mark"]
    assert found["x"].to_dict() == {"near": "a", "far": "b", "few": ""}
    assert found["y"].to_dict() == {"near": "", "far": ""}
    assert describe_letters(pd.DataFrame({"error_mark": found["x"]})) == LETTERS_CAPTION
    assert describe_letters(pd.DataFrame({"error_mark": [*found["y"], "unranked", None]})) == NO_LETTERS_CAPTION


@pytest.mark.parametrize(
    ("planned", "lost", "ending"),
    [
        (2, (), " --phase confirm --seeds 3"),
        ("many", (1,), "nothing to compare"),
        (5, (1,), " --phase confirm --seeds 5"),  # two more seeds are planned
        (3, (1,), "nothing to compare"),
    ],
)
def test_what_makes_models_comparable_never_takes_seeds_away(
    planned: object, lost: tuple[int, ...], ending: str, tmp_path: Path
) -> None:
    """Where all that is planned has run, and a run of each diverged, no command would change that."""
    mishaps = {(name, 10, "tuned", number): "diverged" for name in ("model_1", "model_4") for number in lost}
    results = made(tmp_path, seeds=2 if planned == 2 else 3, mishaps=mishaps)
    (study,) = results.studies
    config = study.manifest["config"] | {"seeds": planned}
    changed = dataclasses.replace(study, manifest={**study.manifest, "config": config})
    absent = make_incomparable(dataclasses.replace(results, studies=(changed,)), "t", "T", "nothing to compare")
    assert absent.reason.startswith("nothing to compare")
    assert absent.reason.endswith(ending)
    without = dataclasses.replace(
        results, studies=(changed,), trials=results.trials[results.trials["arm"] != "control"]
    )
    assert "--phase confirm" in make_incomparable(without, "t", "T", "nothing to compare").reason, "PCA is missing"


def test_models_that_no_row_describes_are_taken_as_ranked(tmp_path: Path) -> None:
    """Also by what says how to compare them."""
    results = made(tmp_path, seeds=2)
    unknown = dataclasses.replace(results, models={})
    assert make_incomparable(unknown, "t", "T", "nothing").reason.endswith(" --phase confirm --seeds 3")


def test_letters_of_a_table_are_those_of_the_tests_behind_it(tmp_path: Path) -> None:
    """Column by column, of every pair of the tuned arm; with one seed a table has none and says so."""
    models = ("model_1", "model_2", "model_4", "model_5", "unpool_only")
    results = made(tmp_path, architectures=models, seeds=5)
    tables = {table.name: table for table in comparison_tables(results)}
    pairs = shown(tables["differences"]).frame
    for name, evaluator, metric in (
        ("summary", "reconstruction", "squared_error"),
        ("classification", "linear_classifier", "error"),
    ):
        table = shown(tables[name])
        assert LETTERS_CAPTION in table.caption
        own = pairs[(pairs["evaluator"] == evaluator) & (pairs["metric"] == metric) & (pairs["arm"] == "tuned")]
        assert len(own) == 10 and 0 < own["worse"].sum() < 10
        for row in own.to_dict("records"):
            marks = [set(line(table, row[side])[f"{evaluator}_{metric}_mark"]) for side in ("architecture", "other")]
            assert bool(marks[0] & marks[1]) != row["worse"]
    alone = reconstruction(made(tmp_path / "alone", seeds=1))
    assert NO_LETTERS_CAPTION in shown(alone).caption
