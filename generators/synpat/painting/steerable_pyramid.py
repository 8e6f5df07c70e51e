"""The steerable pyramid: an image as a high-pass residual, oriented bands of ever coarser scale, and what is left.

Simoncelli and Freeman, "The steerable pyramid", 1995, in the Fourier domain, with four orientations and circular
borders. Bands are scaled so that white noise has the same deviation at every level, which is the convention of the
filters (sp3) that the published wavelet marginal model was made with; a Fourier pyramid as it is commonly written
makes level l larger by 2^l.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .fourier import (
    Pairs,
    Spectra,
    invert,
    join,
    split,
    transform,
)

ORIENTATIONS = 4


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What a pyramid multiplies the Fourier coefficients with, at one size."""

    high: NDArray[np.float32]
    """Of the high-pass residual: [height, width // 2 + 1]."""
    oriented: list[NDArray[np.float32]]
    """Level by level: [4, height of level, (width of level + 1) // 2], times i in the transform."""
    low: NDArray[np.float32]
    """Squared, of the low-pass residual: [height, width // 2 + 1]."""


def level_count(height: int, width: int) -> int:
    """Levels in the published models: 3 for 128 pixels, 4 for 256; and 1 for the smallest images."""
    return max(int(np.log2(min(height, width))) - 4, 1)


def level_size(size: int, level: int) -> int:
    """Samples along an axis that hold all frequencies of a level: halved each time, and rounded up."""
    return -(-size // 2**level)


class Pyramid:
    """The pyramids of n images of one size, and room for their bands that is used again and again."""

    residual: Pairs
    """The high-pass residuals: [ceil(n / 2), height, width]."""
    bands: list[Pairs]
    """Level by level [n, 2, height of level, width of level]: of each image, two pairs of oriented bands.

    The band of orientation b, whose waves run along the angle pi b / 4 (0 is along the width), is part b % 2 of pair
    b // 2.
    """

    def __init__(self, count: int, height: int, width: int, levels: int) -> None:
        self.masks = masks_of(height, width, levels)
        self.residual = np.empty(((count + 1) // 2, height, width), np.complex64)
        sizes = [(level_size(height, level), level_size(width, level)) for level in range(levels)]
        self.bands = [np.empty((count, 2, *size), np.complex64) for size in sizes]

    def analyse(self, spectra: Spectra) -> None:
        """Fill residual and bands from the coefficients of the images."""
        area = self.residual.shape[1] * self.residual.shape[2]
        for level, (mask, pairs) in enumerate(zip(self.masks.oriented, self.bands, strict=True)):
            _pick(spectra, mask, np.float32(2**level / area), pairs)
            invert(pairs.reshape(-1, *pairs.shape[2:]), flags=0)
        join(spectra, self.masks.high, self.residual)
        invert(self.residual)

    def synthesise(self, spectra: Spectra) -> None:
        """Replace the coefficients, but for the low frequencies, by those of residual and bands, which are lost."""
        transform(self.residual)
        high = np.empty_like(spectra)
        split(self.residual, high)
        _blend(high, self.masks.high, self.masks.low, spectra)
        area = self.residual.shape[1] * self.residual.shape[2]
        for level, (mask, pairs) in enumerate(zip(self.masks.oriented, self.bands, strict=True)):
            transform(pairs.reshape(-1, *pairs.shape[2:]))
            _put_back(pairs, mask, np.float32(area / (2**level * pairs.shape[2] * pairs.shape[3])), spectra)


@lru_cache(maxsize=8)
def masks_of(height: int, width: int, levels: int) -> Masks:
    """The masks for images of one size; the squares of all masks add up to one at every frequency."""
    y, x = np.fft.fftfreq(height)[:, None] * 2, np.fft.rfftfreq(width)[None, :] * 2
    # In octaves below the Nyquist frequency; far down, at frequency zero, it does not matter how far.
    octave = np.log2(np.maximum(np.hypot(y, x), 1e-9))
    angle = np.arctan2(y, x)
    high, low = _cut(octave)
    oriented, rest = [], low
    for level in range(levels):
        rows, columns = level_size(height, level), level_size(width, level)
        passed, low = _cut(octave + level + 1)
        # 0.8 makes the squares of the four lobes add up to one.
        lobes = [np.sqrt(0.8) * np.cos(angle - np.pi * b / ORIENTATIONS) ** 3 for b in range(ORIENTATIONS)]
        kept = np.fft.ifftshift(np.arange(rows) - rows // 2) % height
        mask = (np.array(lobes) * rest * passed)[:, kept, : (columns + 1) // 2]
        if rows % 2 == 0:
            mask[:, rows // 2] = 0  # the mask is zero there but for rounding
        oriented.append(mask.astype(np.float32))
        rest = rest * low
    return Masks(high=high.astype(np.float32), oriented=oriented, low=(rest**2).astype(np.float32))


def _cut(octave: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """High and low mask that pass everything above octave 0 and below octave -1, with a raised cosine between."""
    angle = np.pi / 2 * np.clip(octave, -1, 0)
    return np.cos(angle), -np.sin(angle)


@njit(cache=True)
def _pick(spectra, mask, scale, pairs):
    """Coefficients of each level's bands, two bands to a complex image.

    spectra: complex64 [n, height, columns]. mask: float32 [4, rows, half]. pairs: complex64 [n, 2, rows, width of
    level], filled.
    """
    count, _, rows, width = pairs.shape
    height = spectra.shape[1]
    half = mask.shape[2]
    for n in range(count):
        for pair in range(2):
            pairs[n, pair] = 0
            first, second = mask[2 * pair], mask[2 * pair + 1]
            for row in range(rows):
                y = row if 2 * row <= rows else row + height - rows
                mirrored = (rows - row) % rows
                for x in range(half):
                    if x == 0 and mirrored <= row:
                        continue  # it is the mirror image of one that was there
                    value = spectra[n, y, x]
                    a, b = scale * first[row, x], scale * second[row, x]
                    # A band's coefficient is i times mask times value: the lobes are odd, and bands are real.
                    pairs[n, pair, row, x] = complex(-a * value.imag - b * value.real, a * value.real - b * value.imag)
                    pairs[n, pair, mirrored, width - x if x else 0] = complex(
                        -a * value.imag + b * value.real, -a * value.real - b * value.imag
                    )


@njit(cache=True)
def _put_back(pairs, mask, scale, spectra):
    """Add to the coefficients what the transforms of each level's bands say; arguments as those of `_pick`."""
    count, _, rows, width = pairs.shape
    height = spectra.shape[1]
    half = mask.shape[2]
    scale = scale * np.float32(0.5)
    for n in range(count):
        for pair in range(2):
            first, second = mask[2 * pair], mask[2 * pair + 1]
            for row in range(rows):
                y = row if 2 * row <= rows else row + height - rows
                line, opposite = pairs[n, pair, row], pairs[n, pair, (rows - row) % rows]
                for x in range(half):
                    a, b = scale * first[row, x], scale * second[row, x]
                    here, there = line[x], opposite[width - x if x else 0]
                    # Minus i times mask times each band's own coefficient.
                    spectra[n, y, x] += complex(
                        a * (here.imag - there.imag) - b * (here.real - there.real),
                        -a * (here.real + there.real) - b * (here.imag + there.imag),
                    )


@njit(cache=True)
def _blend(residual, high, low, spectra):
    """spectra = spectra * low + residual * high, for complex64 [n, height, columns] and float32 [height, columns]."""
    for n in range(len(spectra)):
        for y in range(low.shape[0]):
            for x in range(low.shape[1]):
                spectra[n, y, x] = spectra[n, y, x] * low[y, x] + residual[n, y, x] * high[y, x]
