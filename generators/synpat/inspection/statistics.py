"""Statistics of sets of images, for comparison across families.

The slope of the spectrum and the entropy are also used by Baradad et al., "Learning to see by looking at noise", 2021,
and in the literature on natural images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from synpat.families import Image
from synpat.painting.image import convert_mode
from synpat_shards import InputError, Store, open_set, read_images

PATCH = 16
"""Side of a patch in pixels, as in the trainer."""
LOWEST, HIGHEST = 0.02, 0.4
"""Range of frequencies for the slope of the spectrum, in cycles per pixel. It excludes effects of the image borders and
of the pixel grid."""
RINGS = 64
"""Number of bands of equal width for the frequencies from 0 to 1/2 cycle per pixel."""
ROUNDING = 1 / 12
"""Power of the error of rounding to integer grey levels, in squared grey levels, in every ring. Smaller power cannot be
measured."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Statistics of a set of images, converted to grey."""

    images: int
    """Number of images."""
    mean: float
    """Mean of all pixels, in grey levels 0..255."""
    std: float
    """Standard deviation of all pixels, in grey levels."""
    entropy: float
    """Entropy of the grey levels of an image, in bits, 0 to 8; mean over the images."""
    total_variation: float
    """Mean absolute difference, in grey levels, between a pixel and its right or lower neighbour."""
    slope: float | None
    """Exponent of the spectrum, mean over the images: the amplitude at frequency f is proportional to f ** -slope.

    It is 0 for white noise and about 1 for photographs. None if all images are constant or too small."""
    constant_patches: float
    """Share of the 16x16 patches that have a single grey level. Incomplete patches at the borders are ignored."""
    png_bytes: float
    """Mean size of the PNG file of an image, in bytes."""
    histogram: tuple[float, ...]
    """Share of each of the 256 grey levels."""
    spectrum: tuple[float, ...]
    """Geometric mean over the images of the power in each of the RINGS; 0 in rings without frequencies."""


def set_statistics(store: Store, samples: int) -> Statistics:
    """Return the statistics of at most `samples` evenly spaced images of a finished set."""
    return statistics(set_images(store, samples))


def statistics(images: Iterable[tuple[Image, int]]) -> Statistics:
    """Return the statistics of images, each given with the size of its file in bytes.

    Raises InputError if there are no images.
    """
    count, counts, sums = 0, np.zeros(256, np.int64), np.zeros(4)
    slopes, logarithms = [], []
    for image, size in images:
        grey = convert_mode(image, "L")
        count += 1
        counts += level_counts(grey)
        sums += entropy(grey), total_variation(grey), constant_patches(grey), size
        if grey.min() < grey.max():
            power = radial_power(grey)
            slopes.append(spectral_slope(power))
            with np.errstate(divide="ignore"):  # the logarithm of an empty ring is minus infinity
                logarithms.append(np.log(power))
    if not count:
        raise InputError("statistics need at least one image, got none")
    shares, levels = counts / counts.sum(), np.arange(256)
    mean = float(shares @ levels)
    mean_entropy, variation, constant, size = map(float, sums / count)
    known = [slope for slope in slopes if slope is not None]
    return Statistics(
        images=count,
        mean=mean,
        std=float(np.sqrt(shares @ (levels - mean) ** 2)),
        entropy=mean_entropy,
        total_variation=variation,
        slope=float(np.mean(known)) if known else None,
        constant_patches=constant,
        png_bytes=size,
        histogram=tuple(shares.tolist()),
        spectrum=tuple(np.exp(np.mean(logarithms, axis=0)).tolist()) if logarithms else (0.0,) * RINGS,
    )


def level_counts(image: Image) -> NDArray[np.int64]:
    """Return the number of pixels of each of the 256 levels: int64 [256]."""
    return np.bincount(image.ravel(), minlength=256)


def entropy(image: Image) -> float:
    """Return the Shannon entropy of the grey levels of an image, in bits."""
    counts = level_counts(image)
    shares = counts[counts > 0] / image.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # turns -0.0 into 0.0


def total_variation(image: Image) -> float:
    """Return the mean absolute difference between neighbours, in grey levels; 0 for an image of one pixel."""
    levels = image.astype(np.int16)
    differences = [np.abs(np.diff(levels, axis=axis)).ravel() for axis in (0, 1)]
    return float(np.concatenate(differences).mean()) if image.size > 1 else 0.0


def constant_patches(image: Image) -> float:
    """Return the share of the complete 16x16 patches that have one level; 0 for an image smaller than a patch."""
    rows, columns = image.shape[0] // PATCH, image.shape[1] // PATCH
    patches = image[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH)
    return float((patches.max((1, 3)) == patches.min((1, 3))).mean()) if rows and columns else 0.0


def radial_power(image: Image) -> NDArray[np.float64]:
    """Return the mean power of the frequencies in each ring: float64 [RINGS]; 0 in a ring without frequencies.

    A Hann window suppresses the jump between opposite edges, which would otherwise change the spectrum.
    """
    window, ring, members = _rings(*image.shape[:2])
    levels = image - image.mean()
    power = np.abs(np.fft.rfft2(levels * window)) ** 2
    means = np.bincount(ring.ravel(), power.ravel(), RINGS + 1)[:RINGS] / np.maximum(members, 1)
    return np.where(members > 0, np.maximum(means, ROUNDING), 0)


@lru_cache(maxsize=8)
def _rings(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Return the window, the ring of each frequency of rfft2 (RINGS for those above 1/2), and the size of each ring."""
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    ring = np.minimum((frequency * 2 * RINGS).astype(np.intp), RINGS)
    return window / np.sqrt((window**2).sum()), ring, np.bincount(ring.ravel(), minlength=RINGS + 1)[:RINGS]


def ring_frequencies() -> NDArray[np.float64]:
    """Return the centre frequency of each ring, in cycles per pixel: float64 [RINGS]."""
    return (np.arange(RINGS) + 0.5) / (2 * RINGS)


def spectral_slope(power: NDArray[np.float64]) -> float | None:
    """Return the slope of the amplitude from the power in each ring; None if fewer than three rings can be used."""
    frequency = ring_frequencies()
    used = (frequency > LOWEST) & (frequency < HIGHEST) & (power > 4 * ROUNDING)
    if used.sum() < 3:
        return None
    slope, _ = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)
    return float(-slope / 2)


def set_images(store: Store, samples: int) -> Iterator[tuple[Image, int]]:
    """Yield at most `samples` evenly spaced images of a finished set, each with the size of its file in bytes."""
    manifest = open_set(store)
    return read_images(store, manifest, evenly_spaced(range(manifest.spec.n), samples))


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` evenly spaced items, including the first and, if there are several, the last."""
    positions = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[round(position)] for position in positions.tolist()]
