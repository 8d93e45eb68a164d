"""The published study: README and the report are what its rows say."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import findings_page
import findings_training
import findings_verdicts
import numpy as np
import pandas as pd
import publish_reference as publish
import pytest
import reference_study
import scipy.stats
from PIL import Image
from rich.console import Console

from analysis.drawing import Illustration, write_figures
from analysis.rendering.html import render_page
from analysis.report import comparison_tables, print_report
from analysis.results import ResultsError, StudyResults, load_study
from analysis.tables.headline import headline, headline_pairs
from analysis.tables.summary import summary
from analysis.tables.table import Absent, Table
from study.storage.schema import TABLES
from tests.synthetic import write_synthetic_study


@pytest.fixture(scope="module")
def results() -> StudyResults:
    """The published rows."""
    return load_study(publish.ROWS)


def test_readme_says_what_the_rows_say(results: StudyResults) -> None:
    """Answer, tables, verdicts, cost, aims and limits come out of the rows letter by letter, on every page."""
    for page, written in publish.make_pages(results).items():
        text = page.read_text(encoding="utf-8")
        assert publish.replace_parts(text, written) == text


def test_the_answer_is_worked_out_anew_from_the_files(results: StudyResults) -> None:
    """By pandas and SciPy alone: shares of PCA's error with their intervals, and who is better than whom."""
    trials, scores = (pd.read_parquet(publish.ROWS / name) for name in ("trials", "scores"))
    rows = trials.merge(scores, on="trial_id")
    rows = rows[(rows["phase"] == "confirm") & (rows["status"] == "complete") & (rows["split"] == "test")]
    rows = rows[rows["evaluator"] == "reconstruction"]
    clipped = rows["metric"] == "clipped_squared_error"  # of PCA alone, and not of rows of older versions
    reference = rows[(rows["architecture"] == "pca") & (clipped | (not clipped.any()))]
    pca: pd.Series[float] = reference.groupby("code_size")["value"].mean()
    rows = rows[rows["metric"] == "squared_error"]
    tuned = rows[rows["arm"] == "tuned"].assign(share=lambda frame: frame["value"] / frame["code_size"].map(pca))
    cells = tuned.groupby(["architecture", "code_size"])["share"].agg(["mean", "var", "count"])
    sizes = tuned["code_size"].nunique()

    def sum_up(*models: str) -> tuple[float, float]:
        """Return standard error and degrees of freedom of the average of one model, or of the difference of two."""
        part = pd.concat([cells.loc[model] for model in models])
        variances = part["var"] / part["count"] / sizes**2
        return variances.sum() ** 0.5, variances.sum() ** 2 / (variances**2 / (part["count"] - 1)).sum()

    means = cells["mean"].groupby("architecture").mean()
    told = headline(results)
    assert isinstance(told, Table)
    said = told.frame[told.frame["arm"] == "tuned"].set_index("architecture")
    ranked = ["model_1", "model_2", "model_4", "model_5", "unpool_only"]
    assert sorted(said.index) == ranked
    for model in ranked:
        error, freedom = sum_up(model)
        assert said["share"][model] == pytest.approx(100 * means[model])
        assert said["share_half_width"][model] == pytest.approx(100 * error * scipy.stats.t.ppf(0.975, freedom))
    p_values = {}
    for pair in itertools.combinations(ranked, 2):
        error, freedom = sum_up(*pair)
        p_values[pair] = 2 * scipy.stats.t.sf(abs(means[pair[0]] - means[pair[1]]) / error, freedom)
    different = set()
    for place, (pair, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value * (len(p_values) - place) >= 0.05:
            break
        different.add(frozenset(pair))
    tests = headline_pairs(results)
    assert isinstance(tests, Table)
    found = tests.frame[(tests.frame["arm"] == "tuned") & (tests.frame["outcome"] == "better")]
    average = found[found["code_sizes"] == said["code_sizes"].iloc[0]]
    assert {frozenset(pair) for pair in zip(average["architecture"], average["other"], strict=True)} == different
    first, nearest = str(means[ranked].idxmin()), str(means[ranked].drop("model_4").idxmin())
    sentence = publish.make_parts(results)["answer"]
    error, freedom = sum_up(nearest, "model_4")
    difference = f"{100 * (means[nearest] - means['model_4']):+.1f}"
    half_width = f"{100 * error * scipy.stats.t.ppf(0.975, freedom):.1f}"
    assert f"{results.get_label(nearest)} minus Model 4 is {difference} ± {half_width} points (above 0" in sentence
    assert f"{said['share'][first]:.1f} ± {said['share_half_width'][first]:.1f}" in sentence


def test_every_mean_has_its_n_and_interval(results: StudyResults) -> None:
    """But for controls, which are computed once; what went wrong is counted for every model."""
    table = summary(results)
    assert isinstance(table, Table)
    trained = table.frame[table.frame["arm"] == "tuned"]
    for column in table.columns:
        if column.kind == "estimate":
            assert (trained[f"{column.name}_n"] >= 3).all()
            assert trained[f"{column.name}_half_width"].map(math.isfinite).all()
    assert trained[["diverged", "failed", "collapsed"]].notna().all(axis=None)


@pytest.fixture(scope="module")
def illustrations(
    results: StudyResults, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Illustration | Absent]]:
    """A folder with the figures drawn again from the rows but for t-SNE, which takes minutes, and what they are."""
    folder = tmp_path_factory.mktemp("report")
    return folder / "figures", write_figures(results, folder, tsne=False)


def test_the_page_is_made_again_from_the_rows(
    results: StudyResults, illustrations: tuple[Path, list[Illustration | Absent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word by word, but for t-SNE and the lines of figures; without the network, which no test has."""
    monkeypatch.chdir(publish.ROOT)
    again = load_study("docs/reference/rows")
    made, kept = (
        split_page(text)
        for text in (
            render_page(again, comparison_tables(again), illustrations[1], has_files=False),
            (publish.HERE / "report.html").read_text(encoding="utf-8"),
        )
    )
    assert set(kept) - set(made) == {"figure-codes_tsne"}
    gap = "<li>t-SNE of larger codes: left out as asked for</li>\n"
    for name, text in made.items():
        assert text.replace(gap, "") == kept[name], name


def split_page(text: str) -> dict[str, str]:
    """Return the parts of a page by their ids, without pictures, full precision, and what counts or lists figures."""
    text = re.sub(r' data-sort="[^"]*"|base64,[^"]*|<nav.*?</nav>|<p class="notice">.*?</p>', "", text, flags=re.DOTALL)
    begin, *parts = re.split(r'<(?:section|figure|footer) id="([^"]*)">', text)
    return {"": begin} | dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", publish.PICTURES[:3])
def test_the_pictures_of_readme_are_drawn_again_from_the_rows(
    name: str, illustrations: tuple[Path, list[Illustration | Absent]]
) -> None:
    """But for the edges of letters and lines, which another library may smooth otherwise."""
    made = publish.reduce_picture(illustrations[0] / f"{name}.png").convert("L")
    kept = Image.open(publish.HERE / f"{name}.png").convert("L")
    assert made.size == kept.size
    assert np.abs(np.asarray(made, dtype=float) - np.asarray(kept, dtype=float)).mean() < 1


def test_docs_hold_what_is_shown_and_nothing_large_else() -> None:
    """Of the published study rows, page and the pictures of two READMEs; a file over 1 MB is rows or the page."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=publish.ROOT, capture_output=True, text=True, check=True)
    names = [name for name in tracked.stdout.split("\0") if name and (publish.ROOT / name).exists()]
    large = [name for name in names if (publish.ROOT / name).stat().st_size > 1e6]
    assert all(re.match(r"docs/reference/(\w+/)?rows/|docs/reference/report\.html$", name) for name in large), large
    for page, folder, pictures in (
        (publish.README, "docs/reference/", publish.PICTURES[:1]),
        (publish.PAGE, "", publish.PICTURES),
    ):
        shown = re.findall(rf"\({folder}(\w+)\.png\)", page.read_text(encoding="utf-8"))
        assert shown == list(pictures)
    begun = {Path(piece.folder).parts[0] for piece in reference_study.PIECES.values()}
    assert {path.name for path in publish.HERE.iterdir()} - begun | {publish.ROWS.name} == {
        "README.md",
        "report.html",
        "rows",
        "gpu-search",
        *(f"{name}.png" for name in publish.PICTURES),
    }


def test_no_folder_of_a_machine_is_published() -> None:
    """Launches are commands that anyone can give."""
    for folder in (publish.ROWS, publish.BEGUN):
        for launch in json.loads((folder / "study.json").read_text())["launches"]:
            assert "-dir" not in launch["command"]
            assert re.match(r"study/launch\.py( [^/]|$)", launch["command"])
            assert " /" not in launch["command"]
        assert not (folder / "weights").exists()


def test_a_study_is_published_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and report are replaced, README's parts written anew and the rest of it left alone."""
    study = write_synthetic_study(tmp_path / "study", codes=True, mishaps={})
    manifest = json.loads((study / "study.json").read_text())
    manifest["launches"][0]["command"] = "study/launch.py --data-dir /x --preset quick --results-dir=/y"
    shutil.rmtree(study / "image_scores")  # as of a version that knew no such table
    (study / "study.json").write_text(json.dumps(manifest))
    (tmp_path / "reference").mkdir()
    for name in ("ROWS", "REPORT"):
        monkeypatch.setattr(publish, name, tmp_path / name)
    monkeypatch.setattr(publish, "HERE", tmp_path / "reference")
    shutil.copytree(study, publish.ROWS)
    pages = {
        "README": ("answer", "budget", "summary"),
        "PAGE": ("summary", "findings", "launches", "protocol", "cost", "aims", "begun search"),
        "FINDINGS": (
            *("in short", "models", "protocol", "reconstruction", "losses", "answers", "codes", "pixels", "clusters"),
            *("whitening", "published", "reliance", "search", "chosen", "stability", "rates", "ablations"),
            *("verdicts", "limits"),
        ),
    }
    for page, names in pages.items():
        monkeypatch.setattr(publish, page, tmp_path / f"{page}.md")
        marked = "".join(f"<!-- {name} -->\nREPLACED\n<!-- end of {name} -->\n" for name in names)
        getattr(publish, page).write_text(f"before\n{marked}after\n")
    assert publish.main([str(study)]) == 0
    for page, names in pages.items():
        text = getattr(publish, page).read_text()
        assert text.startswith(f"before\n<!-- {names[0]} -->\n")
        assert text.endswith(f"<!-- end of {names[-1]} -->\nafter\n")
        assert "REPLACED" not in text
    assert "<!-- answer -->\n- A trial run: " in publish.README.read_text()
    assert sorted(path.name for path in publish.ROWS.iterdir()) == sorted([*{*TABLES} - {"image_scores"}, "study.json"])
    published = json.loads((publish.ROWS / "study.json").read_text())
    assert published["launches"][0]["command"] == "study/launch.py --preset quick"
    made = {"report.html", *(f"{name}.png" for name in publish.PICTURES)}
    assert {path.name for path in publish.HERE.iterdir()} == made


def test_the_page_says_how_much_was_still_learned_at_the_end(results: StudyResults) -> None:
    """Between two thirds of the epochs and the last, mean of the seeds; the least and the most of the models."""
    trials = results.trials.set_index("trial_id")
    epochs = results.epochs.set_index(["trial_id", "epoch"])["train_squared_error"]
    fell = {}
    for name in ("model_1", "model_2", "model_4", "model_5", "unpool_only"):
        own = trials[(trials["phase"] == "confirm") & (trials["arm"] == "tuned") & (trials["architecture"] == name)]
        assert {*own["epochs"]} == {12}
        fell[results.get_label(name)] = sum(epochs[each, 8] - epochs[each, 12] for each in own.index) / len(own)
    (low, least), *_, (high, most) = sorted(fell.items(), key=lambda item: item[1])
    told = findings_training.describe_last_third(results)
    assert f"by {least:.2f} ({low}) to {most:.2f} ({high}) in arm `tuned`" in told
    assert told in findings_page.make_findings_parts(results)["limits"]


def test_a_launch_of_the_published_study_ends_on_one_screen(
    results: StudyResults, capsys: pytest.CaptureFixture[str]
) -> None:
    """60 lines of 80 characters: all four metrics, the answer, and six lines of paths, next steps and time."""
    print_report(results, comparison_tables(results), Console(width=80))
    shown = capsys.readouterr().out
    assert shown.count("\n") <= 60 - 6
    assert "Hidden" not in shown and "Failed" not in shown
    assert "Seeds per model: 5. No run diverged, failed or collapsed." in " ".join(shown.split())
    assert re.search(r"^Model 4 +7\.49 ± \d.* a +3\.70 ± .* a +1\.60 ± .* a +0\.867 ± .* a", shown, re.MULTILINE)


def test_the_page_says_how_seeds_scatter_and_how_much_is_lost_on_test_images(results: StudyResults) -> None:
    """Worked out from the rows by hand: by finalist, and by model."""
    trials = results.trials[results.trials["status"] == "complete"]
    differ = []
    last = trials[(trials["phase"] == "search") & (trials["epochs"] == 12)]
    for _, finalist in last.groupby(["architecture", "number"], observed=True):
        first, second = finalist["validation_cross_entropy"]
        differ.append(abs(first - second))
    told = findings_training.describe_search(results)
    assert f"in the median of {len(differ)} finalists, and by {max(differ):.2f} at most" in told
    scores = results.scores.query("split == 'test' and evaluator == 'reconstruction' and metric == 'squared_error'")
    lost = {}
    for name in ("model_1", "model_2", "model_4", "model_5", "unpool_only", "classic_autoencoder"):
        own = trials[(trials["phase"] == "confirm") & (trials["arm"] == "tuned") & (trials["architecture"] == name)]
        errors = scores[scores["trial_id"].isin(own["trial_id"])]["value"]
        lost[name] = errors.mean() - own["train_squared_error"].mean()
    classic = lost.pop("classic_autoencoder")
    assert findings_training.describe_generalisation(results) == (
        f"Squared error is higher on test images than on training images, by {min(lost.values()):.1f} to "
        f"{max(lost.values()):.1f} for ranked models and by {classic:.1f} for the classic auto-encoder."
    )


def test_a_study_without_the_authors_recipe_says_so_once(tmp_path: Path) -> None:
    """Not claim by claim; the verdicts in our recipe stand beneath."""
    study = load_study(write_synthetic_study(tmp_path / "study", arms=("tuned",), code_sizes=(10,)))
    parts = findings_page.make_findings_parts(study)
    assert parts["published"] == "No model was trained so."
    theirs, ours = parts["verdicts"].split("**In our recipe:**")
    assert theirs.count("not testable") == theirs.count("no model was trained so") == 1
    assert "claim 2" in ours


def test_the_page_says_what_holds_without_model_3_and_which_models_had_another_recipe(tmp_path: Path) -> None:
    """And the largest difference of ranked models beside the margin, only where it is smaller."""
    study = load_study(write_synthetic_study(tmp_path / "study", code_sizes=(10,)))
    recipes = study.trials["recipe"].mask(study.trials["architecture"] == "classic_autoencoder", "muon")
    changed = dataclasses.replace(study, trials=study.trials.assign(recipe=recipes))
    parts = findings_page.make_findings_parts(changed)
    assert "recipe `modern`; Classic auto-encoder: `muon` |" in parts["protocol"]
    assert "- *contradicted* (without Model 3: supported), claim 4: " in parts["verdicts"]
    errors = study.scores[study.scores["trial_id"].str.contains("confirm-model_4-10-published")]
    errors = errors[(errors["evaluator"] == "reconstruction") & (errors["metric"] == "squared_error")]
    mean = errors.loc[errors["split"] == "test", "value"].mean()
    assert re.search(rf"^\| Model 4 \| {mean:.2f} ", parts["published"], re.MULTILINE), parts["published"]
    assert "**Margins.**" not in parts["limits"]


def test_the_page_says_which_verdicts_would_be_others_with_codes_that_are_not_whitened(tmp_path: Path) -> None:
    """Model 4 is worse than others by k-means of raw codes alone; where it is in neither, nothing would change."""
    study = load_study(write_synthetic_study(tmp_path / "study", code_sizes=(10,), mishaps={}))
    accuracy = study.scores["metric"] == "accuracy"
    values = study.scores["value"].mask(accuracy & (study.scores["evaluator"] == "k_means_whitened"), 0.5)
    alike = values.mask(accuracy, 0.5)
    for scores, told in (
        (values, "claim 5 in our recipe contradicted, with whitened ones not decided"),
        (alike, "every verdict below would be the same"),
    ):
        changed = dataclasses.replace(study, scores=study.scores.assign(value=scores))
        assert told in findings_verdicts.describe_whitening(changed)


def test_what_cannot_be_published_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many rows, no study, or a README without the parts."""
    study = write_synthetic_study(tmp_path / "study", code_sizes=(10,))
    monkeypatch.setattr(publish, "ROWS", tmp_path / "rows")
    assert publish.main([str(tmp_path / "nothing")]) == 2
    monkeypatch.setattr(publish, "MOST_BYTES", 1000)
    assert publish.main([str(study)]) == 2
    assert "20 MiB at most" in capsys.readouterr().err
    assert not publish.ROWS.exists()
    with pytest.raises(ValueError, match="part summary is marked 0 times"):
        publish.replace_parts("", {"summary": ""})
    with pytest.raises(ResultsError, match="finish the study first"):
        publish.make_parts(
            load_study(write_synthetic_study(tmp_path / "other", architectures=("model_4",), arms=("published",)))
        )
