"""Perlin noise: gradient noise on a lattice, summed over octaves.

Perlin, "An image synthesizer", 1985, with the quintic fade of Perlin, "Improving noise", 2002. A category is a pair
of lattice frequencies, as in the Perlin data sets of Kataoka et al., "Pre-training without natural images", 2020. Their
table of frequencies is not public; the range of frequencies and the number of octaves are choices of synpat.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numba import njit

from synpat.family import Bounds, Family, Image

FREQUENCIES = range(2, 12)
"""Possible numbers of lattice cells along one axis."""
FINEST_CELL = 4
"""Smallest side of a cell in pixels. Octaves with smaller cells would only alias, so they are omitted."""
DIRECTIONS = 4096
"""Number of possible gradients of a lattice point, evenly spaced around the circle."""
_ANGLES = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
# Mathematical libraries differ in the last bit of sine and cosine; rounding to float32 removes the difference.
GRADIENTS = np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1).astype(np.float32)
"""The y and x components of these gradients, float32 [DIRECTIONS, 2]."""


@dataclass(frozen=True, kw_only=True)
class Perlin(Family):
    """Perlin's gradient noise, 1 to 5 octaves; a class is a pair of lattice frequencies."""

    source: ClassVar[str] = "Perlin, An image synthesizer, 1985; Improving noise, 2002"
    categories: ClassVar[int] = len(FREQUENCIES) ** 2
    bounds: ClassVar[Bounds] = {
        "rows": (1, 16384),
        "columns": (1, 16384),
        "octaves": (1, 16),
        "persistence": (0.001, 1),
    }

    rows: int
    """Lattice cells along the height in the first octave; fewer if cells would be smaller than 4 pixels."""
    columns: int
    """Lattice cells along the width in the first octave; fewer if cells would be smaller than 4 pixels."""
    octaves: int
    """Maximum number of octaves. Octaves with cells smaller than 4 pixels are omitted."""
    persistence: float = 0.5
    """Ratio of the amplitude of an octave to that of the previous one."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        row, column = divmod(category, len(FREQUENCIES))
        return cls(rows=FREQUENCIES[row], columns=FREQUENCIES[column], octaves=int(rng.integers(1, 6)))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        rows, columns, octaves = self._lattice(height, width)
        points = sum(((rows << octave) + 1) * ((columns << octave) + 1) for octave in range(octaves))
        draws = rng.random(points, np.float32)
        return _paint(draws, rows, columns, octaves, GRADIENTS, self.persistence, height, width)

    def _lattice(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the rows and columns of cells of the first octave, and the number of octaves that are not too fine.

        Each octave has twice as many rows and columns as the previous one.
        """
        most_rows, most_columns = max(height // FINEST_CELL, 1), max(width // FINEST_CELL, 1)
        rows, columns = min(self.rows, most_rows), min(self.columns, most_columns)
        most_octaves = min(most_rows // rows, most_columns // columns).bit_length()
        return rows, columns, min(self.octaves, most_octaves)


@njit(cache=True)
def _paint(draws, rows, columns, octaves, gradients, persistence, height, width):
    """Return the image of all octaves: uint8 [height, width].

    draws: float32 in 0..1, one for each lattice point of each octave. rows, columns: cells of the first octave.
    """
    noise = np.zeros((height, width), np.float32)
    amplitude, first = np.float32(1), 0
    for _ in range(octaves):
        end = first + (rows + 1) * (columns + 1)
        _add_octave(noise, draws[first:end].reshape(rows + 1, columns + 1), gradients, amplitude)
        amplitude, first = np.float32(amplitude * persistence), end
        rows, columns = 2 * rows, 2 * columns
    return _stretched(noise)


@njit(cache=True)
def _add_octave(noise, draws, gradients, amplitude):
    """Add one octave to the noise.

    noise: float32 [height, width], added to. draws: float32 [rows + 1, columns + 1] in 0..1.

    The octave is computed lattice row by lattice row, so that a pixel is one weighted sum of four numbers that are
    adjacent in memory. In the image row at height v inside its cells, the upper corners contribute v * across + along:
    `across` blends the y components of their gradients by the fade of u; `along` blends the x components times the
    distance to the corner.
    """
    height, width = noise.shape
    rows, columns = draws.shape[0] - 1, draws.shape[1] - 1
    across, along = np.empty((rows + 1, width), np.float32), np.empty((rows + 1, width), np.float32)
    us, fades, ends = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(columns, np.int64)
    for x in range(width):
        column, us[x], fades[x] = _place(x, columns, width)
        ends[column] = x + 1
    for row in range(rows + 1):
        line_across, line_along = across[row], along[row]
        right = int(draws[row, 0] * len(gradients))
        for column in range(columns):
            left, right = right, int(draws[row, column + 1] * len(gradients))
            (left_y, left_x), (right_y, right_x) = gradients[left], gradients[right]
            for x in range(ends[column - 1] if column else 0, ends[column]):
                u, fade = us[x], fades[x]
                line_across[x] = left_y + fade * (right_y - left_y)
                line_along[x] = left_x * u + fade * (right_x * (u - np.float32(1)) - left_x * u)
    for y in range(height):
        row, v, fade = _place(y, rows, height)
        upper, lower = amplitude * (np.float32(1) - fade), amplitude * fade
        upper_v, lower_v = upper * v, lower * (v - np.float32(1))
        line = noise[y]
        across_above, along_above, across_below, along_below = across[row], along[row], across[row + 1], along[row + 1]
        for x in range(width):
            above = upper_v * across_above[x] + upper * along_above[x]
            line[x] += above + (lower_v * across_below[x] + lower * along_below[x])


@njit(cache=True, inline="always")
def _place(pixel, cells, pixels):
    """Return the cell that contains the centre of a pixel, the position in that cell in 0..1, and its fade."""
    cell = (2 * pixel + 1) * cells // (2 * pixels)
    t = np.float32((2 * pixel + 1) * cells / (2 * pixels) - cell)
    return cell, t, t * t * t * (t * (t * np.float32(6) - np.float32(15)) + np.float32(10))


@njit(cache=True)
def _stretched(noise):
    """Stretch float32 [height, width] to an image, uint8, from 0 for its smallest to 255 for its largest value."""
    height, width = noise.shape
    lows, highs = noise[0].copy(), noise[0].copy()
    for y in range(1, height):
        for x in range(width):  # by column, because one minimum of all would be compared pixel after pixel
            value = noise[y, x]
            lows[x] = value if value < lows[x] else lows[x]
            highs[x] = value if value > highs[x] else highs[x]
    low, high = lows.min(), highs.max()
    scale = np.float32(255) / max(high - low, np.float32(1e-20))
    image = np.empty(noise.shape, np.uint8)
    for y in range(height):
        for x in range(width):
            image[y, x] = np.uint8(np.int32((noise[y, x] - low) * scale + np.float32(0.5)))
    return image
