"""What distinguishes sets of images, in a few figures that are compared across families.

The slope of the spectrum and the entropy are those by which Baradad et al., "Learning to see by looking at noise",
2021, and the literature on natural images compare picture models.
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
"""Pixels along a side of a patch, as the trainer cuts them."""
LOWEST, HIGHEST = 0.02, 0.4
"""Cycles a pixel between which the slope of the spectrum is taken: above the picture's frame, below the pixel grid."""
RINGS = 64
"""Bands of equal width that the frequencies from 0 to 1/2 cycle a pixel are put into."""
ROUNDING = 1 / 12
"""Power, in squared grey levels, that rounding to whole levels alone leaves in every ring: it hides what is weaker."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Figures of a set of images, all taken in grey."""

    images: int
    mean: float
    """Of all pixels, in grey levels 0..255."""
    std: float
    """Of all pixels, in grey levels."""
    entropy: float
    """Of the grey levels of an image, in bits, 0 to 8; mean over the images."""
    total_variation: float
    """Mean difference, in grey levels, between a pixel and the next one to the right or below."""
    slope: float | None
    """The amplitude of frequency f falls as f ** -slope: 0 for white noise, about 1 for photographs; mean over the
    images. None if all are constant, or too small to have the frequencies."""
    constant_patches: float
    """Share of the 16x16 patches that are of one level throughout; a rim that fills no patch is left out."""
    png_bytes: float
    """Mean size of an image's file."""
    histogram: tuple[float, ...]
    """Share of each of the 256 grey levels."""
    spectrum: tuple[float, ...]
    """Geometric mean of the images' power in each of the RINGS; 0 in one that images of this size have nothing in."""


def set_statistics(store: Store, samples: int) -> Statistics:
    """The figures of a finished set, from at most so many of its images, evenly spread."""
    return statistics(set_images(store, samples))


def statistics(images: Iterable[tuple[Image, int]]) -> Statistics:
    """The figures of some images, each given with the size of its file in bytes.

    Raises InputError if there are none.
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
            with np.errstate(divide="ignore"):  # minus infinity is the logarithm of an empty ring
                logarithms.append(np.log(power))
    if not count:
        raise InputError("there are no images to take statistics of")
    shares, levels = counts / counts.sum(), np.arange(256)
    mean = float(shares @ levels)
    mean_entropy, variation, constant, size = map(float, sums / count)
    told = [slope for slope in slopes if slope is not None]
    return Statistics(
        images=count,
        mean=mean,
        std=float(np.sqrt(shares @ (levels - mean) ** 2)),
        entropy=mean_entropy,
        total_variation=variation,
        slope=float(np.mean(told)) if told else None,
        constant_patches=constant,
        png_bytes=size,
        histogram=tuple(shares.tolist()),
        spectrum=tuple(np.exp(np.mean(logarithms, axis=0)).tolist()) if logarithms else (0.0,) * RINGS,
    )


def level_counts(image: Image) -> NDArray[np.int64]:
    """How many pixels have each of the 256 levels."""
    return np.bincount(image.ravel(), minlength=256)


def entropy(image: Image) -> float:
    """Shannon's entropy of an image's grey levels, in bits."""
    counts = level_counts(image)
    shares = counts[counts > 0] / image.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no minus before a zero


def total_variation(image: Image) -> float:
    """Mean absolute difference between neighbours, in grey levels; 0 for an image of one pixel."""
    levels = image.astype(np.int16)
    differences = [np.abs(np.diff(levels, axis=axis)).ravel() for axis in (0, 1)]
    return float(np.concatenate(differences).mean()) if image.size > 1 else 0.0


def constant_patches(image: Image) -> float:
    """Share of the whole 16x16 patches that are of one level; 0 for an image that is smaller than one."""
    rows, columns = image.shape[0] // PATCH, image.shape[1] // PATCH
    patches = image[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH)
    return float((patches.max((1, 3)) == patches.min((1, 3))).mean()) if rows and columns else 0.0


def radial_power(image: Image) -> NDArray[np.float64]:
    """Mean power of the frequencies in each ring: float64 [RINGS], 0 in a ring without any.

    A Hann window hides the jump between opposite edges, which would add a spectrum of its own.
    """
    window, ring, members = _rings(*image.shape[:2])
    levels = image - image.mean()
    power = np.abs(np.fft.rfft2(levels * window)) ** 2
    means = np.bincount(ring.ravel(), power.ravel(), RINGS + 1)[:RINGS] / np.maximum(members, 1)
    return np.where(members > 0, np.maximum(means, ROUNDING), 0)


@lru_cache(maxsize=8)
def _rings(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """The window, the ring of each frequency of rfft2 (RINGS for those beyond 1/2), and how many each ring has."""
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    ring = np.minimum((frequency * 2 * RINGS).astype(np.intp), RINGS)
    return window / np.sqrt((window**2).sum()), ring, np.bincount(ring.ravel(), minlength=RINGS + 1)[:RINGS]


def ring_frequencies() -> NDArray[np.float64]:
    """Cycles a pixel at the middle of each ring."""
    return (np.arange(RINGS) + 0.5) / (2 * RINGS)


def spectral_slope(power: NDArray[np.float64]) -> float | None:
    """The slope at which the amplitude falls, from the power in each ring; None if fewer than three stand out."""
    frequency = ring_frequencies()
    used = (frequency > LOWEST) & (frequency < HIGHEST) & (power > 4 * ROUNDING)
    if used.sum() < 3:
        return None
    slope, _ = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)
    return float(-slope / 2)


def set_images(store: Store, samples: int) -> Iterator[tuple[Image, int]]:
    """At most so many images of a finished set, evenly spread, each with the size of its file in bytes."""
    manifest = open_set(store)
    return read_images(store, manifest, evenly_spaced(range(manifest.spec.n), samples))


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, from the first to the last at even distances."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[round(location)] for location in places.tolist()]
