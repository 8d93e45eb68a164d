"""The search space of a module of the user's own: what is accepted, and the budget that it keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study import launch
from study.config.module_space import check_modules, make_distributions
from study.config.presets import study_config
from study.config.study_file import format_study_file, read_config, read_models
from tests.documents import write_shown_files
from tests.faults.launches import assert_ended_in_words
from trainables.errors import InputError
from trainables.models.architectures import ModuleAutoencoder
from trainables.models.custom import dump_row, load_row

WIDTH = {"distribution": "IntDistribution", "low": 8, "high": 64, "log": True}


def make_row(settings: Any = None, **space: Any) -> ModuleAutoencoder:
    """Return a module with this space."""
    settings = {"width": 16, "rate": 0.5, "kind": "a", "wide": True} if settings is None else settings
    return ModuleAutoencoder("own", "Own", "(own <-> own)", None, settings, space)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("width", WIDTH, IntDistribution(8, 64, log=True)),
        ("width", {"distribution": "IntDistribution", "low": 8, "high": 64, "step": 8}, IntDistribution(8, 64, step=8)),
        ("rate", {"distribution": "FloatDistribution", "low": 0, "high": 1}, FloatDistribution(0, 1)),
        ("kind", {"distribution": "CategoricalDistribution", "choices": ["a", "b"]}, CategoricalDistribution("ab")),
        ("wide", {"distribution": "CategoricalDistribution", "choices": [True]}, CategoricalDistribution([True])),
    ],
)
def test_optunas_distributions_are_made_by_name(name: str, values: Any, expected: BaseDistribution) -> None:
    """Also from the plain values of study.json, which hold all but the factory."""
    row = make_row(**{name: values})
    assert make_distributions(row) == {name: expected}
    assert make_distributions(load_row(dump_row(row))) == {name: expected}


@pytest.mark.fault("wrong spaces of modules, by example")
@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("width = { distribution = 'UniformDistribution', low = 1, high = 2 }", "width: distribution 'UniformDistrib"),
        ("width = { low = 1, high = 2 }", "width: distribution None"),
        ("width = 3", "space 3"),
        ("width = { distribution = 'IntDistribution', low = 16.5, high = 64 }", "IntDistribution: low = 16.5"),
        ("width = { distribution = 'IntDistribution', low = '16', high = 64 }", "IntDistribution: low = '16'"),
        ("width = { distribution = 'IntDistribution', low = 90, high = 64 }", "low <= high"),
        ("width = { distribution = 'IntDistribution', low = 16 }", "missing 1 required positional argument: 'high'"),
        (
            "width = { distribution = 'IntDistribution', low = 1, high = 100, lag = true }",
            "IntDistribution: lag = True",
        ),
        ("width = { distribution = 'IntDistribution', low = 1, high = 32 }", "width 64 in settings, which lies outs"),
        ("depth = { distribution = 'CategoricalDistribution', choices = [2, 3] }", "depth 1 in settings, which lies"),
        ("depth = { distribution = 'CategoricalDistribution', choices = [] }", "must contain one or more elements"),
        ("dropout = { distribution = 'FloatDistribution', low = 0.0, high = inf }", "perceptron: space inf"),
        ("height = { distribution = 'IntDistribution', low = 1, high = 2 }", "a space of height, which is none of its"),
    ],
)
def test_a_mistake_in_a_space_is_one_screen_with_its_line(
    table: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and no folder; in a record of the file of models likewise."""
    write_shown_files("docs/extending.md", tmp_path)
    path = tmp_path / "wrong.toml"
    path.write_text(f'preset = "quick"\narchitectures = ["perceptron"]\n[space.perceptron]\n{table}\n')
    arguments = ["--models", str(tmp_path / "my_module.py"), "--results-dir", str(tmp_path / "results")]
    assert launch.main(["--preset", str(path), *arguments]) == 2
    shown = capsys.readouterr().err
    assert_ended_in_words(shown)
    assert f"{path}, line 3: perceptron" in shown
    assert told in shown
    assert len(shown.splitlines()) <= 5
    assert not (tmp_path / "results").exists()


def test_a_space_of_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Of a row as well, whose space is the paper's; and settings may not be called as those of every trial."""
    write_shown_files("docs/extending.md", tmp_path)
    own = read_models(tmp_path / "my_module.py").models
    path = tmp_path / "wrong.toml"
    for name, given, accepted in [("perceptron", (), "none is given"), ("model_4", own, "perceptron")]:
        path.write_text(f'preset = "quick"\n\n[space.{name}]\n')
        with pytest.raises(InputError, match=f"wrong.toml, line 3: a space of '{name}', which is no module") as refused:
            read_config(str(path), models=given)
        assert accepted in refused.value.accepted
    path.write_text('preset = "quick"\nspace = 3\n')
    with pytest.raises(InputError, match="line 2: space 3"):
        read_config(str(path), models=own)
    with pytest.raises(InputError, match="a setting called momentum"):
        make_distributions(make_row({"momentum": 0.5}))


def test_the_file_that_a_study_writes_holds_the_space(tmp_path: Path) -> None:
    """With the file of models it is launched again; without it is said what is missing."""
    write_shown_files("docs/extending.md", tmp_path)
    own = read_models(tmp_path / "my_module.py").models
    config = read_config(str(tmp_path / "my_module.toml"), models=own)
    assert [*make_distributions(config.models[0])] == ["width", "depth", "dropout"]
    path = tmp_path / "study.toml"
    path.write_text(format_study_file(config))
    assert dump_row(read_config(str(path), models=own).models[0]) == dump_row(config.models[0])
    with pytest.raises(InputError, match="a space of 'perceptron', which is no module of your own"):
        read_config(str(path))


def test_a_module_keeps_to_the_budgets_wherever_its_space_leads(tmp_path: Path) -> None:
    """Parameters as all models that are ranked, multiply-adds where the study limits them."""
    write_shown_files("docs/extending.md", tmp_path)
    own = read_models(tmp_path / "my_module.py").models
    config = read_config(str(tmp_path / "my_module.toml"), models=own)
    check_modules(config)
    (row,) = config.models
    assert isinstance(row, ModuleAutoencoder)
    wide = {**row.space, "width": {**row.space["width"], "high": 200}}
    wider = ModuleAutoencoder(row.name, row.label, row.notation, row.build, row.settings, wide)
    parameters = 2 * (784 * 200) + 784 + 2 * (200 * 200) + 4 * 200 + 2 * 10 * 200 + 10
    told = f"perceptron-code10 has {parameters:,} parameters at width 200, depth 2, dropout 0.1"
    with pytest.raises(InputError, match=told):
        check_modules(study_config("quick", architectures=("perceptron",), models=(wider,)))
    check_modules(study_config("quick", architectures=("model_4",), models=(wider,)))
    with pytest.raises(InputError, match=r"has 305,[0-9]+ multiply-adds at width 160, depth 2.*\n.*at most 300,000"):
        check_modules(study_config("quick", architectures=("perceptron",), models=(row,), multiply_adds_budget=300_000))
