"""The list of faults keeps up with the code: each text is found where it is said to be."""

from __future__ import annotations

import pytest

from tests.mutants.run import ROOT, Mutant, read_mutants


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda mutant: f"{mutant.file}-{mutant.before[:40]}")
def test_the_text_before_occurs_exactly_once_and_its_tests_exist(mutant: Mutant) -> None:
    """Otherwise the fault could not be put in, or nothing would notice."""
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
    assert mutant.before != mutant.after
    for test in mutant.tests.split():
        path, _, name = test.partition("::")
        assert not name or f"def {name}(" in (ROOT / path).read_text()
