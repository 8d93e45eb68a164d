"""Seeds are added where the headline is undecided, the same however the study was stopped and in whatever order."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from analysis.provenance import list_missing
from analysis.results import load_study
from analysis.stats.headline import compare_headline
from analysis.tables.headline import headline, headline_pairs
from analysis.tables.scores import differences
from analysis.tables.summary import answers
from analysis.tables.table import Table
from study import launch
from study.config.study_config import StudyConfig
from study.execution.looks import make_plan
from study.plan.identity import next_manifest
from study.plan.looks import share_level
from study.plan.plan import Plan
from study.storage.store import Store
from tests.faults.launches import NAME, Launch, find_tiny_data
from tests.studies import row_of, small_config
from trainables.data.datasets import load_dataset
from trainables.errors import InputError

LOOKS = (5, 8, 12)
MODELS = ("model_1", "model_4", "model_5", "unpool_only")
PCA = 26.7
CONFIG = small_config(architectures=(*MODELS, "model_3"), arms=("tuned",), trials=1, seeds=5, until_decided=True)
FIRST = 5 + 5 * 5 + 5 * 2
"""Trials until the first look: searches, confirmed runs and controls."""


def draw_error(architecture: str, number: int) -> float:
    """Return the squared error of a run: two models alike but noisy, one that needs more seeds, one far behind."""
    alike = (12.9 if architecture == "model_5" else 12.0, 1.5)
    mean, deviation = {"model_4": (21.0, 0.1), "unpool_only": (17.5, 0.5)}.get(architecture, alike)
    return float(np.random.default_rng([MODELS.index(architecture), 23]).normal(mean, deviation, 12)[number - 1])


def finish(plan: Plan, store: Store, row: dict[str, Any], sha256: str) -> None:
    """Commit a trial that has ended, with its score."""
    plan.finish(row)
    value = None
    if row["phase"] == "confirm" and row["status"] == "complete" and row["architecture"] != "raw_pixels":
        trained = row["architecture"] in MODELS
        value = (
            draw_error(row["architecture"], row["number"]) if trained else 2.0 if "model" in row["trial_id"] else PCA
        )
    score = {"split": "test", "evaluator": "reconstruction", "metric": "squared_error", "value": value}
    score |= {"trial_id": row["trial_id"], "unit": "1/image", "direction": "lower"}
    stamps = {"started_at": datetime.now(UTC), "finished_at": datetime.now(UTC), "study_sha256": sha256}
    store.append(row | stamps, {"scores": [score] if value is not None else []}, None)


def run(folder: Path, config: StudyConfig = CONFIG, stop_after: int = 10_000, order: int | None = None) -> Plan:
    """Run a study as a launch does, but train nothing; three trials at once, ending in an ``order`` of their own."""
    generator = np.random.default_rng(order)
    store = Store(folder / config.name)
    with store:
        earlier = store.read_manifest()
        manifest = next_manifest(config, load_dataset(config.dataset), earlier, store.folder)
        plan = make_plan(config, store, earlier)
        store.open(manifest)
        running: list[dict[str, Any]] = []
        for _ in range(stop_after):
            while len(running) < (1 if order is None else 3) and (taken := plan.take()) is not None:
                ((planned,), trial_config) = taken
                lost = (planned.cell.architecture, planned.number) == ("model_1", 2) and planned.arm == "tuned"
                status = "diverged" if lost and planned.phase == "confirm" else "complete"
                running.append(row_of(planned, trial_config, status=status) | plan.list_columns(planned))
            if not running:
                plan = make_plan(config, store, manifest)
                if plan.exhausted:
                    break
                continue
            finish(plan, store, running.pop(int(generator.integers(len(running)))), manifest["study_sha256"])
        store.compact()
    return plan


def count_seeds(plan: Plan) -> dict[str, int]:
    """Return how many runs of the tuned arm each model has."""
    confirmed = [row for row in plan.rows.values() if row["phase"] == "confirm" and row["arm"] == "tuned"]
    return {name: sum(row["architecture"] == name for row in confirmed) for name in CONFIG.architectures}


def decide_by_hand() -> tuple[dict[str, int], dict[frozenset[str], str]]:
    """Return the seeds of each model and the outcome of each pair, by SciPy's Welch tests and Holm's steps."""
    outcomes: dict[frozenset[str], str] = {}
    used = dict.fromkeys(MODELS, 5)
    everything = [frozenset(pair) for pair in itertools.combinations(MODELS, 2)]
    for look, level in zip(LOOKS, share_level(LOOKS), strict=True):
        open_pairs = [pair for pair in everything if pair not in outcomes]
        for name in set().union(*open_pairs):
            used[name] = look
        p_values: dict[str, dict[frozenset[str], float]] = {"better": {}, "equivalent": {}}
        for pair in open_pairs:
            # Run 2 of model 1 diverges.
            first, second = (
                np.array([draw_error(name, n) for n in range(1, look + 1) if (name, n) != ("model_1", 2)]) / PCA
                for name in sorted(pair)
            )
            p_values["better"][pair] = scipy.stats.ttest_ind(first, second, equal_var=False).pvalue
            p_values["equivalent"][pair] = max(
                scipy.stats.ttest_ind(first + 0.05, second, equal_var=False, alternative="greater").pvalue,
                scipy.stats.ttest_ind(first - 0.05, second, equal_var=False, alternative="less").pvalue,
            )
        for outcome, of_pairs in p_values.items():
            left = len(everything) - sum(found == outcome for found in outcomes.values())
            for pair, p_value in sorted(of_pairs.items(), key=lambda item: item[1]):
                if pair in outcomes and outcome == "equivalent":
                    continue  # shown to differ at this very look
                if p_value * left >= level:
                    break
                outcomes[pair] = outcome
                left -= 1
    return used, {pair: outcomes.get(pair, "undecided") for pair in everything}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """A study run to its end, one trial at a time."""
    results = tmp_path_factory.mktemp("whole")
    return results, run(results)


def test_undecided_pairs_get_seeds_and_decided_ones_do_not(whole: tuple[Path, Plan]) -> None:
    """As by hand; model 3, which is never ranked, keeps five."""
    used, outcomes = decide_by_hand()
    assert sorted(set(used.values())) == [5, 8, 12]
    results, plan = whole
    assert count_seeds(plan) == used | {"model_3": 5}
    _, pairs = compare_headline(load_study(results / CONFIG.name))
    found = pairs[(pairs["arm"] == "tuned")]
    assert {frozenset((row["architecture"], row["other"])): row["outcome"] for _, row in found.iterrows()} == outcomes
    assert plan.exhausted
    assert plan.total == plan.done == len(plan.rows)


@pytest.mark.parametrize(("cuts", "order"), [((17, 20), 1), ((FIRST + 4, 8), 2)])
def test_a_study_stopped_and_run_in_another_order_takes_the_same_looks(
    whole: tuple[Path, Plan], tmp_path: Path, cuts: tuple[int, ...], order: int
) -> None:
    """Three at once that end in another order, stopped before, within and after a look's trials."""
    for cut in cuts:
        run(tmp_path, stop_after=cut, order=order)
    assert run(tmp_path, order=order).rows.keys() == whole[1].rows.keys()


def test_what_is_missing_follows_the_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In --missing, --status and the report: one run short of the first look nothing is decided, then it is taken."""
    flags = ["--preset", "quick", "--architectures", *CONFIG.architectures, "--arms", "tuned", "--trials", "1"]
    flags += ["--seeds", "5", "--epochs", "5", "--published-epochs", "5", "--until-decided"]
    flags += ["--results-dir", str(tmp_path)]
    run(tmp_path, stop_after=FIRST - 1)
    results = load_study(tmp_path / CONFIG.name)
    assert set(compare_headline(results)[1]["outcome"]) == {"undecided"}
    assert any("none taken yet, so nothing is decided" in sentence for sentence in answers(results))
    used, _ = decide_by_hand()
    for missing in (1, 3 * sum(seeds > 5 for seeds in used.values())):
        assert launch.main([*flags, "--missing"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == missing
        assert launch.main([*flags, "--status"]) == 0
        told = capsys.readouterr().out
        brought = "none" if missing == 1 else "model_1 to 8"
        assert f"{missing} missing" in told
        assert f"looks:     at 5, 8, 12 seeds; seeds added so far: {brought}" in told
        run(tmp_path, stop_after=1)
    (sentence,) = list_missing(load_study(tmp_path / CONFIG.name))
    assert f"{missing - 1} of" in sentence


def test_a_folder_without_the_looks_is_refused(whole: tuple[Path, Plan]) -> None:
    """Its rows follow from them."""
    results, _ = whole
    store = Store(results / CONFIG.name)
    with pytest.raises(InputError, match="this launch has none"):
        make_plan(dataclasses.replace(CONFIG, until_decided=False), store, store.read_manifest())


def test_the_report_judges_at_the_level_of_the_look_and_says_so(whole: tuple[Path, Plan]) -> None:
    """Each pair's interval is of the level of the look that decided it; columns have that of the last look taken."""
    results = load_study(whole[0] / CONFIG.name)
    levels = share_level(LOOKS)
    _, pairs = compare_headline(results)
    pairs = pairs[pairs["arm"] == "tuned"].set_index(["architecture", "other"])
    assert set(pairs["level"]) <= set(levels)
    (early,) = pairs.loc[[("model_4", "unpool_only")]].to_dict("records")
    runs = [np.array([draw_error(name, n) / PCA for n in range(1, 6)]) for name in ("model_4", "unpool_only")]
    interval = scipy.stats.ttest_ind(*runs, equal_var=False).confidence_interval(1 - levels[0])
    assert (early["level"], early["low"], early["high"]) == pytest.approx((levels[0], interval.low, interval.high))
    table = differences(results)
    assert isinstance(table, Table)
    last = table.frame[(table.frame["arm"] == "tuned") & (table.frame["label"] == "Model 5")].iloc[0]
    samples = [
        [draw_error(name, n) for n in range(1, 13) if (name, n) != ("model_1", 2)] for name in ("model_5", "model_1")
    ]
    interval = scipy.stats.ttest_ind(*samples, equal_var=False).confidence_interval(1 - levels[2])
    assert last[["difference_low", "difference_high"]].tolist() == pytest.approx([interval.low, interval.high])
    said = (
        "Seeds are added until models are decided, at looks declared before the first: 5, 8, 12 seeds, the last taken "
        "at 12."
    )
    assert any(sentence.startswith(said) for sentence in answers(results))
    for shown in (headline(results), headline_pairs(results), table):
        assert isinstance(shown, Table)
        assert any(note.startswith(said) for note in shown.footnotes)


@pytest.mark.slow
@pytest.mark.fault("launcher: SIGKILL between looks")
def test_a_study_killed_on_ray_takes_its_looks(tmp_path: Path, every_fault: bool) -> None:
    """Two models on a real Ray, also killed before the first look and after it; a launch goes from look to look."""
    results = tmp_path / "results"
    flags = [*("--preset", "quick", "--dataset", find_tiny_data(), "--architectures", "unpool_only", "model_4")]
    flags += ["--trials", "1", "--seeds", "3", "--epochs", "1", "--until-decided", "--no-report", "--quiet"]
    flags += ["--concurrency", "1"]
    for rows in (4, 15) if every_fault else ():  # test_rounds_on_ray.py is killed, too
        launched = Launch(results, *flags)
        try:
            launched.wait_for_rows(rows)
            launched.process.kill()
        finally:
            launched.kill()
    Launch(results, *flags).finish()
    config = launch.make_config(launch.make_parser().parse_args(flags))
    store = Store(results / NAME)
    plan = make_plan(config, store, store.read_manifest())
    assert plan.exhausted
    assert plan.total == plan.done == len(plan.rows) > 2 + 2 * 3 + 2 * 3
