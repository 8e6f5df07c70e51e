"""Closed contours, each expanded from the previous one: the common part of VisualAtom and RCDB.

Both displace the vertices of a polygon by one-dimensional Perlin noise at random positions. Only the distribution of
the noise matters, so the noise is read from a table of its values.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds

# fmt: off
PERMUTATION = np.array([
    151, 160, 137, 91, 90, 15, 131, 13, 201, 95, 96, 53, 194, 233, 7, 225, 140, 36, 103, 30, 69, 142, 8, 99, 37, 240,
    21, 10, 23, 190, 6, 148, 247, 120, 234, 75, 0, 26, 197, 62, 94, 252, 219, 203, 117, 35, 11, 32, 57, 177, 33, 88,
    237, 149, 56, 87, 174, 20, 125, 136, 171, 168, 68, 175, 74, 165, 71, 134, 139, 48, 27, 166, 77, 146, 158, 231, 83,
    111, 229, 122, 60, 211, 133, 230, 220, 105, 92, 41, 55, 46, 245, 40, 244, 102, 143, 54, 65, 25, 63, 161, 1, 216,
    80, 73, 209, 76, 132, 187, 208, 89, 18, 169, 200, 196, 135, 130, 116, 188, 159, 86, 164, 100, 109, 198, 173, 186,
    3, 64, 52, 217, 226, 250, 124, 123, 5, 202, 38, 147, 118, 126, 255, 82, 85, 212, 207, 206, 59, 227, 47, 16, 58,
    17, 182, 189, 28, 42, 223, 183, 170, 213, 119, 248, 152, 2, 44, 154, 163, 70, 221, 153, 101, 155, 167, 43, 172, 9,
    129, 22, 39, 253, 19, 98, 108, 110, 79, 113, 224, 232, 178, 185, 112, 104, 218, 246, 97, 228, 251, 34, 242, 193,
    238, 210, 144, 12, 191, 179, 162, 241, 81, 51, 145, 235, 249, 14, 239, 107, 49, 192, 214, 31, 181, 199, 106, 157,
    184, 84, 204, 176, 115, 121, 50, 45, 127, 4, 150, 254, 138, 236, 205, 93, 222, 114, 67, 29, 24, 72, 243, 141, 128,
    195, 78, 66, 215, 61, 156, 180,
])
# fmt: on
"""Permutation of 0 to 255 that assigns gradients to lattice points in Perlin, "Improving noise", 2002."""


def _perlin_table() -> NDArray[np.float32]:
    """Return one-dimensional Perlin noise over its period of 256 cells, 256 values per cell: float32 [65536]."""
    low_bits = PERMUTATION & 15
    # The noise library of the published generators uses slopes from 1 to 8 upwards, but only 1 downwards.
    slope = np.where(low_bits & 8, -1.0, 1.0 + (low_bits & 7))[:, None]
    t = (np.arange(256) + 0.5) / 256
    fade = t**3 * (t * (6 * t - 15) + 10)
    return (0.4 * ((1 - fade) * slope * t + fade * np.roll(slope, -1, 0) * (t - 1))).ravel().astype(np.float32)


NOISE = _perlin_table()
"""Values of the noise, float32 [65536]. A uniformly random entry is the noise at a uniformly random position."""


PUBLISHED_SIDE = 512
"""Side of the published images in pixels; published lengths refer to it."""
SHORTEST = 0.02 * PUBLISHED_SIDE**2
"""Minimum total length of the contours of a class, in pixels at the published side; shorter ones cover too few."""
BOUNDS: Bounds = {
    "vertices": (3, 10_000),
    "orbits": (1, 10_000),
    "roughness": (0, 100),
    "spacing": (0, 100),
    "radius": (0, 1000),
    "oval_y": (0, 10),
    "oval_x": (0, 10),
}
"""Valid ranges of the parameters that all families of contours have."""


def length(radius: float, growth: float, orbits: int) -> float:
    """Return the approximate total length of rings, the first with this radius and each next one wider by `growth`."""
    return 2 * np.pi * orbits * (radius + orbits * growth / 2)


def centres(rng: np.random.Generator, height: int, width: int, margin: float = 0.0) -> list[tuple[float, float]]:
    """Return a random row and column in each square into which a long image is divided along its longer side.

    margin: minimum distance of a centre from the borders of its square, in sides of the square.
    """
    squares = round(max(height, width) / min(height, width))
    places = []
    for square in range(squares):
        along, across = margin + (1 - 2 * margin) * rng.random(2)
        along = (square + along) / squares
        places.append((across * height, along * width) if width >= height else (along * height, across * width))
    return places


def draw_orbits(
    image: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    centre: tuple[float, float],
    radii: tuple[float, float],
    growth: NDArray[np.float64],
    roughness: float,
    orbits: int,
    greys: int,
) -> None:
    """Draw `orbits` closed polylines, 1 pixel wide, into image, uint8 [height, width], with random grey levels.

    centre: row and column. radii: half-axes (y, x) of the ellipse of the initial vertices; all in pixels. growth:
    outward displacement of each vertex from orbit to orbit, float64 [vertex]. roughness: factor of the noise that is
    subtracted from the growth, independently for y and x. greys: levels are below this number; level 256 is drawn as
    255.
    """
    theta = 2 * np.pi * np.arange(len(growth)) / len(growth)
    # Mathematical libraries differ in the last bit of sine and cosine; rounding removes the difference.
    sine, cosine = np.sin(theta).round(12), np.cos(theta).round(12)
    words = rng.integers(0, 2**32, (orbits, len(growth)), np.uint32)
    levels = np.minimum(rng.integers(0, greys, orbits), 255).astype(np.uint8)
    y, x = centre[0] + radii[0] * sine, centre[1] + radii[1] * cosine
    _draw_orbits(image, y, x, sine, cosine, growth, roughness, NOISE, words, levels)


@njit(cache=True)
def _draw_orbits(image, y, x, sine, cosine, growth, roughness, noise, words, levels):
    """Draw the polylines of `draw_orbits`.

    image: uint8 [height, width], drawn into. y, x: float64 [vertex], changed. sine, cosine, growth: float64 [vertex].
    noise: float32 [65536]. words: uint32 [orbit, vertex]; both halves are positions in noise. levels: uint8 [orbit].
    """
    height, width = image.shape
    vertices = len(y)
    rows, columns = np.empty(vertices, np.int32), np.empty(vertices, np.int32)
    for orbit in range(len(words)):
        word, level = words[orbit], levels[orbit]
        for v in range(vertices):
            y[v] += sine[v] * (growth[v] - roughness * noise[word[v] >> np.uint32(16)])
            x[v] += cosine[v] * (growth[v] - roughness * noise[word[v] & np.uint32(0xFFFF)])
            # Truncated towards zero, as Pillow does.
            rows[v], columns[v] = np.int32(y[v]), np.int32(x[v])
        y0, x0 = rows[vertices - 1], columns[vertices - 1]
        for v in range(vertices):
            y1, x1 = rows[v], columns[v]
            if abs(y1 - y0) <= 1 and abs(x1 - x0) <= 1:
                # Most steps are this short in a small image. Their start is already painted as the end of another step.
                if 0 <= y1 < height and 0 <= x1 < width:
                    image[y1, x1] = level
            else:
                _line(image, y0, x0, y1, x1, level)
            y0, x0 = y1, x1


@njit(cache=True, inline="always")
def _line(image, y0, x0, y1, x1, level):
    """Draw Bresenham's line, both ends included, and clip it to the image.

    image: uint8 [height, width], drawn into.
    """
    height, width = image.shape
    if max(y0, y1) < 0 or min(y0, y1) >= height or max(x0, x1) < 0 or min(x0, x1) >= width:
        return
    dy, dx = abs(y1 - y0), abs(x1 - x0)
    step_y, step_x = 1 if y1 > y0 else -1, 1 if x1 > x0 else -1
    inside = min(y0, y1) >= 0 and max(y0, y1) < height and min(x0, x1) >= 0 and max(x0, x1) < width
    if dx > dy:
        error = 2 * dy - dx
        for _ in range(dx + 1):
            if inside or (0 <= y0 < height and 0 <= x0 < width):
                image[y0, x0] = level
            aside = error >= 0
            y0 += step_y * aside
            error += 2 * dy - 2 * dx * aside
            x0 += step_x
    else:
        error = 2 * dx - dy
        for _ in range(dy + 1):
            if inside or (0 <= y0 < height and 0 <= x0 < width):
                image[y0, x0] = level
            aside = error >= 0
            x0 += step_x * aside
            error += 2 * dx - 2 * dy * aside
            y0 += step_y
