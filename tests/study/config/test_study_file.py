"""Study files: what they say is what runs, and a mistake is told with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from study import launch
from study.config.presets import PRESETS, study_config
from study.config.study_config import StudyConfig
from study.config.study_file import format_study_file, read_config
from study.plan.identity import make_identity
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from trainables.errors import InputError


def written(folder: Path, text: str, name: str = "mine.toml") -> str:
    """Write a study file and return its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_changes_what_it_says_of_the_preset_that_it_starts_from(tmp_path: Path) -> None:
    """Named after the file and its data; a flag overrides both."""
    path = written(tmp_path, 'preset = "quick"\ncode_sizes = [4, 16]\nseeds = 5\n')
    assert read_config(path, seeds=7) == study_config("quick", name="mine-digits", code_sizes=(4, 16), seeds=7)
    assert read_config(path).seeds == 5
    path = written(tmp_path, 'preset = "reference"\nseeds_at = [["published", 30, 4]]\n')
    config = read_config(path)
    assert [config.count_seeds(arm, 30) for arm in ("published", "tuned")] == [4, 5]


def test_a_file_may_say_everything_itself(tmp_path: Path) -> None:
    """Without a preset, what has no value of its own has to be there."""
    text = 'dataset = "digits"\narchitectures = ["model_1"]\ncode_sizes = [2]\ntrials = 1\nseeds = 1\n'
    with pytest.raises(InputError, match="no epochs"):
        read_config(written(tmp_path, text))
    config = read_config(written(tmp_path, text + "epochs = 3\n"))
    assert (config.preset, config.name, config.epochs, config.recipe) == ("mine", "mine-digits", 3, "modern")
    assert read_config(written(tmp_path, text), epochs=4).epochs == 4


@pytest.mark.parametrize(
    ("changes", "preset"),
    [
        ({}, "quick"),
        ({}, "reference"),
        ({}, "factorial"),
        ({"name": "other", "phases": ("search", "ablate"), "seed": 3, "recipe": "caffe"}, "paper"),
    ],
)
def test_what_a_study_writes_is_the_same_study(changes: dict[str, Any], preset: str, tmp_path: Path) -> None:
    """Every field comes back."""
    config = study_config(preset, **changes)
    assert read_config(written(tmp_path, format_study_file(config), "study.toml")) == config


def test_what_a_study_of_a_file_writes_is_the_same_study(tmp_path: Path) -> None:
    """But for the name of the file that it was first launched with, which decides nothing."""
    values = dict(PRESETS["sample"]) | {"name": "mine-mnist", "preset": "mine"}
    config = StudyConfig(**values)
    again = read_config(written(tmp_path, format_study_file(config), "study.toml"))
    assert again.as_dict() == config.as_dict() | {"preset": "study"}
    assert make_identity(again, "sha") == make_identity(config, "sha")


@pytest.mark.fault("wrong study files, by example")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epochz = 3", ("unknown key 'epochz'", "epochs")),
        ('epochs = "ten"', ("epochs 'ten'", "a whole number from 1")),
        ("epochs = true", ("epochs True", "a whole number from 1")),
        ("trials = 0", ("trials 0", "a whole number from 1 to 100,000")),
        ("code_sizes = [0]", ("code_sizes 0", "from 1 to 784")),
        ("code_sizes = [784, 700]", ("more than 360,000 parameters", "choose a smaller code size")),
        ("code_sizes = 10", ("code_sizes 10", "a list of at least one, whole numbers from 1 to 784")),
        ("code_sizes = [10, 10]", ("given twice: 10 10", "each code size once")),
        ("code_sizes = []", ("code_sizes []", "a list of at least one")),
        ("architectures = []", ("architectures []", "model_1, model_2")),
        ('architectures = "model_1"', ("architectures 'model_1'", "a list of: model_1")),
        ('architectures = ["model_1", "model_1"]', ("given twice", "each architecture once")),
        ('architectures = ["model_9"]', ("unknown architecture 'model_9'", "model_1, model_2")),
        ("architectures = [{ name = 1 }]", ("architectures {'name': 1}", "model_1, model_2")),
        ('dataset = ["digits"]', ("dataset ['digits']", "mnist")),
        ('recipe = "secret"', ("unknown recipe 'secret'", "caffe, modern, muon")),
        ('"factors" = ["luck"]', ("unknown factor 'luck'", "learning_rate")),
        ('search_metric = "loss"', ("unknown search metric 'loss'", "cross_entropy, squared_error")),
        ("name = ''", ("name ''", "letters, digits")),
        ("seeds = 1\nseeds = 2", ("Cannot overwrite a value", "each key once")),
        ("seeds: 1", ("Expected '='", "TOML")),
        ("[seeds]", ("seeds {}", "a whole number")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_file_line_and_what_is_accepted(
    line: str, expected: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and no folder is made."""
    path = written(tmp_path, f'# A study of mine.\n\npreset = "quick"\nbatch_size = 5\n{line}\n')
    results = tmp_path / "results"
    assert launch.main(["--preset", path, "--results-dir", str(results)]) == 2
    shown = capsys.readouterr().err
    assert_ended_in_words(shown)
    number = 5 + line.count("\n")  # the second of two lines is the wrong one
    for text in (f"{path}, line {number}: ", *expected):
        assert text in shown
    assert "Traceback" not in shown
    assert not results.exists()


def test_an_unknown_preset_to_start_from_is_told(tmp_path: Path) -> None:
    """With its line, and the presets."""
    with pytest.raises(InputError, match=r"line 2: unknown preset 'fast'\n  accepted: quick, sample, paper, reference"):
        read_config(written(tmp_path, '\npreset = "fast"\n'))
    with pytest.raises(InputError, match="line 1: unknown preset"):
        read_config(written(tmp_path, "preset = { a = 1 }\n"))


def test_an_unknown_preset_is_answered_with_study_files_too() -> None:
    """Which stand where a preset does."""
    with pytest.raises(InputError, match=r"unknown preset 'quik'\n  accepted: quick, .*, or a study file \(\*\.toml\)"):
        read_config("quik")


def test_a_flag_that_is_wrong_is_not_the_files_mistake(tmp_path: Path) -> None:
    """Its value is in the message without a line."""
    with pytest.raises(InputError, match=r"^epochs 0\n"):
        read_config(written(tmp_path, 'preset = "quick"\nepochs = 3\n'), epochs=0)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    """Missing, or not text."""
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    reason = "'utf-8' codec" if content else r"there is no such file\)\n"
    with pytest.raises(InputError, match=rf"mine\.toml cannot be read \({reason}"):
        read_config(str(path))


def test_the_store_keeps_the_file_and_takes_it_for_its_own(tmp_path: Path) -> None:
    """It stands beside study.json when the study goes on."""
    store = Store(tmp_path / "quick-digits")
    for _ in range(2):
        store.open({"schema_version": 1, "name": "quick-digits"}, format_study_file(study_config("quick")))
    manifest = store.read_manifest()
    assert manifest is not None and manifest["name"] == "quick-digits"
    assert read_config(str(tmp_path / "quick-digits" / "study.toml")) == study_config("quick")


def test_flags_are_for_every_cell_also_of_a_file_that_tells_them_apart(tmp_path: Path) -> None:
    """As with a preset: asked for are so many seeds everywhere, and these objectives of every model."""
    cases: list[tuple[str, dict[str, Any], str]]
    cases = [("reference", {"seeds": 12}, "seeds_at"), ("objectives", {"objectives": ("denoising",)}, "objectives_at")]
    for preset, flag, table in cases:
        path = tmp_path / f"{preset}.toml"
        path.write_text(format_study_file(study_config(preset)))
        assert getattr(read_config(str(path)), table)
        changed = read_config(str(path), **flag)
        assert getattr(changed, table) == () == getattr(study_config(preset, **flag), table)
