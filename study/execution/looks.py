"""The plan of a study's folder, with the seeds that its looks have added by now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from study.config.study_config import StudyConfig
from study.plan.looks import check_looks
from study.plan.plan import Plan
from study.storage.store import Store


def make_plan(
    config: StudyConfig, store: Store, manifest: Mapping[str, Any] | None, retry_failed: bool = False
) -> Plan:
    """Return the plan of ``config`` over the rows in ``store``; its study.json is ``manifest``, None before it has one.

    With ``retry_failed`` trials that failed are planned anew.

    Raises:
        InputError: rows cannot be read, or looks are others than those declared, or declared too late.
    """
    rows = store.read_trials() if manifest is not None else []
    check_looks(config, manifest, rows, store.folder)
    if not config.until_decided or manifest is None:
        return Plan(config, rows, retry_failed)
    # Tests need pandas and SciPy, which a study without looks need not wait for.
    from analysis.results import load_study
    from analysis.stats.headline import take_looks

    # Analysis leaves out what cannot be read, and a look at part of the scores would be another look.
    store.check_table("scores")
    results = load_study(str(store.folder))
    (study,) = results.studies
    asked = dataclasses.replace(study, manifest={**study.manifest, "config": config.as_dict()})
    looks = take_looks(dataclasses.replace(results, studies=(asked,))).get(study.name)
    return Plan(config, rows, retry_failed, looks.extended if looks else {})
