"""Files of known SHA-256, found in a folder or downloaded to a cache: no other bytes are let through."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from trainables.errors import InputError

STALL_SECONDS = 20.0
"""A mirror is given up that lets so much time pass before it answers, or between two pieces of its answer."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as it lies on its mirrors; ``unpacked`` is what it holds where it is also accepted without its gzip."""

    name: str
    bytes: int
    sha256: str
    unpacked: RemoteFile | None = None


def describe_difference(data: bytes, file: RemoteFile) -> str | None:
    """Return in what way ``data`` is not ``file``, with both checksums, or None when it is."""
    received = hashlib.sha256(data).hexdigest()
    if received == file.sha256:
        return None
    if not data:
        fault = "empty"
    elif data[:256].lstrip().startswith(b"<"):
        fault = "a page of HTML or XML in place of the file"
    elif len(data) < file.bytes:
        fault = f"truncated, or another file: {len(data):,} of {file.bytes:,} bytes"
    elif len(data) > file.bytes:
        fault = f"another file: longer than {file.bytes:,} bytes"
    else:
        fault = "damaged: the right length, but other bytes"
    return f"{fault}\n      SHA-256 expected {file.sha256}\n      SHA-256 received {received}"


def read_placed(files: Sequence[RemoteFile], folder: Path, mirrors: Sequence[str]) -> list[bytes]:
    """Return the contents of ``files``, packed or not, which the user has placed in ``folder``; it is only read.

    Raises:
        InputError: some are missing or wrong; all of them are named.
    """
    contents, problems = [], []
    for packed in files:
        file = packed
        if file.unpacked and not (folder / file.name).exists() and (folder / file.unpacked.name).exists():
            file = file.unpacked
        try:
            data = (folder / file.name).read_bytes()
        except OSError as error:
            problems.append(f"{file.name}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}")
            continue
        contents.append(data)
        if problem := describe_difference(data, file):
            swapped = [other.name for other in files if describe_difference(data, other) is None]
            problems.append(f"{file.name}: {f'holds {swapped[0]}; ' if swapped else ''}{problem}")
    if problems:
        raise InputError(
            "\n    ".join([f"{folder} does not hold what it should", *problems]),
            f"the files as they lie on {' and '.join(mirrors)}",
            f"download the files named above from there into {folder}, "
            "or leave out --data-dir and CAE_STUDY_DATA to have them downloaded to the user's cache",
        )
    return contents


def read_cached(file: RemoteFile, folder: Path, mirrors: Sequence[str], stall_seconds: float = STALL_SECONDS) -> bytes:
    """Return the contents of ``file`` out of the cache ``folder``, downloaded there first when missing or wrong.

    Of several processes that ask at once one downloads; the others wait and find the file. A cache that holds the
    file may be read-only.

    Args:
        file: what is wanted.
        folder: the cache; made when missing.
        mirrors: addresses, each ending in a slash, tried in this order.
        stall_seconds: see `STALL_SECONDS`.

    Raises:
        InputError: no mirror gave the file, or the cache cannot be written.
    """
    data = _read_intact(folder, file)
    if data is not None:
        return data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            data = _read_intact(folder, file)
            return _download(file, folder, mirrors, stall_seconds) if data is None else data
    except (OSError, NotImplementedError) as error:  # filelock raises the latter where files cannot be locked
        raise InputError(
            f"the cache {folder} cannot be used: {error}",
            f"a folder that can be written, with room for {file.bytes:,} bytes",
            "set XDG_CACHE_HOME to such a folder",
        ) from error


def _read_intact(folder: Path, file: RemoteFile) -> bytes | None:
    try:
        data = (folder / file.name).read_bytes()
    except OSError:
        return None
    return data if describe_difference(data, file) is None else None


def _download(file: RemoteFile, folder: Path, mirrors: Sequence[str], stall_seconds: float) -> bytes:
    """Have pooch place ``file`` in ``folder``: checked again, and under its name only once it is whole."""
    import pooch  # here, as the import takes a tenth of a second and most studies find their files

    def get(address: str, part: str, _: object) -> None:
        """Write to ``part`` what pooch is to check; a `ValueError` says what is wrong with the mirror."""
        try:
            # Addresses are those of DATASETS, and bytes with another checksum are thrown away.
            with urllib.request.urlopen(address, timeout=stall_seconds) as response:  # noqa: S310
                data: bytes = response.read(file.bytes + 1)  # a bound for servers that send without end
            reason = describe_difference(data, file)
        except TimeoutError:
            reason = f"silent for {stall_seconds:g} s"
        except urllib.error.HTTPError as error:
            error.close()
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        if reason is not None:
            raise ValueError(reason)
        Path(part).unlink()  # Made by pooch so that its owner alone could read it.
        Path(part).write_bytes(data)

    pooch.get_logger().setLevel("WARNING")
    for left in (folder / file.name, *folder.glob("tmp*")):  # a wrong file, and what killed processes left of theirs
        left.unlink(missing_ok=True)
    reasons = []
    for mirror in mirrors:
        try:
            path = pooch.retrieve(mirror + file.name, f"sha256:{file.sha256}", file.name, folder, downloader=get)
            return Path(path).read_bytes()
        except ValueError as error:
            reasons.append(f"{mirror}: {error}")
    raise InputError(
        "\n    ".join([f"{file.name} could not be downloaded from any mirror", *reasons]),
        f"{file.bytes:,} bytes with SHA-256 {file.sha256}",
        "try again when the network is back, give a folder that has it (flag --data-dir, variable CAE_STUDY_DATA), or "
        f"download the files of the data elsewhere and place this one as {folder / file.name}",
    )
