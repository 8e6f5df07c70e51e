"""FractalDB: the attractors of random iterated function systems, dusted with 3x3 patches.

Kataoka et al., "Pre-training without natural images", 2020 (IJCV 2022). The rules of the category search and of the
rendering are the published ones; the 1,000 categories are those that our own search (tools/search_fractaldb.py) found
first. Two things differ: instances that explode, collapse to a line or leave the image almost empty, all of which the
published renderer keeps, are rejected; and every image follows an orbit of its own, where that renderer repeats one.
The attractor is stretched over the image whatever its shape, as published, and has as many points for each pixel.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Rejected, category_generator
from synpat_shards import InputError

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
COLUMNS = 8
"""Equal parts of the random numbers that pick the maps; a system has at most seven maps."""
PATCHES = 511
"""Patches of nine pixels, lit or unlit, that are not all unlit: the bits of 1 to 511."""
BATCH = 512
"""Points that are made ready to be painted at once: few enough to stay in the fastest cache."""


@dataclass(frozen=True, kw_only=True)
class FractalDB(Family):
    """Attractors of random affine systems in 3x3 random patches; a class is a system, varied by 25 weights."""

    source: ClassVar[str] = "Kataoka et al., Pre-training without natural images, 2020"
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {
        "category": (0, 999),
        "weight": (0, 24),
        "density": (0.001, 100),
    }

    category: int
    """Which of the 1,000 systems, from 0."""
    weight: int
    """Which of the 25 variations of the system, from 0, which is the system itself: see `weight_vector`."""
    flip_y: bool = False
    """Whether the image is turned upside down."""
    flip_x: bool = False
    """Whether the image is mirrored left to right."""
    density: float = DENSITY
    """Points of the orbit for each pixel of the image, 0.001 to 100; by default what the published images have."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        flip_y, flip_x = rng.random(2) < 0.5
        return cls(category=category, weight=int(rng.integers(25)), flip_y=bool(flip_y), flip_x=bool(flip_x))

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        if min(height, width) < SMALLEST:
            raise InputError(f"fractaldb needs {SMALLEST} pixels a side or more, got {height}x{width}")
        system = _category(self.category)
        points, box, numbers = _orbit(system, rng, max(int(self.density * height * width), 1), self.weight)
        # A bit a pixel, so that a large image stays in the fastest cache.
        bits = np.zeros((height + SPARE, (width + SPARE) // 8 + 1), np.uint8)
        _stamp(bits, points, box, numbers, height, width)
        image = np.unpackbits(bits[:height], axis=1, count=width, bitorder="little") * np.uint8(GREY)
        if np.count_nonzero(image) < EMPTIEST * height * width:
            raise Rejected(f"less than {EMPTIEST:.1%} of the image is lit")
        return np.ascontiguousarray(image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])


class System(NamedTuple):
    """Affine maps, and how a random number of 32 bits picks one of them."""

    maps: NDArray[np.float64]
    """(a, b, c, d, e, f) takes (x, y) to (a x + b y + e, c x + d y + f): float64 [map, 6]."""
    bounds: NDArray[np.uint64]
    """For each column of the numbers: below its bound they pick one map, from there on another. [COLUMNS]."""
    choices: NDArray[np.intp]
    """These two maps, for each column in turn: [2 * COLUMNS]."""


def candidate(number: int) -> NDArray[np.float64]:
    """The maps of system `number` of the search, 2 to 7 of them: float64 [map, 6], see `System`."""
    rng = category_generator("fractaldb", number)
    return rng.uniform(-1, 1, (int(rng.integers(2, 8)), 6))


def filling_rate(maps: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Share of the pixels that the attractor of a system lights at the setting of the search; 0 if it explodes."""
    try:
        points, box, _ = _orbit(system_of(maps), rng, SEARCH_POINTS)
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


@lru_cache(maxsize=FractalDB.categories)
def _category(category: int) -> System:
    return system_of(candidate(_table()[category]))


def system_of(maps: NDArray[np.float64]) -> System:
    """The system of maps, float64 [map, 6], each of which is taken in proportion to its |determinant|.

    Walker, "An efficient method for generating discrete random variables with general distributions", 1977: a map that
    fills less than a column leaves the rest of it to one that fills more, so that a column has two maps at most.
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
    """The chaos game from (0, 0): n points, their box and a random number for each, as `_iterate` fills them.

    n is made even: a random word serves two points.
    """
    # The weights change the maps, but not how often each is taken.
    maps = np.zeros((2 * COLUMNS, COLUMNS))
    maps[:, :6] = (system.maps * weight_vector(weight))[system.choices]
    n += n % 2
    points, box, numbers = np.empty((2, n)), np.empty((2, 2)), np.empty(n, np.uint32)
    if not _iterate(points, box, numbers, maps.ravel(), system.bounds, rng.integers(2**64, dtype=np.uint64)):
        raise Rejected(f"a point lies farther than {FARTHEST:g} from the origin")
    if np.min(box[:, 1] - box[:, 0]) < NARROWEST:
        raise Rejected("the attractor is a point or a line along an axis")
    return points, box, numbers


# Indices are unsigned in these loops: of a signed one, numba would ask each time whether it counts from the end.
@njit(cache=True)
def _iterate(points, box, numbers, maps, bounds, state):
    """Play the chaos game; False if a point is too far away.

    points: float64 [2, n], y and x, filled; n is even. box: float64 [2, 2], filled: least and largest y, then x.
    numbers: uint32 [n], filled at random. maps: float64 [16 * 8], six numbers and two unused ones for each choice.
    bounds: uint64 [COLUMNS]. state: uint64, of the random numbers.
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
                # The upper half of this product will be the patch: the lower half is as good as a number of its own.
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
    """64 random bits of a state that grows by a constant: SplitMix64.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _light(lit, points, box):
    """Set the pixel of each point; the bounding box of all is stretched over the image within the padding.

    lit: bool [height, width], filled in place. points: float64 [2, n]. box: float64 [2, 2].
    """
    height, width = lit.shape
    scale_y, scale_x = (height - 2 * PADDING) / (box[0, 1] - box[0, 0]), (width - 2 * PADDING) / (box[1, 1] - box[1, 0])
    for n in range(points.shape[1]):
        row = int((points[0, n] - box[0, 0]) * scale_y + PADDING)
        column = int((points[1, n] - box[1, 0]) * scale_x + PADDING)
        lit[row, column] = True


@njit(cache=True)
def _stamp(bits, points, box, numbers, height, width):
    """Like `_light`, but each point lays a 3x3 patch of pixels, lit and unlit, below and to the right of itself.

    bits: uint8 [height + SPARE, columns], eight pixels in each, the left one in the lowest bit; filled in place.
    numbers: uint32 [n], whose upper parts pick the patches.
    """
    padding_y, padding_x = min(PADDING, height // 8), min(PADDING, width // 8)
    low_y, low_x = box[0, 0], box[1, 0]
    scale_y, scale_x = (height - 2 * padding_y) / (box[0, 1] - low_y), (width - 2 * padding_x) / (box[1, 1] - low_x)
    octets, stride = bits.reshape(-1), np.uint32(bits.shape[1])
    pixels, patches = np.empty(BATCH, np.uint32), np.empty(BATCH, np.uint64)
    for start in range(0, len(numbers), BATCH):
        ys, xs, drawn = points[0, start:], points[1, start:], numbers[start:]
        count = min(BATCH, len(numbers) - start)
        # Two loops that vectorise, and one that does not.
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
    """Set three bits in two bytes of octets, uint8 [n], from a place on; those in the mask of others stay."""
    after = place + np.uint64(1)
    both = (np.uint32(octets[place]) | np.uint32(octets[after]) << np.uint32(8)) & others | three
    octets[place], octets[after] = np.uint8(both), np.uint8(both >> np.uint32(8))
