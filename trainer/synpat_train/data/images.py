"""The images of shard sets by number, from a cache that was decoded once or straight from the shards.

Both ways give the same image for the same number, cut or filled to the width of the model in time. The cache, one
memory-mapped file a set, is the default where the disk has room for it: it is ten times as fast, and leaves the
processor to the model. The stream needs no more memory than the files of a batch, and finds them in the system's own
cache as long as they come from a window of the shards (see `order`).
"""

import fcntl
import hashlib
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synpat_shards import InputError
from synpat_train.progress import track

from .shard_sets import Shard, ShardSet
from .tar_index import TarImage, index_shard

INDEXES = 4096
"""Shards of which the places of the images are remembered, 16 bytes an image."""
FETCHING = 4
"""Shards that are fetched at the same time."""
SPARE = 1 << 30
"""Bytes that the decoded sets must leave free on the disk."""


class Images(Protocol):
    """All images of a run's sets, numbered through."""

    skipped: int
    """Images that were damaged, and replaced by others."""

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The images of these numbers, uint8 [len(samples), height, width].

        shifts: 0 <= shift < 1, which part of an image that is wider than the model is taken, or where in the input
        one that is narrower is put.
        """
        ...

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """Have these images ready soon; comes back at once."""
        ...


def pixel_statistics(sets: Sequence[ShardSet]) -> tuple[float, float]:
    """Mean and standard deviation of the pixels that a run sees, in grey levels."""
    total = math.fsum(s.weight * len(s) for s in sets)
    mean = math.fsum(s.weight * len(s) * s.mean for s in sets) / total
    square = math.fsum(s.weight * len(s) * (s.std**2 + s.mean**2) for s in sets) / total
    return mean, math.sqrt(square - mean**2)


def fit_in_time(image: NDArray[np.uint8], out: NDArray[np.uint8], shift: float, fill: int) -> None:
    """Copy an image [height, any] into out [height, width]: cut if it is wider; if narrower, put somewhere, and the
    rest filled."""
    wide, width = image.shape[1], out.shape[1]
    if wide >= width:
        start = int(shift * (wide - width + 1))
        out[:] = image[:, start : start + width]
    else:
        start = int(shift * (width - wide + 1))
        out[:] = fill
        out[:, start : start + wide] = image


class CachedImages:
    """Images from the decoded copies of the sets."""

    def __init__(self, sets: Sequence[ShardSet], width: int, cache: Path) -> None:
        """Decode into the cache folder whatever is not there yet.

        Raises InputError, naming the file, for a damaged set, and OSError where the disk is full.
        """
        self.arrays = [_decoded(shard_set, cache) for shard_set in sets]
        self.width, self.fill, self.skipped = width, round(pixel_statistics(sets)[0]), 0

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        if len(self.arrays) == 1 and self.arrays[0].shape[2] == self.width:
            return self.arrays[0][samples]  # a single copy
        out = np.empty((len(samples), self.arrays[0].shape[1], self.width), np.uint8)
        first = 0
        for array in self.arrays:
            [here] = np.nonzero((samples >= first) & (samples < first + len(array)))
            if array.shape[2] == self.width:
                out[here] = array[samples[here] - first]
            else:
                for place in here:
                    fit_in_time(array[samples[place] - first], out[place], float(shifts[place]), self.fill)
            first += len(array)
        return out

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """They are."""


def room_for_cache(sets: Sequence[ShardSet], cache: Path) -> bool:
    """Whether the disk holds what is yet to be decoded."""
    bytes_ = sum(len(s) * s.height * s.width for s in sets if not _cache_file(s, cache).exists())
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    return not bytes_ or bytes_ + SPARE < shutil.disk_usage(there).free


def _cache_file(shard_set: ShardSet, cache: Path) -> Path:
    known = f"{shard_set.digest} {shard_set.height}x{shard_set.width}"
    if shard_set.resized:  # its digest knows nothing of the pixels
        known += "".join(str(shard.path.stat().st_mtime_ns) for shard in shard_set.shards)
    return cache / f"{Path(shard_set.name).stem}-{hashlib.sha256(known.encode()).hexdigest()[:16]}.npy"


def _decoded(shard_set: ShardSet, cache: Path) -> NDArray[np.uint8]:
    path = _cache_file(shard_set, cache)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache):  # other ranks, and other runs of the same set, wait and then find it
            for leftover in cache.glob("*.partial"):  # of a process that was killed
                leftover.unlink()
            if not path.exists():
                _decode(shard_set, path)
    try:
        return np.load(path, mmap_mode="r").view(np.ndarray)  # a memmap is slow to index
    except (ValueError, EOFError):
        raise InputError(f"{path} is damaged: remove it, and it will be decoded again") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it falls with the process that holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _decode(shard_set: ShardSet, path: Path) -> None:
    partial_file = path.with_suffix(f".{os.getpid()}.partial")
    shape = len(shard_set), shard_set.height, shard_set.width
    firsts = np.cumsum([0] + [shard.count for shard in shard_set.shards])
    try:
        images = np.lib.format.open_memmap(partial_file, "w+", np.uint8, shape)
        with partial_file.open("r+b") as file:  # writing to a mapping of a full disk would kill us without a word
            os.posix_fallocate(file.fileno(), 0, images.offset + images.nbytes)
        with ThreadPoolExecutor() as threads:
            decoding = [
                threads.submit(_decode_shard, shard_set, shard, images[first : first + shard.count])
                for shard, first in zip(shard_set.shards, firsts[:-1], strict=True)
            ]
            try:
                for shard in track(decoding, len(decoding), f"decoding {shard_set.name}, shards"):
                    shard.result()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        images.flush()
        os.replace(partial_file, path)
    finally:
        partial_file.unlink(missing_ok=True)


def _decode_shard(shard_set: ShardSet, shard: Shard, images: NDArray[np.uint8]) -> None:
    data = shard.present().read_bytes()
    if shard.sha256 is not None and hashlib.sha256(data).hexdigest() != shard.sha256:
        raise InputError(f"{shard.path} is damaged: its checksum is not the manifest's. Render or fetch it again")
    places = index_shard(shard.path)
    if len(places) != shard.count:
        raise InputError(f"{shard.path} holds {len(places)} images instead of {shard.count}: render or fetch it again")
    for image, place in zip(images, places, strict=True):
        image[:] = _named(shard_set.decode, data[place.offset : place.offset + place.size], shard, place)
    if shard.remote is not None:  # it will not be needed again
        shard.path.unlink(missing_ok=True)


def _named(
    decode: Callable[[bytes], NDArray[np.uint8]], data: bytes, shard: Shard, place: TarImage
) -> NDArray[np.uint8]:
    try:
        return decode(data)
    except InputError as broken:
        raise InputError(f"{shard.path} is damaged at {place.key!r}: {broken}") from None


class StreamedImages:
    """Images straight from the shards, decoded by a few threads; ISA-L's and numpy's share of it runs in parallel."""

    def __init__(self, sets: Sequence[ShardSet], width: int, threads: int, skip_damaged: bool) -> None:
        """skip_damaged: put another image of the batch in the place of one that cannot be read, and count it."""
        self.shards = [(shard_set, shard) for shard_set in sets for shard in shard_set.shards]
        self.firsts = np.cumsum([0] + [shard.count for _, shard in self.shards])
        self.height, self.width, self.fill = sets[0].height, width, round(pixel_statistics(sets)[0])
        self.pool, self.skip_damaged, self.skipped = ThreadPoolExecutor(threads), skip_damaged, 0
        self.fetching, self.prepared = ThreadPoolExecutor(FETCHING), deque[int](maxlen=INDEXES)

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        """As Images. Raises InputError or OSError that names the shard, unless damage is skipped."""
        out = np.empty((len(samples), self.height, self.width), np.uint8)
        numbers = np.searchsorted(self.firsts, samples, "right") - 1
        groups = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
        faults = list(self.pool.map(partial(self._fill, out, samples, shifts), groups))
        lost = sorted(place for fault in faults for place in fault)
        self.skipped += len(lost)
        good = np.setdiff1d(np.arange(len(samples)), lost)
        if not len(good):
            raise next(error for fault in faults for error in fault.values())
        for place in lost:
            out[place] = out[good[np.searchsorted(good, place) % len(good)]]
        return out

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """Fetch the shards of these samples that are behind a URL, and find the places of their images."""
        for number in np.unique(np.searchsorted(self.firsts, samples, "right") - 1):
            shard = self.shards[number][1]
            if number not in self.prepared:
                self.prepared.append(number)
                self.fetching.submit(_prepare, shard)

    def _fill(
        self, out: NDArray[np.uint8], samples: NDArray[np.int64], shifts: NDArray[np.float64], places: NDArray[np.int64]
    ) -> dict[int, InputError | OSError]:
        """Read the samples of one shard into their places; what was skipped, and why."""
        number = int(np.searchsorted(self.firsts, samples[places[0]], "right")) - 1
        shard_set, shard = self.shards[number]
        faults: dict[int, InputError | OSError] = {}
        try:
            path, index = shard.present(), _index(shard)
            file = path.open("rb")
        except (InputError, OSError) as fault:
            if not self.skip_damaged:
                raise
            return dict.fromkeys(map(int, places), fault)
        with file:
            for place in places:
                offset, size = index[samples[place] - self.firsts[number]]
                try:
                    image = shard_set.decode(os.pread(file.fileno(), int(size), int(offset)))
                    fit_in_time(image, out[place], float(shifts[place]), self.fill)
                except (InputError, OSError) as fault:
                    key = index_key(shard, int(samples[place] - self.firsts[number]))
                    faults[int(place)] = InputError(f"{shard.path} is damaged at {key!r}: {fault}")
                    if not self.skip_damaged:
                        raise faults[int(place)] from None
        return faults


def _prepare(shard: Shard) -> None:
    with suppress(InputError, OSError):  # whoever needs it will say so
        shard.present()
        _index(shard)


@lru_cache(maxsize=INDEXES)
def _index(shard: Shard) -> NDArray[np.int64]:
    """Where the images of a shard lie, as [images, (offset, bytes)]."""
    places = index_shard(shard.path)
    if len(places) != shard.count:
        raise InputError(f"{shard.path} holds {len(places)} images instead of {shard.count}: render or fetch it again")
    return np.array([(place.offset, place.size) for place in places], np.int64)


def index_key(shard: Shard, place: int) -> str:
    """The key of a shard's sample, as far as the shard can still be read."""
    try:
        return index_shard(shard.path)[place].key
    except (InputError, OSError, IndexError):
        return f"number {place}"


def key_of(sets: Sequence[ShardSet], sample: int) -> str:
    """Which sample a number is, as shard and key."""
    for shard in (shard for shard_set in sets for shard in shard_set.shards):
        if sample < shard.count:
            return f"{shard.path}:{index_key(shard, sample)}"
        sample -= shard.count
    raise IndexError(sample)
