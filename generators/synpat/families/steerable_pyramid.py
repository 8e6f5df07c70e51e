"""The steerable pyramid: an image as a high-pass residual, oriented bands of ever coarser scale, and what is left.

Simoncelli and Freeman, "The steerable pyramid", 1995, in the Fourier domain, with four orientations and circular
borders. Bands are scaled so that white noise has the same deviation at every level, which is the convention of the
filters (sp3) that the published wavelet marginal model was made with; a Fourier pyramid as it is commonly written
makes level l larger by 2^l.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from .fourier import Images, Spectra, images_of, spectra_of, transformed

ORIENTATIONS = 4

Bands = list[NDArray[np.complex64]]
"""Level by level [n, 2, height of level, width of level]: two oriented bands as real and imaginary part of each pair.

The band of orientation b, whose stripes vary along the angle pi b / 4 (0 is along the width), is part b % 2 of pair
b // 2.
"""


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


def analysed(spectra: Spectra, width: int, levels: int) -> tuple[Images, Bands]:
    """The high-pass residual [n, height, width] and the bands of images, which are given by their coefficients."""
    count, height, _ = spectra.shape
    masks = masks_of(height, width, levels)
    bands = []
    for level, oriented in enumerate(masks.oriented):
        pairs = np.empty((count, 2, level_size(height, level), level_size(width, level)), np.complex64)
        _pick(spectra, oriented, np.float32(2**level / (height * width)), pairs)
        transformed(pairs.reshape(2 * count, *pairs.shape[2:]), cv2.DFT_INVERSE)
        bands.append(pairs)
    return images_of(spectra * masks.high, width), bands


def put_together(spectra: Spectra, residual: Images, bands: Bands) -> Spectra:
    """The coefficients of images with this residual and these bands, and the low frequencies of `spectra`.

    The bands serve as working memory: what they hold is lost.
    """
    _, height, width = residual.shape
    masks = masks_of(height, width, len(bands))
    result = spectra_of(residual)
    _blend(spectra, masks.low, masks.high, result)
    for level, (oriented, pairs) in enumerate(zip(masks.oriented, bands, strict=True)):
        transformed(pairs.reshape(-1, *pairs.shape[2:]))
        area = pairs.shape[2] * pairs.shape[3]
        _put_back(pairs, oriented, np.float32(height * width / (2**level * area)), result)
    return result


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
def _blend(spectra, low, high, result):
    """result = spectra * low + result * high, for complex64 [n, height, columns] and float32 [height, columns]."""
    for n in range(len(spectra)):
        for y in range(low.shape[0]):
            for x in range(low.shape[1]):
                result[n, y, x] = spectra[n, y, x] * low[y, x] + result[n, y, x] * high[y, x]
