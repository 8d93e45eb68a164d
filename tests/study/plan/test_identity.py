"""What a study is may not change under its name; its study.json says the rest."""

from __future__ import annotations

from typing import Any

from study.config.presets import study_config
from study.plan.identity import make_identity

OTHERS = ({"published_epochs": 2}, {"multiply_adds_budget": 4_000_000}, {"sampler": "gp"}, {"generation_size": 2})


def test_identity_holds_what_may_not_change_and_lets_budgets_grow() -> None:
    """Trials, finalists, seeds, cells, arms and phases may grow; data, recipe, space, epochs and base seed may not."""
    base = study_config("quick")
    cells = {"architectures": ("model_1",), "code_sizes": (2,), "phases": ("search",), "arms": ("tuned", "published")}
    grown = study_config("quick", trials=9, finalists=3, validation_seeds=4, seeds=9, **cells)
    assert make_identity(base, "sha") == make_identity(grown, "sha")
    changes: list[dict[str, Any]]
    changes = [{"epochs": 99}, {"weight_decay": 0.03}, {"batch_size": 5}, {"recipe": "caffe"}, {"seed": 1}, *OTHERS]
    for change in changes:
        assert make_identity(study_config("quick", **change), "sha") != make_identity(base, "sha")
    clustered = make_identity(study_config("quick", with_umap=True), "sha")
    assert clustered == make_identity(base, "sha") | {"with_umap": True}
    assert make_identity(base, "other") != make_identity(base, "sha")
    # As earlier versions wrote it, whose studies go on.
    assert "weight_decay_range" not in make_identity(base, "sha")["recipes"]["modern"]
    assert "control_recipe" not in make_identity(base, "sha")
    assert make_identity(study_config("quick", recipe="muon"), "sha")["recipes"]["muon"]["weight_decay_range"]
