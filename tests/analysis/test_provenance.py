"""What of a study is not there is said by phase, cell and arm or factor, as its plan has it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.provenance import describe_looking, format_command, list_missing, provenance
from analysis.results import Study, load_studies, load_study
from analysis.tables.headline import headline, headline_pairs
from analysis.tables.scores import differences
from analysis.tables.summary import answers
from analysis.tables.table import Table
from study.config.ablations import FACTORS
from tests.studies import small_config, write_rows
from tests.synthetic import write_synthetic_study
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder


def write(folder: Path, **config: Any) -> Path:
    """Write a study of model 4 with three seeds and ablations, whose study.json says ``config`` besides."""
    write_synthetic_study(
        folder, architectures=("model_4",), code_sizes=(10,), search_trials=3, ablations=True, mishaps={}
    )
    manifest = json.loads((folder / "study.json").read_text())
    manifest["config"] |= config
    (folder / "study.json").write_text(json.dumps(manifest))
    return folder


ABLATED = {"ablated_architectures": ["model_4"], "ablated_code_size": 10}


def test_missing_ablations_are_named_by_cell_and_factor(tmp_path: Path) -> None:
    """Of four learning rates two are there, at three seeds each: six of twelve trials are missing."""
    assert [level.label for level in FACTORS["learning_rate"]] == ["x0.1", "x0.3", "x3", "x10"]
    folder = write(tmp_path, factors=["learning_rate"], **ABLATED)
    assert list_missing(load_study(folder)) == [
        "synthetic: 6 of 12 trials of phase ablate are not there: model_4 at code size 10 (learning_rate: 6). "
        "To run them: python study/launch.py --preset quick --phase ablate"
    ]


def test_seeds_of_an_arm_at_a_code_size_are_told(tmp_path: Path) -> None:
    """Beside those of all others."""
    facts = provenance(load_study(write(tmp_path, seeds_at=[["tuned", 10, 4]])))[0][1]
    assert "seeds 3, seed 0, 4 seeds tuned at 10, SHA-256" in facts["configuration"]


def test_an_ablation_of_an_older_version_misses_no_rates(tmp_path: Path) -> None:
    """All seeds of both activations are there, trained at the rate of the base."""
    assert list_missing(load_study(write(tmp_path, factors=["activation"], **ABLATED))) == []


def test_more_seeds_are_missing_of_both_arms_and_the_search_is_whole(tmp_path: Path) -> None:
    """Two seeds more of each arm; controls, which are there once, are not counted."""
    folder = write(tmp_path, seeds=5, phases=["search", "confirm"])
    (sentence,) = list_missing(load_study(folder))
    assert sentence.startswith("synthetic: 4 of 10 trials of phase confirm are not there: ")
    assert "(tuned: 2), model_4 at code size 10 (published: 2)" in sentence


@pytest.mark.parametrize("config", [{"architectures": ["unheard_of"]}, {"trials": None}, {"seeds": "many"}, {"no": 1}])
def test_nothing_is_missing_of_a_study_whose_configuration_is_not_understood(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    """A study.json of another version or written by hand is no reason to say what may be wrong."""
    assert list_missing(load_study(write(tmp_path, **config))) == []


def test_a_study_that_does_not_say_what_is_ablated_misses_no_ablation(tmp_path: Path) -> None:
    """As those of older versions."""
    assert list_missing(load_study(write(tmp_path))) == []


@pytest.mark.parametrize(
    ("launches", "said"),
    [
        ([("2026-01-01", 3), ("2027-01-01", 5)], "(3, then 5): p values are after looking"),
        ([(None, None), ("2027-01-01", 5), ("2027-02-01", 5), ("2027-03-01", 8)], "(5, then 8)"),
        ([("2026-01-01", 3), ("2026-01-02", 5), ("2027-01-01", 5)], ""),  # before any run had ended
        ([("2026-01-01", 5), ("2027-01-01", 3), ("2027-02-01", 5)], "asked for 3 seeds in the place of 5"),
        ([("2026-01-01", 5), ("2026-01-02", 3), ("2027-02-01", 3)], "asked for 3 seeds"),
        ([("2026-01-01", 5), ("2026-01-02", 3)], ""),
        ([(None, None), ("2027-01-01", 5)], ""),  # nobody knows with how many it began
    ],
)
def test_seeds_that_were_added_when_results_could_be_seen_are_told(
    launches: list[tuple[str | None, int | None]], said: str, tmp_path: Path
) -> None:
    """Confirmed runs ended in March 2026: in the first sentences and beside every table of tests."""
    folder = write_synthetic_study(tmp_path, architectures=("model_1", "model_4"), code_sizes=(10,), search_trials=1)
    manifest = json.loads((folder / "study.json").read_text())
    manifest["launches"] = [
        {"started_at": f"{day}T00:00:00+00:00", "seeds": seeds} if seeds else {"command": "study/launch.py"}
        for day, seeds in launches
    ]
    (folder / "study.json").write_text(json.dumps(manifest))
    results = load_study(folder)
    (study,) = results.studies
    told = describe_looking(results, study)
    assert said in told
    assert bool(told) == bool(said)
    for table in (headline(results), headline_pairs(results), differences(results)):
        assert isinstance(table, Table)
        assert (told in table.footnotes) == bool(said)
    assert (told in answers(results)) == bool(said)


@pytest.mark.parametrize(
    ("flags", "counts"),
    [
        ("--phase ablate --factors loss", False),
        ("--phase=search", False),
        ("--pha search ablate --seeds 5", False),
        ("--phase search confirm ablate --factors loss", True),
        ("--phase confirm", True),
        ("--preset quick", True),  # the phases of the preset, whatever they are
    ],
)
def test_a_launch_that_confirms_nothing_changes_no_confirmed_seeds(flags: str, counts: bool, tmp_path: Path) -> None:
    """Neither more seeds of ablations nor fewer are looks at confirmed runs, which ended in March 2026."""
    folder = write_synthetic_study(tmp_path, architectures=("model_1", "model_4"), code_sizes=(10,), search_trials=1)
    manifest = json.loads((folder / "study.json").read_text())
    for seeds, told in ((8, "Seeds were added"), (3, "with fewer than were planned")):
        manifest["launches"] = [
            {
                "started_at": "2026-01-01T00:00:00+00:00",
                "seeds": 5,
                "command": "study/launch.py --phase search confirm",
            },
            {"started_at": "2027-01-01T00:00:00+00:00", "seeds": seeds, "command": f"study/launch.py {flags}"},
        ]
        (folder / "study.json").write_text(json.dumps(manifest))
        results = load_study(folder)
        assert (told in describe_looking(results, results.studies[0])) == counts


TUNED, PUBLISHED = ("tuned", 10), ("published", 10)


@pytest.mark.parametrize(
    ("launches", "said"),
    [
        (
            [(3, {}), (3, {TUNED: 8})],
            "Seeds were added after confirmed runs had ended (3, then 8 tuned at code size 10)",
        ),
        ([(3, {TUNED: 5}), (5, {})], "(3, then 5): p values"),
        ([(3, {TUNED: 5, PUBLISHED: 3}), (5, {})], "(3, then 5; 3, then 5 published at code size 10)"),
        ([(3, {TUNED: 8}), (3, {})], "asked for 3 seeds in the place of 8 tuned at code size 10, so results"),
        ([(3, {TUNED: 8}), (3, {TUNED: 8})], ""),
        ([(3, {}), (3, {("tuned", 30): 8})], ""),  # of which no run could be seen
        ([(3, None), (3, {TUNED: 8})], ""),  # nobody knows which it had
    ],
)
def test_seeds_that_one_arm_and_code_size_got_later_are_told(
    launches: list[tuple[int, dict[tuple[str, int], int] | None]], said: str, tmp_path: Path
) -> None:
    """The first launch was before confirmed runs ended in March 2026, the second after that."""
    folder = write_synthetic_study(tmp_path, architectures=("model_1", "model_4"), code_sizes=(10,), search_trials=1)
    manifest = json.loads((folder / "study.json").read_text())
    manifest["launches"] = [
        {"started_at": f"{year}-01-01T00:00:00+00:00", "seeds": seeds}
        | ({} if own is None else {"seeds_at": [[*place, count] for place, count in own.items()]})
        for year, (seeds, own) in zip((2026, 2027), launches, strict=True)
    ]
    (folder / "study.json").write_text(json.dumps(manifest))
    results = load_study(folder)
    told = describe_looking(results, results.studies[0])
    assert said in told
    assert bool(told) == bool(said)


def test_what_is_missing_of_a_study_whose_model_is_called_otherwise_is_said(tmp_path: Path) -> None:
    """Beside a study with another model of the same name: both are asked what they lack, by their own plans."""
    folders = []
    for name, filters in (("a", (6, 8)), ("b", (7, 8))):
        model_4 = BUILT_IN["model_4"]
        assert isinstance(model_4, ConvolutionalAutoencoder)
        row = dataclasses.replace(model_4, name="own", label="Own", published_filters=filters)
        config = small_config(models=(row,), architectures=("own",), arms=("tuned",), name=name, trials=1, seeds=1)
        folders.append(write_rows(config, tmp_path, lambda *_: 100.0, stop_after=1 if name == "b" else 100))
    results = load_studies([str(folder) for folder in folders])
    assert "own (b)" in results.models
    (said,) = list_missing(results)
    assert said.startswith("b: ")
    assert "of phase confirm are not there: own at code size 10" in said


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("cae-study run --preset quick --seeds 2", "cae-study run --preset quick --seeds 2 --phase confirm"),
        (
            "/lib/ipykernel_launcher.py -f /tmp/kernel.json",
            "python study/launch.py --preset {}/study.toml --phase confirm",
        ),
        ("", "python study/launch.py --preset {}/study.toml --phase confirm"),
    ],
)
def test_a_command_is_one_that_runs(command: str, told: str, tmp_path: Path) -> None:
    """Whatever began the study: the installed command, a notebook, or an interpreter."""
    manifest = {"launches": [{"command": command}], "config": {}}
    assert format_command(Study("some", str(tmp_path), manifest), "confirm") == told.format(tmp_path)
