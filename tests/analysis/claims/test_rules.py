"""That rules are older than rows is said only where study.json shows it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import analysis
from analysis.claims.findings import tabulate_findings
from analysis.claims.rules import DIGEST, RULES, digest_rules
from analysis.results import StudyResults
from analysis.tables.table import Table

PACKAGE = Path(analysis.__path__[0])
WORDS = "written before the rows"


def list_footnotes(rows: StudyResults, **manifest: object) -> str:
    """Return the footnotes of the verdicts of a study whose study.json says so."""
    (study,) = rows.studies
    changed = dataclasses.replace(study, manifest={**study.manifest, **manifest})
    table = tabulate_findings(dataclasses.replace(rows, studies=(changed,)))[0]
    assert isinstance(table, Table)
    return " ".join(table.footnotes)


def test_rules_are_called_older_than_the_rows_only_where_their_digest_agrees(rows: StudyResults) -> None:
    """Not where another digest, or none, stands in study.json."""
    assert WORDS in list_footnotes(rows, **{DIGEST: digest_rules()})
    changed = list_footnotes(rows, **{DIGEST: "0" * 64}, launches=[{"git_commit": "c" * 40}, {"git_commit": "d" * 40}])
    assert WORDS not in changed
    assert "not, in every letter, those with which the study began, which are those of commit cccccccccccc." in changed
    assert WORDS not in list_footnotes(rows, launches=[])
    assert "were not recorded before" in list_footnotes(rows)


@pytest.mark.parametrize(
    ("name", "before", "after", "changes"),
    [
        ("claims/claims.py", "PRIMARY_CODE_SIZE = 10", "PRIMARY_CODE_SIZE = 30", True),
        ("claims/claims.py", "models 1, 2 and 4 reconstruct better", "models 1 and 4 reconstruct better", True),
        ("claims/verdicts.py", 'each.p_value < SIGNIFICANCE else "open"', 'each.p_value < 0.1 else "open"', True),
        ("stats/contrasts.py", "SIGNIFICANCE = 0.05", "SIGNIFICANCE = 0.1", True),
        ("stats/headline.py", "MARGIN = 0.05", "MARGIN = 0.2", True),
        ("claims/findings.py", "NAMED = 2", "NAMED = 3", False),
    ],
)
def test_what_decides_changes_the_digest_and_how_it_is_written_down_does_not(
    name: str, before: str, after: str, changes: bool, tmp_path: Path
) -> None:
    """Thresholds, texts and tests of a copy of the package."""
    copy = Path(shutil.copytree(PACKAGE, tmp_path / "analysis"))
    assert digest_rules(copy) == digest_rules()
    text = (copy / name).read_text()
    assert text.count(before) == 1
    (copy / name).write_text(text.replace(before, after))
    assert (digest_rules(copy) != digest_rules()) == changes == (name in RULES)
