"""Files of a study's folder that are whole or not there, on disks and in object stores.

On a disk or mount a file is written under a name that starts with a dot, flushed to the disk and renamed; in an object
store it is one put, which shows all of it or nothing.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from study.storage.location import Location, describe_error
from trainables.errors import InputError

PATIENCE_SECONDS = 120.0
"""How long a write that fails is tried again before the study stops."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0
REQUESTS_AT_ONCE = 16

NO_FLUSH_OF_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)
"""What mounts answer that cannot flush a folder, as those of some networks: what is in it is whole there, too."""

PARTIAL = ".partial"
"""Suffix of half-written files, whose names start with a dot."""


class StorageError(InputError):
    """Results could not be written for longer than `PATIENCE_SECONDS`."""


class Storage:
    """Reads, writes and removes files of one folder by their names in it, such as ``trials/a.parquet``.

    Every method raises `OSError` where the file system does, and asks it once.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    def exists(self, name: str = "") -> bool:
        """Whether there is such a file or folder; by default the folder itself."""
        info = self.folder.filesystem.get_file_info(self._path(name))
        return bool(info.type != pyarrow.fs.FileType.NotFound)

    def names(self, name: str = "") -> list[str]:
        """Return the sorted names of files and folders in folder ``name``; none where it is missing."""
        return list(self.measure_files(name))

    def measure_files(self, name: str = "") -> dict[str, int]:
        """Return the bytes of what is in folder ``name``, by its sorted names; nothing where it is missing."""
        selector = pyarrow.fs.FileSelector(self._path(name), allow_not_found=True)
        found = self.folder.filesystem.get_file_info(selector)
        return {
            info.base_name: info.size or 0 for info in sorted(found, key=lambda info: info.base_name) if info.base_name
        }

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self.folder.filesystem.open_input_stream(self._path(name)) as stream:
            return bytes(stream.read())

    def make(self, name: str = "") -> list[Path]:
        """Make a folder and its parents and return those that were missing; an object store needs none."""
        if self.folder.local is None:
            return []
        path = Path(self._path(name))
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        return missing

    def unmake(self, folders: Iterable[Path]) -> None:
        """Remove folders that `make` made, as far as they are empty."""
        with suppress(OSError):
            for folder in folders:
                folder.rmdir()

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        """Write at once: a reader, or a writer that was stopped, sees the whole file or what was there before."""
        if self.folder.local is None:
            with self.folder.filesystem.open_output_stream(self._path(name)) as stream:
                stream.write(content)
            return
        path = Path(self._path(name))
        partial = path.with_name(f".{path.name}{PARTIAL}")
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _flush_folder(path.parent)  # The name, too, outlives a power failure.
        except OSError:
            with suppress(OSError):  # What led here says more; leftovers are cleaned when the study is opened.
                partial.unlink(missing_ok=True)
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are missing already are no mistake."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            list(pool.map(self._remove, names))

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.folder.filesystem.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.folder.path}/{name}".rstrip("/")


def retry_write(write: Callable[[], None], folder: Location, patience: float) -> None:
    """Call ``write`` until it succeeds, with growing pauses, for ``patience`` seconds.

    Raises:
        StorageError: it failed to the end.
    """
    pause = FIRST_PAUSE_SECONDS
    deadline = time.monotonic() + patience
    warned = False
    while True:
        try:
            write()
        except OSError as error:
            if time.monotonic() + pause > deadline:
                raise StorageError(
                    f"results cannot be written to {folder}: {describe_error(error)} (tried for {patience:.0f} s)",
                    "a folder with free space that this user may write",
                    "put that right, then give the same command: what was written is kept, the rest runs again",
                ) from error
            if not warned:
                print(f"warning: {folder}: {describe_error(error)}; trying again for {patience:.0f} s", file=sys.stderr)
                warned = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            if warned:
                print(f"results are written to {folder} again", file=sys.stderr)
            return


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FLUSH_OF_FOLDERS:
            raise
    finally:
        os.close(handle)
