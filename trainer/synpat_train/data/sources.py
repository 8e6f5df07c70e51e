"""Sources of training data as given by a user: paths and URLs with braces, globs and weights."""

import glob
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from braceexpand import braceexpand

from synpat_shards import InputError, is_system_file, is_url, match_url
from synpat_train.progress import print_message

LARGEST_WEIGHT = 1000
"""Maximum weight: the order of an epoch has an entry for each shard and repetition."""
MOST = 100_000
"""Maximum number of names that braces may stand for."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of images."""

    name: str
    """Path, URL or pattern, for messages."""
    weight: float
    """How often an epoch contains each sample."""
    tars: tuple[str, ...] = ()
    """The tars of the set; empty if `name` is its folder or URL."""


def resolve(given: Iterable[str]) -> list[Source]:
    """Return the sets that texts PATH or PATH=WEIGHT stand for, in order.

    PATH is a folder, a tar, or a URL of one of them. Braces are expanded as in WebDataset, "x-{000..002}.tar", then
    globs, "sets/*"; other files than tars that a glob matches are reported and left out. Consecutive tars of equal
    weight are one set, as if they were in a folder of their own. Raises InputError if a weight is not a positive
    number, and if a glob matches nothing.
    """
    found = [location for text in given for location in _expand(text)]
    sources = []
    for (is_tar, weight), group in groupby(found, lambda item: (item[1].endswith(".tar"), item[2])):
        patterns, locations, _ = zip(*group, strict=True)
        if is_tar:
            name = patterns[0] if len(set(patterns)) == 1 else f"{locations[0]} and {len(locations) - 1} more"
            sources.append(Source(name=name, weight=weight, tars=locations))
        else:
            sources += [Source(name=location, weight=weight) for location in locations]
    return sources


def parse_weight(given: str) -> tuple[str, float]:
    """Split "sets/perlin=2" into path and weight. The default weight is 1."""
    location, equals, number = given.rpartition("=")
    if not equals or Path(given).exists() or re.search(r"[/*{}]", number):  # a part of the path
        return given, 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight <= LARGEST_WEIGHT:
        raise InputError(f"{given}: the weight must be a positive number up to {LARGEST_WEIGHT:,}, got {number!r}")
    return location, weight


def _expand(text: str) -> Iterator[tuple[str, str, float]]:
    """Yield each path or URL that a text stands for: pattern, path and weight."""
    location, weight = parse_weight(text)
    for name in _expand_braces(location):
        for match in _expand_glob(name):
            yield location, match, weight


def _expand_braces(location: str) -> list[str]:
    if "{" not in location or Path(location).exists():
        return [location]
    ranges = re.findall(r"\{(-?\d+)\.\.(-?\d+)", location)
    if math.prod(abs(int(last) - int(first)) + 1 for first, last in ranges) > MOST:
        raise InputError(f"{location}: braces may stand for at most {MOST:,} names")
    try:
        return list(braceexpand(location))
    except ValueError:  # unbalanced braces are a part of the name
        return [location]


def _expand_glob(location: str) -> list[str]:
    if is_url(location):
        if "*" not in location:
            return [location]
        matches = match_url(location)
    elif not glob.has_magic(location) or Path(location).exists():
        return [location]
    else:
        matches = {name: Path(name).is_dir() for name in sorted(glob.glob(location, recursive=True))}
    kept = [name for name, is_folder in matches.items() if is_folder or name.endswith(".tar")]
    kept = [name for name in kept if not is_system_file(name.rstrip("/").rpartition("/")[2])]
    if not kept:
        others = f", only {', '.join(list(matches)[:5])}" if matches else ""
        raise InputError(f"{location} matches no folder and no tar{others}: check the path")
    for name in sorted(matches.keys() - set(kept)):
        print_message(f"{name}: passed over, because it is neither a shard set nor a tar")
    return kept
