"""Images from decoded copies of the sets: one memory-mapped file for each set, written once.

This is the default if the disk has room for the copies. It is about ten times as fast as streaming.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from synpat_shards import InputError, reserve_space
from synpat_train.lock import exclusive_lock
from synpat_train.progress import track

from .images import fit_in_time, pixel_statistics
from .shard_sets import Shard, ShardSet
from .tar_index import TarImage, index_shard

SPARE = 1 << 30
"""Bytes of disk space that the decoded sets must leave free."""


class CachedImages:
    """Images from the decoded copies of the sets."""

    def __init__(self, sets: Sequence[ShardSet], width: int, cache: Path) -> None:
        """Decode the sets into the cache folder if they are not there yet.

        Raises InputError, naming the file, if a set is corrupt, and OSError if the disk is full.
        """
        self.arrays = [_decoded(shard_set, cache) for shard_set in sets]
        self.height, self.width = sets[0].height, width
        self.fill, self.skipped = round(pixel_statistics(sets)[0]), 0

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        if len(self.arrays) == 1 and self._fits(self.arrays[0]):
            return self.arrays[0][samples]  # a single copy
        out = np.empty((len(samples), self.height, self.width), np.uint8)
        first = 0
        for array in self.arrays:
            [members] = np.nonzero((samples >= first) & (samples < first + len(array)))
            if self._fits(array):
                out[members] = array[samples[members] - first]
            else:
                for position in members:
                    fit_in_time(array[samples[position] - first], out[position], float(shifts[position]), self.fill)
            first += len(array)
        return out

    def _fits(self, array: "NDArray[np.uint8] | _ImagesOfAnyWidth") -> TypeGuard[NDArray[np.uint8]]:
        """Return True if all images of an array have the width of the model."""
        return isinstance(array, np.ndarray) and array.shape[2] == self.width

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """No-op: cached images are always ready."""


class _ImagesOfAnyWidth:
    """Images of one height and different widths, one after the other in one array."""

    def __init__(self, pixels: NDArray[np.uint8], shard_set: ShardSet) -> None:
        self.pixels, self.height = pixels, shard_set.height
        self.starts = np.cumsum([0, *shard_set.widths]) * shard_set.height

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.pixels[self.starts[index] : self.starts[index + 1]].reshape(self.height, -1)


def room_for_cache(sets: Sequence[ShardSet], cache: Path) -> bool:
    """Return True if the disk has room for the sets that are not decoded yet."""
    needed = sum(int(s.widths.sum()) * s.height for s in sets if not _cache_file(s, cache).exists())
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    return not needed or needed + SPARE < shutil.disk_usage(existing).free


def _cache_file(shard_set: ShardSet, cache: Path) -> Path:
    identity = f"{shard_set.digest} {shard_set.height}x{shard_set.width or 'any'}"
    if shard_set.resized:  # its digest does not depend on the pixels
        identity += "".join(str(shard.path.stat().st_mtime_ns) for shard in shard_set.shards)
    name = re.sub(r"[^\w.-]+", "-", Path(shard_set.name).stem)[:60]
    return cache / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npy"


def _decoded(shard_set: ShardSet, cache: Path) -> NDArray[np.uint8] | _ImagesOfAnyWidth:
    path = _cache_file(shard_set, cache)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache):  # other processes wait, then find the decoded set
            for leftover in cache.glob("*.partial"):  # from a killed process
                leftover.unlink()
            if not path.exists():
                _decode(shard_set, path)
    try:
        return _images(np.load(path, mmap_mode="r").view(np.ndarray), shard_set)  # a memmap is slow to index
    except (ValueError, EOFError):
        raise InputError(f"{path} is corrupt: remove it, and the set will be decoded again") from None


def _images(pixels: NDArray[np.uint8], shard_set: ShardSet) -> NDArray[np.uint8] | _ImagesOfAnyWidth:
    """Return the pixels of a set as images."""
    if shard_set.width is None:
        return _ImagesOfAnyWidth(pixels, shard_set)
    return pixels.reshape(len(shard_set), shard_set.height, shard_set.width)


def _decode(shard_set: ShardSet, path: Path) -> None:
    partial_file = path.with_suffix(f".{os.getpid()}.partial")
    size = int(shard_set.widths.sum()) * shard_set.height
    firsts = np.cumsum([0] + [shard.count for shard in shard_set.shards])
    try:
        pixels = np.lib.format.open_memmap(partial_file, "w+", np.uint8, (size,))
        with partial_file.open("r+b") as file:  # see reserve_space
            reserve_space(file.fileno(), pixels.offset, pixels.nbytes)
        images = _images(pixels, shard_set)
        with ThreadPoolExecutor() as threads:
            decoding = [
                threads.submit(_decode_shard, shard_set, shard, [images[first + i] for i in range(shard.count)])
                for shard, first in zip(shard_set.shards, firsts[:-1], strict=True)
            ]
            try:
                for shard in track(decoding, len(decoding), f"decoding {shard_set.name}, shards"):
                    shard.result()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        pixels.flush()
        os.replace(partial_file, path)
    except OSError as fault:
        fault.filename = fault.filename or str(path)  # a full disk is reported without a name
        raise
    finally:
        partial_file.unlink(missing_ok=True)


def _decode_shard(shard_set: ShardSet, shard: Shard, images: Sequence[NDArray[np.uint8]]) -> None:
    data = shard.present().read_bytes()
    if shard.sha256 is not None and hashlib.sha256(data).hexdigest() != shard.sha256:
        raise InputError(
            f"{shard.path} is corrupt: its checksum differs from the manifest. Render or download it again"
        )
    entries = index_shard(shard.path)
    if len(entries) != shard.count:
        raise InputError(
            f"{shard.path} has {len(entries)} images instead of {shard.count}: render or download it again"
        )
    for image, entry in zip(images, entries, strict=True):
        image[:] = _decode_image(shard_set.decode, data[entry.offset : entry.offset + entry.size], shard, entry)
    if shard.remote is not None:  # it is not needed again
        shard.path.unlink(missing_ok=True)


def _decode_image(
    decode: Callable[[bytes], NDArray[np.uint8]], data: bytes, shard: Shard, entry: TarImage
) -> NDArray[np.uint8]:
    try:
        return decode(data)
    except InputError as broken:
        raise InputError(f"{shard.path} is corrupt at {entry.key!r}: {broken}") from None
