"""ExFractalDB: projections of point clouds on three-dimensional fractals.

Kataoka et al., "Replacing labeled real-image datasets with auto-generated contours", 2022. The fractals are those of
Yamada et al., "Point cloud pre-training with natural 3D structures", 2022. As in the published images, a system has
145 variations: unchanged, and with one of its 12 parameters multiplied by 0.4, 0.5, ... 1.6. The 1,000 categories are
the first ones found by tools/search_fractaldb.py. A long image is divided into squares; each has one object, at a
random position along the square and with a random view direction.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import (
    Bounds,
    Family,
    Image,
    Rejected,
    Size,
    category_generator,
    minimum_drawn,
)

SEARCH_POINTS = 10_000
"""Points of an object in the published search and images."""
DENSITY = 10_000 / 224**2
"""Points per pixel of the image in the published setting."""
LEAST_VARIANCE = 0.05
"""Minimum variance along each axis of a category, for coordinates scaled to -1..1."""
FACTORS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)
"""Factors of one parameter in the variations of a system."""
WEIGHTS = 1 + 12 * len(FACTORS)
"""Number of variations of a system: 145."""
DISTANCE, FIELD_OF_VIEW = 4.0, 45.0
"""Distance of the camera from the centroid of the object, and its field of view in degrees."""
EMPTIEST, EMPTIEST_SIDE = 0.005, 128
"""Minimum share of lit pixels of an image, and the shorter side up to which it applies: see `minimum_drawn`."""
FARTHEST = 1e6
"""Largest valid absolute coordinate of a point. A system that exceeds it is rejected."""


@dataclass(frozen=True, kw_only=True)
class ExFractalDB(Family):
    """Points on 3-D attractors, white on black; a class is a system, varied by 145 weights and the view direction."""

    source: ClassVar[str] = "Kataoka et al., Replacing labeled real-image datasets with auto-generated contours, 2022"
    published_size: ClassVar[Size | None] = 224, 224
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {
        "category": (0, 999),
        "weight": (0, WEIGHTS - 1),
        "density": (0.001, 100),
    }

    category: int
    """Number of the system."""
    weight: int
    """Index of the variation of the weights; 0 is the unchanged system."""
    density: float = DENSITY
    """Points per pixel of the image; the default is that of the published images."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(category=category, weight=int(rng.integers(WEIGHTS)))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        image = np.zeros((height, width), np.uint8)
        squares = round(max(height, width) / min(height, width))
        points = max(int(self.density * height * width / squares), 2)
        maps = _category(self.category)
        for square in range(squares):
            points_here = cloud(maps, rng, points, weight_vector(self.weight))
            # Twelve view directions, each varied by up to pi degrees.
            yaw = np.deg2rad(30 * rng.integers(1, 13) + rng.uniform(-np.pi, np.pi))
            along = (square + rng.random()) / squares if squares > 1 else 0.5
            centre = (0.5 * height, along * width) if width >= height else (along * height, 0.5 * width)
            reach = min(height, width) / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
            # Mathematical libraries differ in the last bit of sine and cosine; rounding removes the difference.
            _project(image, points_here, round(np.sin(yaw), 12), round(np.cos(yaw), 12), round(reach, 9), *centre)
        least = minimum_drawn(EMPTIEST, EMPTIEST_SIDE, height, width)
        if np.count_nonzero(image) < least:
            raise Rejected(f"fewer than {least:.0f} pixels are lit")
        return image


def candidate(number: int) -> NDArray[np.float64]:
    """Return the 2 to 7 maps of system `number` of the search, float64 [map, 12].

    A map holds the three rows of a 3x3 matrix, each followed by its shift.
    """
    rng = category_generator("exfractaldb", number)
    return rng.uniform(-1, 1, (int(rng.integers(2, 8)), 12))


def is_category(number: int) -> bool:
    """Return True if the search accepts candidate `number`, that is, if its points are not flat along any axis."""
    try:
        points = cloud(candidate(number), category_generator("exfractaldb orbit", number), SEARCH_POINTS)
    except Rejected:
        return False
    return bool(points.var(0).min() > LEAST_VARIANCE)


@cache
def _table() -> list[int]:
    """Return the number of the candidate of each category."""
    return json.loads(Path(__file__).with_name("data").joinpath("exfractaldb.json").read_text())


@lru_cache(maxsize=ExFractalDB.categories)
def _category(category: int) -> NDArray[np.float64]:
    """Return the maps of a category in the form of `candidate`."""
    return candidate(_table()[category])


def weight_vector(weight: int) -> NDArray[np.float64]:
    """Return the factors of the 12 parameters of every map, float64 [12].

    All are 1 for weight 0; otherwise one of them is in FACTORS.
    """
    vector = np.ones(12)
    if weight:
        parameter, step = divmod(weight - 1, len(FACTORS))
        vector[parameter] = FACTORS[step]
    return vector


def cloud(
    maps: NDArray[np.float64], rng: np.random.Generator, n: int, weights: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float64]:
    """Return n points of the chaos game from the origin, float64 [point, 3], scaled to extent 2 with centroid 0.

    weights: factors of the parameters. The probability of each map is that of the system without the factors.
    """
    share = np.abs(np.linalg.det(maps.reshape(-1, 3, 4)[:, :, :3]))
    thresholds = np.full(6, 2**32)
    thresholds[: len(maps) - 1] = 2.0**32 * (np.cumsum(share) / np.sum(share))[:-1]
    points = np.zeros((n, 3))
    if not _iterate(points, maps * weights, thresholds, rng.integers(0, 2**32, n, np.uint32)):
        raise Rejected(f"a point is farther than {FARTHEST:g} from the origin")
    low, high = points.min(), points.max()
    if high - low < 1e-9:
        raise Rejected("the attractor is a point")
    _centre(points, low, 2 / (high - low))
    return points


@njit(cache=True)
def _iterate(points, maps, thresholds, words):
    """Fill all points except the first. Return False if one is too far away.

    points: float64 [n, 3], output. maps: float64 [map, 12]. thresholds: int64 [6]. words: uint32 [n], random numbers
    that select the maps.
    """
    x = y = z = 0.0
    for n in range(1, len(points)):
        number = np.int64(words[n])
        k = 0
        for i in range(6):
            k += number > thresholds[i]
        m = maps[k]
        x, y, z = (
            m[0] * x + m[1] * y + m[2] * z + m[3],
            m[4] * x + m[5] * y + m[6] * z + m[7],
            m[8] * x + m[9] * y + m[10] * z + m[11],
        )
        if not (abs(x) < FARTHEST and abs(y) < FARTHEST and abs(z) < FARTHEST):
            return False
        points[n, 0], points[n, 1], points[n, 2] = x, y, z
    return True


@njit(cache=True)
def _centre(points, low, scale):
    """Scale points, float64 [n, 3], in place, such that `low` becomes -1; then move their centroid to 0.

    The mean along the longer axis would take ten times as long in numpy.
    """
    x_sum = y_sum = z_sum = 0.0
    for n in range(len(points)):
        for axis in range(3):
            points[n, axis] = (points[n, axis] - low) * scale - 1
        x_sum, y_sum, z_sum = x_sum + points[n, 0], y_sum + points[n, 1], z_sum + points[n, 2]
    x, y, z = x_sum / len(points), y_sum / len(points), z_sum / len(points)
    for n in range(len(points)):
        points[n, 0], points[n, 1], points[n, 2] = points[n, 0] - x, points[n, 1] - y, points[n, 2] - z


@njit(cache=True)
def _project(image, points, sine, cosine, reach, centre_y, centre_x):
    """Rotate the points around the vertical axis and light the pixel of each in a perspective projection.

    image: uint8 [height, width], drawn into. points: float64 [n, 3]. reach: pixels per unit length at distance 1.
    """
    height, width = image.shape
    for n in range(len(points)):
        side = cosine * points[n, 0] + sine * points[n, 2]
        depth = DISTANCE - (cosine * points[n, 2] - sine * points[n, 0])
        row = int(np.floor(centre_y - reach * points[n, 1] / depth))
        column = int(np.floor(centre_x + reach * side / depth))
        if 0 <= row < height and 0 <= column < width:
            image[row, column] = 255
