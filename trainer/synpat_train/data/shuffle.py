"""In which order a run sees its samples: a pure function of seed and epoch, whoever reads them and from where."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SampleOrder:
    """The shards are permuted, and their samples then shuffled inside one window after another.

    A sample's number is its place in all shards of all sets, laid end to end.
    """

    seed: int
    counts: tuple[int, ...]
    """Samples of each shard."""
    weights: tuple[float, ...]
    """How often an epoch takes the samples of each shard; of a fraction, as many as it is, others in every epoch."""
    window: int | None
    """Samples that are shuffled among each other, and are close to each other in the shards; None for all."""

    def __len__(self) -> int:
        """Samples of an epoch."""
        return sum(count for _, count in _parts(self))

    def samples(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """The numbers of the samples from one place of an epoch to another."""
        window = self.window or len(self)
        pieces = []
        for number in range(start // window, -(-stop // window)):
            first = number * window
            pieces.append(_window(self, epoch, number)[max(start - first, 0) : stop - first])
        return np.concatenate(pieces)


@lru_cache(maxsize=4)
def _window(order: SampleOrder, epoch: int, number: int) -> NDArray[np.int64]:
    """The samples of one window, shuffled."""
    size = order.window or len(order)
    parts, ends = _permuted(order, epoch)
    start, stop = number * size, min((number + 1) * size, int(ends[-1]))
    pieces = []
    for place in range(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, stop, "left")) + 1):
        begin = int(ends[place - 1]) if place else 0
        samples = _part(order, epoch, int(parts[place]))
        pieces.append(samples[max(start - begin, 0) : stop - begin])
    return _random(order.seed, epoch, 1, number).permutation(np.concatenate(pieces))


@lru_cache(maxsize=4)
def _permuted(order: SampleOrder, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parts of an epoch in their order, and where each ends in it."""
    parts = _random(order.seed, epoch, 0, 0).permutation(len(_parts(order)))
    return parts, np.cumsum([_parts(order)[part][1] for part in parts])


@lru_cache(maxsize=2)
def _parts(order: SampleOrder) -> Sequence[tuple[int, int]]:
    """What an epoch is made of, as shard and number of samples: whole shards, and a last part for a fraction."""
    parts = []
    for shard, (count, weight) in enumerate(zip(order.counts, order.weights, strict=True)):
        times, fraction = divmod(weight, 1)
        parts += [(shard, count)] * int(times) + [(shard, round(fraction * count))]
    return [(shard, count) for shard, count in parts if count]


def _part(order: SampleOrder, epoch: int, part: int) -> NDArray[np.int64]:
    """The samples of a part."""
    shard, taken = _parts(order)[part]
    count, first = order.counts[shard], _firsts(order)[shard]
    samples = np.arange(first, first + count)
    return samples if taken == count else _random(order.seed, epoch, 2, part).permutation(samples)[:taken]


@lru_cache(maxsize=2)
def _firsts(order: SampleOrder) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(order.counts)])


def _random(seed: int, epoch: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, purpose, number)))
