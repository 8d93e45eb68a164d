"""study.json: what a study is and every launch of it, read and checked for whoever opens its folder."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.fs

from study.storage.files import Storage
from study.storage.location import ACCEPTED, Location, describe_error
from study.storage.schema import SCHEMA_VERSION
from trainables.errors import InputError

MANIFEST = "study.json"
_FOLDER = "the folder of one study, which holds study.json"
_KINDS = {"name": str, "schema_version": int, "config": dict, "dataset": dict, "models": list, "launches": list}


def read_manifest(folder: Location) -> dict[str, Any] | None:
    """Return the study.json of ``folder``, in which what it lacks is empty; None where there is none.

    Raises:
        InputError: it cannot be reached, is damaged, or was written by a newer version.
    """
    path, storage = folder / MANIFEST, Storage(folder)
    try:
        if folder.filesystem.get_file_info(path.path).type != pyarrow.fs.FileType.File:
            return None
        manifest = json.loads(storage.read(MANIFEST))
    except OSError as error:
        raise InputError(
            f"results folder {folder} cannot be read: {describe_error(error)}",
            ACCEPTED,
            "check the address, the network and the credentials, or choose another one",
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: cannot be read ({describe_error(error)})",
            "JSON as study/launch.py writes it",
            "launch the study under another name, or restore the file from a copy",
        ) from error
    if not isinstance(manifest, dict) or "name" not in manifest:
        raise InputError(f"{path}: names no study", _FOLDER, "restore the file from a copy")
    for key, kind in _KINDS.items():
        if not isinstance(manifest.setdefault(key, kind()), kind):
            raise InputError(
                f"{path}: {key} is {manifest[key]!r}", f"{key} of type {kind.__name__}", "restore the file"
            )
    refuse_newer(manifest["schema_version"], path)
    return manifest


def require_manifest(folder: Location) -> dict[str, Any]:
    """Return the study.json of ``folder``.

    Raises:
        InputError: there is none, with the studies in the folder where there are any; or as `read_manifest`.
    """
    if (manifest := read_manifest(folder)) is not None:
        return manifest
    storage = Storage(folder)
    if not storage.exists():
        raise InputError(f"{folder}: there is no such folder", _FOLDER, "check the path, or run a study: make study")
    inside = folder.filesystem.get_file_info(folder.path).type == pyarrow.fs.FileType.Directory
    studies = [name for name in storage.names() if storage.exists(f"{name}/{MANIFEST}")] if inside else []
    remedy = (
        f"give one of {', '.join(str(folder / name) for name in studies)}"
        if studies
        else "give the folder that study/launch.py named at its end, or run a study: make study"
    )
    raise InputError(f"{folder}: holds no {MANIFEST}", _FOLDER, remedy)


def refuse_newer(version: int, path: Location) -> None:
    """Refuse what a newer version of this package wrote.

    Raises:
        InputError: ``path`` has a schema version that is not known here.
    """
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: written with schema version {version}",
            f"schema versions up to {SCHEMA_VERSION}",
            "update this package (git pull, make), then read the results again",
        )
