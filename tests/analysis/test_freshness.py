"""A report is made again when what it is made of has changed, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis import freshness, report
from tests.synthetic import write_synthetic_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A small study with its report."""
    return write_synthetic_study(
        tmp_path / "study", architectures=("model_4",), code_sizes=(10,), search_trials=2, mishaps={}
    )


def test_a_report_of_the_same_rows_is_shown_again_and_not_made_again(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, and without reading a row; rows of a later launch make it anew."""
    made = []
    make = report._make_report
    monkeypatch.setattr(report, "_make_report", lambda *args, **rest: (made.append(args), make(*args, **rest)))
    # Drawing takes most of the time, and is as it is.
    monkeypatch.setattr(report, "write_page", lambda _, folder, *__, **___: (folder / freshness.PAGE).touch())
    first, again = [(report.main([str(study), "--no-tsne"]), capsys.readouterr().out) for _ in range(2)]
    assert first == again
    assert "Summary" in first[1]
    assert len(made) == 1
    file = next((study / "trials").glob("*.parquet"))
    os.utime(file, ns=(0, 0))
    assert report.main([str(study), "--no-tsne"]) == 0
    assert len(made) == 2
    monkeypatch.setenv("COLUMNS", "60")  # tables are fitted to the terminal
    assert report.main([str(study), "--no-tsne"]) == 0
    assert len(made) == 3


def test_a_report_that_was_not_finished_is_made_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption leaves no digest, also where the report before it had one."""
    output = study / "report"
    digest = freshness.digest_inputs([study], output)
    assert freshness.read_current(output, digest) is None
    output.mkdir()
    freshness.write_current(output, "told", digest)
    for page in (freshness.REPORT, freshness.PAGE):
        assert freshness.read_current(output, digest) is None, "its page was taken away"
        (output / page).touch()
    assert freshness.read_current(output, digest) == "told"
    assert freshness.read_current(output, "of other rows") is None

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "_make_report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        report.main([str(study)])
    assert freshness.read_current(output, digest) is None


def test_everything_that_a_report_is_made_of_counts(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, options, code and libraries; not the report itself, nor what is hidden, as the lock."""
    output = study / "report"

    def digest(*asked: object) -> str:
        return freshness.digest_inputs([study], output, *asked)

    before = digest("a")
    (study / ".lock").write_text("")
    output.mkdir()
    (output / "report.md").write_text("made")
    assert digest("a") == before
    seen = {before, digest("b")}
    (study / "codes" / "more.parquet").write_bytes(b"")
    seen.add(digest("a"))
    monkeypatch.setattr(freshness, "version", lambda name: "0")
    seen.add(digest("a"))
    (tmp_path / "analysis").mkdir()
    monkeypatch.setattr(freshness, "PACKAGES", tmp_path)
    for name in ("report.py", "page.html", "page.css", "page.js"):
        for text in ("", "pass"):
            (tmp_path / "analysis" / name).write_text(text)
            seen.add(digest("a"))
    assert len(seen) == 4 + 5  # an empty file leaves the digest as it is


@pytest.mark.parametrize("output", ["study", "."])
def test_a_report_among_the_rows_is_made_anew_with_them(study: Path, output: str) -> None:
    """In the study's own folder, or in one above: what is there is no part of the report alone."""
    folder = study if output == "study" else study.parent
    before = freshness.digest_inputs([study], folder)
    (study / "trials" / "more.parquet").write_bytes(b"")
    assert freshness.digest_inputs([study], folder) != before
