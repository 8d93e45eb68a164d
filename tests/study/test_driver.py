"""What a launch asks of the tuner."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.claims.rules import DIGEST, digest_rules
from study import driver, launch
from study import run as study_run
from study.config.options import RunOptions
from study.config.study_config import StudyConfig
from study.driver import EPOCH_LIMIT_FACTOR, LEAST_EPOCH_LIMIT, LONG
from study.execution import cluster, estimate
from study.execution.estimate import Estimate
from study.execution.recorder import TrialRecorder
from study.execution.tuner import Resources, run_plan
from study.plan.pace import format_range
from study.plan.plan import Plan
from study.run import _conclude, run
from study.signals import NotStarted
from study.storage import provenance
from study.storage.store import Store
from tests.studies import row_of, small_config, take_one, write_rows
from trainables.data.datasets import load_dataset
from trainables.errors import InputError


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a launch hands to the tuner, which runs nothing."""
    handed: dict[str, object] = {}
    signature = inspect.signature(run_plan)

    def spy(*arguments: object, **named: object) -> None:
        handed.update(signature.bind(*arguments, **named).arguments)

    monkeypatch.setattr(driver, "run_plan", spy)
    monkeypatch.setattr(driver, "estimate_plan", lambda *_: Estimate({}, {}, 1.0, 1.0, epoch_seconds=7.0))
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: nullcontext(Resources(0, 1)))
    return handed


@pytest.mark.parametrize(
    ("seconds", "answer", "outcome"),
    [
        (LONG, "y", True),
        (LONG, "Yes ", True),
        (LONG, "", NotStarted),
        (LONG, "n", NotStarted),
        (LONG, None, NotStarted),  # Ctrl-D
        (LONG - 60, "n", False),
    ],
)
def test_who_sits_before_a_terminal_is_asked_before_a_long_study(
    seconds: float,
    answer: str | None,
    outcome: bool | type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the plan; a short one starts without a word, and only a yes starts a long one."""
    asked = []

    def reply(words: str) -> str:
        asked.append(words)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", reply)
    monkeypatch.setattr(driver, "estimate_plan", lambda *_: Estimate({}, {}, seconds, 0.0, epoch_seconds=7.0))
    plan, options = Plan(small_config(), ()), RunOptions(ask=True, concurrency=1)
    ask = lambda: driver._ask_to_start(plan, options, Store(tmp_path), load_dataset("digits"))  # noqa: E731
    if isinstance(outcome, bool):
        assert ask() is outcome
    else:
        with pytest.raises(outcome):
            ask()
    assert len(asked) == (outcome is not False)
    assert ("estimate:" in capsys.readouterr().out) is (outcome is not False)


@pytest.mark.parametrize(("address", "asked"), [("10.0.0.1:6379", 0), ("auto", 0), (None, 1)])
def test_only_a_launch_on_this_machine_asks(
    address: str | None, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: dict[str, object]
) -> None:
    """A cluster is there for what takes long, and nobody may sit before its terminal."""
    questions: list[Plan] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(driver, "_ask_to_start", lambda plan, *_: questions.append(plan) or True)
    run(small_config(), RunOptions(results_dir=str(tmp_path), address=address, ask=True, report=False))
    assert len(questions) == asked


def test_the_time_that_a_study_took_stands_beside_its_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: dict[str, object]
) -> None:
    """Of one that has ended; one that goes on has taken part of it."""

    def run_some(recorder: TrialRecorder, *_: object) -> None:
        while (taken := take_one(recorder.plan)) is not None and recorder.plan.done < most:
            recorder.plan.finish(row_of(*taken))

    monkeypatch.setattr(driver, "run_plan", run_some)
    told = r"time: +\d.*; the estimate was \d"
    for most in (3, 100):
        assert launch.main(["--preset", "quick", "--no-report", "--results-dir", str(tmp_path / str(most))]) == 0
        assert bool(re.search(told, capsys.readouterr().out)) is (most == 100)


@pytest.mark.parametrize(("report", "took", "expected"), [(True, "10 min", 1110.0), (False, "9 min", 110.0)])
def test_both_times_begin_with_ray_and_end_with_the_report(
    report: bool,
    took: str,
    expected: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seen: dict[str, object],
) -> None:
    """Where one is made: what a plan says beforehand can be compared with what is told in the end."""
    now, read = [0.0], Store.read_trials

    def connect(*_: object, **__: object) -> AbstractContextManager[Resources]:
        now[0] += 40.0
        return nullcontext(Resources(0, 1))

    def run_all(recorder: TrialRecorder, *_: object) -> None:
        now[0] += 500.0
        while (taken := take_one(recorder.plan)) is not None:
            recorder.plan.finish(row_of(*taken))

    def make_report(*_: object) -> None:
        now[0] += 60.0

    for module in (driver, study_run):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(cluster, "connect", connect)
    monkeypatch.setattr(driver, "run_plan", run_all)
    monkeypatch.setattr(estimate, "RAY_SECONDS", 100.0)
    monkeypatch.setattr(estimate, "REPORT_SECONDS", 1000.0)
    monkeypatch.setattr(estimate, "EMBEDDING_SECONDS", 0.0)
    monkeypatch.setattr("analysis.report.main", make_report)
    monkeypatch.setattr(Store, "read_trials", lambda store: [*read(store), {"phase": "confirm"}])
    config = small_config(phases=("confirm",), arms=("published",))
    run(config, RunOptions(results_dir=str(tmp_path), report=report))
    told = " ".join(capsys.readouterr().out.split())
    assert f"time: {took}; the estimate was {format_range(expected)}" in told
    assert f"estimate: {format_range(expected)} (" in told


@pytest.mark.parametrize(
    ("flags", "epoch_limit", "time_budget"),
    [
        (["--epoch-limit", "3", "--time-budget", "0.5"], 180.0, 1800.0),
        ([], LEAST_EPOCH_LIMIT + EPOCH_LIMIT_FACTOR * 7.0, None),
    ],
)
def test_limits_reach_the_tuner_in_seconds(
    flags: list[str], epoch_limit: float, time_budget: float | None, tmp_path: Path, seen: dict[str, object]
) -> None:
    """Minutes of an epoch, hours of a launch; by default half an hour and twenty times the longest epoch expected."""
    command = ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path), *flags]
    assert launch.main(command) == 0
    assert seen["epoch_limit"] == epoch_limit
    assert seen["time_budget"] == (time_budget and pytest.approx(time_budget, abs=5))


@pytest.mark.parametrize(
    ("drained", "flags", "runs", "pending"), [(None, [], 2, 0), (1, [], 1, 4), (0, [], 0, 14), (None, ["0.0001"], 1, 4)]
)
def test_a_drain_ends_a_study_before_its_next_look(
    drained: int | None,
    flags: list[str],
    runs: int,
    pending: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seen: dict[str, object],
) -> None:
    """Or before it has begun; as the end of its time does. What the look would add is pending then, and said to be."""
    ended: list[dict[str, object]] = []
    ran = []

    def run_all(recorder: TrialRecorder, *arguments: object) -> None:
        ran.append(recorder.plan.total)
        while (taken := take_one(recorder.plan)) is not None:
            ended.append(row_of(*taken))
            recorder.plan.finish(ended[-1])
        time.sleep(0.5 * len(flags))
        if len(ran) == drained:
            os.kill(os.getpid(), signal.SIGUSR1)

    def look(config: StudyConfig, *_: object) -> Plan:
        return Plan(config, ended, extended={"model_1": 5, "model_4": 5} if ran else {})

    def connect(*_: object, **__: object) -> AbstractContextManager[Resources]:
        if drained == 0:  # while Ray starts
            os.kill(os.getpid(), signal.SIGUSR1)
        return nullcontext(Resources(0, 1))

    monkeypatch.setattr(driver, "run_plan", run_all)
    monkeypatch.setattr(cluster, "connect", connect)
    monkeypatch.setattr(driver, "make_plan", look)
    command = ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path / "results"), "--no-report"]
    command += ["--architectures", "model_1", "model_4", "--trials", "1", "--epochs", "5", "--until-decided"]
    before = signal.getsignal(signal.SIGUSR1)
    assert launch.main([*command, *(["--time-budget", *flags] if flags else [])]) == 0
    assert len(ran) == runs
    assert (f"{pending} of " in capsys.readouterr().out) is (pending > 0)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_the_rules_of_judging_are_declared_when_a_study_begins_and_at_no_later_launch(
    tmp_path: Path, seen: dict[str, object]
) -> None:
    """Others, of the code that began it, stay; a study begun without any has none."""
    path, command = (
        tmp_path / "quick-digits" / "study.json",
        ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path)],
    )
    assert launch.main(command) == 0
    manifest = json.loads(path.read_text())
    assert manifest[DIGEST] == digest_rules()
    assert [launched["seeds"] for launched in manifest["launches"]] == [3]
    earlier = manifest | {DIGEST: "0" * 64}
    for before in (earlier, {name: value for name, value in manifest.items() if name != DIGEST}):
        path.write_text(json.dumps(before))
        assert launch.main(command) == 0
        after = json.loads(path.read_text())
        assert after.get(DIGEST) == before.get(DIGEST)
        assert len(after["launches"]) == len(before["launches"]) + 1


@pytest.mark.parametrize("ended", [0, 1])
def test_a_stop_tells_of_the_plan_of_its_launch(
    ended: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seen: dict[str, object],
) -> None:
    """Of the one that a look has made, too; nothing was written here, so that the second counts what the first did."""
    plans: list[Plan] = []

    def run_or_stop(recorder: TrialRecorder, *_: object) -> bool:
        plans.append(recorder.plan)
        while (taken := take_one(recorder.plan)) is not None:
            recorder.plan.finish(row_of(*taken))
            if len(plans) > ended:
                raise KeyboardInterrupt
        return False

    def look(config: StudyConfig, *_: object) -> Plan:
        return Plan(config, plans[0].rows.values(), extended={"model_4": 5})

    monkeypatch.setattr(driver, "run_plan", run_or_stop)
    monkeypatch.setattr(driver, "make_plan", look)
    command = ["--preset", "quick", "--quiet", "--results-dir", str(tmp_path), "--architectures", "model_1", "model_4"]
    assert launch.main([*command, "--trials", "1", "--until-decided"]) == 130
    assert plans[-1].total == plans[0].total + 2 * ended
    kept = 1 + ended * plans[0].total
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"stopped: {kept} of {plans[-1].total} trials are kept; the same command goes on"


def test_rows_after_a_look_name_the_code_that_the_launch_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: dict[str, object]
) -> None:
    """Ray was given that code, and trials go on with it, whatever is committed while the study runs."""
    commits, recorders = iter("abcdef"), []

    def run_all(recorder: TrialRecorder, *_: object) -> bool:
        recorders.append(recorder)
        while (taken := take_one(recorder.plan)) is not None:
            recorder.plan.finish(row_of(*taken))
        return False

    def look(config: StudyConfig, *_: object) -> Plan:
        rows = [row for recorder in recorders for row in recorder.plan.rows.values()]
        return Plan(config, rows, extended={"model_1": 5, "model_4": 5} if rows else {})

    monkeypatch.setattr(driver, "run_plan", run_all)
    monkeypatch.setattr(driver, "make_plan", look)
    monkeypatch.setattr(provenance, "git_state", lambda: (next(commits) * 40, False))
    command = ["--preset", "quick", "--quiet", "--no-report", "--results-dir", str(tmp_path)]
    assert launch.main([*command, "--architectures", "model_1", "model_4", "--trials", "1", "--until-decided"]) == 0
    assert len(recorders) > 1
    assert len({recorder._provenance["git_commit"] for recorder in recorders}) == 1


@pytest.mark.parametrize(("arms", "told"), [(("published",), False), (("tuned", "published"), True)])
def test_an_ablation_is_proposed_where_there_would_be_one(
    arms: tuple[str, ...], told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study that has nothing to ablate ends as well, with status 0."""
    config = small_config(arms=arms, architectures=("model_4",), validation_seeds=1)
    store = Store(write_rows(config, tmp_path, lambda planned, _: 100.0 + planned.number))
    options = RunOptions(results_dir=str(tmp_path), report=False, command=("study/launch.py",))
    assert _conclude(Plan(config, store.read_trials()), store, options) == 0
    assert ("then:   " in capsys.readouterr().out) == told


def test_a_storage_of_optuna_that_fails_at_the_end_does_so_after_all_else_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where results are, and how to go on; then the launch ends with what is wrong."""
    config = small_config(architectures=("model_4",), validation_seeds=1)
    store = Store(write_rows(config, tmp_path, lambda planned, _: 100.0 + planned.number))
    storage = f"sqlite:///{tmp_path / 'gone' / 'study.db'}"
    options = RunOptions(results_dir=str(tmp_path), report=False, command=("launch",), optuna_storage=storage)
    with pytest.raises(InputError, match="unable to open database file"):
        _conclude(Plan(config, store.read_trials()), store, options)
    told = capsys.readouterr().out
    assert f"results: {store.folder}" in told
    assert "next:   " in told


def test_a_report_that_cannot_be_written_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is to be opened then; the same command makes it once there is room."""
    config = small_config(architectures=("model_4",), validation_seeds=1)
    store = Store(write_rows(config, tmp_path, lambda planned, _: 100.0 + planned.number))
    (tmp_path / config.name / "report").write_text("in the way")
    options = RunOptions(results_dir=str(tmp_path), command=("study/launch.py",))
    assert _conclude(Plan(config, store.read_trials()), store, options) == 2
    told = capsys.readouterr()
    assert "cannot be written" in told.err
    assert "makes the report" in told.out
    assert "webbrowser" not in told.out


@pytest.mark.parametrize(("name", "fewer"), [("trials", 3), ("finalists", 2), ("validation_seeds", 1)])
def test_a_smaller_search_does_not_replace_winners_that_were_confirmed(name: str, fewer: int, tmp_path: Path) -> None:
    """As a launch of the ablations alone that leaves a flag out; a study that has confirmed nothing may do with it."""
    config = small_config(architectures=("model_4",), trials=5, finalists=3)
    for stop_after, refused in ((1, False), (100_000, True)):
        store = Store(write_rows(config, tmp_path, lambda planned, _: 100.0 + planned.number, stop_after))
        smaller = dataclasses.replace(config, phases=("search", "ablate"), **dict[str, Any]({name: fewer}))
        plan = Plan(smaller, store.read_trials())
        manifest = store.read_manifest()
        before = getattr(config, name)
        told = pytest.raises(
            InputError, match=f"{name} {fewer} in a study .* search with {name} {before} were confirmed"
        )
        with told if refused else nullcontext():
            study_run._require_search(plan, manifest)
        study_run._require_search(Plan(dataclasses.replace(config, seeds=1), store.read_trials()), manifest)
