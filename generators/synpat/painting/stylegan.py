"""What StyleGAN2 generators that were never trained have in common, and how their pictures are finished.

Baradad et al., "Learning to see by looking at noise", 2021, after Karras et al., "Analyzing and improving the image
quality of StyleGAN", 2020.

The frame that zero padding draws along the borders is part of the published images and is kept where the size is 4 to
32 times a power of two; other sizes are cut out of the middle of the next larger such grid.
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
CHANNELS = 512
"""Of the widest layers."""
STYLE_VARIANCE = 0.52
"""Of the styles around 1: the mean square of LeakyReLU_0.2 of a standard normal number."""
MEANS = (0.483, 0.145), (0.455, 0.142), (0.401, 0.161)
"""Mean and deviation of an image's mean, for each of R, G, B in 0..1."""
DEVIATIONS = (0.219, 0.063), (0.213, 0.062), (0.213, 0.069)
"""Mean and deviation of an image's deviation; where it comes out negative, the channel is inverted."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """The sizes that a network goes through: it starts with 3 or 4 pixels along the shorter side, and doubles."""

    rows: int
    """Of the constant that the network starts from."""
    columns: int
    doublings: int

    @classmethod
    def of(cls, height: int, width: int) -> Self:
        """The smallest grid that covers an image."""
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
        """Of each convolution, how often its output was doubled: 0, 1, 1, 2, 2, ..."""
        return [0, *(d for d in range(1, self.doublings + 1) for _ in range(2))]

    def size(self, doubled: int) -> tuple[int, int]:
        return self.rows << doubled, self.columns << doubled


def channel_count(doubled: int, width: int = CHANNELS) -> int:
    """Of a layer whose output was doubled so often: width at most, fewer where the maps are large."""
    return min(8192 >> doubled, width)


def draw_styles(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """What each input channel of a layer is multiplied by."""
    return 1 + np.float32(np.sqrt(STYLE_VARIANCE)) * rng.standard_normal(count, np.float32)


def finished(rng: np.random.Generator, rgb: Map, height: int, width: int) -> Image:
    """Cut the middle out of [height, width, 3], and give each channel a mean and a deviation as photographs have."""
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
    """[2 h + 1, 2 w + 1] of a transposed convolution through the filter 1 3 3 1 of each axis: [2 h, 2 w]."""
    smooth = np.empty((spread.shape[0] - 1, spread.shape[1] - 1), np.float32)
    _smooth(spread, smooth)
    return smooth


def double(rgb: Map) -> Map:
    """[height, width, 3] at twice the size, through the same filter."""
    height, width, _ = rgb.shape
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    for channel in range(3):
        spread = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
        spread[1::2, 1::2] = rgb[..., channel]
        _smooth(spread, doubled[..., channel])
    return doubled


@njit(cache=True)
def _smooth(spread, smooth):
    """Filter by 1 3 3 1 along each axis, over 16, with a zero around: float32 [h + 1, w + 1] into float32 [h, w]."""
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
    """uint8 [height, width, 3], filled: float32 rgb * scale + shift, where 0..1 is the range, cut off beyond."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            for c in range(3):
                value = rgb[y, x, c] * scale[c] + shift[c]
                image[y, x, c] = np.uint8(min(max(value, np.float32(0)), np.float32(1)) * np.float32(255))
