"""Settings from the command line and from YAML files, checked by pydantic dataclasses."""

import ast
import difflib
import inspect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import ValidationError

from synpat_shards import InputError

Record = TypeVar("Record")


def build_settings(kind: type[Record], settings: Mapping[str, Any]) -> Record:
    """Return a pydantic dataclass of the given kind.

    Raises InputError that names a setting which is unknown (with the nearest known name) or out of range.
    """
    reject_unknown_keys(kind, settings)
    kinds = get_type_hints(kind)
    for name, value in settings.items():
        if isinstance(value, bool) and not _allows_bool(kinds[name]):  # pydantic would read True as 1
            raise InputError(f"{name}: a number or a text is required, got {str(value).lower()}")
    try:
        return kind(**settings)
    except ValidationError as invalid:
        raise InputError("; ".join(_in_words(fault) for fault in invalid.errors())) from None


def _allows_bool(kind: Any) -> bool:
    return kind is bool or any(map(_allows_bool, get_args(kind)))


def reject_unknown_keys(kind: type, settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that a dataclass does not have, with the nearest known name."""
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]
            raise InputError(f"unknown setting {name!r}; the nearest known one is {nearest!r}")


def _in_words(fault: Mapping[str, Any]) -> str:
    if not fault["loc"]:  # raised by __post_init__
        return str(fault["ctx"]["error"])
    return f"{fault['loc'][0]}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def describe_settings(kind: type) -> list[tuple[str, str, str]]:
    """Return the name, the type in words and the meaning of every field of a dataclass, from its source."""
    names = {field.name for field in fields(kind)}
    return [
        (line.target.id, _type_in_words(ast.unparse(line.annotation)), inspect.cleandoc(text).replace("\n", " "))
        for line, meaning in itertools.pairwise(ast.parse(inspect.getsource(kind)).body[0].body)  # pyright: ignore
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.target.id in names
        and isinstance(meaning, ast.Expr)
        and isinstance(meaning.value, ast.Constant)
        and isinstance(text := meaning.value.value, str)
    ]


ALIASES = {
    "PositiveInt": "int > 0",
    "PositiveFloat": "float > 0",
    "NonNegativeFloat": "float >= 0",
    "NonNegativeInt": "int >= 0",
    "Decay": "float in [0, 1)",
    "Share": "float in [0, 1)",
    "Annotated[int, Field(ge=3)]": "int >= 3",
    "Annotated[int, Field(ge=0, lt=1 << 32)]": "int in [0, 2**32)",
    "Annotated[float, Field(ge=0)]": "float >= 0",
    "Annotated[float, Field(gt=0, lt=1)]": "float in (0, 1)",
    "Annotated[float, Field(ge=0, lt=1)]": "float in [0, 1)",
    "Annotated[float, Field(gt=0, le=1)]": "float in (0, 1]",
    "Annotated[float, Field(ge=0, le=1)]": "float in [0, 1]",
}
"""Annotations in words."""


def _type_in_words(annotation: str) -> str:
    for alias, words in sorted(ALIASES.items(), key=lambda item: -len(item[0])):
        annotation = annotation.replace(alias, words)
    return annotation.replace("Literal[", "").replace("]", "") if "Literal[" in annotation else annotation


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse settings from "key=value" texts. Values are read as YAML."""
    settings = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"{assignment!r} is not a valid setting: write key=value, such as checkpoint_every=500")
        try:
            settings[name] = yaml.safe_load(text)
        except yaml.YAMLError as fault:
            raise InputError(f"{assignment!r} is not valid YAML: {' '.join(str(fault).split())}") from None
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file.

    Raises InputError if the file is not a mapping of settings.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(fault).split())}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path} must contain settings, one `key: value` per line")
    return settings
