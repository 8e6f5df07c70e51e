"""Writing and opening of a shard set in a folder or at a URL. The shards can be written in any order.

During rendering, `.synpat/` contains the specification of the set and a record of each finished shard, so that the same
command can continue after an interruption. When all shards exist, the manifest is written and these files are removed.
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

from .errors import InputError, describe_differences, some
from .files import PARTIAL, is_own_output, is_unrelated, sole_process
from .manifest import (
    FOLDER,
    LARGEST_MANIFEST,
    MANIFEST,
    PUBLISHING,
    SPEC,
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
from .moments import mean_and_std, sums
from .png import encode_png
from .sidecars import INDEX_HEADER, index_line, index_name, sidecars
from .store import REQUESTS, Location, Store, open_store
from .system import available_cores
from .tar import write_end, write_sample

RECORDS = f"{FOLDER}/shards"
LOCK = f"{FOLDER}/lock"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample: an image, its class and its parameters."""

    index: int
    """Index of the sample in the set."""
    image: NDArray[np.uint8]
    """The pixels, [height, width] or [height, width, 3]."""
    category: int | None
    """Class, stored in the `cls` member of the shard; None in a family without classes."""
    parameters: Mapping[str, Any]
    """Parameters of the image, stored in the `json` member if the set has one."""
    rejects: int
    """Number of parameter draws that the family rejected before this one."""


def check_target(store: Store, spec: SetSpec) -> None:
    """Check that the shards of a set can be written to a location.

    Raises InputError if it contains another set or other files.
    """
    existing = read_spec(store)
    if existing is None:
        if store.exists(PUBLISHING):
            raise InputError(f"{store.url} is the target of a `synpat publish` that has not finished: finish it first")
        if others := other_files(store):
            raise InputError(
                f"{store.url} is not empty and contains no shard set, but {some(others)}: choose another folder"
            )
    elif differences := describe_differences(asdict(existing), asdict(spec)):
        raise InputError(f"{store.url} contains another set: {differences}. Choose another folder, or remove that set")


def other_files(store: Store) -> list[str]:
    """Return the files of a location that are neither working files nor unrelated to a set."""
    names = [name for name in store.sizes() if not (name.startswith(f"{FOLDER}/") or is_unrelated(name))]
    return [name for name in names if not (store.is_local and is_own_output(Path(store.root, name)))]


def begin_set(store: Store, spec: SetSpec) -> None:
    """Write the specification of a set to a location. Existing content must be of the same set.

    Raises the same errors as `check_target`.
    """
    check_target(store, spec)
    if read_spec(store) is None:
        store.claim(SPEC, to_json(spec))
        check_target(store, spec)


@contextmanager
def lock_set(store: Store) -> Iterator[None]:
    """Prevent other processes on this machine from writing to the folder of a set. At a URL this does nothing.

    Raises InputError if another process is writing to the folder.
    """
    if not store.is_local:
        yield
        return
    with sole_process(Path(store.root, LOCK), f"another process is writing to {store.url}: wait until it has finished"):
        yield


def begin_extension(store: Store, n: int) -> SetSpec:
    """Start the extension of a finished set to n samples. Return the specification for rendering the new samples.

    Existing shards are not changed, even if the last one is not full. Raises InputError if the set has more than n
    samples, or if an extension to another number has not finished.
    """
    old, current = read_manifest(store).spec, read_spec(store)
    if n < old.n:
        raise InputError(f"{store.url} already has {old.n} samples: --n is the total number and cannot be smaller")
    new = old if n == old.n else extended(old, n)
    if current not in (old, new):
        raise InputError(f"{store.url} is being extended to {current.n if current else 0} samples: finish that first")
    if new != old:
        store.put(SPEC, to_json(new))
    return new


def extended(spec: SetSpec, n: int) -> SetSpec:
    """Return the specification of a set that is extended to n samples."""
    start = spec.extended_at[-1] if spec.extended_at else 0
    is_full = (spec.n - start) % spec.samples_per_shard == 0
    return replace(spec, n=n, extended_at=spec.extended_at if is_full else (*spec.extended_at, spec.n))


def read_spec(store: Store) -> SetSpec | None:
    """Return the specification of the unfinished or finished set at a location; None if there is no set."""
    if store.exists(SPEC):
        return spec_from_json(store.read(SPEC, LARGEST_MANIFEST), store.name(SPEC))
    return read_manifest(store).spec if store.exists(MANIFEST) else None


def finished_shards(store: Store, spec: SetSpec, numbers: Sequence[int] | None = None) -> dict[int, ShardRecord]:
    """Return the records of the complete shards, by number. numbers: check only these shards.

    In a folder the checksums of the shards are compared with the records. At a URL only the sizes are compared, because
    shards appear there only when they are complete, and their records after them.
    """
    numbers = range(spec.shard_count) if numbers is None else numbers
    sizes = store.sizes()
    recorded = {number for number in numbers if _record_name(spec, number) in sizes}

    def checked(number: int) -> ShardRecord | None:
        record = old.get(number)
        if number in recorded:
            name = _record_name(spec, number)
            record = record_from_json(store.read(name), store.name(name))
        if record is None or not belongs(record, spec, number) or index_name(record.file) not in sizes:
            return None
        is_complete = sizes.get(record.file) == record.bytes
        return record if is_complete and (not store.is_local or store.sha256(record.file) == record.sha256) else None

    old = dict(enumerate(read_manifest(store).shards)) if MANIFEST in sizes else {}
    with ThreadPoolExecutor(REQUESTS if not store.is_local else available_cores()) as threads:
        records = zip(numbers, threads.map(checked, numbers), strict=True)
        return {number: record for number, record in records if record}


def write_shard(store: Store, spec: SetSpec, number: int, samples: Iterable[Sample]) -> ShardRecord:
    """Write one shard, its index and its record, in this order. Each file appears only when it is complete."""
    name, indices = spec.shard_name(number), spec.shard_indices(number)
    pixels, rejects, pixel_count, total, squares = hashlib.sha256(), 0, 0, 0, 0
    index = [INDEX_HEADER.format(len(indices))]
    with store.writing(name) as file:
        tar = _Counted(file)
        for sample in samples:
            key, members = f"{sample.index:010d}", _members(sample, spec.with_parameters)
            index.append(index_line(key, members, tar.bytes))
            write_sample(tar, key, members)
            pixels.update(np.ascontiguousarray(sample.image).data)
            rejects += sample.rejects
            image_total, image_squares = sums(sample.image)
            pixel_count, total, squares = pixel_count + sample.image.size, total + image_total, squares + image_squares
        write_end(tar)
    mean, std = mean_and_std(pixel_count, total, squares)
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
    """A file for writing, with the size and the checksum of the written data."""

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
    """Complete a set of which all shards are written: write its sidecar files, then its manifest.

    Afterwards the working files are removed. made_with: versions of the programs; a finished set that has not changed
    keeps its versions. Raises InputError if a shard has been removed or changed since it was written.
    """
    sizes = store.sizes()
    for record in records:
        if sizes.get(record.file) != record.bytes:
            raise InputError(
                f"{store.name(record.file)} was removed or changed after it was written: run the same command again"
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
    """Remove working files from a finished set, including temporary files of killed processes."""
    for name in store.sizes():
        is_working_file = name in (SPEC, PUBLISHING) or name.startswith(f"{RECORDS}/")
        if is_working_file or fnmatch(PurePosixPath(name).name, PARTIAL):
            store.remove(name)
    if store.is_local and Path(store.root, RECORDS).is_dir():
        Path(store.root, RECORDS).rmdir()


def open_set(location: Location) -> Manifest:
    """Read the manifest of a set and check that all its shards exist with the right size.

    Raises InputError, with the name of the shard, if one is missing or has another size.
    """
    store = open_store(location)
    manifest = read_manifest(store)
    sizes = store.sizes(shard.file for shard in manifest.shards)
    for shard in manifest.shards:
        if (size := sizes.get(shard.file)) != shard.bytes:
            fault = "is missing" if size is None else f"has {size} bytes instead of {shard.bytes}"
            raise InputError(f"{store.name(shard.file)} {fault}: render or download it again")
    return manifest
