"""Where a study's figures come from, what of the study is not there yet, and the command that adds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.results import Study, StudyResults
from analysis.tables.table import Absent
from trainables.models.architectures import ARCHITECTURES, ClassicAutoencoder

NAMED_CELLS = 4
_MACHINE = ("system", "cores", "gpus", "hardware")


def command(study: Study, phase: str, options: str = "") -> str:
    """Return the command that runs ``phase`` of ``study`` as it was launched last.

    Args:
        study: that lacks rows.
        phase: values of flag --phase.
        options: flags that stand in the place of those of the last launch.
    """
    launches = study.manifest["launches"] or [{}]
    launched = str(launches[-1].get("command") or f"study/launch.py --name {study.name}")
    launched = launched if launched.startswith("python") else f"python {launched}"
    start, *flags = re.split(r" (?=--)", launched)
    asked = re.split(r" (?=--)", f"--phase {phase}{options and ' ' + options}")
    replaced = {flag.split()[0] for flag in asked}
    if "ablate" not in phase:
        replaced.add("--factors")
    return " ".join((start, *(flag for flag in flags if re.split("[ =]", flag)[0] not in replaced), *asked))


def absent(
    results: StudyResults, name: str, title: str, what: str, phase: str = "confirm", options: str = ""
) -> Absent:
    """Return the record of a table that has no rows, with the command that gives it some."""
    commands = " and ".join(dict.fromkeys(command(study, phase, options) for study in results.studies))
    return Absent(name, title, f"{what}. To get it: {commands}")


def labelled(study: Study) -> bool:
    """Whether the data of ``study`` have labels; where nothing says that they have none, they have."""
    return study.manifest["dataset"].get("labelled") is not False


def provenance(results: StudyResults) -> list[tuple[str, dict[str, str]]]:
    """Return for each study its name and what is known of data, code, versions, hardware, dates and seeds."""
    return [
        (study.name, _facts(study, results.trials[results.trials["study"] == study.name])) for study in results.studies
    ]


def missing(results: StudyResults) -> list[str]:
    """Return a sentence for each phase whose trials are not all there, with the command that runs them.

    A trial that diverged or failed is there.
    """
    sentences = []
    for study in results.studies:
        config = study.manifest["config"]
        trials = results.trials[results.trials["study"] == study.name]
        for phase in config.get("phases", ()):
            planned = _planned(config, phase)
            sizes = trials[trials["phase"] == phase].groupby(["architecture", "code_size", "arm"], observed=True).size()
            there = {(str(name), int(size), str(arm)): count for (name, size, arm), count in sizes.items()}
            short = {cell: count - there.get(cell, 0) for cell, count in planned.items() if count > there.get(cell, 0)}
            if short:
                cells = [f"{name} at code size {size} ({arm}: {count})" for (name, size, arm), count in short.items()]
                more = f" and {len(cells) - NAMED_CELLS} more cells" if len(cells) > NAMED_CELLS else ""
                sentences.append(
                    f"{study.name}: {sum(short.values()):,} of {sum(planned.values()):,} trials of phase {phase} are "
                    f"not there: {', '.join(cells[:NAMED_CELLS])}{more}. To run them: {command(study, phase)}"
                )
    return sentences


def _planned(config: Mapping[str, Any], phase: str) -> dict[tuple[str, int, str], int]:
    """Return the trials planned by (architecture, code size, arm); those of ablate are known to the plan alone."""
    budget = {"search": config.get("trials", 0), "confirm": config.get("seeds", 0)}.get(phase)
    if budget is None:
        return {}
    return {
        (name, size, arm): budget
        for name in config.get("architectures", ())
        for size in config.get("code_sizes", ())
        for arm in (("tuned", "published") if phase == "confirm" else ("tuned",))
        if arm == "tuned" or not isinstance(ARCHITECTURES.get(name), ClassicAutoencoder)
    }


def _facts(study: Study, trials: pd.DataFrame) -> dict[str, str]:
    manifest = study.manifest
    config, dataset = manifest["config"], manifest["dataset"]
    launches: list[Mapping[str, Any]] = manifest["launches"]
    last: Mapping[str, Any] = launches[-1] if launches else {}
    images = ", ".join(
        f"{dataset[f'{split}_images']:,} {split}"
        for split in ("train", "validation", "test")
        if f"{split}_images" in dataset
    )
    seeds = trials.loc[trials["phase"] == "confirm", "seed"].dropna().unique()
    facts = {
        "folder": study.path,
        "data": f"{dataset.get('name', '?')} ({images} images), SHA-256 {str(dataset.get('sha256', '?'))[:12]}",
        "configuration": ", ".join(
            f"{key} {config[key]}" for key in ("preset", "recipe", "epochs", "trials", "seeds", "seed") if key in config
        )
        + f", SHA-256 {str(manifest.get('study_sha256', '?'))[:12]}",
        "seeds of confirmed trials": _listed(sorted(seeds)),
        "trials": _listed(
            f"{count:,} {status}" for status, count in trials["status"].value_counts(sort=False).items() if count
        ),
        "code": _listed(_commits(trials)),
        "versions": _listed(f"{name} {version}" for name, version in dict(last.get("versions", {})).items()),
        "hardware": _listed(dict.fromkeys(_hardware(launches) + _listed_devices(trials))),
        "dates": _dates(trials),
        "launches": _listed(dict.fromkeys(str(launch.get("command")) for launch in launches)),
    }
    return {name: text for name, text in facts.items() if text}


def _commits(trials: pd.DataFrame) -> list[str]:
    known = trials.loc[trials["git_commit"].notna(), ["git_commit", "git_dirty"]].drop_duplicates()
    return [
        f"{commit[:12]}{' (with local changes)' if dirty is not pd.NA and dirty else ''}"
        for commit, dirty in known.itertuples(index=False)
    ]


def _hardware(launches: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{launch.get('host', '?')}: " + ", ".join(f"{name} {launch[name]}" for name in _MACHINE if launch.get(name))
        for launch in launches
    ]


def _listed_devices(trials: pd.DataFrame) -> list[str]:
    return [str(device) for device in trials["device"].dropna().unique()]


def _dates(trials: pd.DataFrame) -> str:
    started, finished = trials["started_at"].min(), trials["finished_at"].max()
    if pd.isna(started) or pd.isna(finished):
        return ""
    return f"{started:%Y-%m-%d %H:%M} to {finished:%Y-%m-%d %H:%M} UTC"


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)
