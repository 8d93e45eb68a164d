"""Models of one's own as plain values: how a row stands in files, and the row that such values make."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from trainables.errors import FieldError, InputError
from trainables.models.architectures import (
    BUILT_IN,
    CONTROLS,
    Activation,
    Architecture,
    ClassicAutoencoder,
    ConvolutionalAutoencoder,
    Decoder,
    Encoder,
    Pooling,
    Unpooling,
    list_layers,
)

MOST_UNITS = 10_000
"""Filter counts, widths and kernels at most, far above what fits."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What a value may be: ``made`` returns the value of the row, or raises ValueError or TypeError."""

    made: Callable[[Any], Any]
    text: str


def values_of(row: Architecture | Encoder | Decoder) -> dict[str, Any]:
    """Return a row as plain values of JSON."""
    return {field.name: _plain(getattr(row, field.name)) for field in dataclasses.fields(row)}


def row_of(values: Mapping[str, Any]) -> Architecture:
    """Return the row that ``values`` describe: a classic auto-encoder where they have widths, else a convolutional one.

    Raises:
        FieldError: a value is missing, unknown or not accepted.
    """
    if not isinstance(values, Mapping):
        raise FieldError("models", f"{values!r:.60}", "the values of a row, by name", "see docs/extending.md")
    received = str(values.get("name", "a model without a name"))[:60]
    row: Architecture
    if "widths" in values:
        row = _record(ClassicAutoencoder, _CLASSIC, values, received)
    else:
        row = _record(ConvolutionalAutoencoder, _CONVOLUTIONAL, values, received)
    return row


def check_row(row: Architecture) -> None:
    """Refuse a row of the user's own whose name is taken by the table, or whose sizes do not work out.

    Raises:
        InputError: with what is accepted.
    """
    list_layers(row, 1)
    if row.name in BUILT_IN or row.name in CONTROLS:
        raise InputError(
            f"a model called {row.name}, which is built in",
            f"a name of its own, none of {', '.join((*BUILT_IN, *CONTROLS))}",
            "give the row another name",
        )


def _record(kind: Callable[..., Any], accepted: Mapping[str, _Accepted], values: Any, received: str) -> Any:
    """Return the record of ``kind`` that ``values`` make; messages call it ``received``."""
    if not isinstance(values, Mapping):
        raise TypeError
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}  # type: ignore[arg-type]
    for name in values:
        if name not in accepted:
            raise FieldError(name, f"{received}: unknown key {name!r}", ", ".join(accepted), "correct or remove it")
    for name in accepted:
        if name not in values and name not in optional:
            raise FieldError("name", f"{received}: no {name}", ", ".join(accepted), f"give it {name}")
    made = {}
    for name, value in values.items():
        try:
            made[name] = accepted[name].made(value)
        except FieldError as error:
            raise FieldError(name, f"{received}, {error.received}", error.accepted, error.remedy) from None
        except (TypeError, ValueError):
            raise FieldError(
                name, f"{received}: {name} {repr(value)[:60]}", accepted[name].text, f"correct {name}"
            ) from None
    try:
        return kind(**made)
    except ValueError as error:
        raise FieldError(
            "name", str(error), "halves that go with their pooling and unpooling", "change one of them"
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Encoder | Decoder):
        return values_of(value)
    return list(value) if isinstance(value, tuple) else value


def _matches(pattern: str) -> Callable[[Any], str]:
    def made(value: Any) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return str(value)

    return made


def _one_of(literal: Any) -> _Accepted:
    names = get_args(literal)

    def made(value: Any) -> Any:
        if value not in names:
            raise ValueError
        return value

    return _Accepted(made, f"one of: {', '.join(names)}")


def _counts(least: int, most: int) -> _Accepted:
    def made(value: Any) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            raise ValueError
        if not all(type(count) is int and 1 <= count <= MOST_UNITS for count in value):
            raise ValueError
        return tuple(value)

    return _Accepted(made, f"{least if least == most else f'{least} to {most}'} whole numbers from 1")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _half(kind: type[Encoder] | type[Decoder], kernels: int, doubled: str) -> _Accepted:
    accepted = {"name": _TEXT, "kernels": _counts(kernels, kernels), doubled: _YES, "source": _NOTE}

    def made(value: Any) -> Encoder | Decoder:
        values = values_of(value) if isinstance(value, kind) else value
        half: Encoder | Decoder = _record(kind, accepted, values, kind.__name__.lower())
        return half

    return _Accepted(made, f"name, {kernels} kernels and whether it is {doubled}")


_NAME = _Accepted(_matches(r"[a-z][a-z0-9_]{0,39}"), "small letters, digits and '_', from a letter on, at most 40")
_TEXT = _Accepted(_matches(r"[^\x00-\x1f\x7f]{1,100}"), "a text of 1 to 100 characters, without line breaks")
_NOTE = _Accepted(_matches(r"[^\x00-\x1f\x7f]{0,200}"), "a text of at most 200 characters, without line breaks")
_YES = _Accepted(_bool, "true or false")
_SHARED = {"name": _NAME, "label": _TEXT, "notation": _TEXT, "source": _NOTE, "activation": _one_of(Activation)}
_CONVOLUTIONAL = _SHARED | {
    "encoder": _half(Encoder, 2, "pooled"),
    "decoder": _half(Decoder, 3, "unpooled"),
    "published_filters": _counts(2, 2),
    "pooling": _one_of(Pooling),
    "unpooling": _one_of(Unpooling),
}
_CLASSIC = _SHARED | {"widths": _counts(1, 10)}
