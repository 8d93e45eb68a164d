"""The published study goes on from what is kept of it, on a machine that has nothing of it, and is put back."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import objectives_page
import pandas as pd
import pytest
import reference_study as reference
from publish_reference import ROWS, copy_rows

from study.config.presets import PRESETS
from study.launch import make_config, make_parser
from study.plan.identity import make_identity
from tests.faults.launches import NAME, find_tiny_data
from tests.studies import run_here, small_config, write_rows


@pytest.mark.slow
def test_a_study_goes_on_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed is kept and nothing else is there; a second is added to it."""
    monkeypatch.setattr(reference, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reference, "HERE", tmp_path / "reference")
    flags = ("--preset", "quick", "--architectures", "unpool_only", "--trials", "1", "--epochs", "1", "--no-report")
    few = ("--dataset", find_tiny_data(), "--concurrency", "1")
    monkeypatch.setattr(reference, "PIECES", {"tiny": reference.Piece(NAME, (*flags, *few), "begun")})
    kept = tmp_path / "reference" / "begun"
    begun = run_here(make_config(make_parser().parse_args([*flags, *few, "--seeds", "1"])), tmp_path / "elsewhere")
    copy_rows(begun, kept)
    first = pd.read_parquet(kept / "trials").set_index("trial_id")
    assert not (kept / "weights").exists()
    assert reference.main(["--seeds", "2"]) == 0
    second = pd.read_parquet(kept / "trials").set_index("trial_id")
    added = second.drop(index=first.index)
    assert sorted(added["architecture"]) == ["pca", "raw_pixels", "unpool_only"]
    pd.testing.assert_series_equal(second.loc[first.index, "finished_at"], first["finished_at"])


@pytest.mark.parametrize("whole", [True, False])
def test_a_piece_whose_time_is_up_is_the_last(whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one would begin before it; a launch that its time budget ends has exit status 0, too."""
    run: list[str] = []
    pieces = {name: reference.Piece(name, ("--preset", "quick"), name) for name in ("first", "second")}
    monkeypatch.setattr(reference, "PIECES", pieces)
    monkeypatch.setattr(reference, "RESULTS", tmp_path)
    monkeypatch.setattr(reference, "run_piece", lambda piece, _: run.append(piece.study) or 0)
    for name in pieces:
        config = small_config(name=name, arms=("tuned",))
        write_rows(config, tmp_path, lambda planned, settings: 100.0, stop_after=100_000 if whole else 3)
    assert reference.main(["--time-budget", "1"]) == 0
    assert run == list(pieces)[: 1 + whole]


def test_rows_that_are_kept_are_never_replaced_by_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in results that lacks some of them is refused before anything is started."""
    piece = reference.Piece("rows", ("--preset", "quick"), "rows")
    monkeypatch.setattr(reference, "PIECES", {"rows": piece})
    monkeypatch.setattr(reference, "RESULTS", tmp_path)
    shutil.copytree(ROWS, tmp_path / "rows")
    trials = pd.read_parquet(tmp_path / "rows" / "trials")
    shutil.rmtree(tmp_path / "rows" / "trials")
    (tmp_path / "rows" / "trials").mkdir()
    trials.iloc[3:].to_parquet(tmp_path / "rows" / "trials" / "fewer.parquet")
    assert reference.main([]) == 2
    assert "lacks 3 trials" in capsys.readouterr().err


def test_a_stopped_piece_whose_page_has_too_few_rows_keeps_them_and_says_that_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its launch ends early, here since a flag is refused; one search trial is no comparison of objectives."""
    monkeypatch.setattr(reference, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reference, "HERE", tmp_path / "reference")
    kept = tmp_path / "reference" / "objectives" / "rows"
    monkeypatch.setattr(objectives_page, "ROWS", kept)
    piece = reference.Piece("quick-digits", ("--preset", "quick"), "objectives/rows")
    monkeypatch.setattr(reference, "PIECES", {"objectives": piece})
    config = make_config(make_parser().parse_args(piece.flags))
    write_rows(config, tmp_path / "results", lambda planned, settings: 100.0, stop_after=1)
    assert reference.main(["objectives", "--dry-run"]) == 0  # as one that is drained: not all is done
    assert "the page of objectives waits for more rows" in capsys.readouterr().err
    assert reference.main(["objectives", "--seeds", "-1"]) == 2
    assert len(pd.read_parquet(kept / "trials")) == 1
    said = capsys.readouterr().err
    assert "the page of objectives waits for more rows" in said
    assert "accepted" not in said


def test_pieces_are_launches_and_those_of_a_study_are_one_study() -> None:
    """Every command line is accepted, names its study, and has the identity of the others of that study."""
    identities: dict[str, dict[str, object]] = {}
    for piece in reference.PIECES.values():
        config = make_config(make_parser().parse_args(piece.flags))
        assert config.name == piece.study
        assert config.preset in PRESETS
        identity = make_identity(config, "of the data")
        assert identities.setdefault(piece.study, identity) == identity


def test_an_interrupted_piece_waits_for_the_end_of_its_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which writes what waits, says how to go on and stops Ray: seconds, in which nobody may kill it."""
    script = tmp_path / "study" / "launch.py"
    script.parent.mkdir()
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    script.write_text(
        f"import pathlib, sys, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(1.5); "
        f"pathlib.Path({str(ended)!r}).touch(); sys.exit(130)"
    )
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reference, "HERE", tmp_path / "reference")

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert reference.run_piece(reference.Piece("none", (), "none"), ()) == 130
    assert ended.exists()
