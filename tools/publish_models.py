"""Put trained models of a finished study into the package: weights in half precision, a card each, what pages say.

::

    python tools/publish_models.py results/sample-mnist                  # the model that is first, all code sizes
    python tools/publish_models.py results/sample-mnist model_4-code10   # of these cells
    python tools/publish_models.py                                       # what pages say, anew from the cards

Of a cell it is the first seed of the tuned arm, which was to be taken whatever it scores. The parts of README and
docs/models.md between ``<!-- pretrained -->`` and ``<!-- end of pretrained -->`` are written anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from publish_reference import ROOT, replace_parts

from analysis.results import ResultsError, StudyResults, load_study
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.headline import compare_headline
from analysis.stats.intervals import summarise
from analysis.stats.metrics import SQUARED_ERROR, SUMMARY, Metric, select_metric, settle_metrics
from analysis.tables.headline import select_average
from analysis.tables.summary import answers
from study.models import PRETRAINED, find_model
from study.storage.store import Store
from trainables.checkpoint import pack_weights, unpack_weights
from trainables.data.datasets import DATASETS, load_dataset
from trainables.data.images import Dataset
from trainables.evaluation.evaluate import evaluate_codes
from trainables.inference import TrainedModel

README, MODELS = ROOT / "README.md", ROOT / "docs" / "models.md"
PART = "pretrained"
DATA = re.compile(r"^\| Data set \| ([^|]+) \|", re.MULTILINE)
"""Of both."""
ROUNDING = 0.001
"""Share of its squared error by which half precision may change a model's; what changes more is refused."""
NUMBER = 1
"""Of the seed whose model is taken, in its cell."""


def find_first(results: StudyResults) -> str:
    """Return the model that is first in the headline contrast: of the least squared error over all code sizes.

    Raises:
        ResultsError: no model has enough seeds to be compared.
    """
    models = select_average(compare_headline(results)[0])
    shares = models[models["arm"] == "tuned"].set_index("architecture")["share"].dropna()
    if shares.empty:
        raise ResultsError(
            f"{results.path}: no model of the tuned arm can be compared", "3 seeds beside PCA", "finish the study first"
        )
    return str(shares.idxmin())


def choose_trials(results: StudyResults, cells: Sequence[str]) -> list[dict[Hashable, Any]]:
    """Return the first seed's trial of each cell, by default of all cells of the model that is first.

    Their ``cell`` is called as its files are.

    Raises:
        ResultsError: the first seed of a cell is not complete, or no model is first.
    """
    trials = results.trials[(results.trials["phase"] == "confirm") & (results.trials["arm"] == "tuned")]
    named = trials["architecture"].astype("str") + "-code" + trials["code_size"].astype("str")
    trials = trials.assign(cell=named).sort_values("code_size")
    wanted = list(cells) or [*trials.loc[trials["architecture"] == find_first(results), "cell"].unique()]
    found = trials[(trials["number"] == NUMBER) & (trials["status"] == "complete")].set_index("cell", drop=False)
    if missing := [cell for cell in wanted if cell not in found.index]:
        raise ResultsError(
            f"{results.path}: seed {NUMBER} of {missing[0]} is not complete",
            f"cells of which it is: {', '.join(found.index) or 'none yet'}",
            "name some of these, or finish the study first",
        )
    return found.loc[wanted].to_dict("records")


def publish(results: StudyResults, trial: Mapping[Hashable, Any], data_dir: Path | None, folder: Path) -> None:
    """Write weights and card of a trial.

    Raises:
        ResultsError: its weights or data are not there, or half precision changes its squared error too much.
    """
    cell = trial["cell"]
    store = Store(results.path)
    row, model = find_model(store, trial["trial_id"])
    dataset = load_dataset(store.require_study()["config"]["dataset"], data_dir)
    if dataset.sha256 != row["dataset_sha256"]:
        raise ResultsError(
            f"{dataset.name} of SHA-256 {dataset.sha256}", f"{row['dataset_sha256']}, as the rows have it", "restore it"
        )
    content = pack_weights(model.module.half(), model.settings, row["trial_id"])
    measured = measure(TrainedModel(*unpack_weights(content, cell)), dataset, row["seed"])
    figures = tabulate_figures(results, trial, measured)
    before, after = (figures[SQUARED_ERROR][column] for column in ("single", "half"))
    if not abs(after - before) <= ROUNDING * before:
        raise ResultsError(
            f"{cell}: in half precision its squared error is {after:.4g}, not {before:.4g}",
            f"a model that rounding changes by {ROUNDING:.1%} at most",
            "look at its weights: some are too large or too small for float16",
        )
    folder.mkdir(exist_ok=True)
    (folder / f"{cell}.safetensors").write_bytes(content)
    card = write_card(results, trial, row, model, content, figures)
    (folder / f"{cell}.md").write_text(card, encoding="utf-8")


def measure(model: TrainedModel, dataset: Dataset, seed: int) -> dict[tuple[str, str], float]:
    """Return what a model scores on the test images by evaluator and metric; classifiers learn from training codes."""
    codes = [model.encode(images.pixels) for images in (dataset.training, dataset.test)]
    scores = evaluate_codes(codes[0], dataset.training.labels, codes[1], dataset.test.labels, seed)
    values = {(score.evaluator, score.metric): score.value for score in scores}
    return values | {SQUARED_ERROR.key: model.score(dataset.test.pixels)}


def tabulate_figures(
    results: StudyResults, trial: Mapping[Hashable, Any], measured: Mapping[tuple[str, str], float]
) -> dict[Metric, dict[str, float]]:
    """Return of each metric its value in half precision, in single as the rows have it, and the mean of the seeds.

    As half, single, and mean, half_width and n of the seeds of the trial's cell.
    """
    scores = select_confirmed_scores(results)
    own = scores[(scores["arm"] == "tuned") & (scores["architecture"] == trial["architecture"])]
    own = own[own["code_size"] == trial["code_size"]]
    figures = {}
    for metric in settle_metrics(scores, SUMMARY):
        values = select_metric(own, metric)
        if len(values):
            (seeds,) = summarise(values, ["arm"]).to_dict("records")
            single = values.loc[values["trial_id"] == trial["trial_id"], "value"].item()
            figures[metric] = {"half": measured[metric.key], "single": float(single)} | {
                name: float(seeds[name]) for name in ("mean", "half_width", "n")
            }
    return figures


def write_card(
    results: StudyResults,
    trial: Mapping[Hashable, Any],
    row: Mapping[str, Any],
    model: TrainedModel,
    content: bytes,
    figures: Mapping[Metric, Mapping[str, float]],
) -> str:
    """Return the card of a model, Markdown: what it is, what it scores, what it was made of and by whom."""
    cell, architecture = trial["cell"], trial["architecture"]
    counts, shown, side = results.manifest["dataset"], results.models[architecture], model.module.image_size
    size, said = row["code_size"], [f" {sentence}" for sentence in answers(results)[:1]]
    data = {
        "Data set": row["dataset"],
        "Source": DATASETS[row["dataset"]].source if row["dataset"] in DATASETS else None,
        "Training images": f"{row['train_images']:,}",
        "Test images": f"{counts['test_images']:,}",
        "SHA-256 of images and labels": row["dataset_sha256"],
    }
    versions = json.loads(row["versions"])
    origin = {
        "Study": f"{row['study']}, SHA-256 {row['study_sha256']}",
        "Trial": row["trial_id"],
        "Seed": row["seed"],
        "Commit": f"{row['git_commit'] or 'unknown'}{' with local changes' if row['git_dirty'] else ''}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Hardware": f"{row['device']}, engine {row['engine']}",
        "Training and evaluation": f"{row['seconds'] / 60:.1f} minutes, until {row['finished_at']:%Y-%m-%d %H:%M} UTC",
    }
    return f"""# {shown.label}, code size {size}

An auto-encoder of grey images of {side}x{side} pixels with a code of {size} numbers: {shown.notation}.

```python
from study.models import pretrained

model = pretrained("{architecture}", code_size={size})
```

`{cell}.safetensors` holds {row["parameters"]:,} weights and biases in half precision (float16), which are computed
with in single precision: {len(content) / 1e6:.2f} MB, SHA-256 `{hashlib.sha256(content).hexdigest()}`.

It is seed {NUMBER} of its cell in the study, which was to be taken whatever it scores.{"".join(said)}
These weights were trained on the images below alone: what they make of other kinds of images is left to chance.

## Figures

On the {counts["test_images"]:,} test images. They trained nothing and chose no setting, but which of the study's models
comes with the package.

{format_figures(figures)}

± is half of the 95 % interval of the mean over seeds (number in brackets). Classifiers are fitted to the codes of the
training images and see nothing else.

## Data

{format_facts(data)}

No image is in the file. Nothing is said here of the terms of the data.

## Recipe

{format_facts(model.settings.as_dict())}

## Origin

{format_facts(origin)}

## Licence

MIT, as all of cae-study.
"""


def format_figures(figures: Mapping[Metric, Mapping[str, float]]) -> str:
    """Return `tabulate_figures` as a table, Markdown."""
    lines = ["| | These weights | The same in float32 | Seeds of the study |", "| :-- | --: | --: | --: |"]
    for metric, row in figures.items():
        texts = {name: f"{row[name]:.{metric.digits}f}" for name in ("half", "single", "mean", "half_width")}
        interval = f" ± {texts['half_width']}" if row["n"] > 1 else ""
        seeds = f"{texts['mean']}{interval} ({row['n']:.0f})"
        lines.append(f"| {metric.header} | {texts['half']} | {texts['single']} | {seeds} |")
    return "\n".join(lines)


def format_facts(facts: Mapping[str, object]) -> str:
    """Return facts as a table, Markdown; what is None is not shown."""
    shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in facts.items()}
    lines = [f"| {name} | {value} |" for name, value in shown.items() if value is not None]
    return "\n".join(["| | |", "| :-- | :-- |", *lines])


def read_figures(card: str) -> dict[str, str]:
    """Return what a card says of its weights, as it is written, by the names of the metrics."""
    table = card.partition("\n## Figures\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| ([^|:]+) \| ([^|]+) \|", table, re.MULTILINE))


def make_pages(folder: Path) -> dict[Path, dict[str, str]]:
    """Return the parts of README and docs/models.md that say which models ``folder`` has; Markdown."""
    cards = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    cells = sorted(cards, key=lambda cell: (cell.rpartition("-code")[0], int(cell.rpartition("-code")[2])))
    if not cells:
        return {README: {PART: ""}, MODELS: {PART: "No trained model comes with this version."}}
    calls = {cell: 'pretrained("{}", code_size={})'.format(*cell.split("-code")) for cell in cells}
    first = calls[min(cells, key=lambda cell: cell.rpartition("-code")[2] != "10")]
    readme = (
        f"`{first}` of `study.models` gives a trained model "
        "([cards and scores](docs/models.md#trained-models-of-the-package))."
    )
    names = list(dict.fromkeys(name for cell in cells for name in read_figures(cards[cell])))
    header = ["Model", *names, "Card"]
    lines = [f"| {' | '.join(header)} |", f"| :-- |{' --: |' * len(names)} :-- |"]
    for cell in cells:
        figures = read_figures(cards[cell])
        values = " | ".join(figures.get(name, "—") for name in names)
        lines.append(f"| `{calls[cell]}` | {values} | [{cell}](../study/pretrained/{cell}.md) |")
    block = (
        "```python",
        "from study.models import pretrained",
        "",
        f"published = {first}",
        "print(published.encode(digits.test.pixels).shape)",
        "```",
    )
    data = " or ".join(sorted({name for card in cards.values() for name in DATA.findall(card)}))
    text = (
        "Each is the first seed of its cell in a study, in half precision; its card has data, recipe, figures with "
        "intervals\nand the trial that made it. It encodes, decodes and serves scikit-learn as any trained model does. "
        f"Each was trained on\n{data} alone, of which the figures are: other images, as the digits here, it "
        "reconstructs badly."
    )
    return {README: {PART: readme}, MODELS: {PART: "\n".join((*block, "", *lines, "", text))}}


def write_pages(pages: Mapping[Path, Mapping[str, str]]) -> None:
    """Write the parts of pages anew."""
    for page, written in pages.items():
        page.write_text(replace_parts(page.read_text(encoding="utf-8"), written), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Publish models; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="publish_models.py", description="Put trained models of a finished study into the package."
    )
    parser.add_argument("study", nargs="?", metavar="RESULTS", help="folder (default: pages anew from what is there)")
    parser.add_argument("cells", nargs="*", metavar="CELL", help="model_4-code10, ... (default: of the first model)")
    parser.add_argument(
        "--data-dir", type=Path, help="folder that holds mnist/ (default: CAE_STUDY_DATA, or downloaded)"
    )
    arguments = parser.parse_args(argv)
    try:
        if arguments.study is not None:
            results = load_study(arguments.study)
            for trial in choose_trials(results, arguments.cells):
                publish(results, trial, arguments.data_dir, PRETRAINED)
                print(f"{trial['cell']}: {trial['trial_id']}")
        write_pages(make_pages(PRETRAINED))
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
