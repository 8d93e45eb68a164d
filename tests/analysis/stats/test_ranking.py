"""Nobody is called best who is not told apart from every other model."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.stats.ranking import compare_with_best, mark_models


def ranking_rows(values: dict[str, list[float]], direction: str = "lower") -> pd.DataFrame:
    """Return rows of one group as `compare_with_best` takes them, seeds from 1."""
    rows = [
        {
            "evaluator": "e",
            "metric": "m",
            "direction": direction,
            "study": "s",
            "code_size": 10,
            "arm": "tuned",
            "architecture": name,
            "seed": seed,
            "value": value,
        }
        for name, runs in values.items()
        for seed, value in enumerate(runs, start=1)
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_ties_are_marked_and_nobody_is_best_beside_one(direction: str) -> None:
    """Two models within their noise and one far off; the sense of the metric turns with its sign."""
    sign = 1.0 if direction == "lower" else -1.0
    rows = ranking_rows({"a": [1.0, 2.0, 3.0], "b": [1.1, 1.8, 3.2], "far": [11.0, 12.1, 12.9]}, direction)
    tests = compare_with_best(rows.assign(value=sign * rows["value"]))
    assert tests["best"].tolist() == ["a", "a"]
    assert mark_models(tests).set_index("architecture")["mark"].to_dict() == {"a": "tie", "b": "tie", "far": ""}


def test_the_best_is_best_where_all_others_are_worse() -> None:
    """By paired tests, although the runs' own spread is larger than the differences."""
    tests = compare_with_best(ranking_rows({"a": [1.0, 2.0, 3.0], "b": [1.3, 2.31, 3.3], "c": [1.5, 2.5, 3.51]}))
    assert mark_models(tests).set_index("architecture")["mark"].to_dict() == {"a": "best", "b": "", "c": ""}


def test_without_common_seeds_nobody_is_called_best() -> None:
    """One seed a model, or none in common: there is no test, and no mark."""
    rows = ranking_rows({"a": [1.0], "b": [9.0]})
    other = rows.assign(seed=rows["seed"] + rows["architecture"].map({"a": 0, "b": 5}))
    for case in (rows, other):
        tests = compare_with_best(case)
        assert tests["p_holm"].isna().all()
        assert set(mark_models(tests)["mark"]) == {""}
