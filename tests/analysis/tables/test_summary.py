"""Who is better than whom by how much, and what is not known: the sentences and the table at the top of a report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.figures.errors import error_by_code_size
from analysis.figures.style import Drawing
from analysis.rendering import text as rendering
from analysis.rendering.html import render_page
from analysis.report import format_report
from analysis.results import StudyResults, load_studies, load_study
from analysis.stats.metrics import SQUARED_ERROR
from analysis.tables.headline import list_confidences
from analysis.tables.scores import CLUSTERING, reconstruction, score_table
from analysis.tables.summary import _say_order, _say_what_decides, answers, summary
from analysis.tables.table import Absent, Table
from tests.analysis.tables.cells import look_at
from tests.synthetic import true_score, write_synthetic_study


def study(folder: Path, **arguments: object) -> StudyResults:
    """Return a study of models 3, 4, 5 and the classic auto-encoder, in which nothing goes wrong."""
    architectures = ("model_3", "model_4", "model_5", "classic_autoencoder")
    defaults: dict[str, object] = {"architectures": architectures, "code_sizes": (10,), "seeds": 5, "mishaps": {}}
    return load_study(write_synthetic_study(folder, **(defaults | arguments)))  # type: ignore[arg-type]


def say(results: StudyResults) -> list[str]:
    """Return the answer without the sentence on trainings so short as those of these studies."""
    return [sentence for sentence in answers(results) if "A trial run: " not in sentence]


def test_who_is_better_than_whom_is_said_with_its_distance(tmp_path: Path) -> None:
    """Model 5 has 12.0, model 4 13.6; model 3 has 40 % of errors and is not ranked by its 1.4; controls never are."""
    trial_run, which, classic, better, columns, training, ours = answers(study(tmp_path))
    runs = {
        name: [true_score(*SQUARED_ERROR.key, name, 10, "tuned", n) for n in range(1, 6)]
        for name in ("model_4", "model_5")
    }
    share = 100 * np.mean(runs["model_5"]) / 26.71
    assert which.startswith("Model 5 has the lowest squared error: on 360 test images it is ")
    assert f"is {share:.1f} ± " in which
    assert " % of PCA's 26.71 (not clipped to [0, 1]), at code size 10; " in which
    test = scipy.stats.ttest_ind(runs["model_4"], runs["model_5"], equal_var=False)
    interval = test.confidence_interval(0.95)
    middle, half = (interval.high + interval.low) / 2 / 0.2671, (interval.high - interval.low) / 2 / 0.2671
    by = f"by {middle:.1f} ± {half:.1f} (95 % intervals)."
    assert better == f"In percentage points of PCA's error, Model 5 is better than Model 4, {by}"
    assert f"; Model 5 minus Model 4 is {-middle:+.1f} ± {half:.1f} points (above 0: Model 4 is better)." in which
    assert classic.startswith("The classic auto-encoder, a control (fully connected, ")
    assert "Model 3 in 2" in columns and columns.startswith("In 3 comparisons of all models (")
    assert training == "Each was trained from at least 5 seeds, for 4 epochs of 1,437 images."
    assert ours == "No public source defines Model 5: it is ours."
    assert not any("lassic" in sentence for sentence in (better, columns))
    assert trial_run.startswith("A trial run: 4 epochs of 1,437 images cannot say which model is best; ")


def test_models_and_their_shares_are_named_in_one_order(tmp_path: Path) -> None:
    """The lowest is first, also where the table of models has it last."""
    near = {"model_4": (13.0, 14.0, 12.0), "model_5": (12.5, 13.2, 12.3)}
    which, *_ = say(having_squared_errors(study(tmp_path, seeds=3), **near))
    shares = [f"{np.mean(near[name]) / 0.2671:.1f}" for name in ("model_5", "model_4")]
    assert which.startswith("Model 5 and Model 4 are not shown to differ")
    assert re.search(rf"they are {shares[0]} ± \S+ and {shares[1]} ± \S+ % of PCA", which)


def test_names_with_a_comma_are_told_apart_in_lists(tmp_path: Path) -> None:
    """As those of models by other objectives."""
    results = study(tmp_path, architectures=("model_1", "model_3", "model_4", "model_5"))
    models = {**results.models, "model_3": dataclasses.replace(results.models["model_3"], label="Model 3, denoising")}
    (columns,) = (each for each in say(dataclasses.replace(results, models=models)) if each.startswith("In 3"))
    assert re.search(r"worse than some model: Model 1 in 3; .*Model 3, denoising in 2; Model", columns)


def test_long_trainings_are_no_trial_run(tmp_path: Path) -> None:
    """The bound counts images of all epochs: 4 epochs of 25,000 are enough, of 24,999 they are not."""
    results = study(tmp_path)
    for images, said in ((25_000, False), (24_999, True)):
        longer = dataclasses.replace(results, trials=results.trials.assign(train_images=images))
        assert any("trial run" in sentence for sentence in answers(longer)) is said


def test_trial_runs_of_different_budgets_are_told_by_their_most_images(tmp_path: Path) -> None:
    """Epochs and images where every training took the same, or else the largest product; other arms do not count."""
    results = study(tmp_path, architectures=("model_4", "model_5"), seeds=3)
    tuned = results.trials["arm"] == "tuned"
    fifth = tuned & (results.trials["architecture"] == "model_5")
    for rows, epochs, told in (
        (fifth, 6, "8,622 images per training"),
        (~tuned, 6, "4 epochs of 1,437 images"),
        (tuned, 1, "1 epoch of 1,437 images"),
    ):
        planned = results.trials["epochs_planned"].mask(rows, epochs)
        found = answers(dataclasses.replace(results, trials=results.trials.assign(epochs_planned=planned)))
        assert found[0].startswith(f"A trial run: {told} cannot say which model is best; ")


def test_the_best_models_are_held_against_pca_itself(tmp_path: Path) -> None:
    """It is said where the intervals of all of them reach what PCA has, 26.71, and not where that of one does not."""
    results = study(tmp_path, architectures=("model_1", "model_4"), seeds=3)
    above, below = (26.0, 27.0, 26.5), (24.0, 24.1, 24.2)
    which, *_ = say(having_squared_errors(results, model_1=above, model_4=above))
    assert which.endswith("None of them is shown to be better than PCA.")
    which, *_ = say(having_squared_errors(results, model_1=above, model_4=below))
    assert "None of them" not in which


@pytest.mark.parametrize(
    ("errors", "place"),
    [
        ((7.0, 7.1, 7.2), "a lower error"),
        ((20.0, 20.4, 20.2), "a higher error"),
        ((12.2, 12.3, 12.1), "an error not shown to differ from those of Models 4 and 5"),
        ((12.2, 13.0, 13.3), "an error not shown to differ from those of Models 4 and 5"),
        ((14.2, 14.22, 14.21), "an error not shown to differ from that of Model 4"),
    ],
)
def test_the_classic_auto_encoder_is_named_beside_the_best(
    errors: tuple[float, ...], place: str, tmp_path: Path
) -> None:
    """Whether it reconstructs better or worse than the best model or models, with its interval over three seeds."""
    results = study(tmp_path, seeds=3)
    near = {"model_4": (12.0, 13.0, 11.0), "model_5": (12.5, 13.2, 12.3)}
    which, said, *_ = say(having_squared_errors(results, classic_autoencoder=errors, **near))
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(errors), scipy.stats.sem(errors))
    share, half = np.mean(errors) / 0.2671, (high - low) / 2 / 0.2671
    parameters = results.trials.set_index("architecture")["parameters"]["classic_autoencoder"].iloc[0] / 1e6
    assert which.startswith("Model 4 and Model 5 are not shown to differ")
    assert said == (
        f"The classic auto-encoder, a control (fully connected, {parameters:.1f} million parameters), has "
        f"{place}: {share:.1f} ± {half:.1f} %."
    )
    trials = results.trials.astype({"recipe": "object"})
    trials.loc[trials["architecture"] == "classic_autoencoder", "recipe"] = "caffe"
    apart = dataclasses.replace(results, trials=trials)
    _, said, *_ = say(having_squared_errors(apart, classic_autoencoder=errors, **near))
    assert said.endswith(
        " %. It was trained by recipe caffe, the ranked models by modern, so this does not compare architectures."
    )
    two = study(tmp_path / "two", seeds=3, mishaps={("classic_autoencoder", 10, "tuned", 1): "diverged"})
    assert not any("classic" in sentence for sentence in say(two))


def test_the_classic_auto_encoder_may_lie_between_models_that_no_look_has_judged(tmp_path: Path) -> None:
    """Apart from both of them, which are both the best as far as is known."""
    errors = {"model_4": (10.0, 10.1, 10.2), "model_5": (14.0, 14.1, 14.2), "classic_autoencoder": (12.0, 12.1, 12.2)}
    results = having_squared_errors(study(tmp_path, seeds=3), **errors)
    (said,) = [each for each in say(look_at(results, 0.01)) if each.startswith("The classic auto-encoder")]
    assert ", has an error between those of Models 4 and 5: " in said


def test_before_all_code_sizes_have_their_seeds_the_answer_is_of_one_that_has(tmp_path: Path) -> None:
    """No two models are confirmed at code size 30, all are at 10."""
    lost = {("model_4", 30, "tuned", number): "diverged" for number in (1, 2, 3)}
    results = study(tmp_path, architectures=("model_1", "model_4"), code_sizes=(10, 30), seeds=3, mishaps=lost)
    which, *_ = say(results)
    assert ", at code size 10; Model 1 minus Model 4 is " in which


def test_noise_is_called_equal_or_undecided(tmp_path: Path) -> None:
    """Two models with the same expected figures: nobody is better than the other."""
    results = study(tmp_path, architectures=("mine_1", "mine_2"), seeds=3)
    which, better, third, columns, *_ = say(results)
    assert re.match("mine_[12] and mine_[12] are not shown to differ in their squared errors: ", which)
    assert better == "No model is shown to be better than another."
    assert third.startswith(
        (
            "Not shown to differ, and equivalent within 5 % of PCA's error: mine_1",
            "Neither better nor equivalent is shown of mine_1",
        )
    )
    assert "mine_1 and mine_2 are never shown to be worse than another." in columns


def test_what_is_not_known_is_said_with_the_seeds_that_would_decide(tmp_path: Path) -> None:
    """Models 1 and 2 differ by a tenth, with deviations of half a unit and a margin of 1.3: three seeds are too few."""
    results = study(tmp_path, architectures=("model_1", "model_2", "model_4"), seeds=3)
    sentences = say(having_squared_errors(results, model_1=(10.0, 14.0, 12.0), model_2=(11.0, 13.5, 12.5)))
    (undecided,) = [sentence for sentence in sentences if sentence.startswith("Neither better nor equivalent")]
    assert re.search(
        r"Models 1 and 2 \(up to \d+\.\d % is possible; about \d+ seeds per model would decide\)",
        undecided,
    )


def test_what_is_better_by_less_than_the_margin_is_said_to_be(tmp_path: Path) -> None:
    """Of 26.71, model 4 is .1 better than 2 and 3 than 1: told apart both, and one of them within 5 %."""
    results = study(tmp_path, architectures=("model_1", "model_2", "model_4"), seeds=3)
    errors = {"model_1": (13.0, 13.01, 13.02), "model_2": (10.1, 10.11, 10.12), "model_4": (10.0, 10.01, 10.02)}
    _, better, *others = say(having_squared_errors(results, **errors))
    first, second = better.split("; ")
    assert re.match(
        r"In percentage points of PCA's error, Model 4 is better than Model 1, by 11\.2 ± 0\.\d, and than Model 2, "
        r"but by less than 5: 0\.4 ± 0\.\d$",
        first,
    )
    assert re.match(r"Model 2 is better than Model 1, by 10\.9 ± 0\.\d \(95 % intervals\)\.$", second)
    assert not any("quivalent" in sentence for sentence in others)
    _, better, *_ = say(having_squared_errors(results, **errors | {"model_1": (10.2, 10.21, 10.22)}))
    assert better.startswith(
        "All compared models lie within 5 % of PCA's error of one another. In percentage points of "
    )
    assert "by less than" not in better


@pytest.mark.parametrize(
    ("taus", "said"),
    [
        ((1.0, 1.0), "yes (1.00)"),
        ((0.8, 1.0), "mostly (0.80 to 1.00)"),
        ((0.6, 0.8), "partly (0.60 to 0.80)"),
        ((-0.2, 0.8), "no (-0.20 to 0.80)"),
        ((-1.0, -0.2), "no (-1.00 to -0.20)"),
        ((-1.0, -0.6), "no (-1.00 to -0.60)"),
        ((-1.0, -0.8), "no, rather the reverse (-1.00 to -0.80)"),
    ],
)
def test_whether_the_order_holds_is_answered(taus: tuple[float, ...], said: str) -> None:
    """By the lowest and the highest of Kendall's tau."""
    orders = pd.DataFrame({"varied": "code size", "tau": taus})
    asked = "Does the order of the models hold (Kendall's tau: 1 the same, 0 unrelated, -1 reversed)?"
    assert _say_order(orders) == f"{asked} Over code sizes {said}."


def test_a_model_of_two_seeds_is_named_and_leaves_nobody_best(tmp_path: Path) -> None:
    """It is not compared; the others are."""
    results = study(tmp_path, architectures=("model_1", "model_4", "model_5"), mishaps={
        ("model_1", 10, "tuned", number): "diverged" for number in (1, 2, 3)})  # fmt: skip
    sentences = say(results)
    assert sentences[0].startswith("Model 5 may have the lowest squared error: ")
    assert "Not compared for want of 3 seeds: Model 1." in sentences


@pytest.mark.parametrize(("values", "told"), [((70.0, 70.1, 70.2), "lower than"), ((70.0, 70.1, 90.0), "not shown")])
def test_who_is_first_by_the_loss_of_training_is_said_where_it_is_another(
    values: tuple[float, ...], told: str, tmp_path: Path
) -> None:
    """Model 4 has the lowest squared error; model 5 the lowest cross-entropy; nothing where model 4 has that, too."""
    results = having(study(tmp_path, seeds=3), "squared_error", model_4=(9.0, 9.1, 9.2))
    results = having(results, "cross_entropy", model_5=values, model_4=(80.0, 80.1, 80.2))
    which, loss, *_ = say(results)
    assert which.startswith("Model 4 ")
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(values)
    assert loss.startswith("By cross-entropy, ")
    assert f"at code size 10 Model 5 has {np.mean(values):.2f} ± {half:.2f}, {told}" in loss
    assert " Model 4 with 80.10 ± 0.25 nats per test image (difference " in loss
    welch = scipy.stats.ttest_ind((80.0, 80.1, 80.2), values, equal_var=False)
    width = (welch.confidence_interval().high - welch.confidence_interval().low) / 2
    assert f"(difference {80.1 - np.mean(values):.2f} ± {width:.2f}, Holm-adjusted p " in loss
    without = say(having(results, "cross_entropy", model_5=(99.0,) * 3))
    assert not any(sentence.startswith("By cross-entropy") for sentence in without)


def test_what_cross_entropy_was_to_a_study_is_said_as_it_was(tmp_path: Path) -> None:
    """Its search may have minimised another metric, its trainings another loss or objective."""
    results = having(study(tmp_path, seeds=3), "squared_error", model_4=(9.0, 9.1, 9.2))
    results = having(results, "cross_entropy", model_5=(70.0, 70.1, 70.2), model_4=(80.0, 80.1, 80.2))
    (plain,) = results.studies
    identity = {**plain.manifest.get("identity", {}), "search_metric": "squared_error"}
    searched = dataclasses.replace(plain, manifest={**plain.manifest, "identity": identity})
    by_both = results.trials.assign(loss="both")
    denoised = results.trials.assign(objective="denoising")
    for changes, told in (
        ({}, "By cross-entropy, the loss that all were trained by and the search minimised, another model"),
        ({"studies": (searched,)}, "By cross-entropy, the loss that all were trained by, another model"),
        ({"trials": by_both}, "By cross-entropy, which the search minimised, another model comes first: at code size"),
        ({"trials": denoised}, "By cross-entropy, which the search minimised, another model"),
        ({"trials": by_both, "studies": (searched,)}, "By cross-entropy another model comes first: at code size 10 "),
    ):
        assert say(dataclasses.replace(results, **changes))[1].startswith(told)


def test_a_model_that_leads_by_both_metrics_at_a_code_size_is_none_by_the_loss_alone(tmp_path: Path) -> None:
    """Over both code sizes model 4 has less squared error; at 10 model 5 leads, whichever of the two is asked for."""
    results = study(tmp_path, seeds=3, architectures=("model_4", "model_5"), code_sizes=(10, 30))
    for metric in ("squared_error", "cross_entropy"):
        results = having(results, metric, model_4=(12.0, 12.1, 12.2), model_5=(11.0, 11.1, 11.2))
    scores = results.scores
    at_30 = scores["trial_id"].str.contains("model_5-30") & scores["metric"].isin(["squared_error", "cross_entropy"])
    worse = dataclasses.replace(results, scores=scores.assign(value=scores["value"].mask(at_30, scores["value"] + 20)))
    which, *others = say(worse)
    assert which.startswith("Model 4 ")
    assert not any(sentence.startswith("By cross-entropy") for sentence in others)


def test_a_model_without_a_run_to_its_end_is_named_and_leaves_nobody_best(tmp_path: Path) -> None:
    """As one with too few: all of its seeds diverged."""
    lost = {("model_1", 10, "tuned", number): "diverged" for number in range(1, 6)}
    results = study(tmp_path, architectures=("model_1", "model_4", "model_5"), mishaps=lost)
    sentences = say(results)
    assert sentences[0].startswith("Model 5 may have the lowest squared error: ")
    assert "Not compared for want of 3 seeds: Model 1." in sentences


def test_without_the_error_of_pca_that_is_what_is_missing(tmp_path: Path) -> None:
    """Not seeds: a study that was stopped before its controls has them all."""
    results = study(tmp_path)
    pca = results.scores["trial_id"].str.startswith("confirm-pca")
    (said,) = say(dataclasses.replace(results, scores=results.scores[~pca]))
    assert said.startswith("Nothing is compared: that takes PCA's error, which is not there. The lowest mean ")


def test_intervals_and_undecided_pairs_are_told_by_their_look() -> None:
    """Of a first look intervals are of 99.9 %; before it nobody reckons how many seeds a clear difference needs."""
    assert list_confidences([0.001, 0.001]) == "99.9"
    assert list_confidences([0.05, 0.011]) == "98.9 and 95"
    pair = pd.Series({"p_holm": 1e-9, "p_equivalent": 0.9, "level": 0.05, "seeds": pd.NA})
    assert _say_what_decides(pair) == "no look has judged it yet"
    assert _say_what_decides(pd.Series({**pair, "p_holm": 0.2})) == "over 1,000 seeds per model would decide"


def having_squared_errors(results: StudyResults, **errors: tuple[float, ...]) -> StudyResults:
    """Return ``results`` with these squared errors of the tuned runs of models."""
    return having(results, "squared_error", **errors)


def having(results: StudyResults, metric: str, **errors: tuple[float, ...]) -> StudyResults:
    """Return ``results`` with these values of a metric of the test images' reconstruction, of tuned runs of models."""
    scores, value = results.scores, results.scores["value"].copy()
    for name, values in errors.items():
        for number, new in enumerate(values, start=1):
            run = scores["trial_id"] == f"confirm-{name}-10-tuned-{number}"
            value[run & (scores["evaluator"] == "reconstruction") & (scores["metric"] == metric)] = new
    return dataclasses.replace(results, scores=scores.assign(value=value))


def test_the_table_shows_what_the_tables_of_each_kind_show(tmp_path: Path) -> None:
    """Figures, intervals, n and marks are theirs; the published arm and raw pixels are left out."""
    results = study(tmp_path)
    table = summary(results)
    assert isinstance(table, Table)
    assert set(table.frame["arm"]) == {"tuned", "control"}
    assert "Raw pixels" not in set(table.frame["label"])
    shown = {line.cells[0].text: line.cells for line in rendering.format_lines(table)}
    for whole, name, place in (
        (reconstruction(results), "reconstruction_squared_error", 1),
        (score_table(results, CLUSTERING), "k_means_whitened_accuracy", 4),
    ):
        assert isinstance(whole, Table)
        column = next(column for column in whole.columns if column.name == name)
        rows = whole.frame[
            whole.frame["arm"].isin(("tuned", "control")) & (whole.frame["architecture"] != "raw_pixels")
        ]
        for row in rows.to_dict("records"):
            assert shown[row["label"]][place] == rendering.format_cell(row, column)
    assert shown["Model 3"][1].mark == "†"
    assert [column.header for column in table.columns][-1] == "Failed runs"


def test_a_recipe_of_a_controls_own_is_said(tmp_path: Path) -> None:
    """Below the table, and only where it is another one than that of the ranked models."""
    results = study(tmp_path)
    control = results.trials["architecture"] == "classic_autoencoder"
    recipe = results.trials["recipe"].astype("str").mask(~control & (results.trials["arm"] == "tuned"), "muon")
    for trials, said in ((results.trials, 0), (results.trials.assign(recipe=recipe), 1)):
        table = summary(dataclasses.replace(results, trials=trials))
        assert isinstance(table, Table)
        told = "Classic auto-encoder was trained by recipe modern, the ranked models by muon."
        assert table.footnotes.count(told) == said
    # An ablation that tries the control's recipe on a ranked model makes no confirmed run of it.
    tried = trials[trials["architecture"] == "model_4"].head(1)
    tried = tried.assign(trial_id="ablate", phase="ablate", arm="tuned", recipe="modern", full_budget=True)
    table = summary(dataclasses.replace(results, trials=pd.concat([trials, tried], ignore_index=True)))
    assert isinstance(table, Table)
    assert table.footnotes.count(told) == 1


def test_recipes_are_compared_within_a_study(tmp_path: Path) -> None:
    """The other's are not its own, and where there are several each sentence names its study."""
    folders = [
        write_synthetic_study(tmp_path / name, name=name, architectures=("model_4", "classic_autoencoder"), mishaps={})
        for name in ("a", "b")
    ]
    results = load_studies([str(folder) for folder in folders])
    of_b = (results.trials["study"] == "b") & (results.trials["arm"] == "tuned")
    control = results.trials["architecture"] == "classic_autoencoder"
    recipe = results.trials["recipe"].astype("str").mask(of_b & ~control, "muon")
    table = summary(dataclasses.replace(results, trials=results.trials.assign(recipe=recipe)))
    assert isinstance(table, Table)
    told = [footnote for footnote in table.footnotes if "recipe" in footnote]
    assert told == ["Classic auto-encoder of b was trained by recipe modern, the ranked models by muon."]


def test_umap_stands_beside_pca_without_a_reconstruction(tmp_path: Path) -> None:
    """A control that keeps neighbours together and decodes nothing: a dash, figures of its code, and no rank."""
    results = study(tmp_path)
    parts = {}
    for name in ("trials", "scores"):
        frame: pd.DataFrame = getattr(results, name)
        umap = frame[frame["trial_id"].str.startswith("confirm-pca")].copy()
        umap["trial_id"] = umap["trial_id"].str.replace("pca", "umap")
        if name == "trials":
            umap["architecture"] = "umap"
        else:
            umap = umap[umap["evaluator"] != "reconstruction"]
        parts[name] = pd.concat([frame, umap], ignore_index=True)
    parts["trials"]["architecture"] = parts["trials"]["architecture"].astype(results.trials["architecture"].dtype)
    both = dataclasses.replace(results, trials=parts["trials"], scores=parts["scores"])
    table = summary(both)
    assert isinstance(table, Table)
    shown = {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in rendering.format_lines(table)}
    assert [*shown][-2:] == ["PCA", "UMAP"]
    assert shown["UMAP"][0] == "—"
    assert shown["UMAP"][1:] == shown["PCA"][1:]
    assert say(both) == say(results)
    assert isinstance(error_by_code_size(both), Drawing)


def test_a_report_begins_with_the_answer(tmp_path: Path) -> None:
    """In the page and in Markdown before its tables."""
    results = study(tmp_path, seeds=3)
    (which, *_), table = answers(results), summary(results)
    html = render_page(results, [table])
    which = which.partition("'")[0]
    assert html.index("<main>") < html.index(which) < html.index("<table")
    text = format_report(results, [table])
    assert text.index(which) < text.index("## Summary")


def test_of_several_studies_each_has_its_answer(tmp_path: Path) -> None:
    """Named, and not mixed."""
    folders = [
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), mishaps={})
        for name, models in (("a", ("model_4", "model_5")), ("b", ("model_1", "model_4")))
    ]
    found = answers(load_studies([str(folder) for folder in folders]))
    (first, second) = (place for place, sentence in enumerate(found) if re.match("[ab]: ", sentence))
    assert found[first].startswith("a: A trial run: ") and found[first + 1].startswith("Model 5 ")
    assert found[second + 1].startswith("Model 4 and Model 1 ")


@pytest.mark.parametrize("arguments", [{"seeds": 1}, {"architectures": ("model_4",)}])
def test_where_nothing_can_be_compared_that_is_said(arguments: dict[str, object], tmp_path: Path) -> None:
    """With one seed there is no test, with one model no contest; lowest mean and table are there all the same."""
    results = study(tmp_path, **arguments)
    (said,) = say(results)
    assert said.startswith("Nothing is compared: that takes two ranked models with 3 seeds each. The lowest mean ")
    best, numbers = ("model_5", [1]) if "seeds" in arguments else ("model_4", [1, 2, 3, 4, 5])
    mean = np.mean([true_score(*SQUARED_ERROR.key, best, 10, "tuned", number) for number in numbers])
    told = f"{results.get_label(best)}, {mean:.2f} from {len(numbers)} seed{'s' if len(numbers) > 1 else ''}"
    pca = true_score(*SQUARED_ERROR.key, "pca", 10, "control", 1)
    assert said.endswith(f"is that of {told} at code size 10; PCA has {pca:.2f}.")
    assert answers(results)[0].startswith("A trial run: ")
    assert isinstance(summary(results), Table)


def test_without_the_tuned_arm_it_says_what_is_missing(tmp_path: Path) -> None:
    """A study of the published arm alone."""
    results = study(tmp_path, architectures=("model_4", "model_5"), arms=("published",))
    assert isinstance(summary(results), Absent)
    assert say(results) == []


def test_switches_are_explained_where_a_model_has_them(tmp_path: Path) -> None:
    """A mark that no row has needs no footnote."""
    for models, explained in ((("model_3", "model_4"), True), (("model_1", "model_4"), False)):
        study = write_synthetic_study(tmp_path / models[0], architectures=models, code_sizes=(10,), mishaps={})
        table = summary(load_study(study))
        assert isinstance(table, Table)
        assert any("switches carry the image past the code" in note for note in table.footnotes) == explained


def test_a_model_whose_seeds_scatter_is_not_said_to_have_the_lowest_error(tmp_path: Path) -> None:
    """It cannot be told from the best, while one of a lower mean can."""
    results = study(tmp_path, architectures=("model_1", "model_4", "model_5"), code_sizes=(10,), mishaps={})
    scores = results.scores.copy()
    error = (scores["evaluator"] == "reconstruction") & (scores["metric"] == "squared_error")
    reached = {"model_5": (10.0,) * 5, "model_4": (12.0,) * 5, "model_1": (9.0, 21.0, 10.0, 22.0, 9.0)}
    for name, values in reached.items():
        for number, value in enumerate(values, 1):
            of_seed = scores["trial_id"] == f"confirm-{name}-10-tuned-{number}"
            scores.loc[error & of_seed, "value"] = value + 0.1 * number
    said = say(dataclasses.replace(results, scores=scores))[0]
    assert said.startswith("Model 5 and Model 1 are the models that no other is shown to beat in squared error: ")
