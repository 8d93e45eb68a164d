"""Models of one's own as plain values: how a row stands in files, and the row that such values make."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from trainables.errors import FieldError, InputError
from trainables.models.architectures import (
    BUILT_IN,
    CONTROLS,
    Architecture,
    ClassicAutoencoder,
    ConvolutionalAutoencoder,
    Decoder,
    Encoder,
    ModuleAutoencoder,
)
from trainables.models.layers import list_layers

_KINDS: dict[type[Architecture], TypeAdapter[Architecture]] = {
    kind: TypeAdapter(kind) for kind in (ConvolutionalAutoencoder, ClassicAutoencoder, ModuleAutoencoder)
}
RECORDS: tuple[type, ...] = (*_KINDS, Encoder, Decoder)
"""The records of which models of one's own are made."""


def dump_row(row: Architecture) -> dict[str, Any]:
    """Return a row as plain values of JSON, a module of the user's own without its factory."""
    return _KINDS[type(row)].dump_python(row, mode="json")  # type: ignore[no-any-return]


def load_row(values: Mapping[str, Any] | Architecture) -> Architecture:
    """Return the row that ``values`` describe.

    It is a classic auto-encoder where they have widths, a module of the user's own, without its factory, where they
    have a space, else a convolutional one. A row, whose values nobody has checked yet, is checked as its values are.

    Raises:
        FieldError: a value is missing, unknown or not accepted.
    """
    if isinstance(values, Architecture):
        kind, name = type(values), values.name
    elif isinstance(values, Mapping):
        kind = ClassicAutoencoder if "widths" in values else ConvolutionalAutoencoder
        if "space" in values:
            kind, values = ModuleAutoencoder, {**values, "build": None}
        name = values.get("name", "a model without a name")
    else:
        raise FieldError("models", f"{values!r:.60}", "the values of a row, by name", "see docs/extending.md")
    try:
        return _KINDS[kind].validate_python(values)
    except ValidationError as error:
        raise field_error(error, kind, str(name)[:60]) from None


def restore_row(values: Mapping[str, Any], own: Iterable[Architecture]) -> Architecture:
    """Return the row that ``values`` of a study describe, a module with its factory where the user gives it again.

    Args:
        values: as `dump_row` gives them.
        own: the user's models; the space of a module may be that of a study file and not its own.

    Raises:
        InputError: another module of that name is given.
    """
    row = load_row(values)
    given = next((each for each in own if each.name == row.name), None)
    if not isinstance(row, ModuleAutoencoder) or given is None:
        return row
    if not isinstance(given, ModuleAutoencoder) or dump_row(replace(given, space=row.space)) != dump_row(row):
        raise InputError(
            f"a model called {row.name}, which is another than the study's",
            "the module that the study was made with",
            "give the file of models as it was",
        )
    return replace(row, build=given.build)


def check_row(row: Architecture) -> None:
    """Refuse a row of the user's own whose name is taken by the table, or whose sizes do not work out.

    Raises:
        InputError: with what is accepted.
    """
    if row.layered:
        list_layers(row, 1)
    if row.name in BUILT_IN or row.name in CONTROLS:
        raise InputError(
            f"a model called {row.name}, which is built in",
            f"a name of its own, none of {', '.join((*BUILT_IN, *CONTROLS))}",
            "give the row another name",
        )


def field_error(error: ValidationError, kind: type, received: str = "") -> FieldError:
    """Return the first of the mistakes that pydantic found in the values of a record of ``kind``.

    What is accepted is said by the field's annotation: its description, or its choices.

    Args:
        error: pydantic's.
        kind: a dataclass, whose fields may be dataclasses in their turn.
        received: what messages call the record, where there are several.
    """
    # A key that is not known comes before those that are missing, since it may be one of them, misspelt.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "unexpected_keyword_argument")
    path = [part for part in first["loc"] if isinstance(part, str)]
    fields, (name, *inner) = _hints(kind), path
    while inner and dataclasses.is_dataclass(fields.get(name)):
        received = f"{received}, {name}"
        fields, (name, *inner) = _hints(fields[name]), inner
    prefix = f"{received}: " if received else ""
    if first["type"] == "unexpected_keyword_argument" and first["loc"][-1] == name:
        return FieldError(path[0], f"{prefix}unknown key {name!r}", ", ".join(fields), "correct or remove it")
    if first["type"] == "missing" and first["loc"][-1] == name:
        holder = "name" if name == path[0] else path[0]
        return FieldError(holder, f"{prefix}no {name}", ", ".join(fields), f"give it {name}")
    value = f"{prefix}{name} {first['input']!r:.60}"
    return FieldError(path[0], value, _describe(fields[name]), f"give {name} another value")


def find_wrong_call(error: BaseException, kinds: Iterable[type]) -> FieldError | None:
    """Return the mistake where ``error`` is what Python says of a record that lacks a field or has an unknown one.

    Args:
        error: of any kind; None is returned of another.
        kinds: dataclasses.
    """
    said = re.match(r"(\w+)\.__init__\(\) (missing|got) .*", str(error)) if isinstance(error, TypeError) else None
    kind = next((kind for kind in kinds if said and kind.__name__ == said[1]), None)
    if said is None or kind is None:
        return None
    names, fields = re.findall(r"'(\w+)'", said[0]), ", ".join(each.name for each in dataclasses.fields(kind))
    if said[2] == "got":
        return FieldError(names[0], f"{kind.__name__} with an unknown field {names[0]}", fields, "correct or remove it")
    accepted = "; ".join(f"{name}: {_describe(_hints(kind)[name])}" for name in names) if kind in RECORDS else fields
    missing = " and ".join(names)
    return FieldError(names[0], f"{kind.__name__} without {missing}", accepted, f"give {missing}")


def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _describe(hint: Any) -> str:
    """Return what a field of this annotation accepts."""
    if get_origin(hint) is Literal:
        return f"one of: {', '.join(get_args(hint))}"
    if get_origin(hint) is Annotated:
        described = (getattr(extra, "description", None) for extra in hint.__metadata__)
        return next(filter(None, described), "true or false")
    return f"{', '.join(_hints(hint))}"
