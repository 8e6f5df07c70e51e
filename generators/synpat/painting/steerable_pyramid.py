"""The steerable pyramid: an image as a high-pass residual, oriented bands of decreasing scale, and a low-pass residual.

Simoncelli and Freeman, "The steerable pyramid", 1995, in the Fourier domain, with four orientations and periodic
borders. Bands are scaled such that white noise has the same deviation at every level. This is the convention of the
filters (sp3) of the published wavelet marginal model; in common Fourier pyramids, level l is larger by 2^l.
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
    """Factors of the Fourier coefficients in a pyramid, for images of one size."""

    high: NDArray[np.float32]
    """Mask of the high-pass residual: [height, width // 2 + 1]."""
    oriented: list[NDArray[np.float32]]
    """Masks of the bands of each level: [4, height of level, (width of level + 1) // 2]; multiplied by i when used."""
    low: NDArray[np.float32]
    """Squared mask of the low-pass residual: [height, width // 2 + 1]."""


def level_count(height: int, width: int) -> int:
    """Return the number of levels, as published: 3 for 128 pixels, 4 for 256; 1 for the smallest images."""
    return max(int(np.log2(min(height, width))) - 4, 1)


def level_size(size: int, level: int) -> int:
    """Return the number of samples along an axis of a level: halved from level to level and rounded up."""
    return -(-size // 2**level)


class Pyramid:
    """Pyramids of n images of one size. The memory of the bands is reused."""

    residual: Pairs
    """High-pass residuals: [ceil(n / 2), height, width]."""
    bands: list[Pairs]
    """Two pairs of oriented bands of each image, for each level: [n, 2, height of level, width of level].

    The band of orientation b is part b % 2 of pair b // 2. Its waves run along the angle pi b / 4, where 0 is along the
    width.
    """

    def __init__(self, count: int, height: int, width: int, levels: int) -> None:
        self.masks = masks_of(height, width, levels)
        self.residual = np.empty(((count + 1) // 2, height, width), np.complex64)
        sizes = [(level_size(height, level), level_size(width, level)) for level in range(levels)]
        self.bands = [np.empty((count, 2, *size), np.complex64) for size in sizes]

    def analyse(self, spectra: Spectra) -> None:
        """Compute residual and bands from the coefficients of the images."""
        area = self.residual.shape[1] * self.residual.shape[2]
        for level, (mask, pairs) in enumerate(zip(self.masks.oriented, self.bands, strict=True)):
            _pick(spectra, mask, np.float32(2**level / area), pairs)
            invert(pairs.reshape(-1, *pairs.shape[2:]), flags=0)
        join(spectra, self.masks.high, self.residual)
        invert(self.residual)

    def synthesise(self, spectra: Spectra) -> None:
        """Compute the coefficients, except for the low frequencies, from residual and bands, which are overwritten."""
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
    """Return the masks for images of one size. The sum of the squares of all masks is 1 at every frequency."""
    y, x = np.fft.fftfreq(height)[:, None] * 2, np.fft.rfftfreq(width)[None, :] * 2
    # In octaves relative to the Nyquist frequency. The value at frequency zero is arbitrary, as long as it is low.
    octave = np.log2(np.maximum(np.hypot(y, x), 1e-9))
    angle = np.arctan2(y, x)
    high, low = _cut(octave)
    oriented, rest = [], low
    for level in range(levels):
        rows, columns = level_size(height, level), level_size(width, level)
        passed, low = _cut(octave + level + 1)
        # With the factor 0.8 the sum of the squares of the four lobes is 1.
        lobes = [np.sqrt(0.8) * np.cos(angle - np.pi * b / ORIENTATIONS) ** 3 for b in range(ORIENTATIONS)]
        kept = np.fft.ifftshift(np.arange(rows) - rows // 2) % height
        mask = (np.array(lobes) * rest * passed)[:, kept, : (columns + 1) // 2]
        if rows % 2 == 0:
            mask[:, rows // 2] = 0  # zero up to rounding errors
        oriented.append(mask.astype(np.float32))
        rest = rest * low
    return Masks(high=high.astype(np.float32), oriented=oriented, low=(rest**2).astype(np.float32))


def _cut(octave: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return masks that pass frequencies above octave 0 and below octave -1, with a raised cosine between them."""
    angle = np.pi / 2 * np.clip(octave, -1, 0)
    return np.cos(angle), -np.sin(angle)


@njit(cache=True)
def _pick(spectra, mask, scale, pairs):
    """Compute the coefficients of the bands of a level, two bands per complex image.

    spectra: complex64 [n, height, columns]. mask: float32 [4, rows, half]. pairs: complex64 [n, 2, rows, width of
    level], output.
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
                        continue  # set already, as the mirror image of another coefficient
                    value = spectra[n, y, x]
                    a, b = scale * first[row, x], scale * second[row, x]
                    # The coefficient of a band is i * mask * value, because the lobes are odd and bands are real.
                    pairs[n, pair, row, x] = complex(-a * value.imag - b * value.real, a * value.real - b * value.imag)
                    pairs[n, pair, mirrored, width - x if x else 0] = complex(
                        -a * value.imag + b * value.real, -a * value.real - b * value.imag
                    )


@njit(cache=True)
def _put_back(pairs, mask, scale, spectra):
    """Add the coefficients of the bands of a level to those of the images; arguments as in `_pick`."""
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
                    # -i * mask * coefficient of the band, for both bands.
                    spectra[n, y, x] += complex(
                        a * (here.imag - there.imag) - b * (here.real - there.real),
                        -a * (here.real + there.real) - b * (here.imag + there.imag),
                    )


@njit(cache=True)
def _blend(residual, high, low, spectra):
    """Set spectra, complex64 [n, height, columns], to spectra * low + residual * high; masks: [height, columns]."""
    for n in range(len(spectra)):
        for y in range(low.shape[0]):
            for x in range(low.shape[1]):
                spectra[n, y, x] = spectra[n, y, x] * low[y, x] + residual[n, y, x] * high[y, x]
