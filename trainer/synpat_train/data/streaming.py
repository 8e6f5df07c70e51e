"""Images read from the shards in every epoch.

Memory use does not depend on the size of the sets. The shards are shuffled, and their samples inside a window (see
`shuffle`), so that the operating system's file cache serves most reads.
"""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from synpat_shards import InputError

from .images import fit_in_time, index_key, pixel_statistics
from .shard_sets import Shard, ShardSet
from .tar_index import index_shard

INDEXES = 4096
"""Maximum number of shards whose index is kept in memory, at 16 bytes an image."""
FETCHING = 4
"""Number of shards that are downloaded at the same time."""


class StreamedImages:
    """Images from the shards, decoded by a few threads. ISA-L and numpy release the GIL for most of the work."""

    def __init__(self, sets: Sequence[ShardSet], width: int, threads: int, skip_damaged: bool) -> None:
        """skip_damaged: replace an image that cannot be read by another one of the batch, and count it."""
        self.shards = [(shard_set, shard) for shard_set in sets for shard in shard_set.shards]
        self.firsts = np.cumsum([0] + [shard.count for _, shard in self.shards])
        self.height, self.width, self.fill = sets[0].height, width, round(pixel_statistics(sets)[0])
        self.pool, self.skip_damaged, self.skipped = ThreadPoolExecutor(threads), skip_damaged, 0
        self.fetching, self.prepared = ThreadPoolExecutor(FETCHING), deque[int](maxlen=INDEXES)

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Read as `Images`. Raises InputError or OSError that names the shard, unless corrupt data is skipped."""
        out = np.empty((len(samples), self.height, self.width), np.uint8)
        numbers = np.searchsorted(self.firsts, samples, "right") - 1
        groups = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
        faults = list(self.pool.map(partial(self._fill, out, samples, shifts), groups))
        failed = sorted(position for fault in faults for position in fault)
        self.skipped += len(failed)
        good = np.setdiff1d(np.arange(len(samples)), failed)
        if not len(good):
            raise next(error for fault in faults for error in fault.values())
        for position in failed:
            out[position] = out[good[np.searchsorted(good, position) % len(good)]]
        return out

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """Start to download the shards of these samples and to index their images."""
        for number in np.unique(np.searchsorted(self.firsts, samples, "right") - 1):
            shard = self.shards[number][1]
            if number not in self.prepared:
                self.prepared.append(number)
                self.fetching.submit(_prepare, shard)

    def _fill(
        self,
        out: NDArray[np.uint8],
        samples: NDArray[np.int64],
        shifts: NDArray[np.float64],
        positions: NDArray[np.int64],
    ) -> dict[int, InputError | OSError]:
        """Read the samples of one shard to their positions; return the errors of those that were skipped."""
        number = int(np.searchsorted(self.firsts, samples[positions[0]], "right")) - 1
        shard_set, shard = self.shards[number]
        faults: dict[int, InputError | OSError] = {}
        try:
            path, index = shard.present(), _index(shard)
            file = path.open("rb")
        except (InputError, OSError) as fault:
            if not self.skip_damaged:
                raise
            return dict.fromkeys(map(int, positions), fault)
        with file:
            for position in positions:
                offset, size = index[samples[position] - self.firsts[number]]
                try:
                    image = shard_set.decode(os.pread(file.fileno(), int(size), int(offset)))
                    fit_in_time(image, out[position], float(shifts[position]), self.fill)
                except (InputError, OSError) as fault:
                    key = index_key(shard, int(samples[position] - self.firsts[number]))
                    faults[int(position)] = InputError(f"{shard.path} is corrupt at {key!r}: {fault}")
                    if not self.skip_damaged:
                        raise faults[int(position)] from None
        return faults


def _prepare(shard: Shard) -> None:
    with suppress(InputError, OSError):  # reported when the shard is read
        shard.present()
        _index(shard)


@lru_cache(maxsize=INDEXES)
def _index(shard: Shard) -> NDArray[np.int64]:
    """Return the positions of the images of a shard, [images, (offset, bytes)]."""
    entries = index_shard(shard.path)
    if len(entries) != shard.count:
        raise InputError(
            f"{shard.path} has {len(entries)} images instead of {shard.count}: render or download it again"
        )
    return np.array([(entry.offset, entry.size) for entry in entries], np.int64)
