"""Iterated function systems drawn by their singular values, in colour on a plasma background.

Anderson and Farrell, "Improving fractal pre-training", 2022: the systems are contracting by construction, because the
singular values of their maps are drawn for a given sigma factor. The background is the plasma of Fournier, Fussell and
Carpenter, "Computer rendering of stochastic models", 1982 (diamond-square). A long image is divided into squares; each
has one instance, on a common background.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Size, category_generator

DENSITY = 100_000 / 224**2
"""Points of the orbit per pixel in the published setting."""
PLASMA_STEPS = 1024
"""Number of colours per unit of the plasma, for values from -0.5 to 1.5. Plasma is seldom outside 0..1."""
JITTERS = 4
"""Number of attempts to scale a map at random such that it remains contracting."""


@dataclass(frozen=True, kw_only=True)
class IFS(Family):
    """Attractors of contracting affine systems on a plasma background; a class is a system."""

    source: ClassVar[str] = "Anderson and Farrell, Improving fractal pre-training, 2022"
    published_size: ClassVar[Size | None] = 224, 224
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {"category": (0, 999), "density": (0.001, 100)}

    category: int
    """Number of the system."""
    colour: bool = True
    """True if the density of the points is shown as hue, on a background; False if as grey level, on black."""
    density: float = DENSITY
    """Points of the orbit per pixel of the image."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(category=category)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        squares = round(max(height, width) / min(height, width))
        side = np.array([height / squares, width] if height > width else [height, width / squares])
        image = np.zeros((height, width, 3), np.uint8)
        if self.colour:
            _colour(image, _plasma(rng, height, width), _background_palette(rng))
        for square in range(squares):
            maps = jittered(system(self.category), rng)
            orbit, box = _orbit(maps, rng, max(int(self.density * side[0] * side[1]), 1))
            flip_y, flip_x, transpose = rng.random(3) < 0.5
            if transpose:
                orbit, box = orbit[::-1], box[::-1]
            # The window is 0.5 to 2 times as large as the attractor. Its centre is up to a fifth of the attractor's
            # extent away from the attractor's middle.
            low, extent = box[:, 0], np.maximum(box[:, 1] - box[:, 0], 1e-9)
            middle = low + extent * (0.5 + rng.uniform(-0.2, 0.2, 2))
            scale = side / (extent * rng.uniform(0.5, 2, 2)) * np.where([flip_y, flip_x], -1, 1)
            place = side / 2 + np.where(side < (height, width), square * side, 0)
            palette = _foreground_palette(rng) if self.colour else _GREYS
            _paint(image, orbit, box, scale, place - middle * scale, int(rng.integers(1, 512)), palette)
        if not self.colour:
            return np.ascontiguousarray(image[:, :, 0])
        if rng.random() < 0.5:
            image = np.asarray(cv2.GaussianBlur(image, (3, 3), rng.uniform(0.5, 1)), np.uint8)
        return image


@lru_cache(maxsize=IFS.categories)
def system(category: int) -> NDArray[np.float64]:
    """Return the maps of a category: float64 [map, 6].

    (a, b, c, d, e, f) is the map (x, y) -> (a x + b y + e, c x + d y + f).
    """
    rng = category_generator("ifs", category)
    n = int(rng.integers(2, 5))
    maps = np.empty((n, 6))
    for row, (first, second) in zip(maps, singular_values(rng, n), strict=True):
        left, right = _rotation(rng), _rotation(rng)
        row[:4] = (left @ np.diag([first, second]) @ right).ravel()
    maps[:, 4:] = rng.uniform(-1, 1, (n, 2))
    return maps


def singular_values(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return pairs 1 >= first >= second >= 0 for n maps: float64 [n, 2].

    The sum of first + 2 second is between (5 + n) / 2 and (6 + n) / 2. The values are drawn one after the other, each
    from the range that the previous ones leave; p and q are the paper's bounds.
    """
    alpha = rng.uniform((5 + n) / 2, (6 + n) / 2)
    pairs = np.empty((n, 2))
    p, q = alpha, alpha - 3 * n + 3
    for pair in pairs[:-1]:
        first = rng.uniform(max(0, q / 3), min(1, p))
        p, q = p - first, q - first
        second = rng.uniform(max(0, q / 2), min(first, p / 2))
        p, q = p - 2 * second, q + 3 - 2 * second
        pair[:] = first, second
    second = rng.uniform(max(0, (p - 1) / 2), p / 3)
    pairs[-1] = p - 2 * second, second
    return pairs


def jittered(maps: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the system with one map scaled by 0.8 to 1.1, or unchanged if no attempt gives a contracting map."""
    for _ in range(JITTERS):
        scaled = maps.copy()
        which = int(rng.integers(len(maps)))
        scaled[which] *= rng.uniform(0.8, 1.1)
        a, b, c, d = scaled[which, :4]
        # The larger singular value is at most 1 if neither 1 - s1^2 s2^2 nor (1 - s1^2)(1 - s2^2) is negative.
        determinant_squared, norm_squared = (a * d - b * c) ** 2, a * a + b * b + c * c + d * d
        if determinant_squared <= 1 and 1 - norm_squared + determinant_squared >= 0:
            return scaled
    return maps


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random rotation whose columns have random signs: float64 [2, 2]."""
    angle = rng.uniform(0, 2 * np.pi)
    # Mathematical libraries differ in the last bit of sine and cosine; rounding removes the difference.
    sine, cosine = round(float(np.sin(angle)), 12), round(float(np.cos(angle)), 12)
    return np.array([[cosine, -sine], [sine, cosine]]) * rng.choice([-1.0, 1.0], 2)


def _orbit(
    maps: NDArray[np.float64], rng: np.random.Generator, points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Play the chaos game from the fixed point of the first map.

    Returns the points, float64 [2, point], y and x, and the smallest and largest value of each, float64 [2, 2].
    """
    share = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2])
    thresholds = np.full(3, 2**32)
    thresholds[: len(maps) - 1] = 2.0**32 * (np.cumsum(share) / np.sum(share))[:-1]
    orbit, box = np.empty((2, points)), np.empty((2, 2))
    _iterate(orbit, box, maps, thresholds, rng.integers(0, 2**32, points, np.uint32))
    return orbit, box


@njit(cache=True)
def _iterate(orbit, box, maps, thresholds, words):
    """Fill orbit and box: see `_orbit`.

    orbit: float64 [2, n]. box: float64 [2, 2]. maps: float64 [map, 6]. thresholds: int64 [3]. words: uint32 [n].
    """
    a, b, c, d, e, f = maps[0]
    determinant = (1 - a) * (1 - d) - b * c
    x, y = ((1 - d) * e + b * f) / determinant, (c * e + (1 - a) * f) / determinant
    low_y, high_y, low_x, high_x = y, y, x, x
    for n in range(len(words)):
        number = np.int64(words[n])
        k = (number >= thresholds[0]) + (number >= thresholds[1]) + (number >= thresholds[2])
        orbit[0, n], orbit[1, n] = y, x
        low_y, high_y, low_x, high_x = min(low_y, y), max(high_y, y), min(low_x, x), max(high_x, x)
        x, y = maps[k, 0] * x + maps[k, 1] * y + maps[k, 4], maps[k, 2] * x + maps[k, 3] * y + maps[k, 5]
    box[0, 0], box[0, 1], box[1, 0], box[1, 1] = low_y, high_y, low_x, high_x


@njit(cache=True)
def _paint(image, orbit, box, scale, offset, stencil, palette):
    """Count the points in each pixel, spread the counts over a 3x3 stencil, and paint pixels with a count above 0.

    image: uint8 [height, width, 3], drawn into. orbit: float64 [2, n], converted to pixels by scale and offset, float64
    [2]. box: float64 [2, 2], smallest and largest y and x of the orbit. stencil: nine bits. palette: uint8 [256, 3],
    colours of the counts from 0 to the highest.
    """
    height, width, _ = image.shape
    ends_y, ends_x = box[0] * scale[0] + offset[0], box[1] * scale[1] + offset[1]
    # Only this part of the image can contain points; the stencils reach one pixel further on each side.
    top, left = max(int(np.floor(min(ends_y))), 0), max(int(np.floor(min(ends_x))), 0)
    bottom, right = min(int(np.floor(max(ends_y))) + 1, height), min(int(np.floor(max(ends_x))) + 1, width)
    rows, columns = max(bottom - top, 0), max(right - left, 0)
    counts = np.zeros((rows + 4, columns + 4), np.int32)
    scale_y, scale_x, offset_y, offset_x = scale[0], scale[1], offset[0] - top, offset[1] - left
    for n in range(orbit.shape[1]):
        y, x = orbit[0, n] * scale_y + offset_y, orbit[1, n] * scale_x + offset_x
        if 0 <= y < rows and 0 <= x < columns:
            counts[int(y) + 2, int(x) + 2] += 1
    spread = np.zeros((rows + 2, columns + 2), np.int32)
    for bit in range(9):
        if stencil >> bit & 1:
            for row in range(rows + 2):
                source = counts[row + bit // 3, bit % 3 : bit % 3 + columns + 2]
                line = spread[row]
                for column in range(columns + 2):
                    line[column] += source[column]
    most = 1
    for row in range(rows + 2):
        for column in range(columns + 2):
            most = max(most, spread[row, column])
    shades = 255 / most + 1e-12  # so that the highest count becomes 255 in spite of rounding
    for row in range(max(1 - top, 0), min(rows + 2, height - top + 1)):
        for column in range(max(1 - left, 0), min(columns + 2, width - left + 1)):
            count = spread[row, column]
            if count:
                colour = palette[int(count * shades)]
                for channel in range(3):
                    image[row + top - 1, column + left - 1, channel] = colour[channel]


def _plasma(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return plasma noise, mostly in 0..1: float32 [height, width]."""
    step = 1 << (min(height, width) - 1).bit_length()
    rows, columns = -(-height // step), -(-width // step)
    noise = rng.random((rows * step + 1, columns * step + 1), np.float32)
    _diamond_square(noise, step, float(rng.uniform(0.4, 0.8)))
    return noise[:height, :width]


@njit(cache=True)
def _diamond_square(noise, step, decay):
    """Turn uniform noise into plasma in place, with periodic borders.

    noise: float32 [rows * step + 1, columns * step + 1] in 0..1. decay: whenever the step is halved, the amplitude is
    multiplied by exp(-decay).
    """
    height, width = noise.shape
    amplitude = 0.5
    while step > 1:
        half = step // 2
        shift = np.float32(2 * amplitude)
        for y in range(half, height, step):
            for x in range(half, width, step):
                corners = noise[y - half, x - half] + noise[y - half, x + half]
                corners += noise[y + half, x - half] + noise[y + half, x + half]
                noise[y, x] = corners * np.float32(0.25) + shift * (noise[y, x] - np.float32(0.5))
        for y in range(0, height, half):
            above, below = y - half if y else height - 1 - half, y + half if y + half < height else half
            for x in range(half if y % step == 0 else 0, width, step):
                before, after = x - half if x else width - 1 - half, x + half if x + half < width else half
                sides = noise[above, x] + noise[below, x] + noise[y, before] + noise[y, after]
                noise[y, x] = sides * np.float32(0.25) + shift * (noise[y, x] - np.float32(0.5))
        step, amplitude = half, amplitude * np.exp(-decay)


@njit(cache=True)
def _colour(image, plasma, palette):
    """Fill image with the colours of plasma.

    image: uint8 [height, width, 3], output. plasma: float32 [height, width]. palette: uint8 [2 * PLASMA_STEPS, 3], the
    colours from -0.5 to 1.5.
    """
    for y in range(plasma.shape[0]):
        for x in range(plasma.shape[1]):
            step = int((plasma[y, x] + np.float32(0.5)) * np.float32(PLASMA_STEPS))
            colour = palette[min(max(step, 0), 2 * PLASMA_STEPS - 1)]
            for channel in range(3):
                image[y, x, channel] = colour[channel]


def _background_palette(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the colours of plasma from -0.5 to 1.5: uint8 [2 * PLASMA_STEPS, 3]."""
    plasma = np.arange(2 * PLASMA_STEPS) / PLASMA_STEPS - 0.5
    hue = rng.uniform(0.25, 1) * plasma + rng.uniform(0, 1)
    saturation = rng.uniform(0.1, 0.3) * plasma + rng.uniform(0.4, 0.6)
    value = rng.uniform(0.3, 0.6) * plasma + rng.uniform(0.4, 0.6)
    return _rgb(_turns(np.floor(255 * hue)), saturation, value)


def _foreground_palette(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the colours of the attractor from its lowest to its highest density: uint8 [256, 3]."""
    hue = _turns(np.arange(256) + int(rng.integers(256)))
    return _rgb(hue, np.full(256, rng.uniform(0.3, 1)), np.full(256, rng.uniform(0.5, 1)))


def _turns(hue: NDArray[Any]) -> NDArray[np.float64]:
    """Return the hue of whole numbers in turns.

    The published hue is the number modulo 256, in OpenCV's unit of 2 degrees: 180 is a full turn, and 256 a jump.
    """
    return hue % 256 / 180


def _rgb(hue: NDArray[np.float64], saturation: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Convert hues in turns, and saturations and values clipped to 0..1, to RGB: uint8 [n, 3]."""
    saturation, value = np.clip(saturation, 0, 1), np.clip(value, 0, 1)
    # Each channel is a trapezoid function of the hue, shifted by a third of a turn from channel to channel.
    distance = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3)
    share = np.clip(distance - 1, 0, 1)
    return (255 * value[:, None] * (1 - saturation[:, None] * (1 - share)) + 0.5).astype(np.uint8)


_GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
"""Palette of grey levels, used without colour."""
