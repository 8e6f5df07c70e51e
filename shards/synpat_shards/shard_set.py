"""A set of shards in a folder: begun, filled shard by shard in any order, completed; and checked by whoever reads it.

While a set is being made, `.synpat/` holds its recipe and a record of each finished shard, so that the same command
goes on where a killed one stopped. When all shards are there these give way to the manifest, which comes last.
"""

import hashlib
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .card import card, checksums
from .files import PARTIAL, atomic_file, write_whole
from .manifest import (
    FOLDER,
    MANIFEST,
    Manifest,
    Recipe,
    ShardRecord,
    read_manifest,
    read_recipe,
    read_record,
    summarise,
    to_json,
)
from .png import encode_png
from .tar import write_end, write_sample

RECIPE = f"{FOLDER}/recipe.json"
RECORDS = f"{FOLDER}/shards"


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


def check_folder(folder: Path, recipe: Recipe) -> None:
    """Refuse a folder that a recipe's shards must not go into.

    Raises ValueError if the folder holds another set or anything else.
    """
    there = _recipe_of(folder)
    if there is None and folder.exists() and any(entry.name != FOLDER for entry in folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no shard set: choose another folder")
    if there is not None and (differences := _differences(there, recipe)):
        raise ValueError(f"{folder} holds another set: {differences}. Choose another folder, or remove that one")


def begin_set(folder: Path, recipe: Recipe) -> None:
    """Make a folder ready for a recipe's shards; one that is there already must hold the same recipe.

    Raises ValueError as `check_folder` does.
    """
    check_folder(folder, recipe)
    (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    if _recipe_of(folder) is None:
        write_whole(folder / RECIPE, to_json(recipe))


def _recipe_of(folder: Path) -> Recipe | None:
    """What the folder holds or is being filled with; None if nothing says so."""
    if (folder / MANIFEST).exists():
        return read_manifest(folder).recipe
    return read_recipe(folder / RECIPE) if (folder / RECIPE).exists() else None


def _differences(there: Recipe, here: Recipe) -> str:
    old, new = asdict(there), asdict(here)
    return ", ".join(f"{name} is {old[name]} there and {new[name]} here" for name in old if old[name] != new[name])


def finished_shards(folder: Path, recipe: Recipe) -> dict[int, ShardRecord]:
    """Records of the whole shards, by number: their files have the size and checksum that were written down."""
    if (folder / MANIFEST).exists():
        records = enumerate(read_manifest(folder).shards)
    else:
        paths = {number: _record_path(folder, recipe, number) for number in range(recipe.shard_count)}
        records = ((number, read_record(path)) for number, path in paths.items() if path.exists())
    return {number: record for number, record in records if _is_whole(folder / record.file, record)}


def _is_whole(path: Path, record: ShardRecord) -> bool:
    return path.is_file() and path.stat().st_size == record.bytes and _file_sha256(path) == record.sha256


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_shard(folder: Path, recipe: Recipe, number: int, samples: Iterable[Sample]) -> ShardRecord:
    """Write one shard and its record; both appear only when whole."""
    name, indices = recipe.shard_name(number), recipe.shard_indices(number)
    pixels, rejects, pixel_count, total, squares = hashlib.sha256(), 0, 0, 0.0, 0.0
    with atomic_file(folder / name) as file:
        tar = _Counted(file)
        for sample in samples:
            write_sample(tar, f"{sample.index:010d}", _members(sample))
            pixels.update(np.ascontiguousarray(sample.image).data)
            rejects += sample.rejects
            # Sums of whole numbers below 2**53 are exact in float64, so that the statistics are the same everywhere.
            levels = sample.image.astype(np.float64)
            pixel_count, total, squares = pixel_count + levels.size, total + levels.sum(), squares + (levels**2).sum()
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
    write_whole(_record_path(folder, recipe, number), to_json(record))
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


def _record_path(folder: Path, recipe: Recipe, number: int) -> Path:
    return folder / RECORDS / f"{recipe.shard_name(number)}.json"


def complete_set(folder: Path, recipe: Recipe, records: Sequence[ShardRecord], made_with: dict[str, str]) -> Manifest:
    """Turn a folder whose shards are all there into a finished set. The manifest comes last, then the scaffold goes."""
    manifest = summarise(recipe, records, made_with)
    write_whole(folder / "README.md", card(manifest).encode())
    write_whole(folder / "SHA256SUMS", checksums(manifest).encode())
    write_whole(folder / MANIFEST, to_json(manifest))
    (folder / RECIPE).unlink(missing_ok=True)
    shutil.rmtree(folder / RECORDS, ignore_errors=True)
    for leftover in [*folder.glob(PARTIAL), *(folder / FOLDER).glob(PARTIAL)]:
        leftover.unlink(missing_ok=True)
    return manifest


def open_set(folder: Path) -> Manifest:
    """The manifest of a set whose shards are all there, at the sizes that it states.

    Raises ValueError, naming the shard, for one that is missing or has another size.
    """
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        path = folder / shard.file
        if not path.is_file():
            raise ValueError(f"{path} is missing: render or fetch the set again")
        if (size := path.stat().st_size) != shard.bytes:
            raise ValueError(f"{path} has {size} bytes instead of {shard.bytes}: render or fetch it again")
    return manifest
