"""t-SNE of codes: computed once and kept in a file beside the figures.

A set of codes is recognised by its digest, so a trial that was run again is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

EMBEDDED_IMAGES = 1_000
"""Test images, from the first, that are embedded and drawn: more would hide each other in a panel, and take longer."""

PERPLEXITY = 30.0
_VERSION = 2
_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string()),
        pa.field("digest", pa.string(), metadata={"meaning": "of the codes and of how they were embedded"}),
        pa.field("points", pa.list_(pa.float32()), metadata={"meaning": "x and y of each image in turn"}),
    ]
)

Floats = NDArray[np.float32]


def embed_codes(codes: Mapping[str, Floats], cache: Path | None = None) -> dict[str, Floats]:
    """Return the t-SNE of each trial's ``codes (images, code_size)`` as points ``(images, 2)``.

    Args:
        codes: by trial id; trials with a value that is not finite, or with fewer than four images, are left out.
        cache: a Parquet file; what it holds is not computed again, and what is computed is added to it at once.
    """
    known = _read(cache) if cache else {}
    points: dict[str, Floats] = {}
    for trial_id, values in codes.items():
        values = values[:EMBEDDED_IMAGES]
        if len(values) < 4 or not np.isfinite(values).all():
            continue
        digest = hashlib.sha256(f"{_VERSION} {values.shape} {PERPLEXITY} ".encode() + values.tobytes()).hexdigest()
        if (trial_id, digest) not in known:
            known = {key: kept for key, kept in known.items() if key[0] != trial_id}
            known[trial_id, digest] = embed(values)
            if cache:
                _write(cache, known)
        points[trial_id] = known[trial_id, digest]
    return points


def embed(values: Floats) -> Floats:
    """Return the t-SNE of ``values (images, code_size)``, started from their principal components."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if values.shape[1] < 2 or np.ptp(values, axis=0).max() == 0:
        # One axis has nothing to embed, and codes that are all the same have no distances.
        return np.zeros((len(values), 2), dtype=np.float32)
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    # The principal components of a collapsed model's codes, which differ in their last digits only, have no length in
    # single precision, and scikit-learn ends the whole process over them. t-SNE does not see a shift or a scale.
    centred = np.asarray(values, dtype=np.float64) - np.asarray(values, dtype=np.float64).mean(axis=0)
    scaled = (centred / centred.std()).astype(np.float32)
    # On a machine that is busy already, waiting for other threads takes many times as long as one thread alone.
    with threadpool_limits(1):
        points: Floats = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)
    return points


def _read(cache: Path) -> dict[tuple[str, str], Floats]:
    try:
        rows = pq.read_table(cache, schema=_SCHEMA).to_pandas()
    except (pa.ArrowException, OSError):
        return {}  # not there yet, or damaged: it can be computed again
    return {
        (trial_id, digest): np.asarray(points, dtype=np.float32).reshape(-1, 2)
        for trial_id, digest, points in rows.itertuples(index=False)
    }


def _write(cache: Path, known: Mapping[tuple[str, str], Floats]) -> None:
    rows = pd.DataFrame(
        [(trial_id, digest, points.ravel()) for (trial_id, digest), points in known.items()], columns=_SCHEMA.names
    )
    partial = cache.with_name(f".{cache.name}.partial")
    pq.write_table(pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False), partial)
    partial.replace(cache)
