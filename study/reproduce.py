"""Train one trial again from its row and say, value by value, whether it came out the same.

``python study/launch.py --reproduce TRIAL_ID RESULTS``: in this process, without Ray, and nothing is written.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from study.plan.planned_trial import complete_id
from study.storage import provenance
from study.storage.schema import LOSSES
from study.storage.store import Store
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.evaluation.clustering import require_umap
from trainables.models.architectures import BUILT_IN, CONTROLS, Architecture, Control
from trainables.models.custom import restore_row
from trainables.node_info import TRIAL_LIBRARIES
from trainables.run_trial import Outcome, Trial, TrialBatch, describe_device, run_trial
from trainables.training.controls import CONTROL_OBJECTIVES
from trainables.training.devices import name_engine, prepare
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION, Objective
from trainables.trial_config import TrialConfig

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.02, 0.02
"""How far values may lie apart that another machine, version or code made."""

_DECISIVE = ("cae-study", "python", *TRIAL_LIBRARIES)
"""What of a row's versions decides the values of a trial."""

Values = dict[tuple[str, str], float | None]
"""Values by where they were taken, such as ``epoch 1`` or ``test k_means``, and by their name."""


def reproduce(
    trial_id: str,
    results: str,
    dataset_name: str | None = None,
    data_dir: Path | None = None,
    objectives: Sequence[Objective] = (),
    models: Sequence[Architecture] = (),
) -> int:
    """Train the trial again, print the comparison, and return the exit status: 0 the same, 1 different.

    The same is bit for bit where processor, versions and code are those of the row; elsewhere, and on a GPU, within
    the tolerance of `ReproductionCheck`. A pruned trial is trained as far as it had come.

    Raises:
        InputError: there is no such trial, it failed, or its data, or what measured it, are not at hand.
    """
    store = Store(results)
    manifest = store.require_study()
    row = _find_trial(store, trial_id)
    trial_id = row["trial_id"]
    architecture = _find_architecture(row["architecture"], manifest, models)
    objective = _find_objective(row, objectives, architecture.layered)
    dataset = load_dataset(dataset_name or manifest["config"]["dataset"], data_dir)
    if dataset.sha256 != row["dataset_sha256"]:
        raise InputError(
            f"{trial_id} was trained on {row['dataset']} of SHA-256 {row['dataset_sha256']}, "
            f"here it is {dataset.sha256}",
            "the images and labels that it was trained on",
            "give the folder that holds them by --data-dir, or a file of your own by --dataset",
        )
    if with_umap := "with_umap" in manifest.get("identity", {}):
        require_umap()
    device = _choose_device(row)
    comparison = ReproductionCheck(find_differences(row, device, objective))
    seed = "" if row["seed"] is None else f" with seed {row['seed']}"
    print(f"{trial_id}{seed}, on {dataset.name} and {describe_device(device)}\n{comparison.rule}", flush=True)
    epochs = store.read_curves({trial_id}).get(trial_id, [])
    outcome = _train_again(row, architecture, objective, dataset, device, epochs, comparison, with_umap)
    comparison.compare(
        _collect_scores(store.read_rows("scores", trial_id)), _collect_scores(map(dataclasses.asdict, outcome.scores))
    )
    comparison.compare_images(
        {(row["evaluator"], row["metric"]): row["values"] for row in store.read_rows("image_scores", trial_id)},
        {(score.evaluator, score.metric): score.per_image for score in outcome.scores if score.per_image is not None},
    )
    print(comparison.verdict)
    return 0 if comparison.different == 0 else 1


@dataclass(slots=True)
class ReproductionCheck:
    """Compares values, prints them and counts.

    Args:
        differences: what is not as it was when the row was made; without any, values must agree in every bit.
    """

    differences: list[str]
    total: int = field(default=0, init=False)
    exact: int = field(default=0, init=False)
    different: int = field(default=0, init=False)

    @property
    def rule(self) -> str:
        """What counts as the same, and why."""
        if not self.differences:
            return "the same bits are expected: processor, versions and code are those of the row"
        return (
            f"the same within {RELATIVE_TOLERANCE:.0%} or {ABSOLUTE_TOLERANCE:g} is expected, not the same bits: "
            + "; ".join(self.differences)
        )

    @property
    def verdict(self) -> str:
        """What came out."""
        same = self.total - self.different
        return f"{same} of {self.total} values came out the same, {self.exact} of them bit for bit"

    def compare(self, before: Values, now: Values) -> None:
        """Print the values, a line for each place, and count those that are the same."""
        keys = list(dict.fromkeys([*before, *now]))
        for place, names in groupby(keys, key=lambda key: key[0]):
            shown = [f"{key[1]} {self._judge(before.get(key), now.get(key))}" for key in names]
            print(f"{place}: {', '.join(shown)}", flush=True)

    def compare_images(
        self, before: Mapping[tuple[str, str], ArrayLike], now: Mapping[tuple[str, str], ArrayLike]
    ) -> None:
        """Compare the test images one by one where every bit must agree; elsewhere their means, the scores, must do."""
        if self.differences:
            return
        for evaluator, metric in dict.fromkeys([*before, *now]):
            one, other = (np.asarray(each.get((evaluator, metric), ())) for each in (before, now))
            count = int((one == other).sum()) if one.shape == other.shape else 0
            same = count == len(other) > 0
            self.total += 1
            self.exact += same
            self.different += not same
            verdict = "same" if same else f"DIFFERS: {count} same"
            print(f"test images {evaluator}: {metric} of {len(other)} {verdict}", flush=True)

    def _judge(self, before: float | None, now: float | None) -> str:
        self.total += 1
        if before == now:
            self.exact += 1
            return f"{now:.6g} same" if now is not None else "none same"
        if self.differences and before is not None and now is not None and is_close(before, now):
            return f"{now:.6g} close to {before:.6g}"
        self.different += 1
        return f"{now!r} DIFFERS from {before!r}"


def is_close(before: float, now: float) -> bool:
    """Whether two values agree within the tolerance."""
    return math.isclose(before, now, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)


def find_differences(
    row: Mapping[str, Any], device: torch.device, objective: Objective = OBJECTIVES[RECONSTRUCTION]
) -> list[str]:
    """Return what decides values and is not as it was when the row was made."""
    commit, dirty = provenance.git_state()
    before: dict[str, Any] = {"device": row["device"], "git commit": row["git_commit"]}
    now: dict[str, Any] = {"device": describe_device(device), "git commit": commit}
    if row["arm"] != "control" or row["engine"]:
        before["engine"], now["engine"] = row["engine"], name_engine(device, objective)
    before |= {name: json.loads(row["versions"] or "{}").get(name) for name in _DECISIVE}
    now |= {name: provenance.versions().get(name) for name in _DECISIVE}
    found = [f"{name} was {before[name]}, is {now[name]}" for name in before if before[name] != now[name]]
    if row["git_dirty"]:
        found.append("the row was made by code with changes that no commit holds")
    if dirty:
        found.append("the code has changes here that no commit holds")
    if device.type == "cuda":
        found.append("a GPU adds in any order, and trained several seeds at once")
    return found


def _find_trial(store: Store, trial_id: str) -> dict[str, Any]:
    rows = {row["trial_id"]: row for row in store.read_trials()}
    if (found := complete_id(trial_id, rows)) is None:
        near = difflib.get_close_matches(trial_id, rows, n=3, cutoff=0)
        raise InputError(
            f"{store.folder} has no trial {trial_id}",
            f"one of its {len(rows)} trials{', such as ' if near else ''}{', '.join(near)}",
            "choose from column trial_id of trials",
        )
    row = rows[found]
    if row["status"] == "failed":
        raise InputError(
            f"{trial_id} failed: {row['reason']}",
            "a trial that is complete, pruned or diverged",
            "choose another; this one left no values to compare with",
        )
    return row


def _find_architecture(name: str, manifest: Mapping[str, Any], own: Sequence[Architecture]) -> Architecture | Control:
    """Return the row called ``name``: built in, of a control, or one of the study's own, which study.json holds.

    The factory of a module is not there: it is that of the module that is given again.
    """
    rows = {values["name"]: values for values in manifest.get("models", ())}
    if name in rows:
        return restore_row(rows[name], own)
    models = {**BUILT_IN, **CONTROLS}
    if name not in models:
        raise InputError(
            f"unknown architecture {name!r}", ", ".join((*models, *rows)), "choose a trial of one of these"
        )
    return models[name]


def _find_objective(row: Mapping[str, Any], own: Sequence[Objective], layered: bool) -> Objective:
    """Return the objective of a row, which rows of older versions do not say: built in, or one of the user's own."""
    known = {**OBJECTIVES, **CONTROL_OBJECTIVES, **{each.name: each for each in own}}
    name = row.get("objective") or RECONSTRUCTION
    if name not in known:
        raise InputError(
            f"{row['trial_id']} was trained by objective {name}, which is not built in",
            ", ".join(known),
            "give your file again, --models FILE",
        )
    return known[name].limit(row["pretraining"] or "none", layered)


def _choose_device(row: Mapping[str, Any]) -> torch.device:
    """Return the processor if it is the one of the row, else a GPU where there is one."""
    processor = torch.device("cpu")
    if torch.cuda.is_available() and row["device"] != describe_device(processor):
        return torch.device("cuda")
    return processor


def _train_again(
    row: Mapping[str, Any],
    architecture: Architecture | Control,
    objective: Objective,
    dataset: Dataset,
    device: torch.device,
    epochs: list[dict[str, Any]],
    comparison: ReproductionCheck,
    with_umap: bool,
) -> Outcome:
    """Train and compare epoch by epoch; return how the trial ended."""
    prepare(device)
    trial_config = None
    if architecture.trained:
        settings = {setting.name: row[setting.name] for setting in dataclasses.fields(TrialConfig)}
        pretraining = row["pretraining"] or "none"
        trial_config = TrialConfig(**settings | {"objective": objective.name, "pretraining": pretraining})
    trials = (Trial(row["trial_id"], row["seed"]),)
    phase = row["phase"] if row["round"] is None else "search"
    batch = TrialBatch(phase, architecture, row["code_size"], trial_config, trials, with_umap, objective)
    with threadpool_limits(limits=1):  # as Ray's workers have it
        for report in run_trial(batch, dataset, device):
            values = report.epoch
            if values is not None:
                before = epochs[values.epoch - 1] if values.epoch <= len(epochs) else {"epoch": values.epoch}
                comparison.compare(_collect_epoch(before), _collect_epoch(dataclasses.asdict(values)))
            stopped = row["status"] == "pruned" and values is not None and values.epoch == row["epochs"]
            outcome = Outcome("pruned") if stopped else report.outcome
            if outcome is not None:
                same = outcome.status == row["status"]
                comparison.total += 1
                comparison.exact += same
                comparison.different += not same
                print(f"status: {outcome.status} {'same' if same else 'DIFFERS from ' + row['status']}")
                return outcome
    raise AssertionError("a run ends with an outcome")


def _collect_scores(scores: Iterable[Mapping[str, Any]]) -> Values:
    return {(f"{score['split']} {score['evaluator']}", score["metric"]): score["value"] for score in scores}


def _collect_epoch(epoch: Mapping[str, Any]) -> Values:
    """Return the values of an epoch but those that are not finite, which are null in rows."""
    values = {name: epoch.get(name) for name in LOSSES}
    place = f"epoch {epoch['epoch']}"
    return {(place, name): value for name, value in values.items() if value is not None and math.isfinite(value)}
