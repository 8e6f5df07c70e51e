"""Errors that a user can correct. Every other exception is a bug."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """An argument, a file, a data set or an environment is not valid.

    The message names the value, the rule and the remedy. Commands print it as one line, without a traceback.
    """


class MissingDependencyError(InputError, ImportError):
    """An optional package is not installed. The message contains the command that installs it."""


def describe_differences(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the differences between two mappings, such as "seed is 0, not 5"; an empty text if there are none."""
    return ", ".join(
        f"{name} is {actual.get(name)}, not {value}" for name, value in expected.items() if actual.get(name) != value
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its type."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def valid_content(path: Path, remedy: str) -> Iterator[None]:
    """Raise InputError with the name of a file and a remedy if reading its content raises any error of a program.

    Errors of the system, such as a missing file or too little memory, are passed on.
    """
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # json, numpy, zipfile and torch raise many kinds of exceptions
        if type(error).__name__ == "OutOfMemoryError":  # of torch
            raise
        raise InputError(f"{path} is corrupt: {first_line(error)}. {remedy}") from error


def some(names: Sequence[str], shown: int = 5) -> str:
    """Return the first few names as text, such as "a, b, c and 12 more"."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
