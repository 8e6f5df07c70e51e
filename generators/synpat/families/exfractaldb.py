"""ExFractalDB: clouds of points on three-dimensional fractals, seen from around.

Kataoka et al., "Replacing labeled real-image datasets with auto-generated contours", 2022; the fractals are those of
Yamada et al., "Point cloud pre-training with natural 3D structures", 2022. The published files of weights are of many
lengths; we take the shortest that varies all 12 parameters, each by -40 % and +40 %. The 1,000 categories are those
that our own search (tools/search_fractaldb.py) found first. A long image holds an object for each square that it
divides into, somewhere along that square and seen from a side of its own.
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
    category_generator,
    minimum_drawn,
)

SEARCH_POINTS = 10_000
"""Points of an object in the published search and pictures."""
DENSITY = 10_000 / 224**2
"""Points for each pixel of the image in the published setting."""
LEAST_VARIANCE = 0.05
"""Along each axis, of an object whose coordinates reach from -1 to 1: a flatter system is no category."""
DISTANCE, FIELD_OF_VIEW = 4.0, 45.0
"""How far the camera is away from the object's centroid, and the angle that it sees, in degrees."""
EMPTIEST, EMPTIEST_SIDE = 0.005, 128
"""Share of lit pixels below which an image is rejected; beyond this shorter side it falls as that grows, as a curve's
share of the pixels does."""
FARTHEST = 1e6
"""A system with a point farther away than this is rejected."""


@dataclass(frozen=True, kw_only=True)
class ExFractalDB(Family):
    """Points on 3-D attractors, white on black; a class is a system, varied by 25 weights and the side seen."""

    source: ClassVar[str] = "Kataoka et al., Replacing labeled real-image datasets with auto-generated contours, 2022"
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {
        "category": (0, 999),
        "weight": (0, 24),
        "density": (0.001, 100),
    }

    category: int
    """Which system, from 0."""
    weight: int
    """Which of the 25 variations of the system, from 0, which is the system itself: see `weight_vector`."""
    density: float = DENSITY
    """Points for each pixel of the image, 0.001 to 100; by default what the published images have."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(category=category, weight=int(rng.integers(25)))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        image = np.zeros((height, width), np.uint8)
        squares = round(max(height, width) / min(height, width))
        points = max(int(self.density * height * width / squares), 2)
        maps = _category(self.category)
        for square in range(squares):
            points_here = cloud(maps, rng, points, weight_vector(self.weight))
            # Twelve sides, and up to pi degrees to and from each.
            yaw = np.deg2rad(30 * rng.integers(1, 13) + rng.uniform(-np.pi, np.pi))
            along = (square + rng.random()) / squares if squares > 1 else 0.5
            centre = (0.5 * height, along * width) if width >= height else (along * height, 0.5 * width)
            reach = min(height, width) / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
            # Rounding hides the last bit of sine and cosine, in which mathematical libraries differ.
            _project(image, points_here, round(np.sin(yaw), 12), round(np.cos(yaw), 12), round(reach, 9), *centre)
        least = minimum_drawn(EMPTIEST, EMPTIEST_SIDE, height, width)
        if np.count_nonzero(image) < least:
            raise Rejected(f"fewer than {least:.0f} pixels are lit")
        return image


def candidate(number: int) -> NDArray[np.float64]:
    """System `number` of the search: 2 to 7 maps, float64 [map, 12]: the rows of a 3x3 matrix, each with its shift."""
    rng = category_generator("exfractaldb", number)
    return rng.uniform(-1, 1, (int(rng.integers(2, 8)), 12))


def is_category(number: int) -> bool:
    """Whether the search accepts candidate `number`: its cloud is flat along no axis."""
    try:
        points = cloud(candidate(number), category_generator("exfractaldb orbit", number), SEARCH_POINTS)
    except Rejected:
        return False
    return bool(points.var(0).min() > LEAST_VARIANCE)


@cache
def _table() -> list[int]:
    """The candidate that each category is."""
    return json.loads(Path(__file__).with_name("data").joinpath("exfractaldb.json").read_text())


@lru_cache(maxsize=ExFractalDB.categories)
def _category(category: int) -> NDArray[np.float64]:
    """The maps of a category, as `candidate` gives them."""
    return candidate(_table()[category])


def weight_vector(weight: int) -> NDArray[np.float64]:
    """What the 12 parameters of every map are multiplied with: one of them is 0.6 or 1.4, or none."""
    vector = np.ones(12)
    if weight:
        parameter, step = divmod(weight - 1, 2)
        vector[parameter] = (0.6, 1.4)[step]
    return vector


def cloud(
    maps: NDArray[np.float64], rng: np.random.Generator, n: int, weights: NDArray[np.float64] | float = 1.0
) -> NDArray[np.float64]:
    """The chaos game from the origin, float64 [point, 3], in a cube of side 2 around the centroid at 0.

    weights: what the parameters are multiplied with; how often each map is taken stays that of the system itself.
    """
    share = np.abs(np.linalg.det(maps.reshape(-1, 3, 4)[:, :, :3]))
    thresholds = np.full(6, 2**32)
    thresholds[: len(maps) - 1] = 2.0**32 * (np.cumsum(share) / np.sum(share))[:-1]
    points = np.zeros((n, 3))
    if not _iterate(points, maps * weights, thresholds, rng.integers(0, 2**32, n, np.uint32)):
        raise Rejected(f"a point lies farther than {FARTHEST:g} from the origin")
    low, high = points.min(), points.max()
    if high - low < 1e-9:
        raise Rejected("the attractor is a point")
    _centre(points, low, 2 / (high - low))
    return points


@njit(cache=True)
def _iterate(points, maps, thresholds, words):
    """Fill all but the first of points, float64 [n, 3]; False if one is too far away.

    maps: float64 [map, 12]. thresholds: int64 [6]. words: uint32 [n], which pick the maps.
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
    """Bring points, float64 [n, 3], whose least coordinate is low, from -1 on, and then their centroid to 0; in place.

    numpy would take the mean along the longer axis ten times as long.
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
    """Light the pixel on which the camera sees each point, after a turn around the vertical axis.

    image: uint8 [height, width], drawn into. points: float64 [n, 3]. reach: pixels of a unit at distance 1.
    """
    height, width = image.shape
    for n in range(len(points)):
        side = cosine * points[n, 0] + sine * points[n, 2]
        depth = DISTANCE - (cosine * points[n, 2] - sine * points[n, 0])
        row = int(np.floor(centre_y - reach * points[n, 1] / depth))
        column = int(np.floor(centre_x + reach * side / depth))
        if 0 <= row < height and 0 <= column < width:
            image[row, column] = 255
