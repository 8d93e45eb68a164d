"""Models of one's own: read from a file, checked, computed as stock layers do, kept with the study."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from study import launch
from study.config.presets import study_config
from study.config.search_space import Cell
from study.config.study_config import StudyConfig
from study.config.study_file import format_study_file, read_config, read_models
from study.plan.identity import next_manifest
from study.plan.plan import Plan
from study.plan.search import CellSearch
from study.plan.trials import plan_trials
from study.storage.store import Store
from tests.faults.launches import assert_ended_in_words
from tests.studies import take_one
from trainables.checkpoint import load_checkpoint, pack_weights
from trainables.data.datasets import load_dataset
from trainables.errors import FieldError, InputError
from trainables.models import initialization
from trainables.models.architectures import BUILT_IN, STUDIED, Architecture, ConvolutionalAutoencoder, Decoder, Encoder
from trainables.models.autoencoder import Autoencoder
from trainables.models.custom import dump_row, load_row
from trainables.models.layers import list_layers
from trainables.training.training import Training
from trainables.trial_config import RECIPES

ODD = ConvolutionalAutoencoder(
    name="odd",
    label="Odd maps",
    notation="(conv, pool <-> unpool, deconv)",
    encoder=Encoder("odd", kernels=(4, 3), pooled=True),  # 28 -> 25 -> 12 -> 10 -> 5
    decoder=Decoder("other", kernels=(3, 7, 5), unpooled=True),  # 1 -> 3 -> 6 -> 12 -> 24 -> 28
    published_filters=(6, 9),
    activation="tanh",
    pooling="max",
    unpooling="tile",
)
FILE = """
from trainables.models.architectures import *; from trainables.training.objectives import Objective

def row(name, **changes):
    values = dict(encoder=POOLED, decoder=UNPOOL, published_filters=(4, 4), pooling="max", unpooling="corner")
    return ConvolutionalAutoencoder(name=name, label=name, notation="", **values | changes)

"""


def written(folder: Path, rows: str, before: str = FILE.replace('notation=""', 'notation="(conv)"')) -> Path:
    """Write a file of models and return its path."""
    path = folder / "my_models.py"
    path.write_text(before + rows)
    return path


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_row_comes_back_from_its_plain_values(name: str) -> None:
    """Through JSON, as in study.json and the header of weights."""
    values = dump_row(BUILT_IN[name])
    row = load_row(json.loads(json.dumps(values)))
    assert dump_row(row) == values
    assert list_layers(row, 10) == list_layers(BUILT_IN[name], 10)
    assert pickle.loads(pickle.dumps(row)) == row  # it travels to the workers


@pytest.mark.parametrize("unpooling", ["corner", "tile", "average"])
def test_an_own_row_is_computed_as_stock_layers_do(unpooling: str) -> None:
    """With odd maps, whose last row and column pooling drops."""
    row = load_row(dump_row(ODD) | {"unpooling": unpooling})
    model = Autoencoder(row, 5)
    images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    initialization.draw_data_scaled(model, torch.Generator().manual_seed(0), images)
    state = {name: (model.state_dict()[f"{name}.weight"], model.state_dict()[f"{name}.bias"]) for name in names(row)}
    maps = images
    for conv in ("conv1", "conv2"):
        maps = torch.tanh(F.max_pool2d(F.conv2d(maps, *state[conv]), 2))
    code = F.linear(torch.tanh(F.linear(maps.flatten(1), *state["fc_in"])), *state["code"])
    maps = torch.tanh(F.linear(code, *state["fc_out"]))[:, :, None, None]
    for deconv in ("deconv2", "deconv1"):
        maps = torch.tanh(F.conv_transpose2d(maps, *state[deconv]))
        tiled = maps.repeat_interleave(2, -1).repeat_interleave(2, -2)
        corner = torch.zeros_like(tiled)
        corner[..., ::2, ::2] = maps
        maps = {"corner": corner, "tile": tiled, "average": tiled / 4}[unpooling]
    logits = F.conv_transpose2d(maps, *state["output"])
    assert torch.allclose(model.encode(images), code, rtol=1e-4, atol=1e-4)
    assert torch.allclose(model(images), logits, rtol=1e-4, atol=1e-4)


def names(row: Architecture) -> list[str]:
    """Return the layers of a row that have weights."""
    return [layer.name for layer in list_layers(row, 5) if layer.weight_shape]


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_own_row_trains_and_its_weights_load_without_it(recipe: str, tmp_path: Path) -> None:
    """The header of the file describes the row."""
    trial_config = RECIPES[recipe].trial_config(ODD, 5, 1, batch_size=20)
    pixels = torch.from_numpy(load_dataset("digits").test.pixels[:200].copy())
    training = Training(trial_config, 0, pixels, row=ODD)
    assert training.train_epoch().finite
    path = tmp_path / "some.safetensors"
    path.write_bytes(pack_weights(training.model, trial_config, "some"))
    again = load_checkpoint(path)
    assert again.architecture == ODD
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(again(images), training.model.eval()(images))


def test_a_file_of_rows_joins_the_models_of_a_preset(tmp_path: Path) -> None:
    """Or is picked from by name; its search tries its own filter counts first, and it has a published arm."""
    path = written(tmp_path, "MODELS = [row('one'), row('two', activation='relu')]\n")
    arguments = ["--preset", "quick", "--models", str(path)]
    config = launch.make_config(launch.make_parser().parse_args(arguments))
    assert config.architectures == (*STUDIED, "one", "two")
    config = launch.make_config(launch.make_parser().parse_args([*arguments, "--architectures", "two", "model_1"]))
    assert config.architectures == ("two", "model_1")
    first = CellSearch(config, Cell("two", 10)).suggest([0], [])[0]
    assert (first.filters, config.architecture("two").activation) == ((4, 4), "relu")
    both = study_config("quick", models=config.models, architectures=("two",), arms=("tuned", "published"))
    assert f"confirm-{Cell('two', 10)}-published-01" in {planned.trial_id for planned in plan_trials(both)}


def test_the_file_that_a_study_writes_holds_its_rows(tmp_path: Path) -> None:
    """It is launched again without the file of models."""
    config = study_config("quick", models=(ODD,), architectures=("model_1", "odd"))
    path = tmp_path / "study.toml"
    path.write_text(format_study_file(config))
    again = read_config(str(path))
    assert again == config
    assert again.models == (ODD,)


@pytest.mark.fault("wrong study files, by example")
@pytest.mark.parametrize(
    ("line", "wrong", "expected"),
    [
        ("pooling", 'pooling = "median"', "one of: none, max, average, stride"),
        ("published_filters", "published_filters = [4]", "2 whole numbers from 1"),
        ("decoder", 'decoder = { name = "d", kernels = [4, 5, 5] }', "decoder: no unpooled"),
        ("label", "lable = 'x'", "unknown key 'lable'"),
        ("unpooling", 'unpooling = "none"', "accepted: unpooling corner, tile, average or switches, or decoder DECONV"),
    ],
)
def test_a_mistake_in_a_row_of_a_study_file_is_told_with_its_line(
    line: str, wrong: str, expected: str, tmp_path: Path
) -> None:
    """That of the second row, though the first has the same keys."""
    second = load_row(dump_row(ODD) | {"name": "second"})
    lines = format_study_file(study_config("quick", models=(ODD, second))).splitlines()
    number = max(place for place, text in enumerate(lines) if text.startswith(f"{line} ="))
    lines[number] = wrong
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as raised:
        read_config(str(path))
    assert str(raised.value).startswith(f"{path}, line {number + 1}: second")
    assert expected in str(raised.value)


def test_a_row_of_a_study_file_that_lacks_what_it_needs_is_found_by_its_name(tmp_path: Path) -> None:
    """What it lacks has no line."""
    lines = format_study_file(study_config("quick", models=(ODD,))).splitlines()
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(line for line in lines if not line.startswith("unpooling =")))
    place = path.read_text().splitlines().index('name = "odd"') + 1
    with pytest.raises(InputError, match=f"line {place}: odd: decoder other does not go with unpooling none"):
        read_config(str(path))


@pytest.mark.fault("wrong files of models, by example")
@pytest.mark.parametrize(
    ("rows", "line", "expected"),
    [
        ("MODELS = [row('one'\n", 8, "was never closed"),
        ("import nowhere\nMODELS = []", 8, "No module named 'nowhere'"),
        ("x = 1 / 0", 8, "ZeroDivisionError"),
        ("raise SystemExit(0)", 8, "SystemExit"),
        ("models = [row('one')]", 1, "MODELS is missing"),
        ("MODELS = []", 8, "MODELS is []"),
        ("MODELS = row('one')", 8, "a list MODELS"),
        ("\nMODELS = [row('one'), 'two']", 9, "MODELS holds 'two'"),
        ("MODELS = [\n    row('model_4'),\n]", 9, "model_4, which is built in"),
        ("MODELS = [\n    row('pca'),\n]", 9, "pca, which is built in"),
        ("MODELS = [\n    row('one'),\n    row('one'),\n]", 10, "a second model called one"),
        ("MODELS = [row('One')]", 8, "small letters"),
        ("MODELS = [row('one', pooling='median')]", 8, "one of: none, max, average, stride"),
        ("MODELS = [row('one', pooling='none')]", 8, "accepted: pooling max, average or stride, or encoder PLAIN"),
        ("MODELS = [row('one', encoder=PLAIN)]", 8, "accepted: pooling none, or encoder POOLED"),
        ("MODELS = [row('one', unpooling='none')]", 8, "accepted: unpooling corner, tile, average or switches, or dec"),
        ("MODELS = [row('one', decoder=DECONV)]", 8, "accepted: unpooling none, or decoder UNPOOL"),
        ("MODELS = [row('one', pooling='stride', unpooling='switches')]", 8, "accepted: pooling max, or unpooling cor"),
        ("MODELS = [\n    ClassicAutoencoder('one', 'One', widths=(9,))\n]", 9, "accepted: notation: a text of 1 to"),
        ("MODELS = [\n    row('one', encoder=Encoder('e', (5, 6)))\n]", 9, "accepted: pooled: true or false"),
        ("MODELS = [row('one', lable='x')]", 8, "ConvolutionalAutoencoder with an unknown field lable"),
        ("MODELS = [Objective(name='one', label='')]", 8, "Objective without formula and strengths and find_losses"),
        ("MODELS = [row('one', published_filters=(4, 0))]", 8, "2 whole numbers from 1"),
        ("MODELS = [row('one', published_filters=4)]", 8, "2 whole numbers from 1"),
        ("MODELS = [row('one', published_filters=(100, 24))]", 8, "from 2, neither more than 3 times the other"),
        ("MODELS = [row('one', encoder=3)]", 8, "AttributeError"),
        ("MODELS = [row('one', encoder=Encoder('e', (5, 6), True))]", 8, None),
        ("MODELS = [row('one', encoder=Encoder('e', (9, 19), True))]", 8, "conv2 10 -> -8"),
        ("MODELS = [row('one', unpooling='switches', encoder=Encoder('e', (3, 6), True))]", 8, "maps of 13"),
    ],
)
def test_a_mistake_in_a_file_of_models_is_one_screen(
    rows: str, line: int, expected: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line and what is accepted; exit status 2, no traceback and no folder."""
    path = written(tmp_path, rows)
    if expected is None:
        assert [row.name for row in read_models(path).models] == ["one"]
        return
    assert launch.main(["--preset", "quick", "--models", str(path), "--results-dir", str(tmp_path / "results")]) == 2
    shown = capsys.readouterr().err
    assert_ended_in_words(shown)
    assert f"{path}, line {line}: " in shown
    assert expected in shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) <= 5
    assert not (tmp_path / "results").exists()


def test_a_missing_file_of_models_is_named(tmp_path: Path) -> None:
    """And a folder is no file."""
    for path, reason in ((tmp_path / "missing.py", "there is no such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=rf"cannot be read \({reason}\)"):
            read_models(path)


def test_filter_counts_over_the_budget_are_refused() -> None:
    """The published point is the search's first."""
    changes, expected = {"published_filters": (64, 64)}, "more than 360,000 parameters at its published_filters"
    row = load_row(
        dump_row(ODD)
        | {"name": "wide", "encoder": dump_row(BUILT_IN["model_1"])["encoder"]}
        | changes
        | {"pooling": "none"}
    )
    with pytest.raises(FieldError, match=expected):
        study_config("quick", models=(row,))


def manifest_of(config: StudyConfig, earlier: dict[str, object] | None, store: Store) -> dict[str, object]:
    """Return study.json of a launch, as it is read back."""
    manifest = next_manifest(config, load_dataset("digits"), earlier, store.folder)
    return json.loads(json.dumps(manifest))  # type: ignore[no-any-return]


def test_a_study_keeps_its_rows_and_refuses_a_changed_one(tmp_path: Path) -> None:
    """Others may join, as cells may; the identity stays."""
    store = Store(tmp_path / "study")
    first = manifest_of(study_config("quick", models=(ODD,)), None, store)
    second_row = load_row(dump_row(ODD) | {"name": "second"})
    second = manifest_of(study_config("quick", models=(second_row,)), first, store)
    assert second["study_sha256"] == first["study_sha256"]
    assert [row["name"] for row in second["models"]] == ["odd", "second"]  # type: ignore[attr-defined]
    changed = load_row(dump_row(ODD) | {"published_filters": [7, 9]})
    with pytest.raises(InputError, match=r"another model called odd: published_filters was \[6, 9\], is \[7, 9\]"):
        manifest_of(study_config("quick", models=(changed,)), second, store)


def test_a_name_means_one_model_in_a_study_and_another_in_the_next() -> None:
    """Each study of a process plans, suggests and refuses by its own row."""
    first = study_config("quick", models=(ODD,))
    other = load_row(dump_row(ODD) | {"published_filters": [7, 9], "unpooling": "corner"})
    second = study_config("quick", models=(other,))
    assert (first.architecture("odd"), second.architecture("odd")) == (ODD, other)
    plans = [Plan(dataclasses.replace(config, architectures=("odd",)), ()) for config in (first, second)]
    suggested = [taken[1] for taken in map(take_one, plans) if taken and taken[1]]
    assert [(point.filters, point.unpooling) for point in suggested] == [((6, 9), "tile"), ((7, 9), "corner")]
    with pytest.raises(FieldError, match="each model once"):
        study_config("quick", models=(ODD, other))
