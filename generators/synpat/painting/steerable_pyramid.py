"""The steerable pyramid: an image as a high-pass residual, oriented bands of decreasing scale, and a low-pass residual.

Simoncelli and Freeman, "The steerable pyramid", 1995, with the third-order filters (sp3) of the published wavelet
marginal model and periodic borders. The filters are finite: each band also contains a few percent of the frequencies
far below its own. In images with a steep spectrum these are a large part of the band, so ideal masks do not replace
the filters. Every filter is applied as its transfer function, and every reduction to half the size with its aliasing,
so the bands are those of the filters up to rounding.

The taps of the filters are read from pyrtools (Laboratory for Computational Vision, 2016, MIT licence).
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
class LevelMasks:
    """Transfer functions of the filters of a level: float32, [height, width // 2 + 1] of the level."""

    oriented: NDArray[np.float32]
    """Imaginary part for each of the four bands, [4, height, width // 2 + 1]. The real part is 0: the taps are odd."""
    low: NDArray[np.float32]
    """Low-pass filter, used before every second row and column is kept."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Transfer functions of all filters of a pyramid, for images of one size."""

    high: NDArray[np.float32]
    """High-pass filter of the residual: [height, width // 2 + 1]."""
    low: NDArray[np.float32]
    """Low-pass filter before the first level: [height, width // 2 + 1]."""
    levels: list[LevelMasks]


def level_count(height: int, width: int) -> int:
    """Return the number of levels, as published: 3 for 128 pixels, 4 for 256; 1 for the smallest images."""
    return max(int(np.log2(min(height, width))) - 4, 1)


class Pyramid:
    """Pyramids of n images of one size. The memory of the bands is reused."""

    residual: Pairs
    """High-pass residuals: [ceil(n / 2), height, width]."""
    bands: list[Pairs]
    """Two pairs of oriented bands of each image, for each level: [n, 2, height of level, width of level].

    The band of orientation b is part b % 2 of pair b // 2.
    """

    def __init__(self, count: int, height: int, width: int, levels: int) -> None:
        """Height and width must be multiples of 2 ** levels."""
        self._masks = masks_of(height, width, levels)
        self._lows = [np.empty((count, *_half_size(height, width, level)), np.complex64) for level in range(levels + 1)]
        self.residual = np.empty(((count + 1) // 2, height, width), np.complex64)
        self.bands = [np.empty((count, 2, height >> level, width >> level), np.complex64) for level in range(levels)]

    def analyse(self, spectra: Spectra) -> None:
        """Compute residual and bands from the coefficients of the images."""
        join(spectra, self._masks.high, self.residual)
        invert(self.residual)
        np.multiply(spectra, self._masks.low, out=self._lows[0])
        for level, (masks, pairs) in enumerate(zip(self._masks.levels, self.bands, strict=True)):
            _pick(self._lows[level], masks.oriented, pairs)
            invert(pairs.reshape(-1, *pairs.shape[2:]))
            _reduce(self._lows[level], masks.low, self._lows[level + 1])

    def synthesise(self, spectra: Spectra) -> None:
        """Compute the coefficients of the images from residual and bands, which are overwritten.

        The low-pass residual is that of the previous analysis.
        """
        for level in reversed(range(len(self.bands))):
            masks, pairs, low = self._masks.levels[level], self.bands[level], self._lows[level]
            _enlarge(self._lows[level + 1], masks.low, low)
            transform(pairs.reshape(-1, *pairs.shape[2:]))
            _put_back(pairs, masks.oriented, low)
        transform(self.residual)
        split(self.residual, spectra)
        _blend(spectra, self._masks.high, self._lows[0], self._masks.low)


@lru_cache(maxsize=8)
def masks_of(height: int, width: int, levels: int) -> Masks:
    """Return the transfer functions for images of one size, with height and width that are multiples of 2 ** levels."""
    taps = _taps()
    oriented = [taps["bfilts"][:, b].reshape(9, 9).T for b in range(ORIENTATIONS)]
    return Masks(
        high=_transfer(taps["hi0filt"], height, width).real.astype(np.float32),
        low=_transfer(taps["lo0filt"], height, width).real.astype(np.float32),
        levels=[
            LevelMasks(
                oriented=np.array([_transfer(band, rows, columns).imag for band in oriented], np.float32),
                low=_transfer(taps["lofilt"], rows, columns).real.astype(np.float32),
            )
            for rows, columns in ((height >> level, width >> level) for level in range(levels))
        ],
    )


@lru_cache(maxsize=1)
def _taps() -> dict[str, NDArray[np.float64]]:
    """Return the taps of the filters by their names in pyrtools."""
    # Imported here, because it imports scipy and matplotlib, which takes a second.
    from pyrtools.pyramids.filters import steerable_filters

    return steerable_filters("sp3_filters")


def _transfer(taps: NDArray[np.float64], height: int, width: int) -> NDArray[np.complex128]:
    """Return the transfer function of the correlation with taps [side, side]: [height, width // 2 + 1]."""
    offsets = np.arange(len(taps)) - len(taps) // 2
    wrapped = np.zeros((height, width))
    # Added, because a filter can be larger than the image.
    np.add.at(wrapped, (offsets[:, None] % height, offsets[None, :] % width), taps)
    return np.fft.rfft2(wrapped).conj()


def _half_size(height: int, width: int, level: int) -> tuple[int, int]:
    """Return the shape of the coefficients of a level."""
    return height >> level, (width >> level) // 2 + 1


@njit(cache=True)
def _pick(spectra, mask, pairs):
    """Compute the coefficients of the bands of a level, two bands per complex image.

    spectra: complex64 [n, height, columns]. mask: float32 [4, height, columns]. pairs: complex64 [n, 2, height, width],
    output.
    """
    count, _, height, width = pairs.shape
    for n in range(count):
        for pair in range(2):
            for y in range(height):
                mirrored = (height - y) % height
                first, second, values = mask[2 * pair, y], mask[2 * pair + 1, y], spectra[n, y]
                here, there = pairs[n, pair, y], pairs[n, pair, mirrored]
                for x in range(width // 2 + 1):
                    if 2 * x % width == 0 and mirrored < y:
                        continue  # set already, as the mirror image of another coefficient
                    value, a, b = values[x], first[x], second[x]
                    # The coefficient of a band is i * mask * value. At a frequency that is its own mirror image the
                    # mask of an odd filter is 0.
                    here[x] = complex(-a * value.imag - b * value.real, a * value.real - b * value.imag)
                    there[width - x if x else 0] = complex(
                        -a * value.imag + b * value.real, -a * value.real - b * value.imag
                    )


@njit(cache=True)
def _put_back(pairs, mask, spectra):
    """Add the coefficients of the bands of a level, times their masks, to those of the images; as in `_pick`."""
    count, _, height, width = pairs.shape
    for n in range(count):
        for pair in range(2):
            for y in range(height):
                first, second, values = mask[2 * pair, y], mask[2 * pair + 1, y], spectra[n, y]
                line, opposite = pairs[n, pair, y], pairs[n, pair, (height - y) % height]
                for x in range(width // 2 + 1):
                    a, b = np.float32(0.5) * first[x], np.float32(0.5) * second[x]
                    here, there = line[x], opposite[width - x if x else 0]
                    # -i * mask * coefficient of the band, for both bands.
                    values[x] += complex(
                        a * (here.imag - there.imag) - b * (here.real - there.real),
                        -a * (here.real + there.real) - b * (here.imag + there.imag),
                    )


@njit(cache=True)
def _reduce(spectra, mask, half):
    """Filter images and keep every second row and column: four coefficients fall on one.

    spectra: complex64 [n, height, columns]. mask: float32 [height, columns]. half: complex64 [n, height // 2, columns
    of half the width], output.
    """
    count, height, columns = spectra.shape
    rows, last = height // 2, columns - 1
    for n in range(count):
        for y in range(rows):
            for x in range(half.shape[2]):
                # The coefficient half the width further right is the conjugate of its mirror image.
                total = np.complex64(0)
                for row in (y, y + rows):
                    mirrored = (height - row) % height
                    total += mask[row, x] * spectra[n, row, x]
                    total += mask[mirrored, last - x] * spectra[n, mirrored, last - x].conjugate()
                half[n, y, x] = np.float32(0.25) * total


@njit(cache=True)
def _enlarge(half, mask, spectra):
    """Insert zeros between the rows and columns of images, and filter; arguments as in `_reduce`, spectra: output."""
    count, height, columns = spectra.shape
    rows, last, columns_of_half = height // 2, columns - 1, half.shape[2]
    for n in range(count):
        for y in range(height):
            line, mirrored = half[n, y % rows], half[n, (height - y) % rows]
            for x in range(columns_of_half):
                spectra[n, y, x] = mask[y, x] * line[x]
            for x in range(columns_of_half, columns):
                spectra[n, y, x] = mask[y, x] * mirrored[last - x].conjugate()


@njit(cache=True)
def _blend(spectra, high, lows, low):
    """Set spectra to spectra * high + lows * low. spectra, lows: complex64 [n, height, columns]; masks: float32."""
    for n in range(len(spectra)):
        for y in range(low.shape[0]):
            for x in range(low.shape[1]):
                spectra[n, y, x] = spectra[n, y, x] * high[y, x] + lows[n, y, x] * low[y, x]
