"""The exception for a mistake of the user's, shown as a message without a traceback."""

from __future__ import annotations


class InputError(Exception):
    """Something given by the user cannot be used.

    The message has three parts, each a sentence: what was received, what is accepted, what to do.
    """

    def __init__(self, received: str, accepted: str, remedy: str) -> None:
        super().__init__(f"{received}\n  accepted: {accepted}\n  to do:    {remedy}")
        self.received, self.accepted, self.remedy = received, accepted, remedy

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.received, self.accepted, self.remedy)


def explain_unreadable(error: Exception) -> str:
    """Return in one line why a file of the user's cannot be read, without an error's number and without the path."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.splitlines()[0] if text else type(error).__name__


class FieldError(InputError):
    """A value of a record's field ``field`` that cannot be used; who read it from a file knows its line by that."""

    def __init__(self, field: str, received: str, accepted: str, remedy: str) -> None:
        super().__init__(received, accepted, remedy)
        self.field = field

    def __reduce__(self) -> tuple[type[FieldError], tuple[str, str, str, str]]:  # type: ignore[override]
        return type(self), (self.field, self.received, self.accepted, self.remedy)
