"""Write the codes of a data set to Parquet: ``python study/codes.py RESULTS model_4-code10 --output codes.parquet``.

One row an image: `image`, its index in its split from 0; `label`, null where there is none; `split`, train or test;
`code`, (code_size,) float32.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.datasets import DATASETS
from trainables.data.images import Dataset
from trainables.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; return the exit status: 0 done, 2 bad input."""
    flags = argparse.ArgumentParser(prog="codes.py", description="Write the codes of a data set to a Parquet file.")
    flags.add_argument("results", metavar="RESULTS", help="folder or URI of a study")
    flags.add_argument("which", metavar="TRIAL", help="a trial of phase confirm, or a cell such as model_4-code10")
    flags.add_argument("--output", default="codes.parquet", metavar="FILE", help="(default: %(default)s)")
    names = ", ".join(DATASETS)
    flags.add_argument(
        "--dataset", help=f"one of: {names}, or a file of yours: *.npz, *.parquet (default: that of the study)"
    )
    flags.add_argument(
        "--data-dir", type=Path, help="folder that holds mnist/ (default: CAE_STUDY_DATA, or downloaded)"
    )
    flags.add_argument(
        "--models", type=Path, metavar="FILE", help="Python file of your own that the study was run with"
    )
    arguments = flags.parse_args(argv)
    try:
        table = _encode_data(arguments)
        _write_table(table, Path(arguments.output))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"codes: {arguments.output}, {len(table):,} images, by {table.schema.metadata[b'trial_id'].decode()}")
    return 0


def _encode_data(arguments: argparse.Namespace) -> pa.Table:
    # PyTorch takes seconds to import, which a mistake in the flags need not wait for.
    from study.config.study_file import read_models
    from study.models import find_model
    from study.storage.store import Store
    from trainables.data.datasets import load_dataset

    store = Store(arguments.results)
    models, objectives = read_models(arguments.models) if arguments.models else ((), ())
    row, model = find_model(store, arguments.which, objectives, models)
    dataset = load_dataset(arguments.dataset or store.require_study()["config"]["dataset"], arguments.data_dir)
    if not arguments.dataset and dataset.sha256 != row["dataset_sha256"]:
        raise InputError(
            f"{dataset.name}, which is not what the study was trained on: it has changed since",
            f"data of SHA-256 {row['dataset_sha256']}",
            "restore it, or say that this is what you want: --dataset",
        )
    parts = [
        _make_table(split, model.encode(images.pixels), images.labels, row, dataset)
        for split, images in (("train", dataset.training), ("test", dataset.test))
    ]
    return pa.concat_tables(parts)


def _make_table(split: str, codes: Any, labels: Any, row: Mapping[str, Any], dataset: Dataset) -> pa.Table:
    schema = pa.schema(
        [("image", pa.int64()), ("label", pa.int64()), ("split", pa.string()), ("code", pa.list_(pa.float32()))],
        metadata={
            "study": row["study"],
            "trial_id": row["trial_id"],
            "dataset": dataset.name,
            "dataset_sha256": dataset.sha256,
        },
    )
    count, code_size = codes.shape
    columns = {
        "image": pa.array(range(count), pa.int64()),
        "label": pa.nulls(count, pa.int64()) if labels is None else pa.array(labels),
        "split": pa.repeat(split, count),
        "code": pa.ListArray.from_arrays(pa.array(range(0, codes.size + 1, code_size), pa.int32()), codes.ravel()),
    }
    return pa.table(columns, schema=schema)


def _write_table(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}", "a file in a folder that exists", "choose --output"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
