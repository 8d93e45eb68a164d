"""Whether a report says what the rows say now: one that does is shown again, and not made again.

A report is made of the files of its studies, the code of this project, the libraries that count and draw, and what was
asked for. A digest of them all stands in the report's folder, beside what the terminal showed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow.fs

from study.storage.location import Location, parse_location

DIGEST, SHOWN = "report.sha256", "report.txt"
"""Files in a report's folder: the digest of what it was made of, and what the terminal showed."""

REPORT, PAGE = "report.md", "report.html"
"""The report itself, in the same folder."""

PACKAGES = Path(__file__).resolve().parents[1]
LIBRARIES = ("pandas", "pyarrow", "numpy", "scipy", "scikit-learn", "matplotlib", "rich", "Jinja2", "optuna")
SUFFIXES = (".py", ".html", ".css", ".js")
"""Of the files that are this project's code: the page is more than Python."""


def digest_inputs(results: Iterable[str | Path], output: str | Path, *asked: object) -> str:
    """Return the SHA-256 of everything that a report is made of, without reading rows.

    Args:
        results: folders or URIs of the studies; of their files count name, size and time of writing.
        output: folder or URI of the report, which is no part of what it is made of.
        asked: options that change it.
    """
    digest = hashlib.sha256()
    for fact in (*asked, *(f"{name} {version(name)}" for name in LIBRARIES)):
        digest.update(f"{fact}\n".encode())
    for package in ("analysis", "study", "trainables"):
        for path in sorted(path for suffix in SUFFIXES for path in (PACKAGES / package).rglob(f"*{suffix}")):
            digest.update(path.read_bytes())
    report = parse_location(output)
    for place in results:
        for fact in _list_files(parse_location(place), report):
            digest.update(fact)
    return digest.hexdigest()


def read_current(output: str | Path, digest: str) -> str | None:
    """Return what the terminal showed of the report in ``output``, or None unless it was made of the same inputs."""
    folder = parse_location(output)
    try:
        there = all(folder.filesystem.get_file_info((folder / page).path).is_file for page in (REPORT, PAGE))
        if there and _read(folder / DIGEST).decode() == digest:
            return _read(folder / SHOWN).decode()
    except (OSError, UnicodeDecodeError):
        pass  # there is none, or it was not written to its end: it is made again
    return None


def remove_current(output: str | Path) -> None:
    """Say of the report in ``output`` that it is being made."""
    file = parse_location(output) / DIGEST
    if file.filesystem.get_file_info(file.path).is_file:
        file.filesystem.delete_file(file.path)


def write_current(output: str | Path, shown: str, digest: str) -> None:
    """Say of the report in ``output``, now that it is whole, what it showed and what it was made of."""
    for name, content in ((SHOWN, shown), (DIGEST, digest)):
        file = parse_location(output) / name
        with file.filesystem.open_output_stream(file.path) as stream:
            stream.write(content.encode())


def _list_files(study: Location, report: Location) -> Iterator[bytes]:
    selector = pyarrow.fs.FileSelector(study.path, recursive=True, allow_not_found=True)
    inside = report.path if type(report.filesystem) is type(study.filesystem) else None
    if inside is not None and f"{study.path}/".startswith(f"{inside}/"):
        inside = None  # It lies among the rows: what is beside it counts, and it is made anew each time.
    yield f"{study}\n".encode()
    try:
        files = sorted(study.filesystem.get_file_info(selector), key=lambda info: str(info.path))
    except OSError:
        return  # who reads the rows says so in words
    for info in files:
        hidden = info.base_name.startswith(".")
        if not info.is_file or hidden or (inside is not None and info.path.startswith(f"{inside}/")):
            continue
        yield f"{info.path} {info.size} {info.mtime_ns}\n".encode()


def _read(file: Location) -> bytes:
    with file.filesystem.open_input_stream(file.path) as stream:
        return bytes(stream.read())
