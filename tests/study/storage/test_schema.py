"""The tables of rows: every column explains itself, and a row that does not fit is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from optuna.trial import TrialState

from study.storage.schema import OPTUNA_STATES, STATUSES, TABLES, table_of
from tests.study.storage.test_store import trial_row


def test_every_status_has_a_state_of_optuna() -> None:
    """One that exists, in which a trial has ended."""
    assert STATUSES == ("complete", "pruned", "diverged", "failed")
    assert all(TrialState[OPTUNA_STATES[status]].is_finished() for status in STATUSES)


def test_a_row_with_an_unknown_or_missing_column_is_refused() -> None:
    """A typing mistake must not lose a figure in silence."""
    with pytest.raises(KeyError, match="learning_rte"):
        table_of("trials", [trial_row("a") | {"learning_rte": 0.1}])
    with pytest.raises(pa.ArrowInvalid, match="status"):
        table_of("trials", [{**trial_row("a"), "status": None}])


def test_every_column_says_its_unit_and_meaning() -> None:
    """In the schema, and in the files that are written from it."""
    for name, schema in TABLES.items():
        assert schema.metadata[b"table"] == name.encode()
        for field in schema:
            assert field.metadata[b"meaning"], field.name
            assert b"unit" in field.metadata, field.name
