"""What a study is may not change under its name; its study.json says the rest."""

from __future__ import annotations

from typing import Any

from study.config.presets import study_config
from study.plan.identity import make_identity


def test_identity_holds_what_may_not_change_and_lets_budgets_grow() -> None:
    """Trials, seeds, cells and phases may grow; data, recipe, epochs, batch and seed may not."""
    base = study_config("quick")
    grown = study_config("quick", trials=9, seeds=9, architectures=("model_1",), code_sizes=(2,), phases=("search",))
    assert make_identity(base, "sha") == make_identity(grown, "sha")
    changes: list[dict[str, Any]]
    changes = [{"epochs": 99}, {"weight_decay": 0.03}, {"batch_size": 5}, {"recipe": "caffe"}, {"seed": 1}]
    for change in changes:
        assert make_identity(study_config("quick", **change), "sha") != make_identity(base, "sha")
    assert make_identity(base, "other") != make_identity(base, "sha")
