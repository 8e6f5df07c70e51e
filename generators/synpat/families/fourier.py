"""Fourier transforms of stacks of real images, two images to a complex transform.

OpenCV's transform is three to ten times faster than numpy's and serves any size, but transforms one image a call.
"""

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""Real [n, height, width]."""
Spectra = NDArray[np.complex64]
"""Their Fourier coefficients at non-negative horizontal frequency, [n, height, width // 2 + 1], as numpy's `rfft2`."""


def spectra_of(images: Images) -> Spectra:
    """Fourier coefficients of each image, not scaled."""
    count, height, width = images.shape
    pairs = np.zeros(((count + 1) // 2, height, width), np.complex64)
    pairs.real, pairs.imag[: count // 2] = images[0::2], images[1::2]
    spectra = np.empty((count, height, width // 2 + 1), np.complex64)
    _split(transformed(pairs), spectra)
    return spectra


def images_of(spectra: Spectra, width: int) -> Images:
    """The images that have these coefficients, scaled so that it undoes `spectra_of`."""
    count, height, _ = spectra.shape
    pairs = np.empty(((count + 1) // 2, height, width), np.complex64)
    _join(spectra, pairs)
    pairs = transformed(pairs, cv2.DFT_INVERSE | cv2.DFT_SCALE)
    images = np.empty((count, height, width), np.float32)
    images[0::2], images[1::2] = pairs.real, pairs.imag[: count // 2]
    return images


def transformed(pairs: Spectra, flags: int = 0) -> Spectra:
    """The complex transform of each complex64 [height, width] of a stack, in place; flags are those of cv2.dft."""
    for pair in pairs.view(np.float32).reshape(*pairs.shape, 2):
        cv2.dft(pair, pair, flags)
    return pairs


@njit(cache=True)
def _split(pairs, spectra):
    """The coefficients of two real images, each, out of those of the first plus i times the second.

    pairs: complex64 [ceil(n / 2), height, width]. spectra: complex64 [n, height, width // 2 + 1], filled.
    """
    count, height, columns = spectra.shape
    width = pairs.shape[2]
    half = np.float32(0.5)
    for n in range(count):
        for y in range(height):
            line, mirrored = pairs[n // 2, y], pairs[n // 2, (height - y) % height]
            for x in range(columns):
                here, there = line[x], mirrored[width - x if x else 0]
                if n % 2 == 0:
                    spectra[n, y, x] = complex(half * (here.real + there.real), half * (here.imag - there.imag))
                else:
                    spectra[n, y, x] = complex(half * (here.imag + there.imag), half * (there.real - here.real))


@njit(cache=True)
def _join(spectra, pairs):
    """Undo `_split`; where a real image leaves no freedom (its own mirror image), the imaginary part is dropped.

    spectra: complex64 [n, height, width // 2 + 1]. pairs: complex64 [ceil(n / 2), height, width], filled.
    """
    count, height, columns = spectra.shape
    width = pairs.shape[2]
    for pair in range(len(pairs)):
        for y in range(height):
            mirrored = (height - y) % height
            for x in range(columns):
                first = spectra[2 * pair, y, x]
                second = spectra[2 * pair + 1, y, x] if 2 * pair + 1 < count else np.complex64(0)
                here = complex(first.real - second.imag, first.imag + second.real)
                there = complex(first.real + second.imag, second.real - first.imag)
                if 2 * x % width == 0:
                    # The column holds both a coefficient and its mirror image: the upper one decides.
                    if mirrored < y:
                        continue
                    if mirrored == y:
                        here = complex(first.real, second.real)
                        there = here
                pairs[pair, y, x] = here
                pairs[pair, mirrored, (width - x) % width] = there
