"""Images of shard sets by number: the interface of `decoded_cache` and `streaming`, and what they share.

Both return the same image for the same number, cropped or padded in time to the width of the model.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synpat_shards import InputError, pooled_mean_and_std

from .shard_sets import Shard, ShardSet
from .tar_index import index_shard


class Images(Protocol):
    """All images of the shard sets of a run, numbered consecutively."""

    skipped: int
    """Number of corrupt images that were replaced by others."""

    def read(self, samples: NDArray[np.int64], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return images by their indices, uint8 [len(samples), height, width].

        shifts: 0 <= shift < 1, the relative position of the crop if an image is wider than the model, or of the image
        in the padded input if it is narrower.
        """
        ...

    def prepare(self, samples: NDArray[np.int64]) -> None:
        """Start to load images that are needed soon, and return immediately."""
        ...


def read_channels(
    channels: Sequence[Images], samples: NDArray[np.int64], shifts: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return the images of several sources, uint8 [len(samples), channels, height, width]. Arguments as of `Images`."""
    return np.stack([images.read(samples, shifts) for images in channels], axis=1)


def pixel_statistics(sets: Sequence[ShardSet]) -> tuple[float, float]:
    """Return the mean and the standard deviation of the pixels of a run in grey levels."""
    return pooled_mean_and_std([(s.weight * len(s), s.mean, s.std) for s in sets])


def fit_in_time(image: NDArray[np.uint8], out: NDArray[np.uint8], shift: float, fill: int) -> None:
    """Copy an image [height, any] to out [height, width], cropped if it is wider, padded with `fill` if it is
    narrower."""
    wide, width = image.shape[1], out.shape[1]
    if wide >= width:
        start = int(shift * (wide - width + 1))
        out[:] = image[:, start : start + width]
    else:
        start = int(shift * (width - wide + 1))
        out[:] = fill
        out[:, start : start + wide] = image


def check_targets(sets: Sequence[ShardSet], targets: Sequence[ShardSet], width: int) -> None:
    """Check that target sets can be paired with the sets of the images, sample by sample.

    Raises InputError if they differ in number, in the number or the size of their images, in family or seed, or if an
    image is narrower than the width of the model.
    """
    if len(targets) != len(sets):
        raise InputError(f"{len(sets)} shard sets and {len(targets)} of targets: give one set of targets for each")
    for images, target in zip(sets, targets, strict=True):
        pair = f"the targets {target.name} do not belong to {images.name}"
        if len(target) != len(images):
            raise InputError(f"{pair}: they have {len(target):,} images instead of {len(images):,}")
        if not np.array_equal(target.widths, images.widths):
            raise InputError(f"{pair}: their images have other widths. Render both with the same --size")
        scenes = [(each.family, each.seed) for each in (images, target)]
        if None not in scenes[0] + scenes[1] and scenes[0] != scenes[1]:
            scene, other = (f"{family} with seed {seed}" for family, seed in scenes)
            raise InputError(f"{pair}: they are {other}, not {scene}. Render both with the same --seed")
        if images.widths.min() < width:
            raise InputError(
                f"{images.name}: images narrower than {width} columns cannot have targets. Train with a smaller --size"
            )


def describe_widths(shard_set: ShardSet, width: int) -> str:
    """Return how many images of a set are cropped, padded or unusable for a model of this width; empty if none are."""
    counts = {
        f"are wider than {width} columns and are cropped at random positions": (shard_set.widths > width).sum(),
        f"are narrower than {width} columns and are padded": (
            (shard_set.widths < width) & (shard_set.widths > 0)
        ).sum(),
        "are corrupt, too narrow or too wide": (shard_set.widths == 0).sum(),
    }
    return ", ".join(f"{count:,} of {len(shard_set):,} images {words}" for words, count in counts.items() if count)


def index_key(shard: Shard, index: int) -> str:
    """Return the key of a sample of a shard, or its number if the shard cannot be read."""
    try:
        return index_shard(shard.path)[index].key
    except (InputError, OSError, IndexError):
        return f"number {index}"


def key_of(sets: Sequence[ShardSet], sample: int) -> str:
    """Return the shard and the key of a sample."""
    for shard in (shard for shard_set in sets for shard in shard_set.shards):
        if sample < shard.count:
            return f"{shard.path}:{index_key(shard, sample)}"
        sample -= shard.count
    raise IndexError(sample)
