"""FractalDB: attractors of random iterated function systems, drawn with random 3x3 patches.

Kataoka et al., "Pre-training without natural images", 2020 (IJCV 2022). The rules of the category search and of the
rendering are the published ones. The 1,000 categories are the first ones found by tools/search_fractaldb.py. There are
two differences: instances that diverge, collapse to a line or leave the image almost empty are rejected, whereas the
published renderer keeps them; and every image has its own random orbit, whereas the published renderer repeats one. As
published, the attractor is stretched over the image. The number of points per pixel is also the published one.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Rejected, Size, category_generator
from synpat_shards import InputError

SEARCH_POINTS, SEARCH_SIDE, SEARCH_FILLING = 100_000, 512, 0.2
"""The published search accepts a system if this number of points lights this share of a square of this side."""
PADDING, SMALLEST = 6, 8
"""Padding around the attractor in pixels, an eighth of the side if that is shorter than 48; and the shortest side."""
SPARE = 4
"""Extra rows below and columns to the right of the image, for patches in small images with little padding."""
GREY = 127
"""Grey level of lit pixels, as published."""
DENSITY = 200_000 / 362**2
"""Points per pixel of the image in the published setting."""
EMPTIEST = 0.025
"""Minimum share of lit pixels of an image."""
FARTHEST, NARROWEST = 1e6, 1e-9
"""Largest valid absolute coordinate and smallest valid extent of an attractor. Other systems are rejected."""
COLUMNS = 8
"""Columns of the alias table that selects the maps; a system has at most seven maps."""
PATCHES = 511
"""Number of 3x3 patches with at least one lit pixel. Their bits are the numbers 1 to 511."""
BATCH = 512
"""Points that are prepared together for painting; few enough to fit in the first-level cache."""


@dataclass(frozen=True, kw_only=True)
class FractalDB(Family):
    """Attractors of random affine systems, drawn with random 3x3 patches; a class is a system, varied by 25 weights.

    About 9 % of the published images are nearly empty, because variations of a system can diverge or become flat. This
    family rejects them.
    """

    source: ClassVar[str] = "Kataoka et al., Pre-training without natural images, 2020"
    published_size: ClassVar[Size | None] = 362, 362
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {
        "category": (0, 999),
        "weight": (0, 24),
        "density": (0.001, 100),
    }

    category: int
    """Number of the system."""
    weight: int
    """Index of the variation of the weights; 0 is the unchanged system."""
    flip_y: bool = False
    """True if the image is flipped top to bottom."""
    flip_x: bool = False
    """True if the image is flipped left to right."""
    density: float = DENSITY
    """Points of the orbit per pixel of the image; the default is that of the published images."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        flip_y, flip_x = rng.random(2) < 0.5
        return cls(category=category, weight=int(rng.integers(25)), flip_y=bool(flip_y), flip_x=bool(flip_x))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        if min(height, width) < SMALLEST:
            raise InputError(f"fractaldb needs at least {SMALLEST} pixels per side, got {height}x{width}")
        system = _category(self.category)
        points, box, numbers = _orbit(system, rng, max(int(self.density * height * width), 1), self.weight)
        # One bit per pixel, so that a large image fits in the first-level cache.
        bits = np.zeros((height + SPARE, (width + SPARE) // 8 + 1), np.uint8)
        _stamp(bits, points, box, numbers, height, width)
        image = np.unpackbits(bits[:height], axis=1, count=width, bitorder="little") * np.uint8(GREY)
        if np.count_nonzero(image) < EMPTIEST * height * width:
            raise Rejected(f"less than {EMPTIEST:.1%} of the image is lit")
        return np.ascontiguousarray(image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])


class System(NamedTuple):
    """Affine maps, and the alias table by which a 32-bit random number selects one of them."""

    maps: NDArray[np.float64]
    """Parameters (a, b, c, d, e, f) of each map (x, y) -> (a x + b y + e, c x + d y + f): float64 [map, 6]."""
    bounds: NDArray[np.uint64]
    """Bound of each column, [COLUMNS]: random numbers below it select the column's first map, others the second."""
    choices: NDArray[np.intp]
    """First and second map of each column: [2 * COLUMNS]."""


def candidate(number: int) -> NDArray[np.float64]:
    """Return the 2 to 7 maps of system `number` of the search: float64 [map, 6], see `System`."""
    rng = category_generator("fractaldb", number)
    return rng.uniform(-1, 1, (int(rng.integers(2, 8)), 6))


def filling_rate(maps: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the share of the pixels that an attractor lights in the setting of the search; 0 if it diverges."""
    try:
        points, box, _ = _orbit(system_of(maps), rng, SEARCH_POINTS)
    except Rejected:
        return 0.0
    lit = np.zeros((SEARCH_SIDE, SEARCH_SIDE), np.bool_)
    _light(lit, points, box)
    return np.count_nonzero(lit) / lit.size


def is_category(number: int) -> bool:
    """Return True if the search accepts candidate `number`."""
    return filling_rate(candidate(number), category_generator("fractaldb orbit", number)) >= SEARCH_FILLING


def weight_vector(weight: int) -> NDArray[np.float64]:
    """Return the factors of the parameters a to f of every map, float64 [6].

    All are 1 for weight 0; otherwise one of them is 0.2, 0.6, 1.4 or 1.8.
    """
    vector = np.ones(6)
    if weight:
        parameter, step = divmod(weight - 1, 4)
        vector[parameter] = (0.2, 0.6, 1.4, 1.8)[step]
    return vector


@cache
def _table() -> list[int]:
    """Return the number of the candidate of each category."""
    return json.loads(Path(__file__).with_name("data").joinpath("fractaldb.json").read_text())


@lru_cache(maxsize=FractalDB.categories)
def _category(category: int) -> System:
    return system_of(candidate(_table()[category]))


def system_of(maps: NDArray[np.float64]) -> System:
    """Return the system of maps, float64 [map, 6], each with a probability proportional to its |determinant|.

    The table follows Walker, "An efficient method for generating discrete random variables with general
    distributions", 1977: the rest of a column that its own map does not fill goes to a map with a larger probability,
    so a column has at most two maps.
    """
    determinants = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
    share = np.zeros(COLUMNS)
    share[: len(maps)] = COLUMNS * determinants / np.sum(determinants)
    bounds, above = np.ones(COLUMNS), np.zeros(COLUMNS, np.intp)
    poor, rich = np.flatnonzero(share < 1).tolist(), np.flatnonzero(share >= 1).tolist()
    while poor and rich:
        column = poor.pop()
        bounds[column], above[column] = share[column], rich[-1]
        share[rich[-1]] -= 1 - share[column]
        if share[rich[-1]] < 1:
            poor.append(rich.pop())
    below = np.minimum(np.arange(COLUMNS), len(maps) - 1)
    return System(
        maps=maps,
        bounds=((np.arange(COLUMNS) + bounds) * (2**32 / COLUMNS)).astype(np.uint64),
        choices=np.stack([below, above], axis=1).ravel(),
    )


def _orbit(
    system: System, rng: np.random.Generator, n: int, weight: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32]]:
    """Play the chaos game from (0, 0). Return n points, their bounding box and random numbers: see `_iterate`.

    n is rounded up to an even number, because a random word is used for two points.
    """
    # The weights change the maps, but not their probabilities.
    maps = np.zeros((2 * COLUMNS, COLUMNS))
    maps[:, :6] = (system.maps * weight_vector(weight))[system.choices]
    n += n % 2
    points, box, numbers = np.empty((2, n)), np.empty((2, 2)), np.empty(n, np.uint32)
    if not _iterate(points, box, numbers, maps.ravel(), system.bounds, rng.integers(2**64, dtype=np.uint64)):
        raise Rejected(f"a point is farther than {FARTHEST:g} from the origin")
    if np.min(box[:, 1] - box[:, 0]) < NARROWEST:
        raise Rejected("the attractor is a point or a line along an axis")
    return points, box, numbers


# Indices are unsigned in these loops: for a signed index, numba would check every time if it is negative.
@njit(cache=True)
def _iterate(points, box, numbers, maps, bounds, state):
    """Play the chaos game. Return False if a point is too far away.

    points: float64 [2, n], output: y and x; n is even. box: float64 [2, 2], output: smallest and largest y, then x.
    numbers: uint32 [n], output: random numbers. maps: float64 [16 * 8], six parameters and two unused numbers for each
    choice. bounds: uint64 [COLUMNS]. state: uint64, state of the random number generator.
    """
    ys, xs = points
    x = y = low_y = high_y = low_x = high_x = 0.0
    n, end = np.uint64(0), np.uint64(0)
    while n < len(numbers):
        end = min(end + np.uint64(BATCH), np.uint64(len(numbers)))
        while n < end:
            state += np.uint64(0x9E3779B97F4A7C15)
            word = _mixed(state)
            for half in (word >> np.uint64(32), word & np.uint64(0xFFFFFFFF)):
                ys[n], xs[n] = y, x
                low_y, high_y, low_x, high_x = min(low_y, y), max(high_y, y), min(low_x, x), max(high_x, x)
                numbers[n] = half
                # The upper half of this product selects the patch; the lower half is as good as a new random number.
                number = half * np.uint64(PATCHES) & np.uint64(0xFFFFFFFF)
                column = number >> np.uint64(29)
                k = (np.uint64(2) * column + np.uint64(number >= bounds[column])) * np.uint64(8)
                a, b, c, d = maps[k], maps[k + np.uint64(1)], maps[k + np.uint64(2)], maps[k + np.uint64(3)]
                e, f = maps[k + np.uint64(4)], maps[k + np.uint64(5)]
                x, y = a * x + (b * y + e), c * x + (d * y + f)
                n += np.uint64(1)
        if not (low_x > -FARTHEST and high_x < FARTHEST and low_y > -FARTHEST and high_y < FARTHEST):
            return False
    box[0, 0], box[0, 1], box[1, 0], box[1, 1] = low_y, high_y, low_x, high_x
    return True


@njit(cache=True, inline="always")
def _mixed(state):
    """Return 64 random bits from a state that increases by a constant: SplitMix64.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _light(lit, points, box):
    """Set the pixel of each point. The bounding box of all points is stretched over the image without its padding.

    lit: bool [height, width], drawn into. points: float64 [2, n]. box: float64 [2, 2].
    """
    height, width = lit.shape
    scale_y, scale_x = (height - 2 * PADDING) / (box[0, 1] - box[0, 0]), (width - 2 * PADDING) / (box[1, 1] - box[1, 0])
    for n in range(points.shape[1]):
        row = int((points[0, n] - box[0, 0]) * scale_y + PADDING)
        column = int((points[1, n] - box[1, 0]) * scale_x + PADDING)
        lit[row, column] = True


@njit(cache=True)
def _stamp(bits, points, box, numbers, height, width):
    """Do the same as `_light`, but set a 3x3 patch of lit and unlit pixels below and to the right of each point.

    bits: uint8 [height + SPARE, columns], drawn into; a byte is eight pixels, the leftmost in the lowest bit.
    numbers: uint32 [n]; the upper parts select the patches.
    """
    padding_y, padding_x = min(PADDING, height // 8), min(PADDING, width // 8)
    low_y, low_x = box[0, 0], box[1, 0]
    scale_y, scale_x = (height - 2 * padding_y) / (box[0, 1] - low_y), (width - 2 * padding_x) / (box[1, 1] - low_x)
    octets, stride = bits.reshape(-1), np.uint32(bits.shape[1])
    pixels, patches = np.empty(BATCH, np.uint32), np.empty(BATCH, np.uint64)
    for start in range(0, len(numbers), BATCH):
        ys, xs, drawn = points[0, start:], points[1, start:], numbers[start:]
        count = min(BATCH, len(numbers) - start)
        # The first two loops are vectorised, the third is not.
        for n in range(count):
            row = np.floor((ys[n] - low_y) * scale_y + (padding_y + 1))
            pixels[n] = np.int32(row * (8 * bits.shape[1]) + ((xs[n] - low_x) * scale_x + (padding_x + 1)))
        for n in range(count):
            patch = np.uint64(1) + (np.uint64(drawn[n]) * np.uint64(PATCHES) >> np.uint64(32))
            middle, lower = patch & np.uint64(0b111_000), patch & np.uint64(0b111_000_000)
            patches[n] = patch & np.uint64(0b111) | middle << np.uint64(16 - 3) | lower << np.uint64(32 - 6)
        for n in range(count):
            place, shift = np.uint64(pixels[n] >> np.uint32(3)), np.uint64(pixels[n] & np.uint32(7))
            patch, others = patches[n] << shift, ~(np.uint32(0b111) << np.uint32(shift))
            _lay(octets, place, others, np.uint32(patch & np.uint64(0xFFFF)))
            _lay(octets, place + stride, others, np.uint32(patch >> np.uint64(16) & np.uint64(0xFFFF)))
            _lay(octets, place + stride + stride, others, np.uint32(patch >> np.uint64(32)))


@njit(cache=True, inline="always")
def _lay(octets, place, others, three):
    """Write three bits into two bytes of octets, uint8 [n], starting at `place`. Bits in the mask `others` are kept."""
    after = place + np.uint64(1)
    both = (np.uint32(octets[place]) | np.uint32(octets[after]) << np.uint32(8)) & others | three
    octets[place], octets[after] = np.uint8(both), np.uint8(both >> np.uint32(8))
