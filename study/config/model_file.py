"""Rows of one's own from a Python file that the user names: ``--models my_models.py``.

The file is run here, by the launcher, and nowhere else: trials get the rows themselves.
"""

from __future__ import annotations

import ast
import runpy
import traceback
from pathlib import Path

from trainables.errors import FieldError, InputError
from trainables.models.architectures import (
    Architecture,
    ClassicAutoencoder,
    ConvolutionalAutoencoder,
)
from trainables.models.custom import check_row, row_of

ROWS = "MODELS"


def read_models(path: Path) -> tuple[Architecture, ...]:
    """Return the rows of the sequence `ROWS` that the file defines, each checked.

    Raises:
        InputError: the file cannot be read or run, or a row is not accepted, with its line.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error})", "a Python file", "check the path") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError(f"{path}, line {line}: {error.args[0]}", "a Python file", "correct the line") from None
    rows = _run(path).get(ROWS)
    if not isinstance(rows, list | tuple) or not rows:
        raise _at(
            path,
            _line_of_rows(tree),
            f"{ROWS} is {'missing' if rows is None else f'{rows!r:.60}'}",
            f"a list {ROWS} = [ConvolutionalAutoencoder(...), ...]",
            "see docs/extending.md",
        )
    checked: list[Architecture] = []
    for row in rows:
        if not isinstance(row, ConvolutionalAutoencoder | ClassicAutoencoder):
            raise _at(
                path,
                _line_of_rows(tree),
                f"{ROWS} holds {row!r:.60}",
                "rows made by ConvolutionalAutoencoder or ClassicAutoencoder",
                "see docs/extending.md",
            )
        try:
            checked.append(_checked(row, checked))
        except FieldError as error:
            line = _line_of_name(tree, row.name) or _line_of_rows(tree)
            raise _at(path, line, error.received, error.accepted, error.remedy) from None
    return tuple(checked)


def _checked(row: Architecture, earlier: list[Architecture]) -> Architecture:
    made = row_of(row)
    if any(made.name == other.name for other in earlier):
        raise FieldError("name", f"a second model called {made.name}", "each name once", "give it another name")
    try:
        check_row(made)
    except InputError as error:
        raise FieldError("name", error.received, error.accepted, error.remedy) from None
    return made


def _run(path: Path) -> dict[str, object]:
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in frames if frame.filename == str(path)), None)
        message = str(error).splitlines() or [""]
        raise _at(
            path, line or 1, f"{type(error).__name__}: {message[0][:200]}", "a Python file that runs", "correct it"
        ) from None


def _line_of_rows(tree: ast.Module) -> int:
    """Return the line in which `ROWS` is assigned; the first where it is not."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == ROWS)
    return max((name.lineno for name in names if isinstance(name.ctx, ast.Store)), default=1)


def _line_of_name(tree: ast.Module, name: object) -> int | None:
    """Return the last line in which a row's name stands, which is the wrong one where it stands twice."""
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == name)
    return max((text.lineno for text in texts), default=None)


def _at(path: Path, line: int, received: str, accepted: str, remedy: str) -> InputError:
    return InputError(f"{path}, line {line}: {received}", accepted, remedy)
