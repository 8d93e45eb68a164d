"""Points of t-SNE are computed once, whatever the codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.figures import tsne as embedding


def test_tsne_is_computed_once_and_again_for_other_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside the figures keeps the points of each trial with the digest of its codes; damage costs time."""
    cache = tmp_path / "points.parquet"
    rng = np.random.default_rng(0)
    codes = {"a": rng.normal(size=(30, 5)).astype(np.float32), "b": np.zeros((30, 5), dtype=np.float32)}
    calls: list[int] = []
    monkeypatch.setattr(embedding, "embed", counted(calls, embedding.embed))
    first = embedding.embed_codes(codes, cache)
    assert first["a"].shape == (30, 2)
    assert np.isfinite(first["a"]).all()
    assert not first["b"].any()  # no distances
    again = embedding.embed_codes(codes, cache)
    np.testing.assert_array_equal(again["a"], first["a"])
    assert len(calls) == 2
    embedding.embed_codes(codes | {"b": codes["a"] + 1}, cache)
    assert len(calls) == 3
    assert pq.read_table(cache)["trial_id"].to_pylist() == ["a", "b"]
    cache.write_bytes(b"damaged")
    embedding.embed_codes({"b": codes["b"]}, cache)
    assert len(calls) == 4
    assert embedding.embed_codes({"c": np.full((30, 5), np.nan, dtype=np.float32), "d": codes["a"][:3]}) == {}


def counted(calls: list[int], function: Callable[..., object]) -> Callable[..., object]:
    """Return ``function``, which adds to ``calls`` each time."""

    def wrapper(*args: object) -> object:
        calls.append(1)
        return function(*args)

    return wrapper


def test_codes_that_differ_in_their_last_digits_only_are_embedded() -> None:
    """A collapsed model's: scikit-learn's t-SNE, given these as they are, ends the whole process."""
    codes = np.tile([4.23046875, 9.8046875, 0.0771484375, -19.84375, 20.453125], (360, 1)).astype(np.float32)
    codes[::24, 2] += np.float32(2**-13)
    assert np.isfinite(embedding.embed(codes)).all()
