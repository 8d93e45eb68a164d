"""The whole line on Fashion-MNIST, from its download to its verdicts: only the name of the data differs.

Its mirrors are out of a test's reach. A server on this machine has smaller files of the same form, whose checksums take
the place of the known ones.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainables.data.datasets import DATASETS
from trainables.ops.compilation import find_cache

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import dataclasses, json, sys
from types import MappingProxyType
from trainables.data import datasets
from trainables.data.download import RemoteFile

url, files, *arguments = sys.argv[1:]
known = datasets.DATASETS["fashion-mnist"]
files = tuple(RemoteFile(*file) for file in json.loads(files))
smaller = dataclasses.replace(
    known, training_size=600, validation_size=100, test_size=200, files=files, mirrors=(url,)
)
datasets.DATASETS = MappingProxyType(dict(datasets.DATASETS) | {"fashion-mnist": smaller})
from study.launch import main
sys.argv = ["study/launch.py", *arguments]
sys.exit(main(arguments))
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, list[tuple[str, int, str]]]]:
    """The address of a mirror, and its files: name, bytes and SHA-256."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 800).astype(np.uint8)
    patterns = random.integers(0, 2, (10, 28, 28)) * 200
    images = (patterns[labels] + random.integers(0, 56, (800, 28, 28))).astype(np.uint8)
    folder, files = tmp_path / "mirror", []
    folder.mkdir()
    arrays = (images[:600], labels[:600], images[600:], labels[600:])
    for file, array in zip(DATASETS["fashion-mnist"].files, arrays, strict=True):
        data = gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())
        (folder / file.name).write_bytes(data)
        files.append((file.name, len(data), hashlib.sha256(data).hexdigest()))
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", files
        server.shutdown()


def test_another_data_set_runs_through_the_whole_line(
    tmp_path: Path, mirror: tuple[str, list[tuple[str, int, str]]]
) -> None:
    """As the published study, with fewer epochs, trials, seeds and models, and with ablations."""
    url, files = mirror
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "CAE_STUDY_DATA")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "*"}
    kernels = find_cache().parent
    kernels.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / kernels.parent.name).mkdir(parents=True)
    (tmp_path / "cache" / kernels.parent.name / kernels.name).symlink_to(kernels)  # which need not be compiled again

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    begun = ("-c", SCRIPT, url, json.dumps(files))
    study = ["--preset", "sample", "--dataset", "fashion-mnist", "--trials", "1", "--seeds", "1", "--epochs", "1"]
    study += ["--concurrency", "1", "--no-report", "--architectures", "model_4", "--factors", "loss"]
    run(*begun, *study, "--phase", "search", "confirm", "ablate")
    results = tmp_path / "results" / "sample-fashion-mnist"
    trials = pd.read_parquet(results / "trials")
    assert set(trials.dataset) == {"fashion-mnist"}
    assert trials.groupby("phase").size().to_dict() == {"ablate": 2 + 2 * 3, "confirm": 1 + 2, "search": 1}
    assert set(trials.status) == {"complete"}
    printed = run(str(ROOT / "analysis" / "report.py"), str(results))
    assert "Summary" in printed
    page = (results / "report" / "report.md").read_text()
    assert "fashion-mnist" in page
    for name in ("summary", "reconstruction", "ablations", "findings"):
        assert (results / "report" / "tables" / f"{name}.csv").stat().st_size > 0, name
    assert len(list((results / "report" / "figures").glob("*.png"))) >= 6
