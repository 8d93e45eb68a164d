"""What a launch shows while it runs: a view in a terminal, lines elsewhere, and how much of either."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from study.display.live import REFRESH_SECONDS, LiveProgress
from study.plan.plan import Plan
from study.storage.location import parse_location
from tests.faults.launches import find_tiny_data
from tests.studies import row_of, small_config, take_one
from trainables.training.training import EpochMetrics

ROOT = Path(__file__).resolve().parents[3]
CODES = r"\x1b\[[0-9;?]*[a-zA-Z]"
FIGURES = EpochMetrics(1, 0.01, 210.0, 30.0, 190.0, 28.0, 0.5)


def ended(plan: Plan, status: str = "complete", value: float = 100.0, reason: str | None = None) -> dict[str, object]:
    """Take the next trial of a plan, end it, and return its row."""
    taken = take_one(plan)
    assert taken is not None
    planned, trial_config = taken
    row = row_of(planned, trial_config, value, status) | {"seconds": 2.0, "device_seconds": 2.0, "reason": reason}
    plan.finish(row)
    return row


def view(progress: LiveProgress, width: int) -> list[str]:
    """Return the lines of a view at a width."""
    console = Console(file=io.StringIO(), width=width)
    console.print(progress.view())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture
def searched() -> LiveProgress:
    """Two cells whose rounds 1 of three trials each are over but for one, which runs, as the view would show them."""
    plan = Plan(small_config(code_sizes=(10,)), ())
    progress = LiveProgress(plan, 1, parse_location("/results/quick-digits"), (), io.StringIO())
    endings = [("complete", 120.25), ("complete", 110.5), ("failed", 80.0), ("diverged", 0.0), ("complete", 99.75)]
    for status, value in endings:
        progress.trial_ended(ended(plan, status, value), None)
    progress.epoch_ended("a", FIGURES)
    take_one(plan)
    return progress


def test_the_view_counts_trials_by_phase(searched: LiveProgress) -> None:
    """Five of six of round 1 ended, one of them diverged, one failed; confirm has 12 trials, none begun."""
    lines = [line.split() for line in view(searched, 80)]
    assert ["phase", "done", "running", "diverged", "failed"] in lines
    assert ["search,", "round", "1", "5/6", "1", "1", "1"] in lines
    assert ["search,", "finalists", "0/8", "0", "0", "0"] in lines
    assert ["confirm", "0/12", "0", "0", "0"] in lines
    assert any("5 of 26 trials" in " ".join(line) for line in lines)


def test_the_best_of_a_cell_is_the_lowest_of_a_full_budget(searched: LiveProgress) -> None:
    """What failed or diverged is no result; cells take turns."""
    best = {line.split()[0]: line.split()[1] for line in view(searched, 80) if line.startswith("model_")}
    assert sorted(best) == ["model_1", "model_4"]
    assert sorted(best.values()) == ["110.5", "99.8"]
    assert "best validation cross-entropy (nats/image) and its round" in "\n".join(view(searched, 80))


def test_the_best_of_a_cell_is_told_by_what_its_search_minimises() -> None:
    """With its unit."""
    plan = Plan(small_config(search_metric="squared_error"), ())
    progress = LiveProgress(plan, 1, parse_location("/results/quick-digits"), (), io.StringIO())
    ended(plan, value=111.2)
    lines = view(progress, 80)
    assert "best validation squared error (per image) and its round" in "\n".join(lines)
    assert any(line.split()[1:2] == ["27.8"] for line in lines if line.startswith("model_"))


@pytest.mark.parametrize(("width", "beside"), [(80, False), (200, True)])
def test_the_view_fits_the_terminal(searched: LiveProgress, width: int, beside: bool) -> None:
    """Whole at 80 columns; at 200 the tables stand side by side; the folder is told at any width."""
    lines = view(searched, width)
    assert max(map(len, lines)) <= width
    assert len(lines) < 24
    assert any(line.lstrip().startswith("trials") and "cross-entropy" in line for line in lines) is beside
    assert lines[-1] == "results: /results/quick-digits"


def test_the_view_of_the_largest_preset_fits_a_screen_of_80_by_24() -> None:
    """Seven architectures at three code sizes in three phases."""
    from study.config.presets import study_config
    from study.storage.schema import PHASES

    plan = Plan(study_config("paper", phases=PHASES), ())
    lines = view(LiveProgress(plan, 2, parse_location("/results"), (), io.StringIO()), 80)
    assert len(lines) < 24
    assert all(f"code {size}" in "\n".join(lines) for size in (2, 10, 30))


def test_rows_of_earlier_launches_count_as_done_and_those_of_other_cells_do_not() -> None:
    """A study that goes on begins where it was."""
    config = small_config()
    rows = [ended(Plan(config, ())), ended(Plan(small_config(architectures=("model_5",)), ()))]
    lines = [
        line.split() for line in view(LiveProgress(Plan(config, rows), 1, parse_location("r"), rows, io.StringIO()), 80)
    ]
    assert ["search,", "round", "1", "1/6", "0", "0", "0"] in lines


def drawn(reports: int) -> tuple[str, float]:
    """Return what a real terminal receives while reports come in, the last of which fails, and the seconds it took."""
    leader, follower = os.openpty()
    received: list[bytes] = []

    def read() -> None:
        try:
            while content := os.read(leader, 65_536):
                received.append(content)
        except OSError:
            return  # The other side is closed.

    reader = threading.Thread(target=read)
    reader.start()
    plan = Plan(small_config(), ())
    with os.fdopen(follower, "w") as terminal:
        progress = LiveProgress(plan, 1, parse_location("/results/quick-digits"), (), terminal)
        before = threading.active_count()
        started = time.monotonic()
        with progress:
            assert threading.active_count() == before
            for _ in range(reports):
                progress.epoch_ended("a", FIGURES)
                progress.tick()
            progress.attempt_failed("search-model_1-code10-round1-grid0000", "its worker died")
            progress.trial_ended(ended(plan), None)
            progress.trial_ended(ended(plan, "failed", reason="CUDA error"), None)
        seconds = time.monotonic() - started
    reader.join(10)
    os.close(leader)
    return b"".join(received).decode(), seconds


def test_the_view_is_not_drawn_again_for_every_report() -> None:
    """Ten thousand reports redraw as often as the clock says, and cost next to nothing."""
    shown, seconds = drawn(10_000)
    # One a refresh, besides the first, those below the two lines above the view, and the last.
    assert shown.count("results: ") <= seconds / REFRESH_SECONDS + 5
    assert seconds < 5


def test_what_went_wrong_stands_above_the_view() -> None:
    """A retry and a failure have lines of their own, a trial that completed has none; the cursor stays visible."""
    shown, _ = drawn(1)
    text = re.sub(CODES, "", shown)
    assert "search-model_1-code10-round1-grid0000 starts again: its worker died" in text
    assert re.search(r"\[ 2/26\] search-model_\d-code10-round1-grid0000 +failed .*CUDA error", text)
    assert "complete" not in text
    assert text.rindex("2 of 26 trials") > text.rindex("CUDA error")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    # Shown again at once: one that is killed can give nothing back.
    assert shown.index("\x1b[?25h") < shown.index("starts again")


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_leaves_the_view_and_says_how_to_go_on(tmp_path: Path) -> None:
    """A real study in a terminal: its view is drawn, stays when the study is stopped, and no line is lost."""
    leader, follower = os.openpty()
    study = ("--preset", "quick", "--dataset", find_tiny_data(), "--concurrency", "1", "--results-dir", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "study" / "launch.py"), *study],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"TERM": "xterm"},
        start_new_session=True,
    )
    os.close(follower)
    shown = ""
    stopped = False
    try:
        while content := os.read(leader, 65_536):
            shown += content.decode(errors="replace")
            if not stopped and "epochs a second" in shown:
                process.send_signal(signal.SIGINT)
                stopped = True
    except OSError:
        pass  # The terminal's last user has gone.
    assert process.wait(60) == 130, shown
    os.close(leader)
    assert "phase" in shown
    told = re.sub(CODES, "", shown).rstrip().splitlines()[-1]
    assert re.fullmatch(r"stopped: \d+ of \d+ trials are kept; the same command goes on", told)
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert "Traceback" not in shown
