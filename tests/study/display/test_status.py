"""How far a study is, told from its rows: by `--status` and `--missing`, which start and write nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from study import launch
from study.config.ablations import USUAL
from study.config.study_config import StudyConfig
from study.config.study_file import format_study_file
from study.display.commands import name_python
from study.plan.identity import next_manifest
from study.plan.plan import Plan
from study.plan.trials import plan_trials
from study.storage.store import STUDY_FILE, Store
from tests.studies import row_of, small_config, take_one, write_rows
from trainables.data.datasets import load_dataset

ROOT = Path(__file__).resolve().parents[3]
FLAGS = (
    *("--preset", "quick", "--architectures", "model_1", "model_4", "--seeds", "2", "--epochs", "5"),
    *("--arms", "tuned", "published", "--published-epochs", "5"),
)


NOT_BEGUN = "note: no study has begun at {}/quick-digits: all of it is missing\n"


def begun(results: Path, config: StudyConfig, trials: int, status: str = "complete") -> Store:
    """Write a study whose first trials have ended, 20 s each; those of search in ``status``."""
    store = Store(results / config.name)
    manifest = next_manifest(config, load_dataset(config.dataset), None, store.folder)
    store.open(manifest, format_study_file(config))
    plan = Plan(config, ())
    for _ in range(trials):
        taken = take_one(plan)
        assert taken is not None
        planned, trial_config = taken
        row = row_of(planned, trial_config, status=status if planned.phase == "search" else "complete")
        row |= {"seconds": 20.0, "device_seconds": 20.0, "device": "a core"}
        store.append(row | {"study_sha256": manifest["study_sha256"]}, {}, None)
        plan.finish(row)
    return store


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line, which must succeed, and return what it printed."""
    assert launch.main([*FLAGS, *arguments]) == 0
    return capsys.readouterr().out


def files(folder: Path) -> dict[Path, int]:
    """Return what is in a folder, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_status_counts_by_phase_and_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four of six trials of round 1, two a cell; the finalists and ten of confirm are missing; nothing was written."""
    begun(tmp_path, small_config(), 4)
    before = files(tmp_path)
    told = shown(capsys, "--results-dir", str(tmp_path), "--status")
    lines = [line.split() for line in told.splitlines()]
    assert "4 of 26 trials are done, 22 missing" in told
    for architecture in ("model_1", "model_4"):
        assert ["search,", "round", "1", f"{architecture}-code10", "2/3", "2", "1"] in lines
        assert ["search,", "finalists", f"{architecture}-code10", "0/4", "0", "4"] in lines
        assert ["confirm", f"{architecture}-code10", "0/4", "0", "4"] in lines
    # 2 of round 1 as the four that ended, 20 s for 2 epochs; 16 others of 5 epochs, 50 s each; controls are not known.
    assert "about 14 min of one core or GPU (a core), by the time of the 4 trials that ended" in told
    assert "nobody; to go on: the same command without --status" in told
    assert str(tmp_path / "quick-digits") in told
    assert files(tmp_path) == before


def test_status_has_a_column_of_failures_where_some_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And none of those that are complete or diverged, since none is."""
    begun(tmp_path, small_config(), 2, status="failed")
    lines = [line.split() for line in shown(capsys, "--results-dir", str(tmp_path), "--status").splitlines()]
    assert ["phase", "cell", "done", "failed", "missing"] in lines
    assert ["search,", "round", "1", "model_1-code10", "1/3", "1", "2"] in lines


def test_status_of_some_flags_says_that_the_folder_has_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a model that these flags leave out."""
    begun(tmp_path, small_config(), 4)
    told = shown(capsys, "--results-dir", str(tmp_path), "--status", "--architectures", "model_4")
    assert f"2 of its trials are of other flags: --status {tmp_path / 'quick-digits'} tells of all" in told
    assert "of other flags" not in shown(capsys, "--results-dir", str(tmp_path), "--status")


def test_status_for_a_program_has_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As one object of JSON; --json alone asks for nothing."""
    begun(tmp_path, small_config(), 4)
    found = json.loads(shown(capsys, "--results-dir", str(tmp_path), "--status", "--json"))
    assert (found["study"], found["planned"], found["done"], found["missing"]) == ("quick-digits", 26, 4, 22)
    assert found["run_by"] is None
    assert found["seconds_left"] == pytest.approx(2 * 20 + 16 * 50)
    first = {"phase": "search, round 1", "cell": "model_1-code10", "planned": 3, "complete": 2, "missing": 1}
    assert first | {"diverged": 0, "failed": 0} in found["parts"]
    assert sum(part["missing"] for part in found["parts"]) == 22
    assert launch.main(["--json"]) == 2


def test_status_of_a_study_that_has_not_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All is missing, and no folder is made by asking."""
    told = shown(capsys, "--results-dir", str(tmp_path / "results"), "--status")
    assert "0 of 26 trials are done" in told
    assert "--dry-run measures" in told
    assert list(tmp_path.iterdir()) == []


def test_status_says_who_runs_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a launcher holds it, and also that a killed one does not."""
    with begun(tmp_path, small_config(), 1):
        assert f"process {os.getpid()} of" in shown(capsys, "--results-dir", str(tmp_path), "--status")
    assert "nobody" in shown(capsys, "--results-dir", str(tmp_path), "--status")
    folder = str(tmp_path / "quick-digits")
    script = f"import os; from study.storage.store import Store; Store({folder!r}).__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert (tmp_path / "quick-digits" / ".lock").exists()
    assert "nobody" in shown(capsys, "--results-dir", str(tmp_path), "--status")


def test_status_names_what_has_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Searches that all failed block the four confirmations of their cell's tuned arm.

    All of round 1 failed, and with it trial 0, which is the only finalist that is left.
    """
    begun(tmp_path, small_config(), 6 + 4, status="failed")
    told = shown(capsys, "--results-dir", str(tmp_path), "--status")
    assert "no result: the search of model_1-code10" in told
    assert "4 of the missing cannot run" in told


@pytest.mark.parametrize("phase", ["confirm", "ablate"])
def test_status_says_of_a_search_that_is_not_over_that_it_is_waited_for(
    phase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where phases without a search are asked for: nobody knows yet whether it will find something."""
    begun(tmp_path, small_config(), 6 + 4)  # of eight finalists' trials four
    asked = ("--results-dir", str(tmp_path), "--phase", phase, "--status")
    told = shown(capsys, *asked)
    assert "found nothing" not in told
    waiting = re.search(r"^(\d+) of the missing wait for the search of their cell, which is not over", told, re.M)
    missing = re.search(r", (\d+) missing$", told, re.M)
    assert waiting and missing
    # Of confirm the two seeds of each cell; controls and the published arm wait for nothing.
    assert int(waiting[1]) == (4 if phase == "confirm" else int(missing[1]))
    assert json.loads(shown(capsys, *asked, "--json"))["blocked"] == 0


@pytest.mark.parametrize("flag", ["--status", "--missing"])
def test_another_study_in_the_folder_is_refused_with_the_difference(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows say nothing of what these flags ask for."""
    begun(tmp_path, small_config(), 1)
    assert launch.main([*FLAGS, "--results-dir", str(tmp_path), "--epochs", "6", flag]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "epochs was 5, is 6" in told.err
    assert f"to do:    --status {tmp_path}/quick-digits tells of the study that is there; choose another" in told.err


def test_missing_prints_the_ids_that_the_rows_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One a line and nothing else; with the rows' own they are the whole plan."""
    store = begun(tmp_path, small_config(), 7)
    missing = shown(capsys, "--results-dir", str(tmp_path), "--missing").splitlines()
    done = [row["trial_id"] for row in store.read_trials()]
    assert len(done) == 7
    assert sorted(missing + done) == sorted(
        planned.trial_id for planned in plan_trials(small_config(), store.read_trials())
    )


def test_missing_ends_quietly_when_a_pipe_has_seen_enough(tmp_path: Path) -> None:
    """Over 40,000 ids into a pipe that takes one: no traceback, and success."""
    asked = [sys.executable, str(ROOT / "study" / "launch.py"), *FLAGS, "--trials", "20000", "--missing"]
    script = f"set -o pipefail; {shlex.join(asked)} | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "search-model_1-code10-round1-0000\n")
    assert done.stderr == NOT_BEGUN.format(tmp_path / "results")


@pytest.mark.parametrize("flag", ["--status", "--dry-run"])
def test_a_reader_that_is_gone_is_no_error(flag: str, tmp_path: Path) -> None:
    """What only prints ends quietly: `true` reads nothing and ends long before a line is printed."""
    script = f"set -o pipefail; {shlex.join([sys.executable, str(ROOT / 'study' / 'launch.py'), *FLAGS, flag])} | true"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert not done.stderr or done.stderr.startswith("note: no study has begun at ")


@pytest.mark.parametrize("flag", ["--status", "--missing"])
def test_a_study_that_has_not_begun_is_told_to_have_not(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside what is missing of it, so that a script may ask before the first launch."""
    assert launch.main([*FLAGS, "--results-dir", str(tmp_path), flag]) == 0
    told = capsys.readouterr()
    assert told.err == NOT_BEGUN.format(tmp_path)
    assert "confirm" in told.out


@pytest.mark.parametrize("flag", ["--status", "--missing"])
def test_a_folder_stands_for_the_flags_of_its_study(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under another name, too, and with the command that goes on; what is no study's folder is refused."""
    begun(tmp_path, small_config(), 3)
    monkeypatch.setattr(sys, "argv", ["study/launch.py", flag, str(tmp_path / "kept")])
    by_flags = shown(capsys, "--results-dir", str(tmp_path), flag)
    (tmp_path / "quick-digits").rename(tmp_path / "kept")
    assert launch.main([flag, str(tmp_path / "kept")]) == 0
    told = capsys.readouterr().out
    if flag == "--status":
        assert "nobody; to go on: the same command without --status\n" in by_flags
        *_, told_by, goes_on = told.splitlines()
        assert (told_by, goes_on) == (
            "run by:    nobody",
            f"next:      {name_python()} study/launch.py --preset {tmp_path}/kept/study.toml --name kept "
            f"--results-dir {tmp_path}",
        )
        by_flags = by_flags.replace("; to go on: the same command without --status", "")
        told = told.replace(f"{goes_on}\n", "")
    assert told == by_flags.replace("quick-digits\n", "kept\n")
    assert launch.main([flag, str(tmp_path)]) == 2
    assert "to do:" in capsys.readouterr().err


def test_a_folder_tells_of_the_phases_of_earlier_launches_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in confirm, then ablated, then launched as at first: each time all of it is told, as is what goes on."""
    config = small_config(ablated_architectures=("model_4",), factors=("activation",))
    ablating = dataclasses.replace(config, phases=("ablate",))
    folder = write_rows(config, tmp_path, lambda *_: 100.0, stop_after=16)
    (folder / STUDY_FILE).touch()

    def told(*flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["study/launch.py", *flags, str(folder)])
        assert launch.main([*flags, str(folder)]) == 0
        return capsys.readouterr().out

    def count_parts() -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for part in json.loads(told("--json", "--status"))["parts"]:
            phase = "search" if part["phase"].startswith("search") else part["phase"].split(",")[0]
            planned, missing = found.get(phase, (0, 0))
            found[phase] = (planned + part["planned"], missing + part["missing"])
        return found

    before, unfinished = count_parts(), told("--missing")
    assert before.keys() == {"search", "confirm"} and before["confirm"][1] > 0
    write_rows(ablating, tmp_path, lambda *_: 100.0)
    ablated = count_parts()
    assert ablated == before | {"ablate": (ablated["ablate"][0], 0)}
    assert told("--missing") == unfinished
    assert "study.toml" in (goes_on := told("--status").splitlines()[-1])
    assert goes_on.endswith(f" --results-dir {tmp_path} --phase search confirm ablate")
    # Of the factors that it could change only those are missing which it was begun for.
    write_rows(dataclasses.replace(config, factors=USUAL), tmp_path, lambda *_: 100.0, stop_after=0)
    assert count_parts() == ablated
    assert told("--status").endswith(" --phase search confirm ablate --factors activation\n")


def test_neither_waits_for_ray_or_torch(tmp_path: Path) -> None:
    """Rows are read and counted."""
    begun(tmp_path, small_config(), 2)
    for flag in ("--status", "--missing"):
        code = (
            "import sys; from study import launch; "
            f"status = launch.main({[*FLAGS, '--results-dir', str(tmp_path), flag]!r}); "
            "sys.exit(status or bool({'ray', 'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_every_question_that_the_documents_show_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands with --status and --missing, as they stand."""
    asked = [
        line
        for document in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for line in document.read_text().splitlines()
        if re.match(r"python study/launch\.py .*--(status|missing)\b", line)
    ]
    assert len(asked) >= 3
    monkeypatch.chdir(tmp_path)
    for line in asked:
        assert launch.main(shlex.split(line, comments=True)[2:]) == 0
        assert capsys.readouterr().out
