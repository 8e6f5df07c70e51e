"""A set of shards in a folder or behind a URL: begun, filled shard by shard in any order, completed, opened.

While a set is being made, `.synpat/` holds its recipe and a record of each finished shard, so that the same command
goes on where a killed one stopped. When all shards are there these give way to the manifest, which comes last.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, describe_differences
from .files import PARTIAL, sole_process
from .manifest import (
    FOLDER,
    LARGEST_MANIFEST,
    MANIFEST,
    Manifest,
    SetSpec,
    ShardRecord,
    belongs,
    read_manifest,
    record_from_json,
    spec_from_json,
    summarise,
    to_json,
)
from .moments import mean_and_std
from .png import encode_png
from .sidecars import INDEX_HEADER, index_line, index_name, sidecars
from .store import Location, Store, open_store
from .system import available_cores
from .tar import write_end, write_sample

SPEC = f"{FOLDER}/spec.json"
RECORDS = f"{FOLDER}/shards"
LOCK = f"{FOLDER}/lock"
PUBLISHING = f"{FOLDER}/publishing.json"
"""Says which set is being uploaded to a place."""
REQUESTS = 16
"""Small files asked for at once from a store."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample: an image and how it was made."""

    index: int
    image: NDArray[np.uint8]
    """[height, width] or [height, width, 3]."""
    category: int | None
    """Class, the `cls` member of the shard; None in a family without classes."""
    parameters: Mapping[str, Any]
    """Parameters that the image was painted with; the `json` member, if the set has one."""
    rejects: int
    """Number of parameter draws that the family rejected before this one."""


def check_target(store: Store, spec: SetSpec) -> None:
    """Refuse a place that a recipe's shards must not go into.

    Raises InputError if it holds another set or anything else.
    """
    there = read_spec(store)
    if there is None:
        if store.exists(PUBLISHING):
            raise InputError(f"{store.url} is the target of a `synpat publish` that has not finished: finish it first")
        if any(not name.startswith(f"{FOLDER}/") for name in store.sizes()):
            raise InputError(f"{store.url} is not empty and holds no shard set: choose another folder")
    elif differences := describe_differences(asdict(there), asdict(spec)):
        raise InputError(f"{store.url} holds another set: {differences}. Choose another folder, or remove that one")


def begin_set(store: Store, spec: SetSpec) -> None:
    """Make a place ready for a recipe's shards; one that holds something already must hold the same recipe.

    Raises InputError as `check_target` does.
    """
    check_target(store, spec)
    if read_spec(store) is None:
        store.claim(SPEC, to_json(spec))
        check_target(store, spec)


@contextmanager
def lock_set(store: Store) -> Iterator[None]:
    """Keep other processes of this machine from writing into a folder; behind a URL nothing can, nor needs to.

    Raises InputError if one is at it.
    """
    if not store.is_local:
        yield
        return
    with sole_process(Path(store.root, LOCK), f"another process is writing to {store.url}: wait until it has finished"):
        yield


def begin_extension(store: Store, n: int) -> SetSpec:
    """Note in a finished set that it shall have n samples, and give the recipe by which it is rendered further.

    The shards that are there stay as they are, a last one that is not full among them. Raises InputError if the set
    has more samples already, or is on its way to another number.
    """
    old, under_way = read_manifest(store).spec, read_spec(store)
    if n < old.n:
        raise InputError(f"{store.url} has {old.n} samples already: --n is the number that it shall have in all")
    new = old if n == old.n else extended(old, n)
    if under_way not in (old, new):
        raise InputError(
            f"{store.url} is being extended to {under_way.n if under_way else 0} samples: finish that first"
        )
    if new != old:
        store.put(SPEC, to_json(new))
    return new


def extended(spec: SetSpec, n: int) -> SetSpec:
    """The recipe of a set that goes on to n samples after all those it has."""
    start = spec.extended_at[-1] if spec.extended_at else 0
    is_full = (spec.n - start) % spec.samples_per_shard == 0
    return replace(spec, n=n, extended_at=spec.extended_at if is_full else (*spec.extended_at, spec.n))


def read_spec(store: Store) -> SetSpec | None:
    """What a place is being filled with, or holds; None if nothing says so."""
    if store.exists(SPEC):
        return spec_from_json(store.read(SPEC, LARGEST_MANIFEST), store.name(SPEC))
    return read_manifest(store).spec if store.exists(MANIFEST) else None


def finished_shards(store: Store, spec: SetSpec, numbers: Sequence[int] | None = None) -> dict[int, ShardRecord]:
    """Records of the whole shards, by number: their files are as was written down. numbers: look at these alone.

    In a folder their checksums are taken; behind a URL, where a shard appears only when it is whole and its record
    after it, their sizes must do.
    """
    numbers = range(spec.shard_count) if numbers is None else numbers
    sizes = store.sizes()
    there = {number for number in numbers if _record_name(spec, number) in sizes}

    def checked(number: int) -> ShardRecord | None:
        record = old.get(number)
        if number in there:
            name = _record_name(spec, number)
            record = record_from_json(store.read(name), store.name(name))
        if record is None or not belongs(record, spec, number) or index_name(record.file) not in sizes:
            return None
        is_whole = sizes.get(record.file) == record.bytes
        return record if is_whole and (not store.is_local or store.sha256(record.file) == record.sha256) else None

    old = dict(enumerate(read_manifest(store).shards)) if MANIFEST in sizes else {}
    with ThreadPoolExecutor(REQUESTS if not store.is_local else available_cores()) as threads:
        found = zip(numbers, threads.map(checked, numbers), strict=True)
        return {number: record for number, record in found if record}


def write_shard(store: Store, spec: SetSpec, number: int, samples: Iterable[Sample]) -> ShardRecord:
    """Write one shard, its index and its record; each appears only when whole, and the record last."""
    name, indices = spec.shard_name(number), spec.shard_indices(number)
    pixels, rejects, pixel_count, total, squares = hashlib.sha256(), 0, 0, 0.0, 0.0
    index = [INDEX_HEADER.format(len(indices))]
    with store.writing(name) as file:
        tar = _Counted(file)
        for sample in samples:
            key, members = f"{sample.index:010d}", _members(sample, spec.with_parameters)
            index.append(index_line(key, members, tar.bytes))
            write_sample(tar, key, members)
            pixels.update(np.ascontiguousarray(sample.image).data)
            rejects += sample.rejects
            # Sums of whole numbers below 2**53 are exact in float64, so that the statistics are the same everywhere.
            levels = sample.image.astype(np.float64).ravel()
            pixel_count, total, squares = (
                pixel_count + levels.size,
                total + levels.sum(),
                squares + float(levels @ levels),
            )
        write_end(tar)
    mean, std = mean_and_std(pixel_count, float(total), float(squares))
    record = ShardRecord(
        file=name,
        first_index=indices.start,
        count=len(indices),
        bytes=tar.bytes,
        sha256=tar.sha256.hexdigest(),
        pixels_sha256=pixels.hexdigest(),
        rejects=rejects,
        mean=mean,
        std=std,
    )
    store.put(index_name(name), "".join(index).encode())
    store.put(_record_name(spec, number), to_json(record))
    return record


class _Counted:
    """A file that knows the size and the checksum of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.bytes, self.sha256 = file, 0, hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.bytes += len(data)


def _members(sample: Sample, with_parameters: bool) -> dict[str, bytes]:
    members = {"png": encode_png(sample.image)}
    if sample.category is not None:
        members["cls"] = b"%d" % sample.category
    if with_parameters:
        members["json"] = json.dumps(sample.parameters).encode()
    return members


def _record_name(spec: SetSpec, number: int) -> str:
    return f"{RECORDS}/{spec.shard_name(number)}.json"


def complete_set(store: Store, spec: SetSpec, records: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """Turn a place where all shards are into a finished set. The manifest comes last, then the scaffold goes.

    made_with: versions of the programs; a set that was finished before and has not changed keeps those it has.
    Raises InputError if a shard has gone since it was written.
    """
    sizes = store.sizes()
    for record in records:
        if sizes.get(record.file) != record.bytes:
            raise InputError(
                f"{store.name(record.file)} has gone or changed since it was written: run the command again"
            )
    manifest = summarise(spec, records, made_with)
    if MANIFEST in sizes and (before := read_manifest(store)) == replace(manifest, made_with=before.made_with):
        manifest = before
    for name, data in sidecars(manifest).items():
        store.put(name, data)
    store.put(MANIFEST, to_json(manifest))
    remove_working_files(store)
    return manifest


def remove_working_files(store: Store) -> None:
    """Remove from a finished set what was needed only while it was made, and what killed processes left."""
    for name in store.sizes():
        scaffold = name in (SPEC, PUBLISHING) or name.startswith(f"{RECORDS}/")
        if scaffold or fnmatch(PurePosixPath(name).name, PARTIAL):
            store.remove(name)
    if store.is_local and Path(store.root, RECORDS).is_dir():
        Path(store.root, RECORDS).rmdir()


def open_set(location: Location) -> Manifest:
    """The manifest of a set whose shards are all there, at the sizes that it states.

    Raises InputError, naming the shard, for one that is missing or has another size.
    """
    store = open_store(location)
    manifest, sizes = read_manifest(store), store.sizes()
    for shard in manifest.shards:
        if (size := sizes.get(shard.file)) != shard.bytes:
            fault = "is missing" if size is None else f"has {size} bytes instead of {shard.bytes}"
            raise InputError(f"{store.name(shard.file)} {fault}: render or fetch it again")
    return manifest
