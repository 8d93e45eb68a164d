"""The command ``cae-study``: the scripts of this project under one name, and one model without a study.

``cae-study run --preset quick`` is ``python study/launch.py --preset quick``; flags stand in the scripts alone.
"""

from __future__ import annotations

import importlib.metadata
import sys
import warnings
from pathlib import Path

import click

from study.signals import leave
from trainables.data.datasets import DATASETS
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN
from trainables.trial_config import RECIPES

_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.group()
@click.version_option(importlib.metadata.version("cae-study"), prog_name="cae-study")
def main() -> None:
    """Search and compare convolutional auto-encoders. Every command has --help."""


@main.command(context_settings=_PASSED_ON, short_help="Run a study, or go on with it: study/launch.py.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def run(flags: tuple[str, ...]) -> None:
    """Run a study, or go on with it."""
    from study import launch

    leave(launch.main([*flags]))


@main.command(context_settings=_PASSED_ON, short_help="Say what of the study in a folder is done and missing.")
@click.argument("folder")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def status(folder: str, flags: tuple[str, ...]) -> None:
    """Say what of the study in FOLDER is done and missing, and who runs it."""
    from study import launch

    if folder.startswith("-") and "--help" not in (folder, *flags):
        raise click.UsageError(f"{folder} in the place of a folder: cae-study status FOLDER [flag ...]")
    sys.exit(launch.main(["--status", folder, *flags]))


@main.command(context_settings=_PASSED_ON, short_help="Write the report of a study: analysis/report.py.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def report(flags: tuple[str, ...]) -> None:
    """Write the report of a study, or of several."""
    from analysis import report as script

    sys.exit(script.main([*flags]))


@main.command(context_settings=_PASSED_ON, short_help="Convert the rows of a study: analysis/export.py.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def export(flags: tuple[str, ...]) -> None:
    """Convert the rows of a study for other tools."""
    from analysis import export as script

    sys.exit(script.main([*flags]))


@main.command(short_help="Train one model, without a study.")
@click.option("--model", default="model_4", show_default=True, help=f"One of {', '.join(BUILT_IN)}, or of --models.")
@click.option("--models", type=click.Path(path_type=Path), help="Python file of your own, see docs/extending.md.")
@click.option("--code-size", default=10, show_default=True, help="Units of the code.")
@click.option("--data", default="mnist", show_default=True, help=f"One of {', '.join(DATASETS)}, or a file of yours.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the files of data sets.")
@click.option("--epochs", default=12, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--recipe", default="muon", show_default=True, type=click.Choice([*RECIPES]))
@click.option("--learning-rate", type=float, help="Default: the recipe's.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the model (default: MODEL-codeSIZE).")
def train(
    model: str,
    models: Path | None,
    code_size: int,
    data: str,
    data_dir: Path | None,
    epochs: int,
    seed: int,
    recipe: str,
    learning_rate: float | None,
    output: Path | None,
) -> None:
    """Train one model on all training images, measure it on the test images, and write it to a folder."""
    click.echo(f"training {model}: libraries and data are loaded, kernels compiled where a machine has none ...")
    from study.config.study_file import read_models
    from study.models import ReplacementWarning
    from study.models import train as train_model
    from trainables.data.datasets import load_dataset
    from trainables.evaluation.baselines import pca

    folder = output or Path(f"{model}-code{code_size}")
    try:
        own = {row.name: row for row in read_models(models).models} if models else {}
        if model not in own and model not in BUILT_IN:
            names = ", ".join([*own, *BUILT_IN])
            raise InputError(f"model {model:.60}", names, "choose one of these, or name your file: --models FILE")
        dataset = load_dataset(data, data_dir)
        with warnings.catch_warnings():
            warnings.simplefilter("always", ReplacementWarning)
            warnings.showwarning = lambda message, *_: click.echo(f"note: {message}", err=True)
            trained = train_model(
                own.get(model, model),
                code_size=code_size,
                data=data,
                data_dir=data_dir,
                epochs=epochs,
                seed=seed,
                recipe=recipe,
                learning_rate=learning_rate,
                output=folder,
                on_epoch=lambda each: click.echo(
                    f"epoch {each.epoch} of {epochs}: training cross-entropy {each.train_cross_entropy:.2f}"
                ),
            )
    except InputError as error_of_input:
        click.echo(f"error: {error_of_input}", err=True)
        sys.exit(2)
    test = dataset.test.pixels
    told = f"squared error per test image: {trained.score(test):.2f}"
    if code_size <= test[0].size:  # PCA has no more components than there are pixels.
        by_pca = pca(dataset.training.pixels, test, code_size).errors["squared_error"].mean()
        told += f"; PCA with as many units: {by_pca:.2f}"
    click.echo(told)
    click.echo(f"model:  {folder}")
    loading, given = "from study.models import load_model; ", ""
    if not trained.module.architecture.layered:  # Weights alone do not say what builds a module.
        loading += "from pathlib import Path; from study.config.study_file import read_models; "
        given = f", models=read_models(Path({str(models)!r})).models"
    click.echo(f"next:   {loading}model = load_model({str(folder)!r}{given})")
