"""What a shard set is: the recipe it was made by, a record of every shard, and the manifest that holds both."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

SCHEMA = 1
"""Raised when a manifest changes its meaning; a reader refuses a later one."""

FOLDER = ".synpat"
"""Where, inside a set, everything lies that is not a shard or for people."""
MANIFEST = f"{FOLDER}/manifest.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the bytes of a set."""

    family: str
    family_version: int
    parameters: dict[str, Any]
    """Fields of the family that were given instead of drawn."""
    categories: int
    """Number of classes; 0 if the family has none, and the samples no `cls` member."""
    seed: int
    n: int
    """Number of samples."""
    samples_per_shard: int
    height: int
    """Pixels along the frequency axis."""
    width: int
    """Pixels along the time axis."""
    mode: str
    """L (grey) or RGB."""
    via: tuple[int, int] | None
    """Height and width that the patterns were painted at before they were resized; None if painted at their size."""
    with_parameters: bool
    """Whether each sample has a `json` member with the parameters it was drawn with."""
    encoding: str
    """How the images are stored."""

    @property
    def shard_count(self) -> int:
        return math.ceil(self.n / self.samples_per_shard)

    def shard_name(self, number: int) -> str:
        return f"{self.family}-{number:06d}.tar"

    def shard_indices(self, number: int) -> range:
        """Indices of the samples that lie in a shard."""
        first = number * self.samples_per_shard
        return range(first, min(first + self.samples_per_shard, self.n))


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """What a reader can check a shard against."""

    file: str
    first_index: int
    count: int
    """Samples."""
    bytes: int
    sha256: str
    """Of the file."""
    pixels_sha256: str
    """Of all pixels in order, height by width by channel: it does not depend on the encoder."""
    rejects: int
    """Draws that the family rejected on the way."""
    mean: float
    """Of all pixels, in grey levels 0..255."""
    std: float
    """Of all pixels, in grey levels."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished set."""

    recipe: Recipe
    shards: tuple[ShardRecord, ...]
    mean: float
    """Of all pixels of the set, in grey levels 0..255."""
    std: float
    made_with: dict[str, str]
    """Versions of the programs that the bytes may depend on."""
    schema: int = SCHEMA


Record = TypeVar("Record", Manifest, Recipe, ShardRecord)


def summarise(recipe: Recipe, shards: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """The manifest of a set whose shards are all there."""
    mean = math.fsum(shard.count * shard.mean for shard in shards) / recipe.n
    square = math.fsum(shard.count * (shard.std**2 + shard.mean**2) for shard in shards) / recipe.n
    std = math.sqrt(max(square - mean**2, 0.0))
    return Manifest(recipe=recipe, shards=tuple(shards), mean=mean, std=std, made_with=made_with)


def to_json(record: Manifest | Recipe | ShardRecord) -> bytes:
    return json.dumps(asdict(record), indent=1).encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished set.

    Raises ValueError if there is none, if it is of a later schema, or if it is not what it should be.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} has no {MANIFEST}: it is no shard set, or its rendering has not finished")
    content = _parse(path)
    if content.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {content.get('schema')}, this synpat reads {SCHEMA}: update synpat")
    try:
        recipe = recipe_from(content.pop("recipe"))
        shards = tuple(_build(ShardRecord, shard) for shard in content.pop("shards"))
        manifest = _build(Manifest, {"recipe": recipe, "shards": shards} | content)
    except (TypeError, KeyError, AttributeError) as fault:
        raise ValueError(f"{path} is damaged: {fault}") from None
    for shard in manifest.shards:
        if "/" in shard.file or "\\" in shard.file or shard.file.startswith("."):
            raise ValueError(f"{path} is refused: the shard {shard.file!r} lies outside the set")
    return manifest


def read_recipe(path: Path) -> Recipe:
    return recipe_from(_parse(path))


def read_record(path: Path) -> ShardRecord:
    return _build(ShardRecord, _parse(path))


def recipe_from(content: dict[str, Any]) -> Recipe:
    via = content["via"]
    return _build(Recipe, content | {"via": tuple(via) if via else None})


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as fault:
        raise ValueError(f"{path} is no JSON: {fault}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: not an object")
    return content


def _build(kind: type[Record], content: dict[str, Any]) -> Record:
    if unknown := content.keys() - {field.name for field in fields(kind)}:
        raise TypeError(f"unknown {', '.join(sorted(unknown))}")
    return kind(**content)
