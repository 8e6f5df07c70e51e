"""Random procedural programs that resemble shaders written by people.

After Baradad et al., "Procedural image programs for representation learning", 2022. Their data set Shaders21k renders
21,000 programs from the web. The licences of those programs do not allow us to distribute them, so this family is not
Shaders21k: a class is a random program made of the operations that are common in shaders (rotations, folds, tilings
and warps of the plane; stripes, rings, value and gradient noise, cells, distances and orbit traps; sums, products,
minima and blends; cosine palettes). An instance is a time and a small variation of the program's numbers.

One virtual machine runs all programs, a strip of pixels at a time. It uses only operations that IEEE 754 defines to the
last bit: addition, multiplication, division, square root and rounding. Sine and angle are polynomials.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Rejected, Size, category_generator
from synpat.painting.gl import check_shaders, run_shader, shader_files
from synpat_shards import InputError

JITTER = 0.05
"""Standard deviation of the random factor of each number of a program."""
STRIP = 256
"""Number of pixels for which an operation runs before the next one starts; few enough to fit in the cache."""
LEAST_DEVIATION, LEAST_LEVELS, MOST_EQUAL = 4.0, 16, 0.6
"""Limits of the brightness of an image: minimum standard deviation, minimum number of levels, and maximum share of
pixels of one level. Images beyond them are rejected."""

_PLANES, _SOURCES, _CURVES, _COMBINERS = range(0, 9), range(9, 19), range(19, 27), range(27, 32)
"""Operations that transform a plane, that compute a number from a plane, that transform a number, and that combine
several numbers."""
ROTATE, POLAR, FOLD, TILE, MIRROR, INVERT, SQUARE, WARP, SWIRL = _PLANES
STRIPES, RINGS, CHECKER, VALUE_NOISE, GRADIENT_NOISE, CELLS, DISC, BOX, TRAP, ESCAPE = _SOURCES
SINE, DISTANCE, FRACTION, TRIANGLE, POWER, ROOT, STEP, SQUASH = _CURVES
SUM, PRODUCT, LEAST, MOST, BLEND = _COMBINERS

_CHOICES: dict[int, tuple[float, tuple[tuple[float, float], ...]]] = {
    ROTATE: (3, ((0, 1), (0.6, 1.8), (-0.7, 0.7), (-0.7, 0.7))),
    POLAR: (1, ((0.5, 2), (-1, 1), (0.5, 3))),
    FOLD: (2, ((0, 1), (-0.3, 0.3))),
    TILE: (1, ((0.4, 1.5), (0, 1), (0.4, 1.5), (0, 1))),
    MIRROR: (1.5, ((0.4, 1.5), (0, 1), (0.4, 1.5), (0, 1))),
    INVERT: (0.7, ((0.3, 1.2), (0.1, 0.6))),
    SQUARE: (0.7, ((-0.8, 0.8), (-0.8, 0.8))),
    WARP: (4, ((-0.5, 0.5), (-0.5, 0.5))),
    SWIRL: (1, ((-0.8, 0.8), (0.5, 4))),
    STRIPES: (2, ((-2.5, 2.5), (-2.5, 2.5), (0, 1))),
    RINGS: (1.5, ((0.5, 3.5), (0, 1))),
    CHECKER: (1, ((0.5, 2.5), (0.5, 2.5), (1, 6))),
    VALUE_NOISE: (1.5, ((1, 4), (-9, 9), (-9, 9))),
    GRADIENT_NOISE: (2, ((1, 4), (-9, 9), (-9, 9))),
    CELLS: (1, ((1, 4), (-9, 9), (-9, 9))),
    DISC: (1, ((0.2, 0.9),)),
    BOX: (1, ((0.2, 0.9), (0.2, 0.9))),
    TRAP: (0.7, ((-1, 0.4), (-0.8, 0.8), (0.7, 1.5))),
    ESCAPE: (0.7, ((-1, 0.4), (-0.8, 0.8), (0.7, 1.5))),
    SINE: (3, ((0.3, 1.2), (0, 1))),
    DISTANCE: (1, ((-0.4, 0.4),)),
    FRACTION: (0.7, ((0.5, 2), (0, 1))),
    TRIANGLE: (1, ((0.5, 2), (0, 1))),
    POWER: (1, ()),
    ROOT: (0.5, ()),
    STEP: (1.5, ((-0.4, 0.4), (0.05, 0.6))),
    SQUASH: (1, ((0.5, 4),)),
    SUM: (3, ((0.3, 0.9), (0.3, 0.9))),
    PRODUCT: (2, ()),
    LEAST: (1, ()),
    MOST: (1, ()),
    BLEND: (2, ((0.5, 2),)),
}
"""Weight of each operation among those of its kind, and the ranges of its numbers."""
FIRST_IS_FLAT = {38, 201, 460}
"""Categories whose first program is flat. Testing the programs of all categories would take longer than making them."""
NUMBERS = 4
"""Maximum number of numbers of an operation."""
EXPENSIVE, MOST_EXPENSIVE = (VALUE_NOISE, GRADIENT_NOISE, CELLS, TRAP, ESCAPE), 4
"""Operations that take ten times as long as the others, and the maximum number of them in a program."""


@dataclass(frozen=True)
class Program:
    """A program of the virtual machine."""

    code: NDArray[np.int32]
    """Operation, output register, and up to three input registers or options of each step: int32 [step, 5]."""
    numbers: NDArray[np.float64]
    """Mean, slope over time, and amplitude, frequency and phase of an oscillation, of each number of a step: float64
    [step, NUMBERS, 5]."""
    colours: NDArray[np.float64]
    """The same for mean, amplitude, frequency and phase of the palette's three channels: float64 [3, 4, 5]."""
    shape: int
    """Register that is the input of the palette."""
    shade: int
    """Register that changes the brightness."""


@dataclass(frozen=True, kw_only=True)
class Shaders(Family):
    """Random procedural programs similar to those of Shaders21k, but not the same; a class is a program."""

    source: ClassVar[str] = "synpat, after Baradad et al., Procedural image programs, 2022"
    published_size: ClassVar[Size | None] = 256, 256
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {"time": (0, 1000), "jitter": (0, 1)}

    category: int
    """Number of the program, or of the file in `folder`."""
    time: float
    """Time at which the program is rendered; published 0.1 to 10."""
    jitter: float = JITTER
    """Standard deviation of the random factor of each number of the program. Not used for files in `folder`."""
    folder: str = ""
    """Folder of GLSL files to run instead of the random programs, one class each: see docs/render.md. Their
    pixels depend on the OpenGL driver."""
    sha256: str = ""
    """SHA-256 of the files in the folder, recorded when rendering starts. Afterwards the set accepts no other files."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(category=category, time=rng.uniform(0.1, 10))

    @classmethod
    def resolved_parameters(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        if not given.get("folder"):
            return dict(given)
        check_shaders(given["folder"])
        return {"sha256": shader_files(given["folder"])[1], **given}

    @classmethod
    def categories_with(cls, given: Mapping[str, Any]) -> int:
        return len(shader_files(given["folder"])[0]) if given.get("folder") else cls.categories

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        categories = self.categories_with({"folder": self.folder})
        if not 0 <= self.category < categories:
            raise InputError(f"category must be between 0 and {categories - 1}, got {self.category}")
        if self.folder:
            files, sha256 = shader_files(self.folder)
            if self.sha256 not in ("", sha256):
                raise InputError(
                    f"the shaders in {self.folder!r} have changed since the set was started: restore them, or start "
                    "another set"
                )
            return run_shader(files[self.category], self.time, height, width)
        return run(_program(self.category), rng, height, width, time=self.time, jitter=self.jitter)


def run(
    program: Program, rng: np.random.Generator, height: int, width: int, *, time: float, jitter: float = 0.0
) -> Image:
    """Return the image of a program at a time, uint8 [height, width, 3].

    Raises Rejected if it is flat or not finite.
    """
    image = np.empty((height, width, 3), np.uint8)
    numbers, colours = (_at(values, rng, time, jitter) for values in (program.numbers, program.colours))
    registers = np.empty((2 * len(program.code) + 4, STRIP), np.float32)
    # In a square image both axes span -1..1. In a long image the longer axis shows more of the plane, but only by the
    # square root of the aspect ratio, and stretches it by the rest: details far from the origin are too fine to see.
    reach_y, reach_x = (np.sqrt(side / min(height, width)) for side in (height, width))
    finite = _execute(
        image.reshape(-1, 3),
        width,
        np.float32(2 * reach_y / height),
        np.float32(2 * reach_x / width),
        program.code,
        numbers,
        colours,
        program.shape,
        program.shade,
        registers,
    )
    if not finite:
        raise Rejected("not finite")
    histogram = _histogram(image.reshape(-1, 3))
    share = histogram / histogram.sum()
    levels = np.arange(256)
    deviation = np.sqrt(max(share @ levels**2 - (share @ levels) ** 2, 0))
    if deviation < LEAST_DEVIATION or np.count_nonzero(histogram) < LEAST_LEVELS or share.max() > MOST_EQUAL:
        raise Rejected("flat")
    return image


def _at(values: NDArray[np.float64], rng: np.random.Generator, time: float, jitter: float) -> NDArray[np.float32]:
    """Return the numbers of a program at a time: float32, the shape of `values` without the last axis."""
    mean, slope, swing, speed, phase = (values[..., n] for n in range(5))
    varied = mean * (1 + jitter * rng.standard_normal(mean.shape))
    return (varied + slope * time + swing * np.sin(2 * np.pi * (speed * time + phase))).astype(np.float32)


@lru_cache(maxsize=Shaders.categories)
def _program(category: int) -> Program:
    """Return the first program of the category's random sequence that is not flat."""
    rng = category_generator("shaders", category)
    while True:
        program = random_program(rng)
        if category not in FIRST_IS_FLAT or not is_flat(program, rng):
            return program


def is_flat(program: Program, rng: np.random.Generator) -> bool:
    """Return True if a small image of a program is rejected at any of four times."""
    try:
        for time in (0.5, 3, 6, 9):
            run(program, rng, 32, 48, time=time)
    except Rejected:
        return True
    return False


def random_program(rng: np.random.Generator) -> Program:
    """Return a random program of about 10 to 60 steps, all of which affect the image."""
    grower = _Grower(rng)
    steps = grower.integer(10, 61)
    shape = grower.number(steps - steps // 4)
    shade = grower.number(steps // 4)
    # middle, amplitude, frequency and phase of each channel
    ranges = ((0.35, 0.65), (0.3, 0.5), (0.2, 0.7), (0, 1))
    return Program(
        code=np.array(grower.code, np.int32),
        numbers=np.array(grower.numbers),
        colours=np.array([grower.moving(ranges) for _ in range(3)]),
        shape=shape,
        shade=shade,
    )


class _Grower:
    """Generator of the steps of a random program. It starts at the result and adds the inputs of a step before it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.random = _uniforms(rng).__next__
        self.code: list[tuple[int, ...]] = []
        self.numbers: list[list[tuple[float, ...]]] = []
        self.planes = [0]
        """First registers of the existing planes, which are pairs of registers; 0 is the plane of the image."""
        self.expensive = 0

    def number(self, steps: int) -> int:
        """Add about `steps` steps that compute a number. Return its register."""
        if steps < 3 or self.random() < 0.15:
            plane = self.plane(min(steps - 1, 6))
            # The options of noise are the number of octaves and the seed of the hash.
            return self.step(self.choice(_SOURCES), plane, self.integer(1, 5), self.integer(0, 2**30))
        if self.random() < 0.3:
            return self.step(self.choice(_CURVES), self.number(steps - 1))
        operation = self.choice(_COMBINERS)
        parts = 3 if operation == BLEND else 2
        first, second, *third = (self.number((steps - 1) // parts) for _ in range(parts))
        return self.step(operation, first, second, *third)

    def plane(self, steps: int) -> int:
        """Add about `steps` steps that compute a plane. Return the first register of the pair."""
        if steps < 1:
            return self.planes[self.integer(0, len(self.planes))]
        operation = self.choice(_PLANES)
        if operation == WARP and steps > 2:
            reads = (self.plane(steps - 3), self.number(1), self.number(1))
        else:
            operation = ROTATE if operation == WARP else operation
            reads = (self.plane(steps - 1),)
        self.planes.append(self.step(operation, *reads))
        return self.planes[-1]

    def step(self, operation: int, *reads: int) -> int:
        register = 2 + 2 * len(self.code)
        self.code.append((operation, register, *reads, *[0] * (3 - len(reads))))
        self.numbers.append(self.moving(_CHOICES[operation][1]))
        self.expensive += operation in EXPENSIVE
        return register

    def choice(self, operations: range) -> int:
        allowed, cumulative = _odds(operations, self.expensive < MOST_EXPENSIVE)
        return allowed[bisect_right(cumulative, self.random())]

    def integer(self, low: int, high: int) -> int:
        return low + int((high - low) * self.random())

    def moving(self, ranges: tuple[tuple[float, float], ...]) -> list[tuple[float, ...]]:
        """Draw numbers in ranges. Some of them drift or oscillate over time: [NUMBERS, 5], see Program.numbers."""
        values, random = [_UNUSED] * NUMBERS, self.random
        for i, (low, high) in enumerate(ranges):
            mean, kind = low + (high - low) * random(), random()
            if kind < 0.6 and (low, high) == (0, 1):  # a phase or an angle, in turns
                values[i] = mean, -0.1 + 0.2 * random(), 0.0, 0.0, 0.0
            elif kind < 0.4:
                values[i] = mean, 0.0, (high - low) / 6 * random(), 0.02 + 0.28 * random(), random()
            else:
                values[i] = mean, 0.0, 0.0, 0.0, 0.0
        return values


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    """Yield random numbers in 0..1. They are drawn in blocks, because single draws take as long as a program step."""
    while True:
        yield from rng.random(256).tolist()


@cache
def _odds(operations: range, with_expensive: bool) -> tuple[list[int], list[float]]:
    """Return the operations of a kind that are allowed, and their cumulative probabilities, which end at 1."""
    allowed = [o for o in operations if with_expensive or o not in EXPENSIVE]
    weights = np.array([_CHOICES[o][0] for o in allowed])
    chances = np.cumsum(weights / weights.sum())
    return allowed, (chances / chances[-1]).tolist()


_UNUSED = (0.0,) * 5


# In numpy's error model a division does not check for 0. Such a check would prevent the vectorisation of loops.
@njit(cache=True, error_model="numpy")
def _execute(image, width, pixel_y, pixel_x, code, numbers, colours, shape, shade, registers):
    """Run a program on every pixel. Return False if a result is not finite.

    image: uint8 [pixel, 3], output. pixel_y, pixel_x: size of a pixel in the plane. code: int32 [step, 5]. numbers:
    float32 [step, NUMBERS]. colours: float32 [3, 4]. registers: float32 [register, STRIP], work space.
    """
    height = len(image) // width
    finite = True
    for start in range(0, len(image), STRIP):
        n = min(STRIP, len(image) - start)
        u, v = registers[0, :n], registers[1, :n]
        for i in range(n):
            y, x = (start + i) // width, (start + i) % width
            u[i] = (np.float32(x) - np.float32(0.5) * np.float32(width - 1)) * pixel_x
            v[i] = (np.float32(y) - np.float32(0.5) * np.float32(height - 1)) * pixel_y
        for k in range(len(code)):
            operation, out, a, b, c = code[k]
            p = numbers[k]
            one, two = registers[out, :n], registers[out + 1, :n]
            if operation <= SWIRL:
                u, v = registers[a, :n], registers[a + 1, :n]
                if operation == WARP:
                    s, t = registers[b, :n], registers[c, :n]
                    for i in range(n):
                        one[i], two[i] = u[i] + p[0] * s[i], v[i] + p[1] * t[i]
                else:
                    _turn_plane(operation, one, two, u, v, p)
            elif operation <= ESCAPE:
                u, v = registers[a, :n], registers[a + 1, :n]
                if operation in (VALUE_NOISE, GRADIENT_NOISE):
                    _noise(one, u, v, p, b, np.uint32(c), operation == GRADIENT_NOISE)
                elif operation == CELLS:
                    _cells(one, u, v, p, np.uint32(c))
                else:
                    _read_plane(operation, one, u, v, p, registers[-2:])
            elif operation <= SQUASH:
                _bend(operation, one, registers[a, :n], p)
            else:
                _combine(operation, one, registers[a, :n], registers[b, :n], registers[c, :n], p)
        s, t, level = registers[shape, :n], registers[shade, :n], registers[-1, :n]
        for channel in range(3):
            middle, amplitude, frequency, phase = colours[channel]
            for i in range(n):
                light = np.float32(0.75) + np.float32(0.25) * min(max(t[i], np.float32(-1)), np.float32(1))
                level[i] = np.float32(255) * light * (middle + amplitude * _sine(frequency * s[i] + phase))
            for i in range(n):
                finite &= abs(level[i]) < np.float32(1e6)
            for i in range(n):
                image[start + i, channel] = np.uint8(
                    min(max(level[i], np.float32(0)), np.float32(255)) + np.float32(0.5)
                )
        if not finite:
            return False
    return True


@njit(cache=True, error_model="numpy", inline="always")
def _sine(turns):
    """Return the sine of a float32 angle in turns, accurate to 1e-6."""
    quarter = turns - np.float32(0.25)
    z = abs(quarter - np.floor(quarter) - np.float32(0.5)) - np.float32(0.25)
    w = z * z
    return z * (
        np.float32(6.28316394)
        + w * (np.float32(-41.33712892) + w * (np.float32(81.34032878) + w * np.float32(-70.9893212)))
    )


@njit(cache=True, error_model="numpy", inline="always")
def _half_angle(v, u):
    """Return the unsigned angle between (u, v) and (1, 0): 0 to 0.5 turns, accurate to 2e-6."""
    low, high = min(abs(u), abs(v)), max(abs(u), abs(v))
    m = low / max(high, np.float32(1e-12))
    w = m * m
    angle = m * (
        np.float32(0.15913564)
        + w
        * (
            np.float32(-0.0525856)
            + w * (np.float32(0.02871321) + w * (np.float32(-0.01359259) + w * np.float32(0.00333111)))
        )
    )
    angle = angle if abs(v) <= abs(u) else np.float32(0.25) - angle
    return angle if u >= 0 else np.float32(0.5) - angle


@njit(cache=True, error_model="numpy", inline="always")
def _triangle(x):
    """Return a continuous triangle wave of period 2 between -1 and 1."""
    x = x * np.float32(0.5)
    return np.float32(4) * abs(x - np.floor(x + np.float32(0.5))) - np.float32(1)


@njit(cache=True, error_model="numpy")
def _turn_plane(operation, one, two, u, v, p):
    """Transform the plane (u, v) to (one, two): float32 [n] each. p: float32 [NUMBERS]."""
    p0, p1, p2, p3 = p
    n = len(u)
    tiny, unit, far = np.float32(1e-6), np.float32(1), np.float32(64)
    sine, cosine = _sine(p0), _sine(p0 + np.float32(0.25))
    if operation == ROTATE:
        for i in range(n):
            one[i] = p1 * (cosine * u[i] - sine * v[i]) + p2
            two[i] = p1 * (sine * u[i] + cosine * v[i]) + p3
    elif operation == POLAR:
        for i in range(n):
            one[i] = p0 * np.sqrt(u[i] * u[i] + v[i] * v[i]) + p1
            two[i] = np.float32(2) * p2 * _half_angle(v[i], u[i])
    elif operation == FOLD:
        for i in range(n):
            beyond = np.float32(2) * min(cosine * u[i] + sine * v[i] - p1, np.float32(0))
            one[i], two[i] = u[i] - beyond * cosine, v[i] - beyond * sine
    elif operation == TILE:
        for i in range(n):
            s, t = p0 * u[i] + p1, p2 * v[i] + p3
            one[i] = np.float32(2) * (s - np.floor(s)) - unit
            two[i] = np.float32(2) * (t - np.floor(t)) - unit
    elif operation == MIRROR:
        for i in range(n):
            one[i], two[i] = _triangle(p0 * u[i] + p1), _triangle(p2 * v[i] + p3)
    elif operation == INVERT:
        for i in range(n):
            scale = p0 / (u[i] * u[i] + v[i] * v[i] + max(p1, np.float32(0.05)))
            one[i], two[i] = scale * u[i], scale * v[i]
    elif operation == SQUARE:
        for i in range(n):
            one[i] = min(max(u[i] * u[i] - v[i] * v[i] + p0, -far), far)
            two[i] = min(max(np.float32(2) * u[i] * v[i] + p1, -far), far)
    else:  # SWIRL
        for i in range(n):
            turn = p0 / (unit + max(p1, tiny) * (u[i] * u[i] + v[i] * v[i]))
            s, c = _sine(turn), _sine(turn + np.float32(0.25))
            one[i], two[i] = c * u[i] - s * v[i], s * u[i] + c * v[i]


@njit(cache=True, error_model="numpy")
def _read_plane(operation, one, u, v, p, scratch):
    """Compute one from the plane (u, v): float32 [n] each. p: float32 [NUMBERS]. scratch: [2, STRIP], work space."""
    p0, p1, p2, _ = p
    n = len(u)
    unit, far = np.float32(1), np.float32(16)
    if operation == STRIPES:
        for i in range(n):
            one[i] = _sine(p0 * u[i] + p1 * v[i] + p2)
    elif operation == RINGS:
        for i in range(n):
            one[i] = _sine(p0 * np.sqrt(u[i] * u[i] + v[i] * v[i]) + p1)
    elif operation == CHECKER:
        for i in range(n):
            one[i] = min(max(p2 * _sine(p0 * u[i]) * _sine(p1 * v[i]), -unit), unit)
    elif operation == DISC:
        for i in range(n):
            one[i] = np.sqrt(u[i] * u[i] + v[i] * v[i]) - p0
    elif operation == BOX:
        for i in range(n):
            one[i] = max(abs(u[i]) - p0, abs(v[i]) - p1)
    else:  # TRAP, ESCAPE: smallest distance to 0 of the orbit of the quadratic map, or how long it stays near 0
        y, x = scratch[0, :n], scratch[1, :n]
        for i in range(n):
            y[i], x[i], one[i] = v[i] * p2, u[i] * p2, far if operation == TRAP else np.float32(0)
        for _ in range(12):
            for i in range(n):
                yy, xx = np.float32(2) * x[i] * y[i] + p1, x[i] * x[i] - y[i] * y[i] + p0
                y[i], x[i] = min(max(yy, -far), far), min(max(xx, -far), far)
            if operation == TRAP:
                for i in range(n):
                    one[i] = min(one[i], x[i] * x[i] + y[i] * y[i])
            else:
                for i in range(n):
                    one[i] += unit / (unit + x[i] * x[i] + y[i] * y[i])
        if operation == TRAP:
            for i in range(n):
                one[i] = np.float32(2) * np.sqrt(one[i]) - unit
        else:
            for i in range(n):
                one[i] = one[i] * np.float32(1 / 6) - unit


@njit(cache=True, error_model="numpy")
def _bend(operation, one, s, p):
    """Compute one from s: float32 [n] each. p: float32 [NUMBERS]."""
    p0, p1, _, _ = p
    n = len(s)
    unit = np.float32(1)
    if operation == SINE:
        for i in range(n):
            one[i] = _sine(p0 * s[i] + p1)
    elif operation == DISTANCE:
        for i in range(n):
            one[i] = abs(s[i] - p0)
    elif operation == FRACTION:
        for i in range(n):
            t = p0 * s[i] + p1
            one[i] = np.float32(2) * (t - np.floor(t)) - unit
    elif operation == TRIANGLE:
        for i in range(n):
            one[i] = _triangle(p0 * s[i] + p1)
    elif operation == POWER:
        for i in range(n):
            one[i] = min(s[i] * abs(s[i]), np.float32(64))
    elif operation == ROOT:
        for i in range(n):
            one[i] = np.sqrt(abs(s[i]))
    elif operation == STEP:
        for i in range(n):
            t = min(max((s[i] - p0) / max(p1, np.float32(0.01)), np.float32(0)), unit)
            one[i] = t * t * (np.float32(6) - np.float32(4) * t) - unit
    else:  # SQUASH
        for i in range(n):
            one[i] = p0 * s[i] / (unit + abs(p0 * s[i]))


@njit(cache=True, error_model="numpy")
def _combine(operation, one, s, t, w, p):
    """Compute one from s, t and w: float32 [n] each. p: float32 [NUMBERS]."""
    p0, p1, _, _ = p
    n = len(s)
    if operation == SUM:
        for i in range(n):
            one[i] = p0 * s[i] + p1 * t[i]
    elif operation == PRODUCT:
        for i in range(n):
            one[i] = min(max(s[i] * t[i], np.float32(-64)), np.float32(64))
    elif operation == LEAST:
        for i in range(n):
            one[i] = min(s[i], t[i])
    elif operation == MOST:
        for i in range(n):
            one[i] = max(s[i], t[i])
    else:  # BLEND
        for i in range(n):
            share = min(max(np.float32(0.5) + p0 * w[i], np.float32(0)), np.float32(1))
            one[i] = s[i] + share * (t[i] - s[i])


@njit(cache=True, error_model="numpy", inline="always")
def _hash(row, column, seed):
    """Return a 32-bit hash of a point of the integer lattice and a seed."""
    h = np.uint32(np.uint32(row) * np.uint32(0x9E3779B1)) ^ np.uint32(np.uint32(column) * np.uint32(0x85EBCA77)) ^ seed
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32((h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    return np.uint32(h ^ (h >> np.uint32(15)))


@njit(cache=True, error_model="numpy", inline="always")
def _corner(row, column, seed, y, x, gradient):
    """Return the contribution of a lattice point at offset (x, y): its value in -1..1, or gradient times offset."""
    h = _hash(row, column, seed)
    first = np.float32(np.int32(h & np.uint32(0xFFFF))) * np.float32(1 / 32768) - np.float32(1)
    second = np.float32(np.int32(h >> np.uint32(16))) * np.float32(1 / 32768) - np.float32(1)
    return first * x + second * y if gradient else first


@njit(cache=True, error_model="numpy")
def _noise(one, u, v, p, octaves, seed, gradient):
    """Fill one with value or gradient noise at (u, v): float32 [n] each.

    p: frequency and offset, float32 [NUMBERS]. octaves: int32. seed: uint32.
    """
    far = np.float32(30000)
    one[:] = np.float32(0)
    frequency, amplitude = p[0], np.float32(1.5) if gradient else np.float32(0.8)
    for _ in range(octaves):
        for i in range(len(u)):
            x, y = min(max(frequency * u[i] + p[1], -far), far), min(max(frequency * v[i] + p[2], -far), far)
            left, top = np.floor(x), np.floor(y)
            column, row = np.int32(left), np.int32(top)
            x, y = x - left, y - top
            right, bottom = x - np.float32(1), y - np.float32(1)
            fade_x = x * x * (np.float32(3) - np.float32(2) * x)
            fade_y = y * y * (np.float32(3) - np.float32(2) * y)
            upper = _corner(row, column, seed, y, x, gradient)
            upper += fade_x * (_corner(row, column + 1, seed, y, right, gradient) - upper)
            lower = _corner(row + 1, column, seed, bottom, x, gradient)
            lower += fade_x * (_corner(row + 1, column + 1, seed, bottom, right, gradient) - lower)
            one[i] += amplitude * (upper + fade_y * (lower - upper))
        frequency, amplitude = np.float32(2) * frequency, np.float32(0.5) * amplitude
        seed = np.uint32(seed + np.uint32(1))


@njit(cache=True, error_model="numpy")
def _cells(one, u, v, p, seed):
    """Fill one with the scaled distance to the nearest point of a grid with one random point per cell, about -1 to 1.

    one, u, v: float32 [n]. p: frequency and offset, float32 [NUMBERS]. seed: uint32.
    """
    far = np.float32(30000)
    for i in range(len(u)):
        x, y = min(max(p[0] * u[i] + p[1], -far), far), min(max(p[0] * v[i] + p[2], -far), far)
        left, top = np.floor(x), np.floor(y)
        nearest = np.float32(8)
        for neighbour in range(9):
            down, across = neighbour // 3 - 1, neighbour % 3 - 1
            h = _hash(np.int32(top) + down, np.int32(left) + across, seed)
            dx = left + np.float32(across) - x + np.float32(np.int32(h & np.uint32(0xFFFF))) * np.float32(1 / 65536)
            dy = top + np.float32(down) - y + np.float32(np.int32(h >> np.uint32(16))) * np.float32(1 / 65536)
            nearest = min(nearest, dx * dx + dy * dy)
        one[i] = np.float32(2) * np.sqrt(nearest) - np.float32(1)


@njit(cache=True, error_model="numpy")
def _histogram(image):
    """Return the number of pixels of each brightness (Rec. 601): int64 [256], of uint8 [pixel, 3]."""
    histogram = np.zeros(256, np.int64)
    for i in range(len(image)):
        histogram[(299 * image[i, 0] + 587 * image[i, 1] + 114 * image[i, 2] + 500) // 1000] += 1
    return histogram
