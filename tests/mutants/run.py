"""Put one fault at a time into a copy of the code and see a test fail for each: ``make test-mutants``.

``mutants.toml`` lists them: a file, the text before, the text after, and the tests that must notice. A fault is killed
when they end with a failed assertion, not with an error of import or syntax. Prints a table as it goes; exit status 0
when none survives.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = ROOT / "tests" / "mutants" / "mutants.toml"
SECONDS = 300
NOTICED = re.compile(r"^E\s+(AssertionError|assert |Failed: )", re.M)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: in ``file`` the text ``before``, which occurs there once, becomes ``after``; ``tests`` must fail."""

    file: str
    before: str
    after: str
    tests: str

    def apply(self, root: Path) -> str:
        """Put the fault into the copy at ``root``; return the file's text as it was.

        Raises:
            ValueError: the text does not occur exactly once, so the list is behind the code.
        """
        path = root / self.file
        text = path.read_text()
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.file}: {count} times instead of once: {self.before!r}")
        path.write_text(text.replace(self.before, self.after))
        return text


def read_mutants(path: Path = MUTANTS) -> list[Mutant]:
    """Return the faults of the list."""
    return [Mutant(**values) for values in tomllib.loads(path.read_text())["mutant"]]


def examine(mutant: Mutant, copy: Path) -> str:
    """Return ``killed``, or what happened instead, in a copy that is as it was afterwards."""
    text = mutant.apply(copy)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        *mutant.tests.split(),
    ]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS} s"
    finally:
        (copy / mutant.file).write_text(text)
    if done.returncode == 0:
        return "survived"
    if done.returncode == 1 and NOTICED.search(done.stdout):
        return "killed"
    return "an error, no assertion: " + done.stdout.strip().splitlines()[-1][:120]


def main(argv: Sequence[str] | None = None) -> int:
    """Examine every fault, or those whose file or text holds what is given; print the table."""
    flags = argparse.ArgumentParser(prog="tests/mutants/run.py", description=(__doc__ or "").splitlines()[0])
    flags.add_argument("only", nargs="?", default="", help="a part of the file, the text or the tests of some faults")
    only = flags.parse_args(argv).only
    mutants = [each for each in read_mutants() if only in f"{each.file} {each.before} {each.after} {each.tests}"]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="cae-mutants-") as folder:
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(os.cpu_count() or 1):
            copies.put(copy_of_checkout(Path(folder) / str(number)))

        def examine_one(mutant: Mutant) -> str:
            copy = copies.get()
            try:
                return examine(mutant, copy)
            finally:
                copies.put(copy)

        print("| file | before | after | outcome |\n|---|---|---|---|")
        with ThreadPoolExecutor(copies.qsize()) as pool:
            for mutant, outcome in zip(mutants, pool.map(examine_one, mutants), strict=True):
                survived += outcome != "killed"
                cells = (mutant.file, shorten(mutant.before), shorten(mutant.after), outcome)
                print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{len(mutants)} faults, {survived} survived")
    return 1 if survived or not mutants else 0


def copy_of_checkout(folder: Path) -> Path:
    """Copy the files that git knows to ``folder``; return it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def shorten(text: str) -> str:
    """Return a text for one cell of the table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return f"`{line if len(line) <= 70 else line[:67] + '...'}`" if line else "(nothing)"


if __name__ == "__main__":
    sys.exit(main())
