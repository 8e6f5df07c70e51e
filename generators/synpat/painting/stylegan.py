"""Common parts of untrained StyleGAN2 generators, and the final adjustment of their images.

Baradad et al., "Learning to see by looking at noise", 2021, after Karras et al., "Analyzing and improving the image
quality of StyleGAN", 2020.

Zero padding causes a visible frame along the borders of the published images. It is kept if the size of the image is
that of a grid, that is, a small number of pixels times a power of two. Other sizes are cropped from the centre of the
smallest grid that covers them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Image, Rejected

SOURCE = (
    "Baradad et al., Learning to see by looking at noise, 2021; Karras et al., Analyzing and improving the image "
    "quality of StyleGAN, 2020"
)
PUBLISHED_SIZE = 256, 256
"""Size of the images of Baradad et al., in their small and large data sets."""
CHANNELS = 512
"""Number of channels of the widest layers."""
STYLE_VARIANCE = 0.52
"""Variance of the styles, whose mean is 1: the mean square of LeakyReLU_0.2 of a standard normal number."""
MEANS = (0.483, 0.145), (0.455, 0.142), (0.401, 0.161)
"""Mean and standard deviation of the mean of an image, for each of R, G, B in 0..1."""
DEVIATIONS = (0.219, 0.063), (0.213, 0.062), (0.213, 0.069)
"""Mean and standard deviation of the standard deviation of an image. A negative draw inverts the channel."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """The sizes of the layers of a network. The first has 3 or 4 pixels along the shorter side; then sizes double."""

    rows: int
    """Rows of the constant input of the network."""
    columns: int
    """Columns of the constant input of the network."""
    doublings: int
    """Number of times that the size is doubled."""

    @classmethod
    def of(cls, height: int, width: int) -> Self:
        """Return the smallest grid that covers an image."""
        doublings = max(int(np.ceil(np.log2(min(height, width) / 4))), 0)
        return cls(-(-height // 2**doublings), -(-width // 2**doublings), doublings)

    @property
    def height(self) -> int:
        return self.rows << self.doublings

    @property
    def width(self) -> int:
        return self.columns << self.doublings

    @property
    def layers(self) -> list[int]:
        """Number of doublings of the output of each convolution: 0, 1, 1, 2, 2, ..."""
        return [0, *(d for d in range(1, self.doublings + 1) for _ in range(2))]

    def size(self, doubled: int) -> tuple[int, int]:
        return self.rows << doubled, self.columns << doubled


def channel_count(doubled: int, width: int = CHANNELS) -> int:
    """Return the number of channels of a layer after `doubled` doublings: at most `width`, fewer if maps are large."""
    return min(8192 >> doubled, width)


def draw_styles(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return the random factor of each input channel of a layer: float32 [count]."""
    return 1 + np.float32(np.sqrt(STYLE_VARIANCE)) * rng.standard_normal(count, np.float32)


def finished(rng: np.random.Generator, rgb: Map, height: int, width: int) -> Image:
    """Crop the centre of rgb, and scale each channel to a mean and a deviation drawn from those of photographs."""
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    rgb = np.ascontiguousarray(rgb[top : top + height, left : left + width])
    deviation = rgb.std((0, 1))
    if not (np.isfinite(deviation).all() and deviation.min() > 1e-6):
        raise Rejected
    scale = np.array([rng.normal(*law) for law in DEVIATIONS], np.float32) / deviation
    shift = np.array([rng.normal(*law) for law in MEANS], np.float32) - scale * rgb.mean((0, 1))
    image = np.empty(rgb.shape, np.uint8)
    _quantise(rgb, scale, shift, image)
    return image


def smoothed(spread: Map) -> Map:
    """Filter the result of a transposed convolution, [2 h + 1, 2 w + 1], by 1 3 3 1 along each axis: [2 h, 2 w]."""
    smooth = np.empty((spread.shape[0] - 1, spread.shape[1] - 1), np.float32)
    _smooth(spread, smooth)
    return smooth


def double(rgb: Map) -> Map:
    """Return rgb, [height, width, 3], at twice the size, with the same filter as `smoothed`."""
    height, width, _ = rgb.shape
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    for channel in range(3):
        spread = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
        spread[1::2, 1::2] = rgb[..., channel]
        _smooth(spread, doubled[..., channel])
    return doubled


@njit(cache=True)
def _smooth(spread, smooth):
    """Filter by 1 3 3 1 along each axis, divided by 16, zero-padded: float32 [h + 1, w + 1] to float32 [h, w]."""
    height, width = smooth.shape
    line = np.zeros(width + 3, np.float32)
    three, share = np.float32(3), np.float32(1 / 16)
    for y in range(height):
        for x in range(width + 1):
            total = three * (spread[y, x] + spread[y + 1, x])
            if y > 0:
                total += spread[y - 1, x]
            if y + 2 <= height:
                total += spread[y + 2, x]
            line[x + 1] = total
        for x in range(width):
            smooth[y, x] = share * (line[x] + three * (line[x + 1] + line[x + 2]) + line[x + 3])


@njit(cache=True)
def _quantise(rgb, scale, shift, image):
    """Fill image, uint8 [height, width, 3], with float32 rgb * scale + shift, clipped to 0..1."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            for c in range(3):
                value = rgb[y, x, c] * scale[c] + shift[c]
                image[y, x, c] = np.uint8(min(max(value, np.float32(0)), np.float32(1)) * np.float32(255))
