"""Files of the user's own that describe a study: TOML for its configuration, Python for rows of models.

The keys of the TOML file are the fields of `StudyConfig`.

::

    preset = "sample"           # optional: what the file does not say is as there
    code_sizes = [4, 16]
    seeds = 5
    [space.my_module]           # of a module of --models, as study.config.module_space says

It stands where a preset does, ``--preset my_study.toml``. Every study writes one of its own, study.toml, which says
all that was asked for, so that it can be launched again as it is.

The Python file, ``--models my_models.py``, defines a list `ROWS`, or one of `OBJECTIVES`. It is run here, by the
launcher, and nowhere else: trials get the rows and objectives themselves.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import runpy
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.config.presets import PRESETS, change_preset, study_config
from study.config.search_space import check_filters
from study.config.study_config import StudyConfig
from trainables.errors import FieldError, InputError, explain_unreadable
from trainables.models.architectures import Architecture, ModuleAutoencoder
from trainables.models.custom import RECORDS, check_row, find_wrong_call, load_row
from trainables.training.objectives import Objective, check_objective

ROWS, OBJECTIVES = "MODELS", "OBJECTIVES"

_RECORDS = (*RECORDS, Objective)


class OwnModels(NamedTuple):
    """What a file of the user's own defines."""

    models: tuple[Architecture, ...]
    objectives: tuple[Objective, ...]


def read_config(preset: str, **changes: Any) -> StudyConfig:
    """Return the configuration of a preset, or of a study file (``preset`` ends in .toml), with ``changes``.

    A change that is None leaves the value of the preset or file. A study without a name is called after its preset or
    file, and its data. Models of one's own join those of a preset, unless ``architectures`` says which are meant.

    Raises:
        InputError: there is no such preset or file, or a value is not accepted; in a file with its line.
    """
    if not preset.endswith(".toml"):
        if preset not in PRESETS:
            accepted = f"{', '.join(PRESETS)}, or a study file (*.toml)"
            raise FieldError("preset", f"unknown preset {preset!r:.60}", accepted, "choose one of these")
        return study_config(preset, **changes)
    path = Path(preset)
    text = _read(path)
    values = _parse(path, text)
    start = values.get("preset")
    if start is not None and (not isinstance(start, str) or start not in PRESETS):
        raise _at(
            path, _find_key(text, "preset"), f"unknown preset {start!r}", ", ".join(PRESETS), "start from one of these"
        )
    if "models" in values:
        values["models"] = _read_rows(path, text, values["models"])
    given = {name: value for name, value in changes.items() if value is not None}
    for name in given.keys() & {"seeds", "objectives"}:
        values.pop(f"{name}_at", None)  # As in a preset: asked for are so many everywhere, and these of every model.
    if "space" in values:
        holder = given if "models" in given else values
        holder["models"] = _set_spaces(path, text, values.pop("space"), holder.get("models", ()))
    folder = Path() if "dataset" in given else path.parent
    try:
        return change_preset(PRESETS.get(start or "", {}), values | given, path.stem, folder)
    except FieldError as error:
        if error.field in given:
            raise
        raise _at(path, _find_key(text, error.field), error.received, error.accepted, error.remedy) from None


def format_study_file(config: StudyConfig) -> str:
    """Return the study file that `read_config` makes ``config`` of, with the file of the user's own functions."""
    values = config.as_dict()
    if config.preset not in PRESETS:
        del values["preset"]
    models = values.pop("models")
    # Functions stand in no file but the user's: --models gives them again, objectives and modules.
    del values["own_objectives"]
    lines = ["# The study as it was launched last; launch.py --preset takes this file.", *_lines(values)]
    for row in models:
        if "space" not in row:
            lines += ["", "[[models]]", *_lines(row)]
        elif row["space"]:
            lines += ["", f"[space.{row['name']}]", *_lines(row["space"])]
    return "\n".join((*lines, ""))


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(_lines(value))} }}"
    return json.dumps(value, ensure_ascii=False)  # Texts, numbers and lists of them are written alike.


def _read_rows(path: Path, text: str, tables: Any) -> tuple[Architecture, ...]:
    """Return the rows that the tables [[models]] describe."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _at(
            path, _find_key(text, "models"), f"models {tables!r:.60}", "tables [[models]], one a row", "see --models"
        )
    rows = []
    for number, table in enumerate(tables):
        # The lines of other rows are blanked, so that the key that is found is this row's.
        parts = re.split(r"(?m)^(?=[ \t]*\[\[\s*models\s*\]\])", text)
        own = "".join(part if place == number + 1 else "\n" * part.count("\n") for place, part in enumerate(parts))
        try:
            rows.append(load_row(table))
        except FieldError as error:
            line = _find_key(own, error.field) or _find_key(own, "name")
            raise _at(path, line, error.received, error.accepted, error.remedy) from None
    return tuple(rows)


def _set_spaces(path: Path, text: str, tables: Any, rows: Sequence[Architecture]) -> tuple[Architecture, ...]:
    """Return the models with the search spaces that the tables [space.NAME] give to modules among them."""
    from study.config.module_space import make_distributions  # Optuna, which other studies need not wait for here

    modules = {row.name: row for row in rows if isinstance(row, ModuleAutoencoder)}
    if not isinstance(tables, dict):
        raise _at(path, _find_key(text, "space"), f"space {tables!r:.60}", "tables [space.NAME]", "see --models")
    for name, space in tables.items():
        line = _find_key(text, f"space.{name}") or _find_key(text, "space")
        if name not in modules:
            raise _at(
                path,
                line,
                f"a space of {name!r:.60}, which is no module of your own",
                ", ".join(modules) or "the name of a module of the file of models, and none is given",
                "give the file that defines it, --models FILE, or remove the table",
            )
        try:
            made = load_row(dataclasses.replace(modules[name], space=space))
            make_distributions(made)
        except InputError as error:
            raise _at(path, line, error.received, error.accepted, error.remedy) from None
        modules[name] = made  # type: ignore[assignment]
    return tuple(modules.get(row.name, row) for row in rows)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            f"study file {path} cannot be read ({explain_unreadable(error)})",
            "a TOML file of this machine, in UTF-8",
            "check the path",
        ) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        number = int(line[1]) if line else len(text.splitlines())
        raise InputError(
            f"{path}, line {number}: {message}", 'TOML: each key once, text in "quotes"', "correct the line"
        ) from None


def _find_key(text: str, key: str) -> int | None:
    """Return the line that gives the value of ``key``; None where it is not the file that says it."""
    found = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), start=1) if found.match(line)), None)


def read_models(path: Path) -> OwnModels:
    """Return the rows of the sequence `ROWS` that the file defines, and those of `OBJECTIVES`, each checked.

    Raises:
        InputError: the file cannot be read or run, or a row is not accepted, with its line.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({explain_unreadable(error)})", "a Python file", "check the path"
        ) from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError(f"{path}, line {line}: {error.args[0]}", "a Python file", "correct the line") from None
    found = _run(path)
    objectives = _check_objectives(path, tree, found.get(OBJECTIVES, ()))
    rows = found.get(ROWS, () if objectives else None)
    if not isinstance(rows, list | tuple) or not (rows or objectives):
        raise _at(
            path,
            _find_rows(tree),
            f"{ROWS} is {'missing' if rows is None else f'{rows!r:.60}'}",
            f"a list {ROWS} = [ConvolutionalAutoencoder(...), ...]",
            "see docs/extending.md",
        )
    checked: dict[str, Architecture] = {}
    for row in rows:
        if not isinstance(row, Architecture):
            raise _at(
                path,
                _find_rows(tree),
                f"{ROWS} holds {row!r:.60}",
                "rows made by ConvolutionalAutoencoder, ClassicAutoencoder or ModuleAutoencoder",
                "see docs/extending.md",
            )
        try:
            made = load_row(row)
            check_row(made)
            check_filters(made)
            if isinstance(made, ModuleAutoencoder) and made.space:
                from study.config.module_space import make_distributions

                make_distributions(made)
            if made.name in checked:
                raise InputError(f"a second model called {made.name}", "each name once", "give it another name")
        except InputError as error:
            line = _find_name(tree, row.name) or _find_rows(tree)
            raise _at(path, line, error.received, error.accepted, error.remedy) from None
        checked[made.name] = made
    return OwnModels(tuple(checked.values()), objectives)


def _check_objectives(path: Path, tree: ast.Module, given: object) -> tuple[Objective, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, Objective) for each in given):
        raise _at(
            path,
            _find_rows(tree, OBJECTIVES),
            f"{OBJECTIVES} is {given!r:.60}",
            f"a list {OBJECTIVES} = [Objective(...), ...]",
            "see docs/extending.md",
        )
    for each in given:
        try:
            check_objective(each)
        except InputError as error:
            line = _find_name(tree, each.name) or _find_rows(tree, OBJECTIVES)
            raise _at(path, line, error.received, error.accepted, error.remedy) from None
    return tuple(given)


def _run(path: Path) -> dict[str, object]:
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in frames if frame.filename == str(path)), None)
        told = error if isinstance(error, InputError) else find_wrong_call(error, _RECORDS)
        if told is None:
            message = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            told = InputError(message, "a Python file that runs", "correct it")
        raise _at(path, line or 1, told.received, told.accepted, told.remedy) from None


def _find_rows(tree: ast.Module, called: str = ROWS) -> int:
    """Return the line in which `ROWS` is assigned, or what is ``called`` otherwise; the first where it is not."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == called)
    return max((name.lineno for name in names if isinstance(name.ctx, ast.Store)), default=1)


def _find_name(tree: ast.Module, name: object) -> int | None:
    """Return the last line in which a row's name stands, which is the wrong one where it stands twice."""
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == name)
    return max((text.lineno for text in texts), default=None)


def _at(path: Path, line: int | None, received: str, accepted: str, remedy: str) -> InputError:
    """Return the mistake with its place."""
    return InputError(f"{path}{f', line {line}' if line else ''}: {received}", accepted, remedy)
