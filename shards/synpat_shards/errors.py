"""Errors that a user can correct. Every other exception is a bug."""

from collections.abc import Mapping
from typing import Any


class InputError(ValueError):
    """An argument, a file, a data set or an environment that cannot be used as it is.

    The message names the value, the rule and the remedy. Commands print it as one line, without a traceback.
    """


class MissingDependencyError(InputError, ImportError):
    """An optional package that is not installed. The message says how to install it."""


def describe_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the entries of two mappings that differ, as "seed is 0, not 5"; empty if they are equal."""
    return ", ".join(
        f"{name} is {found.get(name)}, not {value}" for name, value in expected.items() if found.get(name) != value
    )
