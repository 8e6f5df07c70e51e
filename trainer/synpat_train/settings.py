"""Settings from the command line and from YAML files, checked by pydantic dataclasses."""

import difflib
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
