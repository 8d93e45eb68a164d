"""A results folder becomes typed frames, whatever state it is in."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.figures.style import choose_styles
from analysis.report import comparison_tables
from analysis.results import (
    ResultsError,
    _list_cell_objectives,
    join_scores,
    list_trials,
    load_studies,
    load_study,
    name_model,
    select_confirmed,
    split_model,
)
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import Metric, select_metric
from analysis.tables.models import compute_size
from analysis.tables.scores import CLASSIFICATION, score_table
from analysis.tables.table import Table
from study.config.search_space import Cell
from study.storage.schema import SCHEMA_VERSION, TABLES, table_of
from tests.synthetic import true_score, write_synthetic_study
from trainables.models.architectures import BUILT_IN, CONTROLS, ConvolutionalAutoencoder
from trainables.models.custom import dump_row
from trainables.models.layers import count_parameters
from trainables.training.objectives import OBJECTIVES, dump_objective

CELLS: dict[str, Any] = {
    "architectures": ("model_1", "model_4"),
    "code_sizes": (10,),
    "search_trials": 3,
    "mishaps": {},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study with one file a trial: 2 cells of 3 search and 6 confirmed trials, PCA and raw pixels."""
    return write_synthetic_study(
        tmp_path_factory.mktemp("written"), **CELLS, codes=True, pictures=True, test_images=5, one_file_a_trial=True
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(written, tmp_path / "study")


def rewrite(path: Path, table: pa.Table, **metadata: str) -> None:
    """Write ``table`` to ``path`` with some metadata of its schema changed."""
    changed = {key.encode(): value.encode() for key, value in metadata.items()}
    pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | changed), path)


def test_every_row_is_there_once_and_typed(folder: Path) -> None:
    """Counts follow from the arguments of the generator; whole numbers stay whole where some are absent."""
    results = load_study(folder)
    assert results.problems == ()
    assert len(results.trials) == 2 * (3 + 6) + 2
    assert len(results.codes) == 60 * (2 * 2 + 1)
    walks = results.pictures[results.pictures["kind"] == "walk"]
    assert walks.groupby("trial_id").size().to_dict() == dict.fromkeys(results.codes["trial_id"], 10)
    assert results.trials["code_size"].dtype == "int64"
    assert results.trials["seed"].dtype == pd.Int64Dtype()
    assert results.trials["git_dirty"].dtype == pd.BooleanDtype()
    assert str(results.trials["started_at"].dt.tz) == "UTC"
    assert results.trials.loc[results.trials["arm"] == "control", "seed"].isna().all()
    assert results.codes["code"].iloc[0].shape == (10,)
    assert results.manifest["name"] == "synthetic"
    assert results.path == str(folder)


def test_a_trial_that_was_tried_anew_counts_once(folder: Path) -> None:
    """With the row that it ended with; that of the failure stays in the folder and out of the tables."""
    trial_id = "confirm-model_4-10-tuned-2"
    for table in ("trials", "epochs", "scores"):
        path = folder / table / f"{trial_id}.parquet"
        rows = pq.read_table(path).to_pylist()
        again = table_of(table, [row | {"trial_id": f"{trial_id}-retry1"} for row in rows])
        pq.write_table(again, path.with_name(f"{trial_id}-retry1.parquet"))
        path.unlink()
        if table == "trials":
            failed = {"status": "failed", "reason": "out of memory"}
            pq.write_table(table_of(table, [row | failed for row in rows]), path)
    results = load_study(folder)
    assert len(results.trials) == 2 * (3 + 6) + 2
    assert trial_id not in set(results.trials["trial_id"])
    assert results.problems == ("trials: 1 failed and were tried anew; left out",)
    assert len(select_confirmed(results.trials).query("architecture == 'model_4' and arm == 'tuned'")) == 3


def test_compacted_files_give_the_same_rows(folder: Path, tmp_path: Path) -> None:
    """How rows are spread over files means nothing."""
    single = load_study(folder)
    compacted = load_study(write_synthetic_study(tmp_path / "compacted", **CELLS, codes=True))
    for name in ("trials", "epochs", "scores"):
        columns = [
            "trial_id",
            *(column for column in ("epoch", "evaluator", "metric", "split") if column in TABLES[name].names),
        ]
        one, other = (getattr(each, name).sort_values(columns, ignore_index=True) for each in (single, compacted))
        pd.testing.assert_frame_equal(one, other, check_categorical=False)


def test_names_are_ordered_as_in_the_tables_and_unknown_ones_come_last(tmp_path: Path) -> None:
    """A user's own architecture is no mistake."""
    names = ("zeta", "unpool_only", "alpha", "model_1")
    results = load_study(write_synthetic_study(tmp_path, architectures=names, code_sizes=(10,), search_trials=1))
    present = results.trials["architecture"].cat.remove_unused_categories().cat.categories
    assert list(present) == ["model_1", "unpool_only", "pca", "raw_pixels", "alpha", "zeta"]
    assert results.trials["architecture"].cat.ordered


def test_half_written_files_and_rows_without_their_trial_are_left_out(folder: Path) -> None:
    """The row of trials is the commit."""
    (folder / "trials" / ".half.parquet").write_bytes(b"PAR1 and no more")
    lost = folder / "trials" / "confirm-model_1-10-tuned-1.parquet"
    before = load_study(folder)
    lost.unlink()
    after = load_study(folder)
    assert after.problems == ()
    assert len(after.trials) == len(before.trials) - 1
    for name in ("epochs", "scores", "codes"):
        assert (getattr(before, name)["trial_id"] == lost.stem).any()
        assert not (getattr(after, name)["trial_id"] == lost.stem).any()


def edit_trials(folder: Path, beginning: str, **values: object) -> None:
    """Change columns of the trials whose ids begin so."""
    for path in (folder / "trials").glob(f"{beginning}*.parquet"):
        rows = [row | values for row in pq.read_table(path).to_pylist()]
        pq.write_table(table_of("trials", rows), path)


def test_what_a_longer_search_has_replaced_is_left_out_and_counted(folder: Path) -> None:
    """Seeds 1 and 2 of what was best before, seed 3 of what is now: one table cell has the last alone."""
    best = "search-model_4-10-tuned-1"
    edit_trials(folder, "search-model_4", configuration="before")
    edit_trials(folder, "confirm-model_4-10-tuned", configuration="before")
    edit_trials(folder, best, configuration="now")
    edit_trials(folder, "confirm-model_4-10-tuned-3", configuration="now")
    results = load_study(folder)
    tuned = results.trials[(results.trials["architecture"] == "model_4") & (results.trials["arm"] == "tuned")]
    assert tuned.loc[tuned["phase"] == "confirm", "number"].tolist() == [3]
    assert not results.scores["trial_id"].isin([f"confirm-model_4-10-tuned-{number}" for number in (1, 2)]).any()
    (told,) = results.problems
    assert told.startswith("trials: 2 of configurations that a longer search has replaced")
    assert told.endswith("model_4-code10 (2)")
    assert len(results.trials) == len(load_study(folder).trials) == 2 * (3 + 6) + 2 - 2


def test_while_a_longer_search_goes_on_what_was_confirmed_last_counts(folder: Path) -> None:
    """Its best is not known: a trial that the configuration plans is not there."""
    edit_trials(folder, "confirm-model_4-10-tuned", configuration="before")
    edit_trials(folder, "confirm-model_4-10-tuned-3", configuration="later")  # its row was written last
    (folder / "trials" / "search-model_4-10-tuned-1.parquet").unlink()
    results = load_study(folder)
    tuned = results.trials[(results.trials["architecture"] == "model_4") & (results.trials["arm"] == "tuned")]
    assert tuned.loc[tuned["phase"] == "confirm", "number"].tolist() == [3]


def test_a_mixture_of_an_older_version_is_refused_in_words(folder: Path) -> None:
    """Without a digest nothing says which of two configurations a cell's mean would be of."""
    edit_trials(folder, "confirm-model_4-10-tuned-3", learning_rate=0.005)
    with pytest.raises(ResultsError) as refused:
        load_study(folder)
    assert "model_4-code10 has trials of phase confirm with 2 configurations" in str(refused.value)
    assert "learning_rate 0.01" in str(refused.value)
    assert "learning_rate 0.005" in str(refused.value)
    assert "run the study again under another name" in str(refused.value)


def test_rows_that_are_there_twice_count_once(folder: Path) -> None:
    """As while files are being compacted."""
    before = load_study(folder)
    for name in TABLES:
        files = sorted((folder / name).glob("*.parquet"))
        pq.write_table(pa.concat_tables([pq.read_table(file) for file in files]), folder / name / "compacted-1.parquet")
    after = load_study(folder)
    for name in TABLES:
        assert len(getattr(after, name)) == len(getattr(before, name))


def test_a_damaged_file_is_named_and_the_rest_is_read(folder: Path) -> None:
    """A flipped bit is found by the page's checksum, which the writer must ask for."""
    file = folder / "scores" / "confirm-model_4-10-tuned-2.parquet"
    content = bytearray(file.read_bytes())
    content[content.index(b"cross_entropy")] ^= 1
    file.write_bytes(content)
    results = load_study(folder)
    (problem,) = results.problems
    assert problem.startswith(f"scores/{file.name}: cannot be read")
    assert not (results.scores["trial_id"] == file.stem).any()
    assert (results.scores["trial_id"] == "confirm-model_4-10-tuned-1").any()
    assert (results.trials["trial_id"] == file.stem).any()


@pytest.mark.parametrize("column", ["study", "study_sha256"])
def test_rows_of_another_study_are_named_and_left_out(folder: Path, column: str) -> None:
    """By the digest of its identity, or by its name where study.json has none."""
    if column == "study":
        manifest = json.loads((folder / "study.json").read_text())
        (folder / "study.json").write_text(json.dumps(manifest | {"study_sha256": None}))
    file = folder / "trials" / "confirm-model_4-10-tuned-2.parquet"
    table = pq.read_table(file)
    place = table.column_names.index(column)
    rewrite(file, table.set_column(place, TABLES["trials"].field(column), pa.array(["foreign"])))
    results = load_study(folder)
    assert results.problems == (f"trials/{file.name}: 1 of its 1 rows belong to another study; left out",)
    assert not (results.trials["trial_id"] == file.stem).any()


def test_a_study_that_goes_on_under_another_name_keeps_its_rows(folder: Path) -> None:
    """As in a folder that was renamed: to the store they are done, too."""
    manifest = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(manifest | {"name": "kept"}))
    before, after = load_study(folder.parent / "study"), load_study(folder)
    assert after.problems == ()
    assert set(after.trials["study"]) == {"kept"}
    assert len(list_trials(after, after.studies[0])) == len(before.trials) > 0


def test_columns_that_an_older_schema_lacks_are_null(folder: Path) -> None:
    """The rule for older files; a trial of then still counts as of its full budget."""
    file = folder / "trials" / "confirm-model_4-10-tuned-2.parquet"
    table = pq.read_table(file).drop_columns(["device_seconds", "epochs_planned", "study_sha256", "unpooling"])
    rewrite(file, table, schema_version=str(SCHEMA_VERSION - 1))
    results = load_study(folder)
    assert results.problems == ()
    row = results.trials.set_index("trial_id").loc[file.stem]
    assert pd.isna(row["device_seconds"])
    assert pd.isna(row["unpooling"])
    assert row["full_budget"]


def test_a_file_without_what_every_row_needs_is_named(folder: Path) -> None:
    """A row without its status cannot be counted."""
    file = folder / "trials" / "confirm-model_4-10-tuned-2.parquet"
    rewrite(file, pq.read_table(file).drop_columns(["status"]))
    assert load_study(folder).problems == (f"trials/{file.name}: lacks status, which every row needs; left out",)


def test_a_newer_schema_is_refused(folder: Path) -> None:
    """In a file of rows as in study.json."""
    file = next((folder / "epochs").glob("*.parquet"))
    table = pq.read_table(file)
    rewrite(file, table, schema_version="99")
    with pytest.raises(ResultsError, match="schema version 99") as raised:
        load_study(folder)
    assert raised.value.accepted == f"schema versions up to {SCHEMA_VERSION}"
    rewrite(file, table, schema_version=str(SCHEMA_VERSION))
    manifest = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(ResultsError, match=r"study\.json: written with schema version 99"):
        load_study(folder)


def test_a_metric_of_a_search_that_this_version_does_not_know_is_refused(folder: Path) -> None:
    """By another one its winners would be others."""
    manifest = json.loads((folder / "study.json").read_text())
    manifest["identity"] = manifest.get("identity", {}) | {"search_metric": "linear_error"}
    (folder / "study.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=r"study\.json: search_metric 'linear_error'") as raised:
        load_study(folder)
    assert raised.value.accepted == "cross_entropy, squared_error"


def test_what_is_no_study_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    """Missing, empty, a file, and the folder above, for which the studies in it are named."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for path, received, remedy in (
        (tmp_path / "nowhere", "there is no such folder", "make study"),
        (tmp_path / "empty", "holds no study.json", "make study"),
        (tmp_path / "file", "holds no study.json", "make study"),
        (tmp_path, "holds no study.json", f"give one of {tmp_path}/study"),
        ("nosuch://bucket/study", "nosuch://bucket/study", "check the address"),
    ):
        with pytest.raises(ResultsError) as raised:
            load_study(path)
        assert received in raised.value.received
        assert remedy in raised.value.remedy
        assert str(raised.value).count("\n") == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": 1}', '{"name": 3}', '{"name": "x", "config": []}', "\x00"]
)
def test_a_damaged_manifest_is_refused(folder: Path, content: str) -> None:
    """Never a traceback."""
    (folder / "study.json").write_text(content)
    with pytest.raises(ResultsError, match=r"study\.json"):
        load_study(folder)


def test_a_study_that_has_just_begun_has_empty_frames(folder: Path) -> None:
    """Nothing is there yet, which is no mistake; not even the folders need be."""
    for name in TABLES:
        shutil.rmtree(folder / name)
    results = load_study(folder)
    assert [len(getattr(results, name)) for name in TABLES] == [0] * len(TABLES)
    assert join_scores(results).empty


def test_a_value_that_is_not_finite_is_named_and_left_out(folder: Path) -> None:
    """The schema forbids it; should it be there, no mean may contain it."""
    file = folder / "scores" / "confirm-model_4-10-tuned-2.parquet"
    table = pq.read_table(file)
    values = [float("nan"), *table["value"].to_pylist()[1:]]
    rewrite(file, table.set_column(4, TABLES["scores"].field("value"), pa.array(values)))
    results = load_study(folder)
    assert results.problems == ("scores: 1 values are not finite; left out",)
    assert results.scores["value"].notna().all()


@pytest.mark.parametrize(("share", "collapsed"), [(0.969, False), (0.971, True), (1.0, True), (1.2, True)])
def test_collapsed_means_within_3_percent_of_the_mean_image_or_above(
    folder: Path, share: float, collapsed: bool
) -> None:
    """Figures of the last training epoch against those of predicting the mean image."""
    file = folder / "trials" / "confirm-model_4-10-tuned-2.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("train_cross_entropy")
    value = pa.array([share * table["mean_image_cross_entropy"][0].as_py()])
    rewrite(file, table.set_column(place, TABLES["trials"].field(place), value))
    curve = folder / "epochs" / file.name
    last = [row | {"train_cross_entropy": value[0].as_py()} for row in pq.read_table(curve).to_pylist()]
    pq.write_table(table_of("epochs", last), curve)
    trials = load_study(folder).trials.set_index("trial_id")
    assert trials.loc[file.stem, "collapsed"] == collapsed
    assert trials["collapsed"].sum() == collapsed
    # A curve that falls by more than a thousandth of the mean image's 206 in its last epoch is no collapse.
    falling = [row | {"train_cross_entropy": row["train_cross_entropy"] + 0.21 * (row["epoch"] < 4)} for row in last]
    pq.write_table(table_of("epochs", falling), curve)
    assert load_study(folder).trials["collapsed"].sum() == 0
    # Nor is a run of one epoch, which may have just begun to learn.
    one = pq.read_table(file).set_column(table.column_names.index("epochs"), "epochs", pa.array([1]))
    rewrite(file, one.cast(TABLES["trials"]))
    pq.write_table(table_of("epochs", last[:1]), curve)
    assert load_study(folder).trials["collapsed"].sum() == 0


def test_scored_gives_each_score_with_what_it_belongs_to(folder: Path) -> None:
    """One row a trial, split, evaluator and metric."""
    rows = join_scores(load_study(folder))
    row = rows[
        (rows["architecture"] == "model_4")
        & (rows["arm"] == "published")
        & (rows["number"] == 3)
        & (rows["split"] == "test")
        & (rows["metric"] == "squared_error")
        & (rows["evaluator"] == "reconstruction")
    ]
    assert row["value"].tolist() == [true_score("reconstruction", "squared_error", "model_4", 10, "published", 3)]
    assert row["seed"].tolist() == [1003]
    assert row["code_size"].tolist() == [10]


def test_confirmed_leaves_out_search_and_what_is_short_of_its_budget(tmp_path: Path) -> None:
    """Complete runs of all planned epochs, and controls."""
    mishaps = {("model_1", 10, "tuned", 1): "diverged", ("model_1", 10, "tuned", 2): "failed"}
    folder = write_synthetic_study(tmp_path, **(CELLS | {"mishaps": mishaps}), one_file_a_trial=True)
    file = folder / "trials" / "confirm-model_4-10-tuned-2.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("epochs")
    rewrite(file, table.set_column(place, TABLES["trials"].field("epochs"), pa.array([3])))
    left = select_confirmed(load_study(folder).trials)
    assert left.groupby(["architecture", "arm"], observed=True).size().to_dict() == {
        ("model_1", "tuned"): 1,
        ("model_1", "published"): 3,
        ("model_4", "tuned"): 2,
        ("model_4", "published"): 3,
        ("pca", "control"): 1,
        ("raw_pixels", "control"): 1,
    }


def test_several_studies_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    """Named studies by name; two of one name by their folders; no trial is mistaken for another's."""
    other = write_synthetic_study(tmp_path / "other", **CELLS, name="other", one_file_a_trial=True)
    both = load_studies([other, folder])
    assert [study.name for study in both.studies] == ["other", "synthetic"]
    assert both.trials.groupby("study", observed=True).size().to_dict() == {"other": 20, "synthetic": 20}
    assert both.trials["study"].cat.categories.tolist() == ["other", "synthetic"]
    assert both.trials["trial_id"].is_unique
    counts = join_scores(both).groupby("study", observed=True).size()
    assert counts["other"] == counts["synthetic"]
    assert both.trials["architecture"].cat.ordered
    with pytest.raises(ResultsError, match="given 2 times"):
        load_studies([folder, f"{folder}/"])
    same = shutil.copytree(folder, tmp_path / "copy")
    assert [study.name for study in load_studies([folder, same]).studies] == [str(folder), str(same)]


def test_an_address_is_as_good_as_a_path(folder: Path) -> None:
    """The way to an object store, by the file system that needs no network."""
    assert len(load_study(folder.as_uri()).trials) == len(load_study(folder).trials)


MODEL_4 = BUILT_IN["model_4"]
assert isinstance(MODEL_4, ConvolutionalAutoencoder)
OWN = dataclasses.replace(MODEL_4, name="own", label="Own model", published_filters=(6, 9))


def with_models(folder: Path, name: str, *rows: object) -> Path:
    """Write a study of model 4 and a model called own, with ``rows`` in its study.json, and return its folder."""
    write_synthetic_study(folder / name, name=name, architectures=("model_4", "own"), code_sizes=(10,), mishaps={})
    manifest = json.loads((folder / name / "study.json").read_text())
    (folder / name / "study.json").write_text(json.dumps(manifest | {"models": list(rows)}))
    return folder / name


def test_the_models_of_a_study_travel_with_its_rows(tmp_path: Path) -> None:
    """Label, notation and sizes are its own; the paper's claims are about the paper's models."""
    results = load_study(with_models(tmp_path, "study", dump_row(OWN)))
    assert list(results.models) == [*BUILT_IN, "own", *CONTROLS]
    assert results.get_label("own") == "Own model"
    assert list(results.trials["architecture"].cat.categories) == list(results.models)
    tables = {table.name: table for table in comparison_tables(results)}
    models = tables["architectures"].frame.set_index("label")  # type: ignore[union-attr]
    assert models.loc["Own model", "notation"] == OWN.notation
    assert "conv5 6@24, pool 6@12, conv5 9@8" in str(models.loc["Own model", "layers"])
    assert compute_size(results, "own", 10)["parameters"] == count_parameters(OWN, 10)
    styles = choose_styles(results, pd.DataFrame({"architecture": list(results.models)}))
    assert len({style.colour for style in styles.values()}) == len(results.models)
    assert not tables["finding_comparisons"].frame["subject"].eq("Own model").any()  # type: ignore[union-attr]


def test_two_models_of_one_name_are_compared_as_two(tmp_path: Path) -> None:
    """The later study's is renamed in rows, label and what was asked for; the same row under one name stays one."""
    other = dataclasses.replace(OWN, published_filters=(7, 11))
    paths = [
        with_models(tmp_path, "a", dump_row(OWN)),
        with_models(tmp_path, "b", dump_row(other)),
        with_models(tmp_path, "c", dump_row(OWN)),
    ]
    results = load_studies(paths)
    assert list(results.models) == [*BUILT_IN, "own", "own (b)", *CONTROLS]
    assert dump_row(results.models["own (b)"]) == dump_row(other) | {"name": "own (b)", "label": "Own model (b)"}  # type: ignore[arg-type]
    names = {
        name: set(rows["architecture"].astype("str")) for name, rows in results.trials.groupby("study", observed=True)
    }
    assert names["a"] == names["c"] == {"model_4", "own", "pca", "raw_pixels"}
    assert names["b"] == {"model_4", "own (b)", "pca", "raw_pixels"}
    assert results.studies[1].architectures == ["model_4", "own (b)"]
    (frame,) = [table.frame for table in comparison_tables(results) if table.name == "reconstruction"]  # type: ignore[union-attr]
    assert set(frame.loc[frame["study"] == "b", "label"]) == {"Model 4", "Own model (b)", "PCA"}
    assert [compute_size(results, name, 10)["filters_1"] for name in ("own", "own (b)")] == [6, 7]
    assert load_study(paths[1]).get_label("own") == "Own model"  # alone it keeps its name


@pytest.mark.parametrize(
    "rows",
    [
        [3],
        [{"name": "own"}],
        [dump_row(OWN) | {"name": "model_1"}],
        [dump_row(OWN) | {"name": "pca"}],
        [dump_row(OWN) | {"activation": "step"}],
        [dump_row(OWN), dump_row(OWN) | {"label": "Other"}],
    ],
)
def test_models_that_are_none_are_refused(rows: list[object], tmp_path: Path) -> None:
    """With the file that holds them."""
    with pytest.raises(ResultsError, match=r"study.json: "):
        load_study(with_models(tmp_path, "study", *rows))


def test_errors_of_standardised_and_of_whitened_codes_share_no_mean(tmp_path: Path) -> None:
    """A study that an earlier version began, which measured no neighbours: its errors keep a name of their own."""
    folder = write_synthetic_study(
        tmp_path, architectures=("model_1", "model_4"), code_sizes=(10,), search_trials=1, mishaps={}, test_images=50
    )
    plain = load_study(folder)
    path = folder / "scores" / "compacted.parquet"
    table = pq.read_table(path)
    first = pc.field("trial_id").isin([f"confirm-model_4-10-{arm}-1" for arm in ("tuned", "published")])
    pq.write_table(table.filter(~(first & (pc.field("evaluator") == "nearest_neighbours"))), path)
    mixed = load_study(folder)
    for evaluator in ("linear_classifier", "mlp_classifier"):
        before, after = (
            select_metric(select_confirmed_scores(results), Metric(evaluator, "error")) for results in (plain, mixed)
        )
        assert set(before["trial_id"]) - set(after["trial_id"]) == {
            f"confirm-model_4-10-{arm}-1" for arm in ("tuned", "published")
        }
        errors = mixed.scores[mixed.scores["evaluator"] == f"standardised_{evaluator}"]
        assert set(errors["trial_id"]) == set(before["trial_id"]) - set(after["trial_id"])
        assert f"standardised_{evaluator}" in set(mixed.image_scores["evaluator"])
    (problem,) = mixed.problems
    assert "2 trials are of a version that standardised codes" in problem
    shown = score_table(mixed, CLASSIFICATION)
    assert isinstance(shown, Table)
    assert shown.frame.query("arm == 'tuned'").set_index("architecture")["linear_classifier_error_n"].to_dict() == {
        "model_1": 3,
        "model_4": 2,
    }
    pq.write_table(pq.read_table(path).filter(pc.field("evaluator") != "nearest_neighbours"), path)
    assert load_study(folder).problems == ()


def test_a_model_trained_by_another_objective_is_a_model_of_its_own(folder: Path) -> None:
    """So that no mean is over two of them; rows that say no objective are of plain reconstruction."""
    before = comparison_tables(load_study(folder))
    for path in (folder / "trials").glob("*model_4*tuned*.parquet"):
        table = pq.read_table(path)
        rows = [row | {"objective": "variational", "objective_strength": 1.0} for row in table.to_pylist()]
        pq.write_table(table_of("trials", rows), path)
    results = load_study(folder)
    confirmed = results.trials[results.trials["phase"] == "confirm"]
    counts = confirmed.astype({"architecture": "str", "arm": "str"}).groupby(["architecture", "arm"]).size()
    assert counts["model_4-variational", "tuned"] == counts["model_4", "published"] == 3
    assert ("model_4", "tuned") not in counts
    assert results.get_label("model_4-variational") == "Model 4, variational"
    manifest = json.loads((folder / "study.json").read_text())
    assert "own_objectives" not in manifest["config"]
    for path in (folder / "trials").glob("*model_4*tuned*.parquet"):
        rows = [row | {"objective": "mine"} for row in pq.read_table(path).to_pylist()]
        pq.write_table(table_of("trials", rows), path)
    assert load_study(folder).get_label("model_4-mine") == "Model 4, mine"  # of a launch that nothing tells of
    known = [dump_objective(replace(OBJECTIVES["denoising"], name="mine", label="My own"), ())]
    (folder / "study.json").write_text(json.dumps(manifest | {"objectives": known}))
    assert load_study(folder).get_label("model_4-mine") == "Model 4, my own"
    labels = list(results.trials["architecture"].cat.categories)
    assert labels.index("model_4-variational") == labels.index("model_4") + 1
    assert len(comparison_tables(results)) == len(before)
    changed = results.trials.assign(
        factor="objective", objective="denoising", base_code_size=10, architecture="model_1"
    )
    assert set(_list_cell_objectives(changed)) == {"reconstruction"}


def test_a_model_and_its_objective_are_told_apart_again() -> None:
    """Of several studies, too, where a model of one name is called after its study."""
    for cell in (Cell("model_4", 10), Cell("model_4", 2, "k_sparse")):
        assert split_model(BUILT_IN, name_model(cell)) == (cell.architecture, cell.objective)
    models = {"mine": None, "mine (b)": None, "model_4": None}
    assert split_model(models, "mine-variational (b)") == ("mine (b)", "variational")
    assert split_model(models, "mine (b)") == ("mine (b)", "reconstruction")
    assert split_model(models, "model_4-own (a-b)") == ("model_4", "own")
