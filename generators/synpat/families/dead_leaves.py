"""Dead leaves: opaque shapes drawn over one another until they cover the image.

The model is by Matheron (1968). The power law of the radii, which makes the images scale-invariant, is from Lee,
Mumford and Huang, "Occlusion models for natural images", 2001. The settings are those of Baradad et al., "Learning to
see by looking at noise", 2021.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Size, category_generator

from .statistical import SpectrumColorWmm

RADII = np.linspace(0.03, 1, 200)
"""Possible radii of a leaf, in units of the shorter side of the image."""
_WEIGHTS = RADII**-3.0 - 1
_CUMULATIVE = np.cumsum(_WEIGHTS) / np.sum(_WEIGHTS)
# The published model takes the radius whose cumulative weight is nearest to a uniform random number. Therefore the
# borders between radii are the midpoints of the cumulative weights.
_BORDERS = (_CUMULATIVE[1:] + _CUMULATIVE[:-1]) / 2

PUBLISHED_SIZE = 128, 128
"""Size of the small data sets of Baradad et al., with 105,000 images each. The large ones, with 1.3 million images,
have 256x256."""

LEAVES_PER_SQUARE = 5000
"""Maximum number of leaves in a square image, as published; in other images it is proportional to the area."""

MOST_TEXTURES = 10_000
"""Number of textures that the published images draw from; they take 470 MB."""

CIRCLE, SQUARE, ORIENTED, RECTANGLE, TRIANGLE, QUADRILATERAL = range(6)
"""Shapes of a leaf. All except CIRCLE are inscribed in the circle of the leaf's radius."""


@dataclass(frozen=True, kw_only=True)
class DeadLeavesSquares(Family):
    """Opaque axis-aligned squares of random colour that cover the image; their sizes follow a power law."""

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021; Lee et al., 2001"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        leaf, colours = _pile(rng, height, width, SQUARE)
        return colours[leaf]


@dataclass(frozen=True, kw_only=True)
class DeadLeavesOriented(Family):
    """Opaque squares, each rotated by a random angle."""

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021; Lee et al., 2001"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 2

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        leaf, colours = _pile(rng, height, width, ORIENTED)
        return colours[leaf]


@dataclass(frozen=True, kw_only=True)
class DeadLeavesShapes(Family):
    """Opaque circles, squares, rotated squares, rectangles, triangles and quadrilaterals, in equal shares."""

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021; Lee et al., 2001"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 2

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        leaf, colours = _pile(rng, height, width, CIRCLE, SQUARE, ORIENTED, RECTANGLE, TRIANGLE, QUADRILATERAL)
        return colours[leaf]


@dataclass(frozen=True, kw_only=True)
class DeadLeavesTextures(Family):
    """Like dead-leaves-shapes, but each shape (leaf) is filled with noise that has the statistics of natural images.

    In the published images the texture of a leaf is one of 10,000 images of spectrum-color-wmm, at the position of the
    leaf. Painting such an image takes a hundred times longer than the leaves, so this family uses fewer textures and
    shifts them by a random distance for each leaf. The textures are stationary and periodic, so a shifted texture has
    the same statistics and no seam.
    """

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021; Lee et al., 2001"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 4
    bounds: ClassVar[Bounds] = {"textures": (1, MOST_TEXTURES)}

    textures: int = 128
    """Number of textures, the same in all images. They are painted before the first image. Published: 10,000."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        leaf, colours = _pile(rng, height, width, CIRCLE, SQUARE, ORIENTED, RECTANGLE, TRIANGLE, QUADRILATERAL)
        bank = _textures(self.textures, max(1 << (min(height, width) - 1).bit_length(), 128))
        image = np.empty((height, width, 3), np.uint8)
        _dress(leaf, bank, rng.integers((len(bank), *bank.shape[1:3]), size=(len(colours), 3)), image)
        return image


@lru_cache(maxsize=3)  # a side of 128 takes 6 MB, one of 512 takes 100
def _textures(count: int, side: int) -> NDArray[np.uint8]:
    """Return square textures, uint8 [count, side, side, 3].

    side: a power of two. The textures are larger than all but the largest leaves.
    """
    bank = np.empty((count, side, side, 3), np.uint8)
    for number in range(count):
        rng = category_generator("dead-leaves-textures", number)
        bank[number] = SpectrumColorWmm.draw(rng, 0).render(rng, side, side)
    return bank


def _pile(
    rng: np.random.Generator, height: int, width: int, *shapes: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the top leaf of each pixel, int32 [height, width], and the colour of each leaf, uint8 [leaf, 3]."""
    side = min(height, width)
    radii = np.maximum((RADII * side).astype(np.int64), 1)
    most = int(LEAVES_PER_SQUARE * height * width / side**2)
    leaf = np.zeros((height, width), np.int32)
    colours = np.empty((most + 1, 3), np.uint8)
    colours[0] = 0  # the background, visible if the maximum number of leaves does not cover the image
    _drop(leaf, colours, rng, _BORDERS, radii, np.array(shapes))
    return leaf, colours


@njit(cache=True)
def _dress(leaf, bank, cuts, image):
    """Fill each leaf with a shifted, periodic texture.

    leaf: int32 [height, width], number of the top leaf. bank: uint8 [n, side, side, 3]; side is a power of two.
    cuts: int64 [leaf, 3], number of the texture and shifts along y and x. image: uint8 [height, width, 3], output.
    """
    within = bank.shape[1] - 1
    for y in range(leaf.shape[0]):
        for x in range(leaf.shape[1]):
            texture, down, right = cuts[leaf[y, x]]
            for channel in range(3):
                image[y, x, channel] = bank[texture, (y + down) & within, (x + right) & within, channel]


@njit(cache=True)
def _drop(leaf, colours, rng, borders, radii, shapes):
    """Draw each leaf over the previous ones until every pixel is covered.

    leaf: int32 [height, width] of zeros, output: number of the top leaf, from 1. colours: uint8 [most + 1, 3], output
    in rows 1 to most. borders: float64 [n - 1], borders of the uniform random number between two radii. radii: int64
    [n], in pixels. shapes: int64 [m], possible shapes.
    """
    height, width = leaf.shape
    left, right = np.empty(height, np.int64), np.empty(height, np.int64)
    ys, xs, angles = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4)
    bare = height * width
    for number in range(1, len(colours)):
        radius = radii[np.searchsorted(borders, rng.random())]
        for channel in range(3):
            colours[number, channel] = int(255 * rng.random())
        y, x = int(height * rng.random()), int(width * rng.random())
        shape = shapes[int(len(shapes) * rng.random())] if len(shapes) > 1 else shapes[0]
        if shape == CIRCLE:
            top, bottom = _circle(y, x, radius, left, right)
        elif shape == SQUARE:
            half = int(radius * np.sqrt(0.5))
            top, bottom = _box(y, x, half, half, left, right)
        elif shape == RECTANGLE:
            angle = np.pi / 2 * rng.random()
            top, bottom = _box(y, x, int(radius * np.sin(angle)), int(radius * np.cos(angle)), left, right)
        else:
            if shape == ORIENTED:
                half = int(radius * np.sqrt(0.5))
                angle = 2 * np.pi * rng.random()
                # Each corner is the previous one rotated by 90 degrees.
                dy, dx = half * (np.sin(angle) + np.cos(angle)), half * (np.cos(angle) - np.sin(angle))
                for corner in range(4):
                    ys[corner], xs[corner] = int(y + dy), int(x + dx)
                    dy, dx = dx, -dy
                corners = 4
            else:
                corners = 3 if shape == TRIANGLE else 4
                for corner in range(corners):
                    angles[corner] = 2 * np.pi * rng.random()
                angles[:corners].sort()
                for corner in range(corners):
                    ys[corner] = int(y + radius * np.sin(angles[corner]))
                    xs[corner] = int(x + radius * np.cos(angles[corner]))
            top, bottom = _convex(ys, xs, corners, left, right)
        for row in range(top, bottom):
            line = leaf[row, max(left[row], 0) : max(min(right[row] + 1, width), 0)]
            if bare:
                for column in range(len(line)):
                    bare -= line[column] == 0
            line[:] = number
        if not bare:
            return


@njit(cache=True)
def _box(y, x, half_height, half_width, left, right):
    """Compute the first and last column of each row of an upright box. Return its range of rows inside the image.

    left, right: int64 [height], output for these rows; the columns may be outside the image.
    """
    top, bottom = max(y - half_height, 0), min(y + half_height + 1, len(left))
    for row in range(top, bottom):
        left[row], right[row] = x - half_width, x + half_width
    return top, bottom


@njit(cache=True)
def _circle(y, x, radius, left, right):
    """Do the same as `_box` for the pixels at most `radius` away from the centre."""
    top, bottom = max(y - radius, 0), min(y + radius + 1, len(left))
    for row in range(top, bottom):
        half = int(np.sqrt(float(radius * radius - (row - y) * (row - y))))
        left[row], right[row] = x - half, x + half
    return top, bottom


@njit(cache=True)
def _convex(ys, xs, corners, left, right):
    """Do the same as `_box` for a convex polygon and its boundary: a row extends from its first to last boundary pixel.

    ys, xs: int64 [4]; the first `corners` values are the corners in order.
    """
    top, bottom = ys[0], ys[0]
    for corner in range(1, corners):
        top, bottom = min(top, ys[corner]), max(bottom, ys[corner])
    top, bottom = max(top, 0), min(bottom + 1, len(left))
    for row in range(top, bottom):
        left[row], right[row] = np.int64(2**40), np.int64(-(2**40))
    for corner in range(corners):
        after = corner + 1 if corner + 1 < corners else 0
        y0, x0, y1, x1 = ys[corner], xs[corner], ys[after], xs[after]
        if x0 > x1:
            y0, x0, y1, x1 = y1, x1, y0, x0
        across, down = x1 - x0, abs(y1 - y0)
        # Bresenham's line from its left end, as in OpenCV: a point exactly between two pixels is rounded towards that
        # end. This changes the area of the smallest leaves, a third of all leaves, by a tenth.
        for row in range(max(min(y0, y1), 0), min(max(y0, y1) + 1, len(left))):
            far = abs(row - y0)
            if across <= down:
                first = last = -((down - 2 * far * across) // max(2 * down, 1))
            elif down == 0:
                first, last = 0, across
            else:
                first = max((2 * far - 1) * across // (2 * down) + 1, 0)
                last = min((2 * far + 1) * across // (2 * down), across)
            left[row] = min(left[row], x0 + first)
            right[row] = max(right[row], x0 + last)
    return top, bottom
