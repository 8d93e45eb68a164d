"""The results of a study as typed pandas frames, read from its folder of Parquet files.

::

    from analysis.results import load_study, join_scores
    results = load_study("results/sample-mnist")
    results.trials.groupby(["architecture", "status"], observed=True).size()

A row of ``trials`` is a trial's commit: rows of the other tables without it are left out. Where a longer search has
found another configuration than was confirmed before, the rows of the earlier one are left out and counted. Columns
that a file of an older schema lacks are null; a newer schema is refused. A file that cannot be read, and one with rows
of another study, is named in ``problems``; the rest is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from study.config.search_space import RATE_FACTORS, Cell
from study.config.study_config import SEARCH_METRICS, rebuild_config
from study.plan.planned_trial import keep_latest
from study.plan.rates import get_loss
from study.plan.trials import find_confirmed, plan_search
from study.storage.location import parse_location
from study.storage.manifest import require_manifest
from study.storage.parquet import read_table
from study.storage.schema import ARMS, PHASES, STATUSES, TABLES
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN, CONTROLS, Architecture, Control, ConvolutionalAutoencoder
from trainables.models.custom import check_row, load_row
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, Objective, load_objective

ResultsError = InputError
"""A results folder cannot be used."""

SEARCHED = ConvolutionalAutoencoder.searched
"""What a search varies, of any model."""

COORDINATES = ("budget_share", "filters_ratio")
"""What a search varies besides the learning rate; filter counts follow."""

FINAL_ROUND = 3

COLLAPSE_TOLERANCE = 0.03
"""A run whose training cross-entropy is not this share below the mean image's has collapsed, if its curve is flat.

Source: the protocol."""

FLATNESS = 0.001
"""A curve is flat when its last epoch lowers the training cross-entropy by less than this share of the mean image's: a
run that still falls has not collapsed, it has not been trained for long enough. Source: [ours]."""

_KEYS = {
    "trials": ["trial_id"],
    "epochs": ["trial_id", "epoch"],
    "scores": ["trial_id", "split", "evaluator", "metric"],
    "image_scores": ["trial_id", "evaluator", "metric"],
    "codes": ["trial_id", "image"],
    "pictures": ["trial_id", "kind", "layer", "index"],
}
_TRIAL_COLUMNS_OF_SCORES = [
    "trial_id",
    "study",
    "phase",
    "arm",
    "dataset",
    "architecture",
    "code_size",
    "number",
    "seed",
    "factor",
    "level",
    "unpooling",
    "status",
    "full_budget",
    "collapsed",
]
_CLASSIFIERS = ("linear_classifier", "mlp_classifier")
_LABELS = {
    "trials": ["study", "phase", "arm", "dataset", "architecture", "status"],
    "scores": ["split", "evaluator", "metric", "unit", "direction"],
    "image_scores": ["evaluator", "metric", "unit"],
    "pictures": ["kind", "layer"],
}


@dataclass(frozen=True)
class Study:
    """One study among the results: its name there, where it lies, and its study.json.

    Models of its own that have the name of another study's are called otherwise in the frames: ``renamed`` by the names
    that the study has for them.
    """

    name: str
    path: str
    manifest: Mapping[str, Any]
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def architectures(self) -> list[str]:
        """What it was asked to study, as the frames call it."""
        return [self.renamed.get(name, name) for name in self.manifest["config"].get("architectures", ())]

    @property
    def labelled(self) -> bool:
        """Whether the data have labels; where nothing says that they have none, they have."""
        return self.manifest["dataset"].get("labelled") is not False

    @property
    def search_metric(self) -> str:
        """What its searches minimise on validation images, one of `SEARCH_METRICS`; unsaid it is the first."""
        return str(self.manifest.get("identity", {}).get("search_metric", SEARCH_METRICS[0]))


@dataclass(frozen=True, eq=False)
class StudyResults:
    """The rows of a study, or of several side by side (`load_studies`), as frames.

    Compared and hashed by identity, so that what is worked out from it can be kept; change no frame in place.

    Attributes:
        studies: what was read; several only when they are compared.
        models: the models built in, the studies' own and the controls by name, in the order of tables and figures.
        trials: one row a trial, with ``collapsed``, ``full_budget`` and ``search_value`` added: what the searches of
            its study minimise.
        epochs: one row a trial and epoch.
        scores: one row a trial, split, evaluator and metric.
        image_scores: one row a trial, evaluator and metric, with ``values`` of the test images, (images,) float16; none
            of trials of older versions, which kept means alone.
        codes: one row a trial and test image.
        pictures: one row a filter, map, step of a walk or sample of the trials with codes; none of trials of older
            versions.
        problems: a sentence for each file that was left out, in whole or in part.
    """

    studies: tuple[Study, ...]
    models: Mapping[str, Architecture | Control]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    scores: pd.DataFrame
    image_scores: pd.DataFrame
    codes: pd.DataFrame
    pictures: pd.DataFrame
    problems: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Folder of the (first) study."""
        return self.studies[0].path

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The study.json of the (first) study."""
        return self.studies[0].manifest

    def get_label(self, architecture: str) -> str:
        """Return the name of a model or control as it is shown; one that no row describes keeps its name."""
        row = self.models.get(architecture)
        return row.label if row else architecture


def load_study(path: str | Path) -> StudyResults:
    """Read the study in folder ``path``, which may be a URI such as ``s3://bucket/results/sample-mnist``.

    Raises:
        ResultsError: there is no such folder, it holds no study, or the study was written by a newer version.
    """
    folder = replace(parse_location(path), shown=str(path))
    manifest = require_manifest(folder)
    study = Study(str(manifest["name"]), str(path), manifest)
    if study.search_metric not in SEARCH_METRICS:
        raise ResultsError(
            f"{path}/study.json: search_metric {study.search_metric!r:.60}",
            ", ".join(SEARCH_METRICS),
            "read it with the version that wrote it",
        )
    models = _read_models(manifest, str(path))
    # A study that goes on in a folder of another name keeps its rows; of versions without a digest the name tells.
    own = {"study_sha256": manifest["study_sha256"]} if manifest.get("study_sha256") else {"study": manifest["name"]}
    problems: list[str] = []
    frames: dict[str, pd.DataFrame] = {}
    # Trials first: what a trial's row commits is written before it, so a study that still runs is read consistently.
    for name in TABLES:
        table, found = read_table(folder, name, own)
        problems += [f"{problem.received}; left out" for problem in found]
        if name == "trials":
            trials = _type_columns(table, name, models)
            retried = find_retried(trials)
            if count := int(retried.sum()):
                problems.append(f"trials: {count} failed and were tried anew; left out")
            replaced = find_superseded(trials[~retried], manifest).reindex(trials.index, fill_value=False)
            problems += _describe_superseded(trials[replaced & (trials["phase"] != "search")])
            superseded = retried | replaced
            committed = pa.array(trials.loc[~superseded, "trial_id"], pa.string())
        if name == "scores":  # No mean may contain what is not finite; a writer that keeps to the schema writes none.
            finite = table.filter(pc.is_finite(table["value"]))
            if lost := len(table) - len(finite):
                problems.append(f"scores: {lost} values are not finite; left out")
            table = finite
        frames[name] = _type_columns(table.filter(pc.is_in(table["trial_id"], value_set=committed)), name, models)
    flagged = _add_flags(frames["trials"], frames["epochs"])
    flagged = flagged.assign(search_value=flagged[f"validation_{study.search_metric}"])
    frames["trials"], models = _tell_objectives_apart(flagged.assign(study=study.name), models, manifest)
    problems += _name_older_classifiers(frames)
    return StudyResults((study,), models, **frames, problems=tuple(problems))


def load_studies(paths: Sequence[str | Path]) -> StudyResults:
    """Read one study, or several side by side: column ``study`` of ``trials`` tells them apart, by name or by path.

    Trial ids are unique in a study only, so each is prefixed by the study's name when there are several. Where studies
    have different models of one name, the later study's is called ``NAME (STUDY)``.

    Raises:
        ResultsError: as `load_study`, or a folder is given twice.
    """
    given = [str(path).rstrip("/") for path in paths]
    if twice := [path for path in given if given.count(path) > 1]:
        raise ResultsError(f"{twice[0]}: given {len(twice)} times", "each study once", "remove all but one")
    parts = [load_study(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    names = [part.studies[0].name for part in parts]
    if len(set(names)) < len(names):
        names = [part.path for part in parts]
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    studies: list[Study] = []
    models: dict[str, Architecture | Control] = dict(BUILT_IN)
    for study, part in zip(names, parts, strict=True):
        other = {name: f"{name} ({study})" for name, row in part.models.items() if models.get(name, row) != row}
        for name, row in part.models.items():
            if name in other:
                models[other[name]] = replace(row, name=other[name], label=f"{row.label} ({study})")
            elif name not in CONTROLS:
                models[name] = row
        studies.append(Study(study, part.path, part.manifest, other))
        architectures = part.trials["architecture"].astype("str").replace(other)
        renamed = replace(part, trials=part.trials.assign(study=study, architecture=architectures))
        for name in TABLES:
            frame: pd.DataFrame = getattr(renamed, name)
            tables[name].append(frame.assign(trial_id=(study + ":") + frame["trial_id"].astype("str")))
    models |= CONTROLS
    joined = {
        name: _order_labels(pd.concat(frames, ignore_index=True), name, models) for name, frames in tables.items()
    }
    joined["trials"]["study"] = pd.Categorical(joined["trials"]["study"].astype("str"), names, ordered=True)
    problems = tuple(problem for part in parts for problem in part.problems)
    return StudyResults(tuple(studies), models, **joined, problems=problems)


def find_retried(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return which trials failed and were tried anew by ``--retry-failed``, with a row of their own each time."""
    latest = keep_latest({"trial_id": trial_id} for trial_id in trials["trial_id"])
    return ~trials["trial_id"].isin({row["trial_id"] for row in latest.values()})


def find_superseded(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.Series[bool]:
    """Return which trials confirm, or ablate, another configuration than the one that their cell's search ended with.

    With them go those of rounds that they entered in a shorter search, and do not in the longer one that has ended.
    While a search that grew goes on, what was confirmed last still counts. Of a level that has its own learning rate
    those are superseded, too, that were trained at another.

    Raises:
        ResultsError: trials of an older version, which wrote no configuration, confirm two of them in one cell.
    """
    tuned = trials[(trials["phase"] != "search") & (trials["arm"] == "tuned")]
    sizes = tuned["base_code_size"].fillna(tuned["code_size"]).astype("int64")
    cells = tuned.assign(code_size=sizes, objective=_list_cell_objectives(tuned)).groupby(
        ["architecture", "code_size", "objective"], observed=True
    )
    config = rebuild_config(manifest)
    rows: list[Any] = trials[trials["phase"] == "search"].astype({"status": "str"}).to_dict("records")
    by_id = keep_latest(rows)
    confirmed = find_confirmed(config, by_id) if config else {}
    superseded = pd.Series(False, trials.index)
    if config and "generation_size" in manifest.get("identity", {}):  # Searches of earlier versions had no rounds.
        entered = {each.trial_id for cell in confirmed for each in plan_search(config, cell, by_id)}
        search = trials[trials["phase"] == "search"]
        names = zip(search["architecture"], search["code_size"], _list_cell_objectives(search), strict=True)
        ended = [Cell(str(name), int(size), str(objective)) in confirmed for name, size, objective in names]
        current = {by_id[trial_id]["trial_id"] for trial_id in entered if trial_id in by_id}
        superseded[search.index] = pd.Series(ended, search.index, dtype="bool") & ~search["trial_id"].isin(current)
    for key, group in cells:
        cell = Cell(*key)  # type: ignore[arg-type]
        known = group.dropna(subset="configuration")
        _refuse_mixture(f"{manifest['name']}: {cell}", group.drop(known.index))
        if known.empty:
            continue
        latest = known[known["phase"] == known["phase"].min()].sort_values("finished_at")["configuration"].iloc[-1]
        superseded[group.index] = group["configuration"] != confirmed.get(cell, latest)
        kept = group[~superseded[group.index]]
        for _, level in kept[kept["phase"] == "ablate"].groupby(["factor", "level"]):
            if (rate := _find_rate(level)) is not None:
                superseded[level.index] |= level["round"].isna() & (level["learning_rate"] != rate)
    return superseded


def _find_rate(level: pd.DataFrame) -> float | None:
    """Return the learning rate that was chosen for a level of an ablation; None where none was, or not yet."""
    tried = level[level["round"].notna()].sort_values("number")
    if len(tried) < len(RATE_FACTORS):
        return None
    return min(tried.astype({"status": "str"}).to_dict("records"), key=get_loss)["learning_rate"]  # type: ignore[arg-type,no-any-return]


def _refuse_mixture(where: str, trials: pd.DataFrame) -> None:
    """Refuse trials without a configuration of which those that one table cell averages have different settings."""
    for _, group in trials.groupby(["phase", "factor", "level"], dropna=False, observed=True):
        settings = group[list(SEARCHED)].drop_duplicates()
        if len(settings) > 1:
            told = "; ".join(
                ", ".join(f"{name} {value}" for name, value in row.items()) for row in settings.to_dict("records")
            )
            raise ResultsError(
                f"{where} has trials of phase {group['phase'].iloc[0]} with {len(settings)} configurations ({told})",
                "one configuration per cell: a mean over two would be neither's",
                "take the rows of all but one of them out of folder trials, or run the study again under another name",
            )


def _describe_superseded(trials: pd.DataFrame) -> list[str]:
    if trials.empty:
        return []
    sizes = trials["base_code_size"].fillna(trials["code_size"])
    cells = Counter(f"{name}-code{size}" for name, size in zip(trials["architecture"], sizes, strict=True))
    told = ", ".join(f"{cell} ({count})" for cell, count in cells.items())
    return [f"trials: {len(trials)} of configurations that a longer search has replaced; left out: {told}"]


def _name_older_classifiers(frames: dict[str, pd.DataFrame]) -> list[str]:
    """Give errors of classifiers of standardised codes names of their own, beside those of whitened codes.

    Versions that measured no neighbours standardised codes where later ones whiten them. A study that was begun by one
    and continued has both, and no mean may hold both. Return a sentence if there were any.
    """
    scores = frames["scores"]
    classified = scores.loc[scores["evaluator"].isin(_CLASSIFIERS), "trial_id"].unique()
    whitened = scores.loc[scores["evaluator"] == "nearest_neighbours", "trial_id"].unique()
    older = set(classified) - set(whitened)
    if not older or not len(whitened):
        return []
    names = {evaluator: f"standardised_{evaluator}" for evaluator in _CLASSIFIERS}
    for table in ("scores", "image_scores"):
        evaluators = frames[table]["evaluator"].astype("str")
        renamed = evaluators.mask(frames[table]["trial_id"].isin(older), evaluators.replace(names))
        frames[table] = frames[table].assign(evaluator=renamed.astype("category"))
    return [
        f"scores: {len(older)} trials are of a version that standardised codes for linear classifier and perceptron, "
        f"{len(whitened)} of one that whitens them; the earlier errors are called {' and '.join(names.values())}"
    ]


def list_trials(results: StudyResults, study: Study) -> list[dict[Any, Any]]:
    """Return the rows of a study's trials as its plan knows them: plain values, ids and models by their names there."""
    trials = results.trials[results.trials["study"] == study.name].astype({"architecture": "str"})
    trials["architecture"] = trials["architecture"].replace({called: name for name, called in study.renamed.items()})
    rows: list[dict[Any, Any]] = trials.astype({"phase": "str", "arm": "str", "status": "str"}).to_dict("records")
    for row in rows:
        row["trial_id"] = row["trial_id"].removeprefix(f"{study.name}:")
    return rows


def join_scores(results: StudyResults) -> pd.DataFrame:
    """Return every score with what it belongs to: one row a trial, split, evaluator and metric."""
    return results.trials[_TRIAL_COLUMNS_OF_SCORES].merge(results.scores, on="trial_id", validate="one_to_many")


def select_confirmed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``frame`` that tables are made of: complete full-budget trials of confirm, and controls."""
    return frame[(frame["phase"] == "confirm") & frame["full_budget"]]


def select_last_round(search: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of a search that trained for as long as what is confirmed: of its last round, if it has any."""
    return search[search["round"].fillna(FINAL_ROUND) == FINAL_ROUND]


def average_finalists(search: pd.DataFrame) -> pd.DataFrame:
    """Return one row a finalist of each cell, the winner first: its settings, and its mean over validation seeds.

    The mean is that of ``search_value``. Column ``lost`` counts its seeds that did not complete; one of which none did
    is left out. In searches without rounds every complete trial is a finalist.
    """
    last, loss = select_last_round(search), "search_value"
    complete = last[last["full_budget"] & last[loss].notna()]
    # While a search that grew goes on, two of its finalists may have one number.
    key = ["study", "code_size", "architecture", "number", "configuration"]
    last = last.astype({"configuration": "object"}).fillna({"configuration": ""})
    complete = complete.astype({"configuration": "object"}).fillna({"configuration": ""})
    counts = last.groupby(key, observed=True).size().rename("runs").reset_index()
    means = complete.groupby(key, observed=True)[loss].agg(["mean", "size"]).reset_index()
    rows = complete.drop_duplicates(key).drop(columns=loss).merge(means, on=key).merge(counts, on=key)
    rows = rows.assign(lost=rows["runs"] - rows["size"]).rename(columns={"mean": loss})
    return rows.sort_values([*key[:3], "lost", loss, "number"], ignore_index=True)


def _read_models(manifest: Mapping[str, Any], received: str) -> dict[str, Architecture | Control]:
    """Return the models of a study with this study.json by name, in the order of tables and figures.

    Raises:
        ResultsError: one of its own is no row, or has the name of another.
    """
    own: dict[str, Architecture] = {}
    for values in manifest["models"]:
        try:
            row = load_row(values)
            check_row(row)
        except InputError as error:
            raise ResultsError(f"{received}/study.json: {error.received}", error.accepted, error.remedy) from None
        if row.name in (*BUILT_IN, *CONTROLS) or own.setdefault(row.name, row) != row:
            raise ResultsError(
                f"{received}/study.json: a model called {row.name}, which is another model",
                f"a name of its own, none of {', '.join((*BUILT_IN, *CONTROLS))}",
                "give the row another name",
            )
    return {**BUILT_IN, **own, **CONTROLS}


def _type_columns(table: pa.Table, name: str, models: Iterable[str]) -> pd.DataFrame:
    """Return ``table`` as a frame: integers stay integers, labels are categories, each key is there once."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get, categories=_LABELS.get(name, ()))
    whole = [column.name for column in TABLES[name] if column.type == pa.int64() and not column.nullable]
    frame = frame.astype(dict.fromkeys(whole, "int64"))
    return _order_labels(frame.drop_duplicates(_KEYS[name], keep="last", ignore_index=True), name, models)


def _order_labels(frame: pd.DataFrame, name: str, models: Iterable[str]) -> pd.DataFrame:
    """Make labels categories; those of trials have the order of tables and figures, unknown names last, sorted."""
    frame = frame.astype(dict.fromkeys(_LABELS.get(name, ()), "category"))
    if name == "trials":
        orders = {"architecture": (*models,), "arm": ARMS, "phase": PHASES, "status": STATUSES}
        for column, order in orders.items():
            labels = frame[column].cat
            unknown = sorted(set(labels.categories) - set(order))
            frame[column] = labels.set_categories([*order, *unknown], ordered=True)
    return frame


def name_model(cell: Cell) -> str:
    """Return what the model of a cell is called in frames: MODEL, or MODEL-OBJECTIVE."""
    return cell.architecture if cell.objective == RECONSTRUCTION else f"{cell.architecture}-{cell.objective}"


def split_model(models: Iterable[str], name: str) -> tuple[str, str]:
    """Return what `name_model` joined: the name of a model, one of ``models``, and that of its objective."""
    found = re.fullmatch(r"(\w+)(?:-(\w+))?( \(.*\))?", name)
    if found is None or found[2] is None:
        return name, RECONSTRUCTION
    model, objective, study = found.groups("")
    # Of several studies what was renamed may be the model, or the objective alone.
    return (model + study if model + study in models else model), objective


def list_objectives(results: StudyResults) -> dict[str, Objective]:
    """Return the objectives built in and the studies' own by name, in the order of tables."""
    own = (_read_objectives(study.manifest) for study in results.studies)
    return {**OBJECTIVES, **{name: each for known in own for name, each in known.items()}}


def _read_objectives(manifest: Mapping[str, Any]) -> dict[str, Objective]:
    own = map(load_objective, manifest.get("objectives") or manifest["config"].get("own_objectives", ()))
    return {**OBJECTIVES, **{each.name: each for each in own}}


def _list_cell_objectives(trials: pd.DataFrame) -> pd.Series[str]:
    """Return the objective of each row's cell: reconstruction where an ablation changes it, and of controls."""
    objectives = trials["objective"].astype("object").fillna(RECONSTRUCTION)
    of_model = (trials["factor"] == "objective").fillna(False) | (trials["arm"] == "control")
    return objectives.mask(of_model, RECONSTRUCTION)


def _tell_objectives_apart(
    trials: pd.DataFrame, models: Mapping[str, Architecture | Control], manifest: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Architecture | Control]]:
    """Make a model of its own, MODEL-OBJECTIVE, of each model trained by another objective than reconstruction.

    So that no table takes a mean over two of them, and all compare them as they compare models. They come after the
    model in the order of tables and figures.
    """
    labels = {name: each.label for name, each in _read_objectives(manifest).items()}
    objectives = _list_cell_objectives(trials)
    other = objectives != RECONSTRUCTION
    apart = {*zip(trials["architecture"].astype("str")[other], objectives[other], strict=True)}
    if not apart:
        return trials, dict(models)
    labels |= {each: each for _, each in sorted(apart) if each not in labels}  # of a launch that nothing tells of
    named: dict[str, Architecture | Control] = {}
    for name, row in models.items():
        named[name] = row
        for objective in (each for each in labels if (name, each) in apart):
            label = f"{row.label}, {labels[objective].lower()}"
            called = name_model(Cell(name, 1, objective))
            named[called] = replace(row, name=called, label=label)
    architectures = trials["architecture"].astype("str")
    architectures = architectures.mask(other, architectures + "-" + objectives)
    return _order_labels(trials.assign(architecture=architectures), "trials", named), named


def _add_flags(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Add ``collapsed`` and ``full_budget``.

    Collapsed: complete, the training cross-entropy is within 3 % of that of predicting the mean image, or above it, and
    the curve is flat, as far as there is one; nothing is said of a run of one epoch. Full budget: complete, and no
    epoch short of those planned; a control plans none.
    """
    complete = trials["status"] == "complete"
    curves = epochs.sort_values("epoch").groupby("trial_id")["train_cross_entropy"]
    falls = trials["trial_id"].map(-curves.diff().groupby(epochs["trial_id"]).last()).astype("float64")
    flat = ~(falls > FLATNESS * trials["mean_image_cross_entropy"])
    limit = (1 - COLLAPSE_TOLERANCE) * trials["mean_image_cross_entropy"]
    short = (trials["epochs"] < trials["epochs_planned"]).fillna(False).astype(bool)
    high = trials["train_cross_entropy"] >= limit
    several = (trials["epochs"] != 1).fillna(True).astype(bool)
    return trials.assign(collapsed=complete & high & flat & several, full_budget=complete & ~short)
