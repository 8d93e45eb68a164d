"""A study described in a small TOML file, whose keys are the fields of `StudyConfig`.

::

    preset = "sample"           # optional: what the file does not say is as there
    code_sizes = [4, 16]
    seeds = 5

It stands where a preset does, ``--preset my_study.toml``. Every study writes one of its own, study.toml, which says
all that was asked for, so that it can be launched again as it is.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.config.study_config import PRESETS, StudyConfig, names_of, placed, study_config
from trainables.data.datasets import data_name
from trainables.errors import FieldError, InputError
from trainables.models.architectures import Architecture
from trainables.models.custom import row_of

_FIELDS = {field.name: field for field in dataclasses.fields(StudyConfig)}


def config_from(preset: str, **changes: Any) -> StudyConfig:
    """Return the configuration of a preset, or of a study file (``preset`` ends in .toml), with ``changes``.

    A change that is None leaves the value of the preset or file. A study without a name is called after its preset or
    file, and its data. Models of one's own join those of a preset, unless ``architectures`` says which are meant.

    Raises:
        InputError: there is no such preset or file, or a value is not accepted; in a file with its line.
    """
    if not preset.endswith(".toml"):
        return study_config(preset, **changes)
    path = Path(preset)
    text = _read(path)
    values = _parsed(path, text)
    for name in values:
        if name not in _FIELDS:
            raise _at(path, text, name, f"unknown key {name!r}", ", ".join(_FIELDS), "correct or remove it")
    start = values.get("preset")
    if start is not None and (not isinstance(start, str) or start not in PRESETS):
        raise _at(path, text, "preset", f"unknown preset {start!r}", ", ".join(PRESETS), "start from one of these")
    if "models" in values:
        values["models"] = _models(path, text, values["models"])
    given = {name: value for name, value in changes.items() if value is not None}
    explicit = values | given
    values = {"preset": path.stem} | dict(PRESETS.get(start or "", {})) | explicit
    if "architectures" in values and "architectures" not in explicit:
        values["architectures"] += names_of(values.get("models", ()))
    if missing := [name for name, field in _FIELDS.items() if _required(field) and name not in values]:
        raise InputError(
            f"{path}: no {', '.join(missing)}",
            "a value for each key that has none of its own",
            'give them, or start from a preset: preset = "sample"',
        )
    values["dataset"] = placed(values["dataset"], Path() if "dataset" in given else path.parent)
    values.setdefault("name", f"{path.stem}-{data_name(str(values['dataset']))}")
    try:
        return StudyConfig(**values)
    except FieldError as error:
        if error.field in given:
            raise
        raise _at(path, text, error.field, error.received, error.accepted, error.remedy) from None


def study_file(config: StudyConfig) -> str:
    """Return the study file that `config_from` makes ``config`` of."""
    values = config.as_dict()
    if config.preset not in PRESETS:
        del values["preset"]
    models = values.pop("models")
    lines = ["# The study as it was launched last; launch.py --preset takes this file.", *_lines(values)]
    for row in models:
        lines += ["", "[[models]]", *_lines(row)]
    return "\n".join((*lines, ""))


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(_lines(value))} }}"
    return json.dumps(value, ensure_ascii=False)  # Texts, numbers and lists of them are written alike.


def _models(path: Path, text: str, tables: Any) -> tuple[Architecture, ...]:
    """Return the rows that the tables [[models]] describe."""
    if not isinstance(tables, tuple) or not all(isinstance(table, dict) for table in tables):
        raise _at(path, text, "models", f"models {tables!r:.60}", "tables [[models]], one a row", "see --models")
    rows = []
    for number, table in enumerate(tables):
        # The lines of other rows are blanked, so that the key that is found is this row's.
        parts = re.split(r"(?m)^(?=[ \t]*\[\[\s*models\s*\]\])", text)
        own = "".join(part if place == number + 1 else "\n" * part.count("\n") for place, part in enumerate(parts))
        try:
            rows.append(row_of(table))
        except FieldError as error:
            raise _at(path, own, error.field, error.received, error.accepted, error.remedy) from None
    return tuple(rows)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.name != "name"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            f"study file {path} cannot be read ({error})", "a TOML file of this machine, in UTF-8", "check the path"
        ) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        number = int(line[1]) if line else len(text.splitlines())
        raise InputError(
            f"{path}, line {number}: {message}", 'TOML: each key once, text in "quotes"', "correct the line"
        ) from None
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _at(path: Path, text: str, key: str, received: str, accepted: str, remedy: str) -> InputError:
    """Return the mistake in the value of ``key`` with its line, where it is the file that says the value."""
    found = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    lines = (number for number, line in enumerate(text.splitlines(), start=1) if found.match(line))
    line = next(lines, None)
    return InputError(f"{path}{f', line {line}' if line else ''}: {received}", accepted, remedy)
