"""What a shard set is: the recipe it was made by, a record of every shard, and the manifest that holds both."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import InputError
from .moments import pooled_mean_and_std
from .store import Location, open_store

SCHEMA = 2
"""Raised when a manifest changes its meaning; a reader refuses a later one."""

FOLDER = ".synpat"
"""Where, inside a set, everything lies that is not a shard or for people."""
MANIFEST = f"{FOLDER}/manifest.json"
LARGEST_MANIFEST = 8 << 20
"""Bytes. One that is larger is refused before it is parsed."""
MOST_SHARDS = 10_000
"""In a set: more files a folder than this trouble stores, Hugging Face's among them."""
LARGEST_SIDE = 16384
"""Pixels."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
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
    render_size: tuple[int, int] | None
    """Height and width that the patterns were painted at before they were resized; None if painted at their size."""
    with_parameters: bool
    """Whether each sample has a `json` member with the parameters it was drawn with."""
    encoding: str
    """How the images are stored."""
    extended_at: tuple[int, ...] = ()
    """Numbers of samples at which the set was whole with a last shard that was not full, before it was extended: that
    shard stays as it is, and a new one begins there."""

    def __post_init__(self) -> None:
        bounds = (0, *self.extended_at, self.n)
        rules = {
            "family must be a word of a-z, 0-9 and -": re.fullmatch("[a-z0-9][a-z0-9-]{0,60}", self.family),
            "n and samples_per_shard must be 1 or more": min(self.n, self.samples_per_shard) >= 1,
            "seed and categories must be 0 or more": min(self.seed, self.categories) >= 0,
            f"height and width must lie between 1 and {LARGEST_SIDE}": all(
                1 <= side <= LARGEST_SIDE for side in (self.height, self.width, *(self.render_size or ()))
            ),
            "mode must be L or RGB": self.mode in ("L", "RGB"),
            "extended_at must rise from above 0 to below n": all(low < high for low, high in pairwise(bounds)),
        }
        if broken := [rule for rule, kept in rules.items() if not kept]:
            raise InputError(broken[0])
        if self.shard_count > MOST_SHARDS:
            raise InputError(
                f"{self.n} samples in shards of {self.samples_per_shard} make {self.shard_count} shards, {MOST_SHARDS} "
                "are the most: put more samples in each"
            )

    @property
    def shard_count(self) -> int:
        bounds = (0, *self.extended_at, self.n)
        return sum(math.ceil((high - low) / self.samples_per_shard) for low, high in pairwise(bounds))

    def shard_name(self, number: int) -> str:
        return f"{self.family}-{number:06d}.tar"

    def shard_indices(self, number: int) -> range:
        """Indices of the samples that lie in a shard."""
        low = 0
        for high in (*self.extended_at, self.n):
            first = low + number * self.samples_per_shard
            if first < high:
                return range(first, min(first + self.samples_per_shard, high))
            number -= math.ceil((high - low) / self.samples_per_shard)
            low = high
        raise IndexError("the set has no such shard")


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

    def __post_init__(self) -> None:
        if min(self.first_index, self.count, self.bytes, self.rejects) < 0:
            raise InputError("first_index, count, bytes and rejects must be 0 or more")
        if not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in (self.sha256, self.pixels_sha256)):
            raise InputError("sha256 and pixels_sha256 must be 64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished set."""

    spec: SetSpec
    shards: tuple[ShardRecord, ...]
    mean: float
    """Of all pixels of the set, in grey levels 0..255."""
    std: float
    made_with: dict[str, str]
    """Versions of the programs that the bytes may depend on."""
    schema: int = SCHEMA


Record = TypeVar("Record", bound=Manifest | SetSpec | ShardRecord)


def summarise(spec: SetSpec, shards: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """The manifest of a set whose shards are all there."""
    mean, std = pooled_mean_and_std([(shard.count, shard.mean, shard.std) for shard in shards])
    return Manifest(spec=spec, shards=tuple(shards), mean=mean, std=std, made_with=made_with)


def to_json(record: Manifest | SetSpec | ShardRecord) -> bytes:
    return json.dumps(asdict(record), indent=1).encode() + b"\n"


def read_manifest(location: Location) -> Manifest:
    """The manifest of a finished set in a folder or behind a URL.

    Raises InputError if there is none, if it is of a later schema, or if it is not what it should be.
    """
    store = open_store(location)
    if not store.exists(MANIFEST):
        raise InputError(f"{store.url} has no {MANIFEST}: it is no shard set, or its rendering has not finished")
    return manifest_from_json(store.read(MANIFEST, LARGEST_MANIFEST), store.name(MANIFEST))


def manifest_from_json(data: bytes, name: str) -> Manifest:
    """A manifest out of its JSON. Raises InputError, with the name that was given, for anything that is not one."""
    content = _parse(data, name)
    schema = content.get("schema")
    if schema != SCHEMA:
        raise InputError(f"{name} has schema {str(schema)[:20]}, this synpat reads {SCHEMA}: update synpat")
    manifest = _checked(Manifest, content, name)
    spec = manifest.spec
    if len(manifest.shards) != spec.shard_count:
        raise InputError(f"{name} is damaged: it lists {len(manifest.shards)} shards instead of {spec.shard_count}")
    for number, shard in enumerate(manifest.shards):
        if not belongs(shard, spec, number):
            raise InputError(
                f"{name} is refused: shard {number} should be {spec.shard_name(number)}, samples "
                f"{spec.shard_indices(number)}; it is {shard.file[:100]!r}, {shard.count} from {shard.first_index}"
            )
    return manifest


def belongs(shard: ShardRecord, spec: SetSpec, number: int) -> bool:
    """Whether a record is that of shard `number` of a recipe."""
    indices = spec.shard_indices(number)
    return (shard.file, shard.first_index, shard.count) == (spec.shard_name(number), indices.start, len(indices))


def spec_from_json(data: bytes, name: str) -> SetSpec:
    return _checked(SetSpec, _parse(data, name), name)


def record_from_json(data: bytes, name: str) -> ShardRecord:
    return _checked(ShardRecord, _parse(data, name), name)


def _parse(data: bytes, name: str) -> dict[str, Any]:
    # Each shard is one object: what has many more would fill the memory with empty ones.
    if len(data) > LARGEST_MANIFEST or data.count(b"{") + data.count(b"[") > 2 * MOST_SHARDS:
        raise InputError(f"{name} is refused: it is larger than that of {MOST_SHARDS} shards")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise InputError(f"{name} is no JSON: {str(fault)[:200]}") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} is damaged: not an object")
    return content


def _checked(kind: type[Record], content: dict[str, Any], name: str) -> Record:
    try:
        return _built(kind, content)
    except (TypeError, ValueError) as fault:
        raise InputError(f"{name} is damaged: {fault}") from None


def _built(kind: type[Record], content: dict[str, Any]) -> Record:
    """A dataclass out of what JSON gave, with every type as it is declared. Raises TypeError or ValueError."""
    kinds = get_type_hints(kind)
    if unknown := content.keys() - {field.name for field in fields(kind)}:
        raise TypeError(f"unknown {', '.join(map(repr, sorted(unknown)))[:200]}")
    return kind(**{name: _value(kinds[name], value, name) for name, value in content.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    """A value of a declared type: lists become tuples, whole numbers may stand for floats, objects become records."""
    if get_origin(kind) is UnionType:
        if value is None:
            return value
        kind = get_args(kind)[0]
    match get_origin(kind) or kind, value:
        case (cls, dict()) if cls in (SetSpec, ShardRecord):
            return _built(kind, value)
        case (cls, dict()) if cls is dict:
            return {key: _value(get_args(kind)[1], each, name) for key, each in value.items()}
        case (cls, list()) if cls is tuple and (... in get_args(kind) or len(get_args(kind)) == len(value)):
            return tuple(_value(get_args(kind)[0], each, name) for each in value)
        case (cls, int() | float()) if cls is float and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case (cls, _) if cls is Any or (type(value) is cls and cls in (int, str, bool)):
            return value
    raise TypeError(f"{name} is {repr(value)[:100]}, which is no {kind if get_origin(kind) else kind.__name__}")
