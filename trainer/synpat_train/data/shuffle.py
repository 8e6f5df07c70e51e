"""The order of the samples of a run, as a function of seed and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SampleOrder:
    """A random order of samples: the shards are permuted, then the samples are shuffled inside consecutive windows.

    The index of a sample counts all samples of all shards of all sets.
    """

    seed: int
    counts: tuple[int, ...]
    """Number of samples of each shard."""
    weights: tuple[float, ...]
    """How often an epoch contains the samples of each shard. For a fraction, a different random part is used in
    every epoch."""
    window: int | None
    """Number of samples that are shuffled together, which are close to each other in the shards; None for all."""

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""
        return sum(count for _, count in _parts(self))

    def samples(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return the indices of the samples at positions start..stop of an epoch."""
        window = self.window or len(self)
        pieces = []
        for number in range(start // window, -(-stop // window)):
            first = number * window
            pieces.append(_window(self, epoch, number)[max(start - first, 0) : stop - first])
        return np.concatenate(pieces)


@lru_cache(maxsize=4)
def _window(order: SampleOrder, epoch: int, number: int) -> NDArray[np.int64]:
    """Return the shuffled samples of one window."""
    size = order.window or len(order)
    parts, ends = _permuted(order, epoch)
    start, stop = number * size, min((number + 1) * size, int(ends[-1]))
    pieces = []
    for position in range(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, stop, "left")) + 1):
        begin = int(ends[position - 1]) if position else 0
        samples = _part(order, epoch, int(parts[position]))
        pieces.append(samples[max(start - begin, 0) : stop - begin])
    return _random(order.seed, epoch, 1, number).permutation(np.concatenate(pieces))


@lru_cache(maxsize=4)
def _permuted(order: SampleOrder, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the parts of an epoch in their order, and the position at which each ends."""
    parts = _random(order.seed, epoch, 0, 0).permutation(len(_parts(order)))
    return parts, np.cumsum([_parts(order)[part][1] for part in parts])


@lru_cache(maxsize=2)
def _parts(order: SampleOrder) -> Sequence[tuple[int, int]]:
    """Return the parts of an epoch, each as shard and number of samples: complete shards, and one part per fraction."""
    parts = []
    for shard, (count, weight) in enumerate(zip(order.counts, order.weights, strict=True)):
        times, fraction = divmod(weight, 1)
        parts += [(shard, count)] * int(times) + [(shard, round(fraction * count))]
    return [(shard, count) for shard, count in parts if count]


def _part(order: SampleOrder, epoch: int, part: int) -> NDArray[np.int64]:
    """Return the samples of a part."""
    shard, taken = _parts(order)[part]
    count, first = order.counts[shard], _firsts(order)[shard]
    samples = np.arange(first, first + count)
    return samples if taken == count else _random(order.seed, epoch, 2, part).permutation(samples)[:taken]


@lru_cache(maxsize=2)
def _firsts(order: SampleOrder) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(order.counts)])


def _random(seed: int, epoch: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, purpose, number)))
