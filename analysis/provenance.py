"""Where a study's numbers come from, what of the study is not there yet, and the command that adds it."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results import Study, StudyResults, list_trials, name_model
from analysis.stats.headline import Looks, take_looks
from study.config.study_config import rebuild_config
from study.plan.trials import list_cells, plan_trials

NAMED_CELLS = 4
_MACHINE = ("system", "cores", "gpus", "hardware")


def format_command(study: Study, phase: str, options: str = "") -> str:
    """Return the command that runs ``phase`` of ``study`` as it was launched last.

    Args:
        study: that lacks rows.
        phase: values of flag --phase.
        options: flags that stand in the place of those of the last launch.
    """
    launches = study.manifest["launches"] or [{}]
    launched = str(launches[-1].get("command") or "").removeprefix("python ")
    first, *words = shlex.split(launched) or [""]
    if words[:1] != ["run"]:  # of the installed command
        # A notebook, or a script that calls `run`, has flags of its own.
        begun = launched if Path(first).name == "launch.py" else f"study/launch.py --preset {study.path}/study.toml"
        launched = f"python {begun}"
    start, *flags = re.split(r" (?=--)", launched)
    asked = re.split(r" (?=--)", f"--phase {phase}{options and ' ' + options}")
    replaced = {flag.split()[0] for flag in asked}
    if "ablate" not in phase:
        replaced.add("--factors")
    return " ".join((start, *(flag for flag in flags if re.split("[ =]", flag)[0] not in replaced), *asked))


def provenance(results: StudyResults) -> list[tuple[str, dict[str, str]]]:
    """Return for each study its name and what is known of data, code, versions, hardware, dates and seeds."""
    return [
        (study.name, _facts(study, results.trials[results.trials["study"] == study.name])) for study in results.studies
    ]


def list_missing(results: StudyResults) -> list[str]:
    """Return a sentence for each phase whose trials are not all there, with the command that runs them.

    A trial that diverged or failed is there; controls are not counted.
    """
    sentences = []
    for study in results.studies:
        if (config := rebuild_config(study.manifest)) is None:
            continue
        rows, looks = list_trials(results, study), take_looks(results).get(study.name)
        expected = [
            {"trial_id": trial.trial_id, "phase": trial.phase, "arm": trial.arm, "factor": trial.factor}
            | {"architecture": name_model(trial.cell), "code_size": trial.cell.code_size}
            for trial in plan_trials(config, rows, looks.extended if looks else {})
            # Of a study of an older version the levels of ablations have the base's rate.
            if has_rounds(study) or trial.phase == "search" or not trial.validated
        ]
        planned = _count_groups(expected)
        if has_rounds(study):  # Trials of a search are those that its results call for, others may be there, too.
            ids = {trial["trial_id"] for trial in expected}
            rows = [row for row in rows if row["phase"] != "search" or row["trial_id"] in ids]
        elif "search" in planned:
            planned["search"] = Counter(dict.fromkeys(planned["search"], config.trials))
        there = _count_groups(rows)
        for phase, counts in planned.items():
            if short := counts - there[phase]:
                # Cells as in the tables, the tuned arm first.
                names = [*map(name_model, list_cells(config))]
                order = sorted(short, key=lambda group: (names.index(group[0]), group[1], group[2] != "tuned"))
                cells = [
                    f"{name} at code size {size} ({kind}: {short[name, size, kind]})" for name, size, kind in order
                ]
                more = f" and {len(cells) - NAMED_CELLS} more cells" if len(cells) > NAMED_CELLS else ""
                sentences.append(
                    f"{study.name}: {short.total():,} of {counts.total():,} trials of phase {phase} are "
                    f"not there: {', '.join(cells[:NAMED_CELLS])}{more}. To run them: {format_command(study, phase)}"
                )
    return sentences


def describe_looking(results: StudyResults, study: Study) -> str:
    """Return a sentence on the looks of ``study``, planned ones or not; nothing where it was not looked at.

    A launch that added seeds when confirmed runs could be seen has looked: who goes on until something is found finds
    it too often. So may one have that asked for fewer. An arm at a code size may have seeds of its own. A launch that
    confirmed nothing, for ablations or a search alone, has changed no confirmed seeds.
    """
    if looks := take_looks(results).get(study.name):
        return describe_looks(looks)
    trials = results.trials[(results.trials["study"] == study.name) & (results.trials["phase"] == "confirm")]
    trials, launches = trials[trials["arm"] != "control"], [*filter(_confirms, study.manifest["launches"])]
    lowered, grown = list[str](), list[str]()
    for place in (None, *dict.fromkeys((*own,) for launch in launches for *own, _ in launch.get("seeds_at", ()))):
        there = trials if place is None else trials[(trials["arm"] == place[0]) & (trials["code_size"] == place[1])]
        known, fewer = _follow_seeds(launches, place, there["finished_at"].min())
        where = "" if place is None else f" {place[0]} at code size {place[1]}"
        grown += [", then ".join(map(str, known)) + where] if len(known) > 1 else []
        lowered += [f"{fewer} seeds in the place of {known[-1]}{where}"] if fewer else []
    sentences = []
    if grown:
        sentences.append(
            f"Seeds were added after confirmed runs had ended ({'; '.join(grown)}): p values are after looking, so "
            "chance is called a difference more often than they say."
        )
    if lowered:
        sentences.append(
            f"After confirmed runs had ended a launch asked for {' and '.join(lowered)}, so results could be seen with "
            "fewer than were planned."
        )
    return " ".join(sentences)


def _confirms(launch: Mapping[str, Any]) -> bool:
    """Whether phase confirm may have been among those of ``launch``: its command names others, or it was."""
    phases: list[str] | None = None
    for flag in re.split(r" (?=--)", str(launch.get("command") or "")):
        name, *values = re.split("[ =]", flag)
        if len(name) > len("--p") and "--phase".startswith(name):  # also an unambiguous beginning
            phases = values
    return phases is None or "confirm" in phases


def _follow_seeds(
    launches: Sequence[Mapping[str, Any]], place: tuple[Any, ...] | None, seen: pd.Timestamp
) -> tuple[list[int], int]:
    """Return how many seeds ``place`` had, each time it got more after ``seen``, and fewer that were asked for then.

    It is an arm at a code size, or None for all that have no seeds of their own. Launches of earlier versions do not
    say who has, or no seeds at all.
    """
    counts: list[int] = []
    lowered = 0
    for launch in launches:
        seeds = launch.get("seeds", 0)
        if place is not None:
            own = {(*rest,): count for *rest, count in launch.get("seeds_at", ())}
            seeds = own.get(place, seeds) if "seeds_at" in launch else 0
        late = bool(seeds) and seen < pd.Timestamp(launch["started_at"])
        if late and seeds < max(counts, default=0):
            lowered = seeds
        if counts and seeds > counts[-1] and not late:
            counts[-1] = seeds
        elif not counts or seeds > counts[-1]:
            counts.append(seeds)
    return [count for count in counts if count], lowered


def describe_looks(looks: Looks) -> str:
    """Say when a study looks, how far it is, and at which level it is judged."""
    last = looks.seeds[max(0, looks.taken - 1)]
    told = f"the last taken at {last}" if looks.taken else "none taken yet, so nothing is decided"
    return (
        f"Seeds are added until models are decided, at looks declared before the first: {_join_items(looks.seeds)} "
        f"seeds, {told}. Together they spend 5 % ({_join_items(f'{level:.2g}' for level in looks.levels)}): a pair is "
        "judged by the level of the look that decides it, or of the last, and so is the interval of its difference; "
        f"other tests of the tuned arm are judged at {looks.level:.2g}."
    )


def has_rounds(study: Study) -> bool:
    """Whether the searches of a study go by rounds; in those begun earlier trials were stopped early."""
    return "generation_size" in study.manifest.get("identity", {})


def _count_groups(trials: Iterable[Mapping[Any, Any]]) -> dict[str, Counter[tuple[str, int, str]]]:
    """Count trials that train, by phase, then by cell and arm, or factor where they ablate."""
    counts: dict[str, Counter[tuple[str, int, str]]] = defaultdict(Counter)
    for trial in trials:
        if trial["arm"] != "control":
            base = trial.get("base_code_size")
            size = int(trial["code_size"] if pd.isna(base) else base)
            group = (str(trial["architecture"]), size, trial["factor"] if trial["phase"] == "ablate" else trial["arm"])
            counts[trial["phase"]][group] += 1
    return counts


def _facts(study: Study, trials: pd.DataFrame) -> dict[str, str]:
    manifest = study.manifest
    config, dataset = manifest["config"], manifest["dataset"]
    launches: list[Mapping[str, Any]] = manifest["launches"]
    last: Mapping[str, Any] = launches[-1] if launches else {}
    named = {"train": "training", "validation": "of them for validation in a search", "test": "test"}
    images = ", ".join(
        f"{dataset[f'{split}_images']:,} {what}" for split, what in named.items() if f"{split}_images" in dataset
    )
    machines = [
        f"{launch.get('host', '?')}: " + ", ".join(f"{name} {launch[name]}" for name in _MACHINE if launch.get(name))
        for launch in launches
    ]
    started, finished = trials["started_at"].min(), trials["finished_at"].max()
    unfinished = pd.isna(started) or pd.isna(finished)
    seeds = trials.loc[trials["phase"] == "confirm", "seed"].dropna().unique()
    facts = {
        "folder": study.path,
        "data": f"{dataset.get('name', '?')} ({images} images), SHA-256 {str(dataset.get('sha256', '?'))[:12]}",
        "configuration": ", ".join(
            f"{key} {config[key]}" for key in ("preset", "recipe", "epochs", "trials", "seeds", "seed") if key in config
        )
        + "".join(f", {seeds} seeds {arm} at {size}" for arm, size, seeds in config.get("seeds_at", ()))
        + f", SHA-256 {str(manifest.get('study_sha256', '?'))[:12]}",
        "seeds of confirmed trials": _join_items(sorted(seeds)),
        "trials": _join_items(
            f"{count:,} {status}" for status, count in trials["status"].value_counts(sort=False).items() if count
        ),
        "code": _join_items(_commits(trials)),
        "versions": _join_items(f"{name} {version}" for name, version in dict(last.get("versions", {})).items()),
        "hardware": _join_items(dict.fromkeys([*machines, *trials["device"].dropna().unique()])),
        "dates": "" if unfinished else f"{started:%Y-%m-%d %H:%M} to {finished:%Y-%m-%d %H:%M} UTC",
        "launches": _join_items(dict.fromkeys(str(launch.get("command")) for launch in launches)),
    }
    return {name: text for name, text in facts.items() if text}


def _commits(trials: pd.DataFrame) -> list[str]:
    known = trials.loc[trials["git_commit"].notna(), ["git_commit", "git_dirty"]].drop_duplicates()
    return [
        f"{commit[:12]}{' (with local changes)' if dirty is not pd.NA and dirty else ''}"
        for commit, dirty in known.itertuples(index=False)
    ]


def _join_items(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)
