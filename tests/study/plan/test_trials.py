"""Every trial of a study follows from its configuration alone."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest

from study.config.presets import study_config
from study.config.search_space import Cell
from study.config.study_config import rebuild_config
from study.plan.identity import make_identity
from study.plan.plan import Plan
from study.plan.trials import list_cells, list_skipped_cells, list_skipped_levels, plan_trials
from tests.studies import small_config
from tests.study.plan.test_plan import ablating, run_all
from trainables.errors import InputError
from trainables.training.objectives import OBJECTIVES as OBJECTIVE_TABLE


def test_a_study_plans_search_confirmation_of_both_arms_and_controls() -> None:
    """Two cells: 3 short search trials and 2 finalists of 2 seeds, 2 seeds of 2 arms each, PCA and raw pixels."""
    counts = Counter((planned.phase, planned.arm) for planned in plan_trials(small_config()))
    assert counts == {
        ("search", "tuned"): 14,
        ("confirm", "published"): 4,
        ("confirm", "tuned"): 4,
        ("confirm", "control"): 4,
    }


def test_umap_is_a_control_of_studies_that_have_it() -> None:
    """At every code size, with every seed."""
    config = small_config(code_sizes=(2, 10), with_umap=True)
    without = {planned.trial_id for planned in plan_trials(dataclasses.replace(config, with_umap=False))}
    assert {planned.trial_id for planned in plan_trials(config)} - without == {
        f"confirm-umap-code{size}{number}" for size in (2, 10) for number in ("", "-02")
    }


def test_a_trained_control_is_planned_where_it_is_asked_for_and_nothing_of_it_is_searched() -> None:
    """At every code size, with every seed, for the epochs of the study; its settings are known from the start."""
    config = small_config(architectures=("siamese",), code_sizes=(2, 10), arms=("tuned", "published"))
    planned = [trial for trial in plan_trials(config) if trial.epochs]
    assert [trial.trial_id for trial in planned] == [
        f"confirm-siamese-code{size}{number}" for number in ("", "-02") for size in (2, 10)
    ]
    assert {(trial.arm, trial.epochs) for trial in planned} == {("control", config.epochs)}
    trial_config = Plan(config, []).resolve_config(planned[0])
    assert trial_config is not None
    assert (trial_config.architecture, trial_config.objective, trial_config.objective_strength, trial_config.loss) == (
        "siamese",
        "contrastive",
        1.0,
        None,
    )
    assert {trial.trial_id for trial in plan_trials(small_config())}.isdisjoint(trial.trial_id for trial in planned)


def test_classic_autoencoder_has_no_published_arm() -> None:
    """Nothing of it is published by the paper's authors."""
    config = small_config(architectures=("classic_autoencoder",))
    assert {planned.arm for planned in plan_trials(config) if planned.phase == "confirm"} == {"tuned", "control"}


def test_cells_pair_by_seed() -> None:
    """Confirmation number k has the same seed in every cell and arm, controls included."""
    seeds: dict[int, set[int | None]] = {}
    for planned in plan_trials(small_config(seeds=3)):
        if planned.phase == "confirm":
            seeds.setdefault(planned.number, set()).add(planned.seed)
    assert {number: len(found) for number, found in seeds.items()} == {1: 1, 2: 1, 3: 1}


def test_controls_have_a_trial_a_seed_and_that_of_earlier_versions_counts_as_the_first() -> None:
    """Its id is that of the only one that they planned; the seeds that came since are pending."""
    config = small_config(seeds=3)
    earlier = [
        {"trial_id": f"confirm-{cell}", "status": "complete", "seed": None}
        for cell in ("pca-code10", "raw_pixels-code784")
    ]
    pending = [planned for planned in Plan(config, earlier).list_pending() if planned.arm == "control"]
    assert {(planned.trial_id, planned.seed) for planned in pending} == {
        (f"confirm-{cell}-{number:02d}", config.confirm_seed(number))
        for cell in ("pca-code10", "raw_pixels-code784")
        for number in (2, 3)
    }


def test_arms_and_code_sizes_have_the_seeds_that_are_said_of_them() -> None:
    """Four of the tuned arm at code size 10, two everywhere else, ablations included; the first two are the same."""
    config = ablating(code_sizes=(2, 10), seeds_at=(("tuned", 10, 4),), factors=("unpooling",))
    counts = Counter(
        (planned.phase, planned.arm, planned.cell.code_size)
        for planned in plan_trials(config)
        if planned.phase != "search" and planned.cell.architecture == "model_4"
    )
    assert counts == {
        ("confirm", "published", 2): 2,
        ("confirm", "published", 10): 2,
        ("confirm", "tuned", 2): 2,
        ("confirm", "tuned", 10): 4,
        ("ablate", "tuned", 10): 6,
    }
    fewer = {planned.trial_id for planned in plan_trials(dataclasses.replace(config, seeds_at=()))}
    assert fewer < {planned.trial_id for planned in plan_trials(config)}
    assert make_identity(config, "sha") == make_identity(dataclasses.replace(config, seeds_at=()), "sha")


def test_levels_that_make_no_sense_are_left_out_with_their_reason() -> None:
    """Model 1 neither pools nor unpools; the base's own level is no ablation and needs no reason."""
    skipped = list_skipped_levels(ablating())
    assert {(level["architecture"], level["factor"]) for level in skipped} == {
        ("model_1", "pooling"),
        ("model_1", "unpooling"),
    }
    assert all(level["reason"] for level in skipped)
    levels = {(planned.factor, planned.level.label) for planned in plan_trials(ablating()) if planned.level}
    assert ("activation", "sigmoid") not in levels
    assert {("unpooling", "switches"), ("pooling", "stride"), ("code_size", "64")} <= levels


def test_ablations_pair_with_confirmations_by_seed() -> None:
    """Seed k of an ablation is seed k of the base."""
    config = ablating()
    seeds = {
        (planned.phase, planned.number): planned.seed
        for planned in plan_trials(config)
        if planned.phase == "ablate" or (planned.phase == "confirm" and planned.arm == "tuned")
    }
    assert seeds["ablate", 1] == seeds["confirm", 1] != seeds["ablate", 2] == seeds["confirm", 2]


def test_ids_are_unique_file_names() -> None:
    """Letters, digits, '-' and '_' alone."""
    ids = [planned.trial_id for planned in plan_trials(ablating(code_sizes=(2, 10)))]
    assert len(set(ids)) == len(ids)
    assert all(letter.isalnum() or letter in "-_" for trial_id in ids for letter in trial_id)


def test_cell_order_is_stable() -> None:
    """A cell's name is part of every id."""
    assert str(Cell("model_1", 10)) == "model_1-code10"


OBJECTIVES = ("reconstruction", "k_sparse", "what_where")


def test_an_objective_makes_cells_of_its_own_where_it_fits() -> None:
    """What does not fit is left out with its reason; the published arm is of plain reconstruction alone."""
    config = small_config(architectures=("model_3", "model_4"), objectives=OBJECTIVES)
    assert [str(cell) for cell in list_cells(config)] == [
        "model_3-code10",
        "model_3-code10-k_sparse",
        "model_3-code10-what_where",
        "model_4-code10",
        "model_4-code10-k_sparse",
    ]
    (skipped,) = list_skipped_cells(config)
    assert (skipped["architecture"], skipped["objective"]) == ("model_4", "what_where")
    assert skipped["reason"] == "model_4 does not unpool with switches"
    published = {str(planned.cell) for planned in plan_trials(config) if planned.arm == "published"}
    assert published == {"model_3-code10", "model_4-code10"}
    alone = {planned.trial_id for planned in plan_trials(small_config(architectures=("model_3", "model_4")))}
    assert alone < {planned.trial_id for planned in plan_trials(config)}
    assert make_identity(config, "sha") == make_identity(small_config(), "sha")
    with pytest.raises(InputError, match="objective what_where with model_4"):
        small_config(architectures=("model_4",), objectives=("what_where",))


def test_some_architectures_may_have_other_objectives() -> None:
    """As in preset objectives; whoever asks for objectives means all architectures."""
    config = study_config("objectives")
    others = [cell.objective for cell in config.list_cells(10) if cell.architecture == "model_3"]
    assert others == ["reconstruction", "what_where"]
    assert len(config.list_cells(10)) == 10
    assert rebuild_config({"name": config.name, "config": json.loads(json.dumps(config.as_dict()))}) == config
    asked = study_config("objectives", objectives=("variational",))
    assert {cell.objective for cell in list_cells(asked)} == {"variational"}


def test_a_search_has_the_middle_strength_and_ablations_the_others() -> None:
    """At the learning rate of the base; a sparse code of another size has another count."""
    config = ablating(
        architectures=("model_4",), objectives=OBJECTIVES[:2], factors=("objective_strength", "code_size", "objective")
    )
    taken = run_all(Plan(config, ()))
    strengths: dict[tuple[str, str], set[object]] = {}
    for planned, trial_config in taken:
        if trial_config is not None and trial_config.objective == "k_sparse" and planned.factor != "objective":
            key = (planned.phase, planned.level.label if planned.level else "")
            strengths.setdefault(key, set()).add(trial_config.objective_strength)
            assert planned.cell.objective == "k_sparse"
            assert planned.factor is None or trial_config.learning_rate == 0.01
    assert strengths[("search", "")] == strengths[("confirm", "")] == {5.0}
    assert (strengths["ablate", "weak"], strengths["ablate", "strong"]) == ({3.0}, {8.0})
    assert (strengths["ablate", "2"], strengths["ablate", "64"]) == ({1.0}, {8.0})
    changed = {config.objective for planned, config in taken if planned.factor == "objective" and config}
    assert changed == {*OBJECTIVE_TABLE} - {"reconstruction", "what_where"}
    reasons = {level["reason"] for level in list_skipped_levels(config)}
    assert "objectives are changed from reconstruction" in reasons
    assert "model_4 does not unpool with switches" in reasons
