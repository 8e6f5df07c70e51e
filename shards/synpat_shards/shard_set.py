"""A set of shards in a folder or behind a URL: begun, filled shard by shard in any order, completed, opened.

While a set is being made, `.synpat/` holds its recipe and a record of each finished shard, so that the same command
goes on where a killed one stopped. When all shards are there these give way to the manifest, which comes last.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .files import PARTIAL, locked
from .manifest import (
    FOLDER,
    LARGEST_MANIFEST,
    MANIFEST,
    Manifest,
    Recipe,
    ShardRecord,
    belongs,
    read_manifest,
    recipe_from,
    record_from,
    summarise,
    to_json,
)
from .png import encode_png
from .sidecars import INDEX_HEADER, index_line, index_name, sidecars
from .store import Store, open_store
from .tar import write_end, write_sample

RECIPE = f"{FOLDER}/recipe.json"
RECORDS = f"{FOLDER}/shards"
LOCK = f"{FOLDER}/lock"
PUBLISHING = f"{FOLDER}/publishing.json"
"""Says which set is being uploaded to a place."""
REQUESTS = 16
"""Small files asked for at once from a store."""

Place = str | Path | Store
"""Where a set lies: a folder or a URL."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample on its way into a shard."""

    index: int
    image: NDArray[np.uint8]
    """[height, width] or [height, width, 3]."""
    category: int | None
    """Becomes the `cls` member; None leaves it out."""
    parameters: bytes | None
    """Becomes the `json` member; None leaves it out."""
    rejects: int


def check_place(place: Place, recipe: Recipe) -> None:
    """Refuse a place that a recipe's shards must not go into.

    Raises ValueError if it holds another set or anything else.
    """
    store = open_store(place)
    there = recipe_of(store)
    if there is None:
        if store.exists(PUBLISHING):
            raise ValueError(f"{store.url} is the target of a `synpat publish` that has not finished: finish it first")
        if any(not name.startswith(f"{FOLDER}/") for name in store.sizes()):
            raise ValueError(f"{store.url} is not empty and holds no shard set: choose another folder")
    elif differences := _differences(there, recipe):
        raise ValueError(f"{store.url} holds another set: {differences}. Choose another folder, or remove that one")


def begin_set(place: Place, recipe: Recipe) -> None:
    """Make a place ready for a recipe's shards; one that holds something already must hold the same recipe.

    Raises ValueError as `check_place` does.
    """
    check_place(place, recipe)
    store = open_store(place)
    if recipe_of(store) is None:
        store.claim(RECIPE, to_json(recipe))
        check_place(store, recipe)


@contextmanager
def sole_writer(place: Place) -> Iterator[None]:
    """Keep other processes of this machine from writing into a folder; behind a URL nothing can, nor needs to.

    Raises ValueError if one is at it.
    """
    store = open_store(place)
    if not store.is_local:
        yield
        return
    try:
        with locked(Path(store.root, LOCK)):
            yield
    except BlockingIOError:
        raise ValueError(f"another process is writing into {store.url}: wait until it has finished") from None


def begin_extension(place: Place, n: int) -> Recipe:
    """Note in a finished set that it shall have n samples, and give the recipe by which it is rendered further.

    The shards that are there stay as they are, a last one that is not full among them. Raises ValueError if the set
    has more samples already, or is on its way to another number.
    """
    store = open_store(place)
    old, under_way = read_manifest(store).recipe, recipe_of(store)
    if n < old.n:
        raise ValueError(f"{store.url} has {old.n} samples already: --n is the number that it shall have in all")
    new = old if n == old.n else extended(old, n)
    if under_way not in (old, new):
        raise ValueError(
            f"{store.url} is being extended to {under_way.n if under_way else 0} samples: finish that first"
        )
    if new != old:
        store.put(RECIPE, to_json(new))
    return new


def extended(recipe: Recipe, n: int) -> Recipe:
    """The recipe of a set that goes on to n samples after all those it has."""
    start = recipe.extended_at[-1] if recipe.extended_at else 0
    is_full = (recipe.n - start) % recipe.samples_per_shard == 0
    return replace(recipe, n=n, extended_at=recipe.extended_at if is_full else (*recipe.extended_at, recipe.n))


def recipe_of(place: Place) -> Recipe | None:
    """What a place is being filled with, or holds; None if nothing says so."""
    store = open_store(place)
    if store.exists(RECIPE):
        return recipe_from(store.read(RECIPE, LARGEST_MANIFEST), store.name(RECIPE))
    return read_manifest(store).recipe if store.exists(MANIFEST) else None


def _differences(there: Recipe, here: Recipe) -> str:
    old, new = asdict(there), asdict(here)
    return ", ".join(f"{name} is {old[name]} there and {new[name]} here" for name in old if old[name] != new[name])


def finished_shards(place: Place, recipe: Recipe, numbers: Sequence[int] | None = None) -> dict[int, ShardRecord]:
    """Records of the whole shards, by number: their files are as was written down. numbers: look at these alone.

    In a folder their checksums are taken; behind a URL, where a shard appears only when it is whole and its record
    after it, their sizes must do.
    """
    store, numbers = open_store(place), range(recipe.shard_count) if numbers is None else numbers
    sizes = store.sizes()
    there = {number for number in numbers if _record_name(recipe, number) in sizes}

    def checked(number: int) -> ShardRecord | None:
        record = old.get(number)
        if number in there:
            name = _record_name(recipe, number)
            record = record_from(store.read(name), store.name(name))
        if record is None or not belongs(record, recipe, number) or index_name(record.file) not in sizes:
            return None
        is_whole = sizes.get(record.file) == record.bytes
        return record if is_whole and (not store.is_local or store.sha256(record.file) == record.sha256) else None

    old = dict(enumerate(read_manifest(store).shards)) if MANIFEST in sizes else {}
    with ThreadPoolExecutor(REQUESTS if not store.is_local else os.cpu_count()) as threads:
        found = zip(numbers, threads.map(checked, numbers), strict=True)
        return {number: record for number, record in found if record}


def write_shard(place: Place, recipe: Recipe, number: int, samples: Iterable[Sample]) -> ShardRecord:
    """Write one shard, its index and its record; each appears only when whole, and the record last."""
    store, name, indices = open_store(place), recipe.shard_name(number), recipe.shard_indices(number)
    pixels, rejects, pixel_count, total, squares = hashlib.sha256(), 0, 0, 0.0, 0.0
    index = [INDEX_HEADER.format(len(indices))]
    with store.writing(name) as file:
        tar = _Counted(file)
        for sample in samples:
            key, members = f"{sample.index:010d}", _members(sample)
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
    mean = float(total / pixel_count)
    record = ShardRecord(
        file=name,
        first_index=indices.start,
        count=len(indices),
        bytes=tar.bytes,
        sha256=tar.sha256.hexdigest(),
        pixels_sha256=pixels.hexdigest(),
        rejects=rejects,
        mean=mean,
        std=math.sqrt(max(float(squares / pixel_count) - mean**2, 0.0)),
    )
    store.put(index_name(name), "".join(index).encode())
    store.put(_record_name(recipe, number), to_json(record))
    return record


class _Counted:
    """A file that knows the size and the checksum of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.bytes, self.sha256 = file, 0, hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.bytes += len(data)


def _members(sample: Sample) -> dict[str, bytes]:
    members = {"png": encode_png(sample.image)}
    if sample.category is not None:
        members["cls"] = b"%d" % sample.category
    if sample.parameters is not None:
        members["json"] = sample.parameters
    return members


def _record_name(recipe: Recipe, number: int) -> str:
    return f"{RECORDS}/{recipe.shard_name(number)}.json"


def complete_set(place: Place, recipe: Recipe, records: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """Turn a place where all shards are into a finished set. The manifest comes last, then the scaffold goes.

    made_with: versions of the programs; a set that was finished before and has not changed keeps those it has.
    Raises ValueError if a shard has gone since it was written.
    """
    store = open_store(place)
    sizes = store.sizes()
    for record in records:
        if sizes.get(record.file) != record.bytes:
            raise ValueError(
                f"{store.name(record.file)} has gone or changed since it was written: run the command again"
            )
    manifest = summarise(recipe, records, made_with)
    if MANIFEST in sizes and (before := read_manifest(store)) == replace(manifest, made_with=before.made_with):
        manifest = before
    for name, data in sidecars(manifest).items():
        store.put(name, data)
    store.put(MANIFEST, to_json(manifest))
    clear_scaffold(store)
    return manifest


def clear_scaffold(place: Place) -> None:
    """Remove from a finished set what was needed only while it was made, and what killed processes left."""
    store = open_store(place)
    for name in store.sizes():
        scaffold = name in (RECIPE, PUBLISHING) or name.startswith(f"{RECORDS}/")
        if scaffold or fnmatch(PurePosixPath(name).name, PARTIAL):
            store.remove(name)
    if store.is_local and Path(store.root, RECORDS).is_dir():
        Path(store.root, RECORDS).rmdir()


def open_set(place: Place) -> Manifest:
    """The manifest of a set whose shards are all there, at the sizes that it states.

    Raises ValueError, naming the shard, for one that is missing or has another size.
    """
    store = open_store(place)
    manifest, sizes = read_manifest(store), store.sizes()
    for shard in manifest.shards:
        if (size := sizes.get(shard.file)) != shard.bytes:
            fault = "is missing" if size is None else f"has {size} bytes instead of {shard.bytes}"
            raise ValueError(f"{store.name(shard.file)} {fault}: render or fetch it again")
    return manifest
