"""Dead leaves: opaque shapes that fall on one another until none of the ground shows.

The model is Matheron's (1968); the power law on the radii, which makes the images scale-invariant, is from Lee,
Mumford and Huang, "Occlusion models for natural images", 2001; the settings are those of Baradad et al., "Learning
to see by looking at noise", 2021.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numba import njit

from .family import Family, Image

RADII = np.linspace(0.03, 1, 200)
"""Radii that a leaf may have, in units of the image's shorter side."""
_WEIGHTS = RADII**-3.0 - 1
_CUMULATIVE = np.cumsum(_WEIGHTS) / np.sum(_WEIGHTS)
# The published law takes the radius whose cumulative weight lies nearest to a uniform number, so that the borders
# between radii are the midpoints of the cumulative weights.
_BORDERS = (_CUMULATIVE[1:] + _CUMULATIVE[:-1]) / 2

LEAVES_PER_SQUARE = 5000
"""Leaves after which the published model stops, covered or not, in a square image; scaled with the area in others."""


@dataclass(frozen=True, kw_only=True)
class DeadLeavesSquares(Family):
    """Opaque upright squares of random colour and power-law size, until they cover the image."""

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021; Lee et al., 2001"

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        side = min(height, width)
        radii = np.maximum((RADII * side).astype(np.int64), 1)
        most = int(LEAVES_PER_SQUARE * height * width / side**2)
        leaf = np.zeros((height, width), np.int32)
        colours = np.empty((most + 1, 3), np.uint8)
        colours[0] = 0  # the ground, should the leaves run out
        _drop_squares(leaf, colours, rng, _BORDERS, radii)
        return colours[leaf]


@njit(cache=True)
def _drop_squares(leaf, colours, rng, borders, radii):
    """Each leaf over the ones before it, until every pixel has one.

    leaf: int32 [height, width] of zeros, filled with the number of the leaf on top, from 1. colours: uint8 [most + 1,
    3], rows from 1 filled. borders: float64 [n - 1], uniform numbers between which a radius is taken. radii: int64 [n],
    in pixels.
    """
    height, width = leaf.shape
    bare = height * width
    for number in range(1, len(colours)):
        radius = radii[np.searchsorted(borders, rng.random())]
        for channel in range(3):
            colours[number, channel] = int(255 * rng.random())
        y, x = int(height * rng.random()), int(width * rng.random())
        half = int(radius * np.sqrt(0.5))  # the square is inscribed in the circle of the radius
        for row in range(max(y - half, 0), min(y + half + 1, height)):
            line = leaf[row, max(x - half, 0) : min(x + half + 1, width)]
            if bare:
                for column in range(len(line)):
                    bare -= line[column] == 0
            line[:] = number
        if not bare:
            return
