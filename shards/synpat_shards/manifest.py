"""The data of a shard set: its specification, a record of every shard, and the manifest, which contains both."""

import difflib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import InputError, some
from .files import is_system_file
from .moments import pooled_mean_and_std
from .store import Location, Store, open_store

SCHEMA = 3
"""Version of the manifest format, increased when its meaning changes."""
READABLE = (2, SCHEMA)
"""Versions that can be read. Readers reject others."""

FOLDER = ".synpat"
"""Folder inside a set for all files other than shards, README and sidecar files of other tools."""
MANIFEST = f"{FOLDER}/manifest.json"
"""Name of the manifest inside a set."""
SPEC = f"{FOLDER}/spec.json"
"""Name of the specification inside a set that is being rendered."""
PUBLISHING = f"{FOLDER}/publishing.json"
"""File that identifies the set that is being uploaded to a location."""
LARGEST_MANIFEST = 8 << 20
"""Maximum size of a manifest in bytes. Larger ones are rejected before they are parsed."""
SEARCHED = 50
"""Maximum number of folders that are searched for sets to name in an error message."""
MOST_SHARDS = 10_000
"""Maximum number of shards of a set. Some stores, such as Hugging Face, do not support more files per folder."""
LARGEST_SIDE = 16384
"""Maximum height and width of an image in pixels."""
MODES = ("L", "RGB")
"""Modes of an image: grey and colour."""
RESIZE_FILTERS = ("area", "bilinear")
"""Methods of resizing an image."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """The specification of a set: everything that determines its bytes."""

    family: str
    """Name of the family."""
    family_version: int
    """Version of the family."""
    parameters: dict[str, Any]
    """Values of fields of the family that are fixed instead of drawn."""
    categories: int
    """Number of classes; 0 if the family has none. Samples have a `cls` member only if there are classes."""
    seed: int
    """Seed of all samples."""
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
    """Height and width at which the images were painted before they were resized; None if they were not resized."""
    resize_filter: str = "area"
    """One of RESIZE_FILTERS, used if the images were resized."""
    with_parameters: bool
    """True if each sample has a `json` member with its parameters."""
    encoding: str
    """Encoding of the images."""
    extended_at: tuple[int, ...] = ()
    """Numbers of samples at which the set was complete, with a last shard that was not full, before it was extended. A
    new shard starts at each of these numbers."""

    def __post_init__(self) -> None:
        bounds = (0, *self.extended_at, self.n)
        rules = {
            "family must consist of a-z, 0-9 and -": re.fullmatch("[a-z0-9][a-z0-9-]{0,60}", self.family),
            "n and samples_per_shard must be 1 or more": min(self.n, self.samples_per_shard) >= 1,
            "seed and categories must be 0 or more": min(self.seed, self.categories) >= 0,
            f"height and width must be between 1 and {LARGEST_SIDE}": all(
                1 <= side <= LARGEST_SIDE for side in (self.height, self.width, *(self.render_size or ()))
            ),
            f"mode must be {' or '.join(MODES)}": self.mode in MODES,
            f"resize_filter must be {' or '.join(RESIZE_FILTERS)}": self.resize_filter in RESIZE_FILTERS,
            "extended_at must be strictly increasing, above 0 and below n": all(
                low < high for low, high in pairwise(bounds)
            ),
        }
        if broken := [rule for rule, kept in rules.items() if not kept]:
            raise InputError(broken[0])
        if self.shard_count > MOST_SHARDS:
            raise InputError(
                f"{self.n} samples in shards of {self.samples_per_shard} make {self.shard_count} shards, but the "
                f"maximum is {MOST_SHARDS}: use more samples per shard"
            )

    @property
    def uses_files(self) -> bool:
        """True if the images depend on files of the user. The parameters then include their SHA-256."""
        return "sha256" in self.parameters

    @property
    def shard_count(self) -> int:
        bounds = (0, *self.extended_at, self.n)
        return sum(math.ceil((high - low) / self.samples_per_shard) for low, high in pairwise(bounds))

    def shard_name(self, number: int) -> str:
        return f"{self.family}-{number:06d}.tar"

    def shard_indices(self, number: int) -> range:
        """Return the indices of the samples in a shard."""
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
    """Properties of a shard, against which readers can check it."""

    file: str
    """Name of the shard."""
    first_index: int
    """Index of the first sample."""
    count: int
    """Number of samples."""
    bytes: int
    """Size of the file."""
    sha256: str
    """SHA-256 of the file, in hexadecimal."""
    pixels_sha256: str
    """SHA-256 of all pixels in order, height by width by channel. It does not depend on the encoder."""
    rejects: int
    """Number of draws that the family rejected."""
    mean: float
    """Mean of all pixels, in grey levels 0..255."""
    std: float
    """Standard deviation of all pixels, in grey levels."""

    def __post_init__(self) -> None:
        if min(self.first_index, self.count, self.bytes, self.rejects) < 0:
            raise InputError("first_index, count, bytes and rejects must be 0 or more")
        if not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in (self.sha256, self.pixels_sha256)):
            raise InputError("sha256 and pixels_sha256 must be 64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of a finished set."""

    spec: SetSpec
    """Specification of the set."""
    shards: tuple[ShardRecord, ...]
    """Records of all shards, in order."""
    mean: float
    """Mean of all pixels of the set, in grey levels 0..255."""
    std: float
    """Standard deviation of all pixels of the set, in grey levels."""
    made_with: dict[str, str]
    """Versions of the programs that the bytes may depend on."""
    schema: int = SCHEMA
    """Version of the manifest format."""


Record = TypeVar("Record", bound=Manifest | SetSpec | ShardRecord)


def summarise(spec: SetSpec, shards: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """Return the manifest of a set from the records of all its shards."""
    mean, std = pooled_mean_and_std([(shard.count, shard.mean, shard.std) for shard in shards])
    return Manifest(spec=spec, shards=tuple(shards), mean=mean, std=std, made_with=made_with)


def to_json(record: Manifest | SetSpec | ShardRecord) -> bytes:
    return json.dumps(asdict(record), indent=1).encode() + b"\n"


def read_manifest(location: Location) -> Manifest:
    """Read the manifest of a finished set in a folder or at a URL.

    Raises InputError if there is none, if it has another schema, or if it is invalid.
    """
    store = open_store(location)
    if not store.exists(MANIFEST):
        raise missing_set(store)
    return manifest_from_json(store.read(MANIFEST, LARGEST_MANIFEST), store.name(MANIFEST))


def missing_set(store: Store) -> InputError:
    """Return the error for a location without a finished set, which says what is there instead."""
    if store.exists(SPEC):
        return InputError(
            f"{store.url} has no {MANIFEST}: its rendering has not finished. Run the same `synpat render` command "
            "again, or `synpat finalize` after the last slice"
        )
    if store.exists(PUBLISHING):
        return InputError(f"{store.url} is the target of a `synpat publish` that has not finished: run it again")
    if store.exists(""):
        return InputError(f"{store.url} is a file: pass the folder or the URL of a shard set")
    if (entries := store.entries()) is None:
        folder, _, name = store.url.rpartition("/")
        parent = replace(store, url=folder or ".", root=store.root.rpartition("/")[0])
        return InputError(f"{store.url} does not exist{_suggestion(name, sets_inside(parent))}")
    if not any(not is_system_file(name) for name in entries):
        return InputError(f"{store.url} is empty: it contains no shard set")
    if sets := sets_inside(store):
        return InputError(
            f"{store.url} is not a shard set, but contains the sets {some(sets)}: pass {store.name(sets[0])}, or "
            "another one"
        )
    return InputError(f"{store.url} has no {MANIFEST}: it is not a shard set. It contains {some(sorted(entries))}")


def sets_inside(store: Store) -> list[str]:
    """Return the names of the folders directly inside a location that contain shards, among the first SEARCHED."""
    entries = store.entries() or {}
    folders = sorted(name for name, is_folder in entries.items() if is_folder and not is_system_file(name))
    return [name for name in folders[:SEARCHED] if _has_shards(store.child(name))]


def _has_shards(store: Store) -> bool:
    try:
        return any(name.endswith(".tar") or name == FOLDER for name in store.entries() or {})
    except OSError:  # no permission
        return False


def _suggestion(name: str, sets: Sequence[str]) -> str:
    if near := difflib.get_close_matches(name, sets, n=1):
        return f": did you mean {near[0]}?"
    return f". The sets next to it are {some(sets)}" if sets else ": check the path"


def manifest_from_json(data: bytes, name: str) -> Manifest:
    """Parse the JSON of a manifest. Raises InputError, with `name` in the message, if it is not valid."""
    content = _parse(data, name)
    schema = content.get("schema")
    if schema not in READABLE:
        raise InputError(
            f"{name} has schema {str(schema)[:20]}, this synpat supports {' and '.join(map(str, READABLE))}: "
            "update synpat, or render an older set again"
        )
    manifest = _checked(Manifest, content | {"schema": SCHEMA}, name)
    spec = manifest.spec
    if len(manifest.shards) != spec.shard_count:
        raise InputError(f"{name} is corrupt: it lists {len(manifest.shards)} shards instead of {spec.shard_count}")
    for number, shard in enumerate(manifest.shards):
        if not belongs(shard, spec, number):
            raise InputError(
                f"{name} is not valid: shard {number} must be {spec.shard_name(number)} with samples "
                f"{spec.shard_indices(number)}, got {shard.file[:100]!r} with {shard.count} samples from "
                f"{shard.first_index}"
            )
    return manifest


def belongs(shard: ShardRecord, spec: SetSpec, number: int) -> bool:
    """Return True if a record is that of shard `number` of a set."""
    indices = spec.shard_indices(number)
    return (shard.file, shard.first_index, shard.count) == (spec.shard_name(number), indices.start, len(indices))


def spec_from_json(data: bytes, name: str) -> SetSpec:
    return _checked(SetSpec, _parse(data, name), name)


def record_from_json(data: bytes, name: str) -> ShardRecord:
    return _checked(ShardRecord, _parse(data, name), name)


def _parse(data: bytes, name: str) -> dict[str, Any]:
    # Each shard is one JSON object. Many more objects would fill the memory, even if they are empty.
    if len(data) > LARGEST_MANIFEST or data.count(b"{") + data.count(b"[") > 2 * MOST_SHARDS:
        raise InputError(f"{name} is too large: it exceeds the size of a manifest of {MOST_SHARDS} shards")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise InputError(f"{name} is not valid JSON: {str(fault)[:200]}") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} is corrupt: it must be a JSON object")
    return content


def _checked(kind: type[Record], content: dict[str, Any], name: str) -> Record:
    try:
        return _built(kind, content)
    except (TypeError, ValueError) as fault:
        raise InputError(f"{name} is corrupt: {fault}") from None


def _built(kind: type[Record], content: dict[str, Any]) -> Record:
    """Return a dataclass from parsed JSON, with the declared type of every field. Raises TypeError or ValueError."""
    kinds = get_type_hints(kind)
    if unknown := content.keys() - {field.name for field in fields(kind)}:
        raise TypeError(f"unknown field {', '.join(map(repr, sorted(unknown)))[:200]}")
    return kind(**{name: _value(kinds[name], value, name) for name, value in content.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    """Convert a value to a declared type: lists to tuples, integers to floats, objects to records."""
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
    raise TypeError(f"{name} must be {kind if get_origin(kind) else kind.__name__}, got {repr(value)[:100]}")
