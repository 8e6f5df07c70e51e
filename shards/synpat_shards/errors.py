"""Errors that a user can correct. Every other exception is a bug."""

from collections.abc import Mapping, Sequence
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


def some(names: Sequence[str], shown: int = 5) -> str:
    """Return the first few names as text, such as "a, b, c and 12 more"."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
