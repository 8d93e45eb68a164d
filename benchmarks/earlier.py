"""The training of commit 75cce16, the last before the engine, timed in a process of its own, epoch by epoch.

Its files come from a worktree of the repository, which is removed at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMIT = "75cce16"
ROOT = Path(__file__).resolve().parents[1]

SERVER = """
import sys, time
import torch
from trainables.architectures import architecture_named
from trainables.datasets import load_dataset
from trainables.settings import recipe_named
from trainables.training import Training

torch.set_num_threads(1)
recipe, images = sys.argv[1], int(sys.argv[2])
pixels = torch.from_numpy(load_dataset("digits").training.pixels[:images].copy())
trainings = {}
for line in sys.stdin:
    name = line.strip()
    if name not in trainings:
        settings = recipe_named(recipe).settings(architecture_named(name), 10, 1_000)
        trainings = {name: Training(settings, 1, pixels)}
    started = time.process_time()
    trainings[name].train_epoch()
    print(time.process_time() - started, flush=True)
"""


class EarlierTraining:
    """Trains as the commit did, on the first ``images`` digits, when asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def train_epoch(self, architecture: str) -> float:
        """Train an epoch and return its seconds of processor time."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{architecture}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def start_earlier(recipe: str, images: int) -> Iterator[EarlierTraining | None]:
    """Start it, and end it in the end; None where the repository has no such commit, as in a shallow clone."""
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", f"{COMMIT}^{{commit}}"], capture_output=True, check=False).returncode:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cae-study-earlier-") as folder:
        tree = Path(folder) / COMMIT
        subprocess.run([*git, "worktree", "add", "--detach", tree, COMMIT], capture_output=True, check=True)
        command = [sys.executable, "-c", SERVER, recipe, str(images)]
        try:
            environment, pipe = os.environ | {"PYTHONPATH": str(tree)}, subprocess.PIPE
            with subprocess.Popen(command, cwd=tree, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
                yield EarlierTraining(process)
                assert process.stdin
                process.stdin.close()
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", tree], capture_output=True, check=True)
