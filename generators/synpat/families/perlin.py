"""Perlin noise: gradient noise on a lattice, summed over octaves.

Perlin, "An image synthesizer", 1985, with the quintic fade of Perlin, "Improving noise", 2002. A category is a pair
of lattice frequencies, after the Perlin sets that Kataoka et al., "Pre-training without natural images", 2020,
compare with; their table is not public, so the range of frequencies and the octaves are ours.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numba import njit

from .family import Family, Image

FREQUENCIES = range(2, 12)
"""Lattice cells along one axis that a category may have."""
FINEST_CELL = 4
"""Pixels. An octave of smaller cells would only alias, so it is left out."""


@dataclass(frozen=True, kw_only=True)
class Perlin(Family):
    """Perlin's gradient noise, 1 to 5 octaves; a class is a pair of lattice frequencies."""

    source: ClassVar[str] = "Perlin, An image synthesizer, 1985; Improving noise, 2002"
    categories: ClassVar[int] = len(FREQUENCIES) ** 2

    rows: int
    """Lattice cells along the height in the first octave; at least 1, and coarsened to cells of 4 pixels."""
    columns: int
    """Lattice cells along the width in the first octave; at least 1, and coarsened to cells of 4 pixels."""
    octaves: int
    """How many octaves at most, 1 to 16; one whose cells fall below 4 pixels is left out with all finer ones."""
    persistence: float = 0.5
    """Amplitude of an octave over that of the one before, above 0 and at most 1."""

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise ValueError(f"rows and columns must be at least 1, got rows={self.rows} and columns={self.columns}")
        if not 1 <= self.octaves <= 16:
            raise ValueError(f"octaves must lie between 1 and 16, got {self.octaves}")
        if not 0 < self.persistence <= 1:
            raise ValueError(f"persistence must be above 0 and at most 1, got {self.persistence}")

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        row, column = divmod(category, len(FREQUENCIES))
        return cls(rows=FREQUENCIES[row], columns=FREQUENCIES[column], octaves=int(rng.integers(1, 6)))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        noise = np.zeros((height, width), np.float32)
        rows, columns = (
            min(n, max(size // FINEST_CELL, 1)) for n, size in ((self.rows, height), (self.columns, width))
        )
        amplitude = 1.0
        for octave in range(self.octaves):
            if octave and (rows * FINEST_CELL > height or columns * FINEST_CELL > width):
                break
            _add_octave(noise, *_gradients(rng, rows, columns), np.float32(amplitude))
            rows, columns, amplitude = 2 * rows, 2 * columns, amplitude * self.persistence
        return _stretched(noise)


def _gradients(rng: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The y and x components of a unit vector at each lattice point, float32 [rows + 1, columns + 1]."""
    angle = rng.uniform(0, 2 * np.pi, (rows + 1, columns + 1))
    # Rounding to float32 hides the last bit of sine and cosine, in which mathematical libraries differ.
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)


@njit(cache=True)
def _add_octave(noise, gradient_y, gradient_x, amplitude):
    """Row by row and cell by cell, so that a pixel costs two linear ramps and one blend.

    noise: float32 [height, width], added to. gradient_y, gradient_x: float32 [rows + 1, columns + 1].
    """
    height, width = noise.shape
    rows, columns = gradient_y.shape[0] - 1, gradient_y.shape[1] - 1
    # Pixel centres lie at (x + 1/2) / width of the image; u is their place inside the cell, in 0..1.
    u, fade_u = np.empty(width, np.float32), np.empty(width, np.float32)
    first = np.empty(columns + 1, np.int64)
    first[columns] = width
    for x in range(width - 1, -1, -1):
        column = (2 * x + 1) * columns // (2 * width)
        first[column] = x
        t = np.float32((2 * x + 1) * columns / (2 * width) - column)
        u[x] = t
        fade_u[x] = t * t * t * (t * (t * np.float32(6) - np.float32(15)) + np.float32(10))
    one = np.float32(1)
    for y in range(height):
        row = (2 * y + 1) * rows // (2 * height)
        v = np.float32((2 * y + 1) * rows / (2 * height) - row)
        fade_v = v * v * v * (v * (v * np.float32(6) - np.float32(15)) + np.float32(10))
        line = noise[y]
        # On this row, the blend of a cell's two left corners is start + slope * u, and so is that of the right ones.
        start, slope = _lattice_line(gradient_y, gradient_x, row, 0, v, fade_v, amplitude)
        for column in range(columns):
            left_start, left_slope = start, slope
            start, slope = _lattice_line(gradient_y, gradient_x, row, column + 1, v, fade_v, amplitude)
            for x in range(first[column], first[column + 1]):
                left = left_start + left_slope * u[x]
                right = start + slope * (u[x] - one)
                line[x] += left + fade_u[x] * (right - left)


@njit(cache=True, inline="always")
def _lattice_line(gradient_y, gradient_x, row, column, v, fade_v, amplitude):
    """Value at lattice column `column`, and slope along u, of a row at height v inside its cell."""
    upper = gradient_y[row, column] * v
    lower = gradient_y[row + 1, column] * (v - np.float32(1))
    start = upper + fade_v * (lower - upper)
    slope = gradient_x[row, column] + fade_v * (gradient_x[row + 1, column] - gradient_x[row, column])
    return start * amplitude, slope * amplitude


@njit(cache=True)
def _stretched(noise):
    """uint8 image of a float32 [height, width] whose smallest value becomes 0 and whose largest becomes 255."""
    low, high = noise[0, 0], noise[0, 0]
    for value in noise.flat:
        low, high = min(low, value), max(high, value)
    scale = np.float32(255) / max(high - low, np.float32(1e-20))
    image = np.empty(noise.shape, np.uint8)
    for y in range(noise.shape[0]):
        for x in range(noise.shape[1]):
            image[y, x] = np.uint8((noise[y, x] - low) * scale + np.float32(0.5))
    return image
