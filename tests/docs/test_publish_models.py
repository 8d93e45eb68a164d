"""Trained models are put into the package: which, as what, with a card, and with what pages say of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import publish_models as publish
import pytest
import safetensors.torch
import torch
from publish_reference import replace_parts

from analysis.results import ResultsError, load_study
from study import models
from study.storage.store import Store
from tests.studies import run_here, small_config
from tests.study.test_models_pretrained import check_card, read_rows
from tests.tiny import write_tiny_data
from trainables.checkpoint import load_checkpoint
from trainables.data.datasets import load_dataset

SIZES = (2, 10)
ARCHITECTURES = ("model_4", "unpool_only")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two models at two code sizes, three seeds each, of 200 images."""
    folder = tmp_path_factory.mktemp("models")
    short = {"arms": ("tuned",), "trials": 1, "finalists": 1, "validation_seeds": 1, "seeds": 3, "epochs": 2}
    data = str(write_tiny_data(folder))
    return run_here(small_config(dataset=data, architectures=ARCHITECTURES, code_sizes=SIZES, **short), folder)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package without models, and pages without a word of them."""
    monkeypatch.setattr(publish, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(models, "PRETRAINED", tmp_path / "pretrained")
    for page in ("README", "MODELS"):
        monkeypatch.setattr(publish, page, tmp_path / f"{page}.md")
        getattr(publish, page).write_text("before\n<!-- pretrained -->\n\n<!-- end of pretrained -->\nafter\n")
    return tmp_path / "pretrained"


def find_best(study: Path) -> str:
    """Return the model whose squared error is the least share of PCA's, from the rows alone."""
    store = Store(study)
    trials = {row["trial_id"]: row for row in store.read_trials() if row["phase"] == "confirm"}
    errors: dict[tuple[str, int], list[float]] = {}
    for trial_id, row in trials.items():
        for score in store.read_rows("scores", trial_id):
            if (score["evaluator"], score["metric"], score["split"]) == ("reconstruction", "squared_error", "test"):
                errors.setdefault((row["architecture"], row["code_size"]), []).append(score["value"])
    means = {cell: sum(values) / len(values) for cell, values in errors.items()}
    return min(ARCHITECTURES, key=lambda name: sum(means[name, size] / means["pca", size] for size in SIZES))


@pytest.mark.slow
def test_the_first_seeds_of_the_model_that_is_first_become_models_of_the_package(
    study: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In half precision, with cards that hold when they are measured again; pages show them all."""
    assert publish.main([str(study)]) == 0
    said = capsys.readouterr().out
    best, dataset = find_best(study), load_dataset(str(study.parent / "tiny.npz"))
    cells = [f"{best}-code{size}" for size in SIZES]
    assert {path.name for path in package.iterdir()} == {
        f"{cell}{end}" for cell in cells for end in (".md", ".safetensors")
    }
    for size, cell in zip(SIZES, cells, strict=True):
        weights = safetensors.torch.load_file(package / f"{cell}.safetensors")
        assert {weight.dtype for weight in weights.values()} == {torch.float16}
        model, card = models.pretrained(best, size), (package / f"{cell}.md").read_text()
        check_card(card, model, dataset)
        (trial_id,) = read_rows(card)["Trial"]
        assert trial_id.startswith(f"confirm-{cell}-tuned-01-") and trial_id in said
        kept = load_checkpoint(study / "weights" / f"{trial_id}.safetensors")
        for name, weight in kept.state_dict().items():
            assert torch.equal(weights[name], weight.half())
            assert torch.equal(model.module.state_dict()[name], weight.half().float())
        (row,) = (row for row in Store(study).read_trials() if row["trial_id"] == trial_id)
        assert float(read_rows(card)["learning_rate"][0]) == pytest.approx(row["learning_rate"], rel=1e-5)
        assert read_rows(card)["Commit"][0].startswith(row["git_commit"] or "unknown")
    assert f'`pretrained("{best}", code_size=10)`' in publish.README.read_text()
    page = publish.MODELS.read_text()
    assert page.startswith("before\n") and page.endswith("after\n")
    figures = publish.read_figures((package / f"{cells[0]}.md").read_text())
    assert f'| `pretrained("{best}", code_size=2)` | {" | ".join(figures.values())} | [{cells[0]}](' in page


@pytest.mark.slow
def test_cells_may_be_named_and_what_cannot_be_published_leaves_nothing(
    study: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that is not there, other data, weights that are lost or that half precision changes too much."""
    for cells, told in ((["model_1-code10"], "unpool_only-code10"), (["model_4-code3"], "model_4-code2")):
        assert publish.main([str(study), *cells]) == 2
        assert told in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(publish, "ROUNDING", 0.0)
        assert publish.main([str(study), "model_4-code2"]) == 2
        assert "in half precision" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    for path in (copy / "weights").iterdir():
        path.unlink()
    assert publish.main([str(copy)]) == 2
    assert "restore it" in capsys.readouterr().err
    assert not package.exists()
    assert publish.main([str(study), "unpool_only-code10"]) == 0
    assert {path.stem for path in package.iterdir()} == {"unpool_only-code10"}


@pytest.mark.slow
def test_a_model_without_its_first_seed_at_a_code_size_is_refused(study: Path) -> None:
    """Nothing else takes its place, and the other code sizes are not published as if they were all."""
    results, cell = load_study(study), f"{find_best(study)}-code10"
    lost = results.trials["trial_id"].str.startswith(f"confirm-{cell}-tuned-01")
    trials = results.trials.assign(number=results.trials["number"].mask(lost, 9))
    with pytest.raises(ResultsError, match=f"seed 1 of {cell} is not complete"):
        publish.choose_trials(replace(results, trials=trials), [])


def test_the_pages_say_which_models_come_with_the_package() -> None:
    """Letter by letter what the cards give."""
    for page, written in publish.make_pages(models.PRETRAINED).items():
        text = page.read_text(encoding="utf-8")
        assert replace_parts(text, written) == text
