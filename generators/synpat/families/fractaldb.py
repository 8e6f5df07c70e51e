"""FractalDB: the attractors of random iterated function systems, dusted with 3x3 patches.

Kataoka et al., "Pre-training without natural images", 2020 (IJCV 2022). The rules of the category search and of the
rendering are the published ones; the 1,000 categories are those that our own search (tools/search_fractaldb.py) found
first. Two things differ: instances that explode, collapse to a line or leave the image almost empty, all of which the
published renderer keeps, are rejected; and every image follows an orbit of its own, where that renderer repeats one.
The attractor is stretched over the image whatever its shape, as published, and has as many points for each pixel.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .family import Family, Image, Rejected, category_generator

SEARCH_POINTS, SEARCH_SIDE, SEARCH_FILLING = 100_000, 512, 0.2
"""The published search accepts a system of which this many points light this share of a square of this side."""
PADDING, SMALLEST = 6, 8
"""Pixels that the attractor keeps from each border; an eighth of a side shorter than 48. No side may be below 8."""
SPARE = 4
"""Rows below and columns right of the image, for the patches of a small image with little padding."""
GREY = 127
"""The published grey level of what is lit."""
DENSITY = 200_000 / 362**2
"""Points for each pixel of the image in the published setting."""
EMPTIEST = 0.025
"""Share of lit pixels below which an instance is rejected."""
FARTHEST, NARROWEST = 1e6, 1e-9
"""A system that leaves the one or whose attractor is narrower than the other is rejected."""


@dataclass(frozen=True, kw_only=True)
class FractalDB(Family):
    """Attractors of random affine systems in 3x3 random patches; a class is a system, varied by 25 weights."""

    source: ClassVar[str] = "Kataoka et al., Pre-training without natural images, 2020"
    categories: ClassVar[int] = 1000

    category: int
    """Which of the 1,000 systems, from 0."""
    weight: int
    """Which of the 25 variations of the system, from 0, which is the system itself: see `weight_vector`."""
    flip_y: bool = False
    """Whether the image is turned upside down."""
    flip_x: bool = False
    """Whether the image is mirrored left to right."""
    density: float = DENSITY
    """Points of the orbit for each pixel of the image, above 0; by default what the published images have."""

    def __post_init__(self) -> None:
        if not 0 <= self.category < self.categories:
            raise ValueError(f"category must lie between 0 and {self.categories - 1}, got {self.category}")
        if not 0 <= self.weight < 25:
            raise ValueError(f"weight must lie between 0 and 24, got {self.weight}")
        if not 0 < self.density <= 100:
            raise ValueError(f"density must be above 0 and at most 100, got {self.density}")

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        flip_y, flip_x = rng.random(2) < 0.5
        return cls(category=category, weight=int(rng.integers(25)), flip_y=bool(flip_y), flip_x=bool(flip_x))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        if min(height, width) < SMALLEST:
            raise ValueError(f"fractaldb needs {SMALLEST} pixels a side or more, got {height}x{width}")
        system = candidate(_table()[self.category])
        words = _words(rng, max(int(self.density * height * width), 1))
        # The weights change the maps, but not how often each is taken.
        points, box = _orbit(system * weight_vector(self.weight), _thresholds(system), words)
        image = np.zeros((height + SPARE, width + SPARE), np.uint8)
        _stamp(image, points, box, words)
        image = image[:height, :width]
        if np.count_nonzero(image) < EMPTIEST * height * width:
            raise Rejected(f"less than {EMPTIEST:.1%} of the image is lit")
        return np.ascontiguousarray(image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])


def candidate(number: int) -> NDArray[np.float64]:
    """System `number` of the search: 2 to 7 affine maps (a, b, c, d, e, f), float64 [map, 6].

    A map takes (x, y) to (a x + b y + e, c x + d y + f).
    """
    rng = category_generator("fractaldb", number)
    return rng.uniform(-1, 1, (int(rng.integers(2, 8)), 6))


def filling_rate(system: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Share of the pixels that the attractor of a system lights at the setting of the search; 0 if it explodes."""
    try:
        points, box = _orbit(system, _thresholds(system), _words(rng, SEARCH_POINTS))
    except Rejected:
        return 0.0
    lit = np.zeros((SEARCH_SIDE, SEARCH_SIDE), np.bool_)
    _light(lit, points, box)
    return np.count_nonzero(lit) / lit.size


def is_category(number: int) -> bool:
    """Whether the search accepts candidate `number`."""
    return filling_rate(candidate(number), category_generator("fractaldb orbit", number)) >= SEARCH_FILLING


def weight_vector(weight: int) -> NDArray[np.float64]:
    """What the parameters a to f of every map are multiplied with: one of them is 0.2, 0.6, 1.4 or 1.8, or none."""
    vector = np.ones(6)
    if weight:
        parameter, step = divmod(weight - 1, 4)
        vector[parameter] = (0.2, 0.6, 1.4, 1.8)[step]
    return vector


@cache
def _table() -> list[int]:
    """The candidate that each category is."""
    return json.loads(Path(__file__).with_name("data").joinpath("fractaldb.json").read_text())


def _words(rng: np.random.Generator, points: int) -> NDArray[np.uint64]:
    """A random word for each point: the upper half picks its map, the lower half its patch."""
    return rng.integers(0, 2**64, points, np.uint64)


def _thresholds(system: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bounds between the maps for a random number of 32 bits, int64 [6]; a map's share is its |determinant|."""
    share = np.abs(system[:, 0] * system[:, 3] - system[:, 1] * system[:, 2])
    bounds = np.full(6, 2**32)
    bounds[: len(share) - 1] = 2.0**32 * (np.cumsum(share) / np.sum(share))[:-1]
    return bounds


def _orbit(
    system: NDArray[np.float64], thresholds: NDArray[np.int64], words: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The chaos game from (0, 0): the points (y, x), float64 [point, 2], and their least and largest y and x."""
    points, box = np.empty((len(words), 2)), np.empty(4)
    if not _iterate(points, box, system, thresholds, words):
        raise Rejected(f"a point lies farther than {FARTHEST:g} from the origin")
    if min(box[1] - box[0], box[3] - box[2]) < NARROWEST:
        raise Rejected("the attractor is a point or a line along an axis")
    return points, box


@njit(cache=True)
def _iterate(points, box, system, thresholds, words):
    """Fill points and box as `_orbit` says; False if a point is too far away.

    points: float64 [n, 2]. box: float64 [4]. system: float64 [map, 6]. thresholds: int64 [6]. words: uint64 [n].
    """
    x = y = 0.0
    low_y = high_y = low_x = high_x = 0.0
    points[0, 0] = points[0, 1] = 0.0
    for n in range(1, len(points)):
        number = np.int64(words[n] >> np.uint64(32))
        k = 0
        for i in range(6):
            k += number > thresholds[i]
        x, y = system[k, 0] * x + system[k, 1] * y + system[k, 4], system[k, 2] * x + system[k, 3] * y + system[k, 5]
        points[n, 0], points[n, 1] = y, x
        low_y, high_y, low_x, high_x = min(low_y, y), max(high_y, y), min(low_x, x), max(high_x, x)
        if not (low_x > -FARTHEST and high_x < FARTHEST and low_y > -FARTHEST and high_y < FARTHEST):
            return False
    box[:] = low_y, high_y, low_x, high_x
    return True


@njit(cache=True)
def _light(lit, points, box):
    """Set the pixel of each point; the bounding box of all is stretched over the image within the padding.

    lit: bool [height, width], filled in place. points: float64 [n, 2]. box: float64 [4].
    """
    height, width = lit.shape
    scale_y, scale_x = (height - 2 * PADDING) / (box[1] - box[0]), (width - 2 * PADDING) / (box[3] - box[2])
    for n in range(len(points)):
        row = int((points[n, 0] - box[0]) * scale_y + PADDING)
        column = int((points[n, 1] - box[2]) * scale_x + PADDING)
        lit[row, column] = True


@njit(cache=True)
def _stamp(image, points, box, words):
    """Like `_light`, but each point lays a 3x3 patch of random pixels, lit and unlit, below and to the right of itself.

    image: uint8 [height + SPARE, width + SPARE], filled in place. words: uint64 [n]; the lower halves are the patches.
    """
    height, width = image.shape[0] - SPARE, image.shape[1] - SPARE
    padding_y, padding_x = min(PADDING, height // 8), min(PADDING, width // 8)
    scale_y, scale_x = (height - 2 * padding_y) / (box[1] - box[0]), (width - 2 * padding_x) / (box[3] - box[2])
    for n in range(len(points)):
        row = int((points[n, 0] - box[0]) * scale_y + padding_y)
        column = int((points[n, 1] - box[2]) * scale_x + padding_x)
        patch = 1 + ((np.int64(words[n]) & 0xFFFFFFFF) * 511 >> 32)  # 1 to 511: nine pixels, not all unlit
        for bit in range(9):
            image[row + 1 + bit // 3, column + 1 + bit % 3] = GREY * (patch >> bit & 1)
