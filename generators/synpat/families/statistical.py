"""Statistical image models: noise with imposed statistics of natural images, in a random colour space.

Baradad et al., "Learning to see by looking at noise", 2021, with the settings of its published data sets. The spectrum
is a power law; the wavelet marginals follow Simoncelli and Freeman, "The steerable pyramid", 1995; the colours are
those of a random image, decorrelated.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Size
from synpat.painting.eigenvectors import eigenvectors
from synpat.painting.fourier import (
    Pairs,
    images_of,
    invert,
    join,
    pairs_of,
    split,
    transform,
)
from synpat.painting.steerable_pyramid import ORIENTATIONS, Pyramid, level_count

SOURCE = "Baradad et al., Learning to see by looking at noise, 2021"
PUBLISHED_SIZE = 128, 128
"""Size of the small data sets, with 105,000 images each. The large ones, with 1.3 million images, have 256x256."""
COLOUR_BINS = 256
"""Number of bins of the histograms of colours."""
COEFFICIENTS = np.arange(-200, 200.5, 0.5)
"""Wavelet coefficients at which their density is sampled."""
STEEPEST = 4
"""Largest valid slope of a spectrum. Published slopes are smaller; larger ones exceed single precision in long
images."""
SLOPES = {"slope_y": (0, STEEPEST), "slope_x": (0, STEEPEST)}
ITERATIONS = {"iterations": (1, 1000)}
_LOG_COEFFICIENTS = np.log(np.maximum(COEFFICIENTS[400:], 1e-300))


@dataclass(frozen=True)
class Histogram:
    """A distribution with bins of equal width, uniform within each bin."""

    low: float
    """First edge."""
    high: float
    """Last edge."""
    cumulative: NDArray[np.float64]
    """Share of the weight below each edge, [bins + 1], strictly increasing from 0 to 1."""
    deviation: float = 0.0
    """Standard deviation to which matched values are scaled; 0 for no scaling."""


@dataclass(frozen=True, kw_only=True)
class Spectrum(Family):
    """Noise whose Fourier magnitude decreases as a power of the frequency, in three rotated colour channels."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 3
    bounds: ClassVar[Bounds] = SLOPES

    slope_y: float
    """Exponent with which the magnitude decreases with the frequency along the height; published about 0.5 to 3.5."""
    slope_x: float
    """Exponent with which the magnitude decreases with the frequency along the width; published about 0.5 to 3.5."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        mean, axes = _colour_space(_colour_bands(rng, height, width))
        pairs = _noise(rng, height, width)
        # The published loop does this ten times. It keeps phase, mean and deviation, so once gives the same result.
        _impose_spectrum(pairs, self.slope_y, self.slope_x)
        return _stretched_rgb(pairs, mean, axes)


@dataclass(frozen=True, kw_only=True)
class Wmm(Family):
    """Noise whose wavelet coefficients are distributed like those of natural images (wavelet marginal model)."""

    source: ClassVar[str] = f"{SOURCE}; Simoncelli and Freeman, The steerable pyramid, 1995"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 3
    bounds: ClassVar[Bounds] = ITERATIONS

    iterations: int = 10
    """Number of times that the statistics are imposed; published 10."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        levels, rows, columns = _pyramid_size(height, width)
        mean, axes = _colour_space(_colour_bands(rng, rows, columns))
        pyramid, marginals = Pyramid(3, rows, columns, levels), _marginals(rng, levels)
        pairs = _noise(rng, rows, columns)
        for _ in range(self.iterations):
            _impose_marginals(pairs, pyramid, marginals)
        return _stretched_rgb(pairs[:, :height, :width], mean, axes)


@dataclass(frozen=True, kw_only=True)
class SpectrumColor(Family):
    """Noise with a power-law spectrum and the colours of a random image, decorrelated."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 3
    bounds: ClassVar[Bounds] = {**SLOPES, **ITERATIONS}

    slope_y: float
    """Exponent with which the magnitude decreases with the frequency along the height; published about 0.5 to 3.5."""
    slope_x: float
    """Exponent with which the magnitude decreases with the frequency along the width; published about 0.5 to 3.5."""
    iterations: int = 10
    """Number of times that the statistics are imposed; published 10."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        colours = _colour_bands(rng, height, width)
        mean, axes = _colour_space(colours)
        targets = _colour_histograms(colours, mean, axes)
        pairs = _noise(rng, height, width)
        for _ in range(self.iterations):
            _impose_spectrum(pairs, self.slope_y, self.slope_x)
            _impose_colours(pairs, targets)
        return _stretched_rgb(pairs, mean, axes)


@dataclass(frozen=True, kw_only=True)
class SpectrumColorWmm(Family):
    """Noise with a power-law spectrum, the wavelet marginals of natural images and the colours of a random one."""

    source: ClassVar[str] = f"{SOURCE}; Simoncelli and Freeman, The steerable pyramid, 1995"
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 3
    bounds: ClassVar[Bounds] = {**SLOPES, **ITERATIONS}

    slope_y: float
    """Exponent with which the magnitude decreases with the frequency along the height; published about 0.5 to 3.5."""
    slope_x: float
    """Exponent with which the magnitude decreases with the frequency along the width; published about 0.5 to 3.5."""
    iterations: int = 10
    """Number of times that the statistics are imposed; published 10."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        levels, rows, columns = _pyramid_size(height, width)
        colours = _colour_bands(rng, rows, columns)
        mean, axes = _colour_space(colours)
        targets = _colour_histograms(colours, mean, axes)
        pyramid, marginals = Pyramid(3, rows, columns, levels), _marginals(rng, levels)
        pairs = _noise(rng, rows, columns)
        # The order matters: the statistics imposed last are exact, the previous ones approximate.
        for _ in range(self.iterations):
            _impose_spectrum(pairs, self.slope_y, self.slope_x)
            _impose_marginals(pairs, pyramid, marginals)
            _impose_colours(pairs, targets)
        return _stretched_rgb(pairs[:, :height, :width], mean, axes)


def _slopes(rng: np.random.Generator) -> tuple[float, float]:
    slope, difference = rng.uniform(0.5, 3.5), rng.normal(0, 3 / 60)
    return slope - difference, slope + difference


def _pyramid_size(height: int, width: int) -> tuple[int, int, int]:
    """Return the number of levels of the pyramid, and the smallest height and width that can be halved that often.

    An image of another size is a part of a larger one.
    """
    levels = level_count(height, width)
    step = 2**levels
    return levels, -(-height // step) * step, -(-width // step) * step


def _noise(rng: np.random.Generator, height: int, width: int) -> Pairs:
    """Return three images of white noise."""
    return pairs_of(rng.random((3, height, width), np.float32) * np.float32(256))


def _impose_spectrum(pairs: Pairs, slope_y: float, slope_x: float) -> None:
    """Replace the Fourier magnitude of three images; keep the phase, and the mean and deviation of each image."""
    transform(pairs)
    mean, deviation = np.empty(2 * len(pairs), np.float32), np.empty(2 * len(pairs), np.float32)
    _set_magnitude(pairs, _magnitude(*pairs.shape[1:], slope_y, slope_x), mean, deviation)
    invert(pairs, flags=0)
    _scale(pairs, deviation, mean)


@lru_cache(maxsize=2)  # the same in each iteration
def _magnitude(height: int, width: int, slope_y: float, slope_x: float) -> NDArray[np.float32]:
    """Return 1 / (|fy|^slope_y + |fx|^slope_x), frequencies in cycles per pixel: float32 [height, width // 2 + 1]."""
    y, x = np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width)
    falling = (y**slope_y)[:, None] + (x**slope_x)[None, :]
    falling[0, 0] = np.inf  # no power at frequency zero: the mean is restored separately
    return (1 / falling).astype(np.float32)


def _marginals(rng: np.random.Generator, levels: int) -> list[list[Histogram]]:
    """Return for each of three channels the densities of the high-pass residual and of the bands, finest level first.

    In the range of the coefficients a width of 256 is nearly uniform, so the shape is effective in the finest two
    levels only.
    """
    widths = np.array([4.0] + [4.0 ** (2**level) for level in range(levels) for _ in range(ORIENTATIONS)])
    shapes = rng.uniform(0.4, 0.8, (3, len(widths)))
    densities = _marginal_densities(shapes, widths)
    deviations = np.sqrt((COEFFICIENTS**2 * densities).sum(2) / densities.sum(2))
    ends = COEFFICIENTS[0] - 0.25, COEFFICIENTS[-1] + 0.25
    return [
        [_histogram(density, *ends, float(deviation)) for density, deviation in zip(*channel, strict=True)]
        for channel in zip(densities, deviations, strict=True)
    ]


def _marginal_densities(shapes: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(-|coefficient / width| ** shape) at COEFFICIENTS for shapes [..., n] and widths [n]: [..., n, 801]."""
    # The density is symmetric. The power is computed by exp, because the logarithm is the same for all shapes.
    half = np.exp(-np.exp(shapes[..., None] * (_LOG_COEFFICIENTS - np.log(widths)[:, None])))
    # Mathematical libraries differ in the last bit of exp; rounding to float32 removes the difference.
    half = half.astype(np.float32).astype(np.float64)
    return np.concatenate([half[..., :0:-1], half], axis=-1)


def _histogram(weights: NDArray[np.float64], low: float, high: float, deviation: float = 0.0) -> Histogram:
    # A small weight in each bin makes the cumulative weight strictly increasing, so that it can be inverted.
    cumulative = np.zeros(len(weights) + 1)
    np.cumsum(weights + 1e-8 * weights.mean(), out=cumulative[1:])
    return Histogram(low, high, cumulative / cumulative[-1], deviation)


def _impose_marginals(pairs: Pairs, pyramid: Pyramid, marginals: list[list[Histogram]]) -> None:
    """Impose the distribution of every band of the pyramids of three images. The low-pass residual is not changed."""
    spectra = np.empty((3, pairs.shape[1], pairs.shape[2] // 2 + 1), np.complex64)
    transform(pairs)
    split(pairs, spectra)
    pyramid.analyse(spectra)
    for channel, (first, *others) in enumerate(marginals):
        _match(images_of(pyramid.residual, 3)[channel], first)
        bands = [band for level in pyramid.bands for band in images_of(level[channel], ORIENTATIONS)]
        for band, target in zip(bands, others, strict=True):
            _match(band, target)
    pyramid.synthesise(spectra)
    join(spectra, np.ones(spectra.shape[1:], np.float32), pairs)
    invert(pairs)


def _impose_colours(pairs: Pairs, targets: list[Histogram]) -> None:
    """Impose a distribution on each of three images."""
    for image, target in zip(images_of(pairs, 3), targets, strict=True):
        _match(image, target)


def _match(values: NDArray[np.float32], target: Histogram) -> None:
    """Map values [height, width] monotonically and in place, such that they follow a distribution."""
    _follow(values, target.low, target.high, target.cumulative, target.deviation)


def _colour_bands(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return an image of 3 to 22 random colours with random shares, blurred and with noise.

    float32 [height, width, 3] in 0..255.
    """
    count = 3 + int(20 * rng.random())
    shares = 0.001 + rng.random(count)
    last = _pixels_below(rng, shares, height * width)
    colours = rng.random((count, 3), np.float32) * np.float32(256)
    bands = np.empty((height, width, 3), np.float32)
    _fill_columns(bands, colours, last)
    side = int(np.ceil(10 * rng.random()))
    bands = cv2.blur(bands, (side, side), borderType=cv2.BORDER_CONSTANT)
    noise = rng.random(bands.shape, np.float32)
    noise *= np.float32(10)
    bands += noise
    low, high = bands.min(), bands.max()
    bands -= low
    bands *= 255 / (high - low)
    return bands


def _pixels_below(rng: np.random.Generator, shares: NDArray[np.float64], pixels: int) -> NDArray[np.int64]:
    """Return the cumulative number of pixels of each colour, [n]; each pixel draws its colour with these shares."""
    # The counts are multinomial. numpy's multinomial is not used, because numpy 2.5 changed its random stream.
    edges = np.cumsum(shares)
    drawn = rng.random(pixels, np.float32)
    return np.array([np.count_nonzero(drawn < edge) for edge in (edges / edges[-1]).astype(np.float32)])


def _colour_space(bands: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean colour [3] and the principal axes [3, 3] of the colours, one per row, largest variance first."""
    mean, covariance = _moments(bands.reshape(-1, 3))
    # The noise has a mean of 128 along each axis, so the signs of the axes affect tint and contrast.
    return mean.astype(np.float32), eigenvectors(covariance)[::-1].astype(np.float32)


def _colour_histograms(
    bands: NDArray[np.float32], mean: NDArray[np.float32], axes: NDArray[np.float32]
) -> list[Histogram]:
    """Return the histograms of the colours along each axis, relative to the mean."""
    projected = np.empty(bands.shape[:2], np.float32)
    histograms = []
    for axis in axes:
        _project(bands, mean, axis, projected)
        low, high = projected.min(), projected.max()
        counts = np.zeros(COLOUR_BINS + 1, np.int64)
        _count(projected, low, np.float32(COLOUR_BINS) / max(high - low, np.float32(1e-12)), counts)
        histograms.append(_histogram(counts[:-1].astype(np.float64), float(low), float(high)))
    return histograms


def _stretched_rgb(pairs: Pairs, mean: NDArray[np.float32], axes: NDArray[np.float32]) -> Image:
    """Convert three decorrelated images to RGB, and stretch the three channels together to 0..255."""
    _, height, width = pairs.shape
    rgb, image = np.empty((height, width, 3), np.float32), np.empty((height, width, 3), np.uint8)
    _rotate(pairs, mean, axes, rgb)
    low, high = rgb.min(), rgb.max()
    _quantise(rgb.reshape(-1), low, np.float32(255) / max(high - low, np.float32(1e-12)), image.reshape(-1))
    return image


@njit(cache=True)
def _follow(values, target_low, target_high, cumulative, deviation):
    """Map values monotonically such that they follow a distribution, by a histogram with the same number of bins.

    values: float32 [height, width], changed in place; not changed if all are equal. The other arguments are those of
    `Histogram`: cumulative is float64 [bins + 1]. If deviation is not 0, the mean becomes 0 as well.
    """
    height, width = values.shape
    bins = len(cumulative) - 1
    low, high = values[0, 0], values[0, 0]
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            low, high = value if value < low else low, value if value > high else high
    if not high > low:
        return
    scale = np.float32(bins) / (high - low)
    counts = np.zeros(bins + 1, np.int64)
    _count(values, low, scale, counts)

    # Each edge of the values' histogram is mapped to the value below which the distribution has the same share.
    start, rise = np.empty(bins + 1, np.float32), np.empty(bins + 1, np.float32)
    step = (target_high - target_low) / bins
    below, k = 0, 0
    for b in range(bins + 1):
        share = below / (height * width)
        while k < bins - 1 and cumulative[k + 1] < share:
            k += 1
        within = (share - cumulative[k]) / (cumulative[k + 1] - cumulative[k])
        start[b] = np.float32(target_low + step * (k + within))
        below += counts[b]
    for b in range(bins):
        rise[b] = start[b + 1] - start[b]
    rise[bins] = 0

    if deviation == 0:
        for y in range(height):
            for x in range(width):
                place = (values[y, x] - low) * scale
                b = np.int32(place)
                values[y, x] = start[b] + (place - np.float32(b)) * rise[b]
        return
    total, squares = 0.0, 0.0
    for y in range(height):
        line, line_squares = np.float32(0), np.float32(0)
        for x in range(width):
            place = (values[y, x] - low) * scale
            b = np.int32(place)
            value = start[b] + (place - np.float32(b)) * rise[b]
            values[y, x] = value
            line += value
            line_squares += value * value
        total += line
        squares += line_squares
    mean = total / (height * width)
    factor = np.float32(deviation / np.sqrt(max(squares / (height * width) - mean * mean, 1e-30)))
    middle = np.float32(mean)
    for y in range(height):
        for x in range(width):
            values[y, x] = (values[y, x] - middle) * factor


@njit(cache=True)
def _count(values, low, scale, counts):
    """Add the histogram of float32 [height, width], with lowest value `low`, in bins of width 1 / scale.

    counts: int64 [bins + 1], added to; the last count, for values on the last edge, is moved to the previous one.
    """
    # Four tables, each for a quarter of a row, so that neighbouring pixels in one bin do not wait for each other.
    tables = np.zeros((4, len(counts)), np.int32)
    first, second, third, fourth = tables
    height, width = values.shape
    quarter = width // 4
    bins = np.empty(width, np.uint32)
    for y in range(height):
        for x in range(width):
            bins[x] = np.int32((values[y, x] - low) * scale)
        for x in range(quarter):
            first[bins[x]] += 1
            second[bins[x + quarter]] += 1
            third[bins[x + 2 * quarter]] += 1
            fourth[bins[x + 3 * quarter]] += 1
        for x in range(4 * quarter, width):
            first[bins[x]] += 1
    counts += tables.sum(0)
    counts[-2] += counts[-1]
    counts[-1] = 0


# In numpy's error model a division does not check for 0. Such a check would prevent the vectorisation of loops.
@njit(cache=True, error_model="numpy")
def _set_magnitude(pairs, magnitude, mean, scale):
    """Set the magnitude of the coefficients of pairs of real images and keep the phase. It is 0 at frequency 0.

    pairs: complex64 [n, height, width], transformed, changed in place. magnitude: float32 [height, width // 2 + 1].
    mean, scale: float32 [2 n], output: the mean of each image, and the factor that restores its deviation after an
    unscaled inverse transform.
    """
    count, height, width = pairs.shape
    # By Parseval's theorem the sums of squares are the variances.
    after = 0.0
    for y in range(height):
        for x in range(width // 2 + 1):
            after += (1 if 2 * x % width == 0 else 2) * magnitude[y, x] * magnitude[y, x]
    end = (width + 1) // 2
    a, b, c, d, first, second = np.empty((6, end), np.float32)
    for n in range(count):
        zero = pairs[n, 0, 0]
        pairs[n, 0, 0] = 0
        first_power, second_power = 0.0, 0.0
        for y in range(height):
            mirrored = (height - y) % height
            here, there, wanted = pairs[n, y], pairs[n, mirrored], magnitude[y]
            first_line, second_line = np.float32(0), np.float32(0)
            # A column that is its own mirror image has each coefficient twice: the upper one sets both.
            weight = np.float32(0.5 if mirrored == y else 1)
            if mirrored >= y:
                one, other = _set_coefficient(here, there, 0, wanted[0])
                first_line, second_line = weight * one, weight * other
            for x in range(1, end):
                a[x], b[x], c[x], d[x] = _apart(here[x], there[width - x])
            for x in range(1, end):
                a[x], b[x], c[x], d[x], first[x], second[x] = _turned(a[x], b[x], c[x], d[x], wanted[x])
            for x in range(1, end):
                here[x], there[width - x] = complex(a[x], b[x]), complex(c[x], d[x])
                first_line += first[x]
                second_line += second[x]
            if mirrored >= y and 2 * end == width:
                one, other = _set_coefficient(here, there, end, wanted[end])
                first_line, second_line = first_line + weight * one, second_line + weight * other
            first_power += first_line
            second_power += second_line
        area = height * width
        mean[2 * n], mean[2 * n + 1] = zero.real / area, zero.imag / area
        scale[2 * n] = np.sqrt(first_power / 2 / after) / area
        scale[2 * n + 1] = np.sqrt(second_power / 2 / after) / area


@njit(cache=True, error_model="numpy", inline="always")
def _set_coefficient(here, there, x, wanted):
    """Set the coefficient of column x, 0 or half the width, of a row and its mirror image. Return the old powers."""
    a, b, c, d = _apart(here[x], there[x])
    a, b, c, d, first, second = _turned(a, b, c, d, wanted)
    here[x], there[x] = complex(a, b), complex(c, d)
    return first, second


@njit(cache=True, error_model="numpy", inline="always")
def _apart(here, there):
    """Return twice the coefficients of both images, real and imaginary, from that of the pair and its mirror image."""
    return here.real + there.real, here.imag - there.imag, here.imag + there.imag, there.real - here.real


@njit(cache=True, error_model="numpy", inline="always")
def _turned(a, b, c, d, wanted):
    """Return the pair's coefficient and its mirror image at the new magnitude, and the old powers of both images."""
    first, second = a * a + b * b, c * c + d * d
    f = wanted / np.sqrt(max(first, np.float32(1e-24)))
    g = wanted / np.sqrt(max(second, np.float32(1e-24)))
    return f * a - g * d, f * b + g * c, f * a + g * d, g * c - f * b, first, second


@njit(cache=True)
def _scale(pairs, factor, shift):
    """Multiply each of 2 n images in complex64 [n, height, width] by its factor, float32 [2 n], and add its shift."""
    for n in range(len(pairs)):
        for y in range(pairs.shape[1]):
            for x in range(pairs.shape[2]):
                value = pairs[n, y, x]
                pairs[n, y, x] = complex(
                    value.real * factor[2 * n] + shift[2 * n], value.imag * factor[2 * n + 1] + shift[2 * n + 1]
                )


@njit(cache=True)
def _fill_columns(bands, colours, last):
    """Fill the pixels with colours, column by column.

    bands: float32 [height, width, 3], output. colours: float32 [n, 3]. last: int64 [n], cumulative number of pixels.
    """
    height, width, _ = bands.shape
    for y in range(height):
        n = 0
        for x in range(width):
            while last[n] <= x * height + y:
                n += 1
            for channel in range(3):
                bands[y, x, channel] = colours[n, channel]


@njit(cache=True)
def _moments(pixels):
    """Return the mean [3] and the covariance [3, 3], float64, of float32 [n, 3]."""
    mean, covariance = np.zeros(3), np.zeros((3, 3))
    a, b, c = 0.0, 0.0, 0.0
    for n in range(len(pixels)):
        a += pixels[n, 0]
        b += pixels[n, 1]
        c += pixels[n, 2]
    mean[0], mean[1], mean[2] = a / len(pixels), b / len(pixels), c / len(pixels)
    aa, ab, ac, bb, bc, cc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(len(pixels)):
        a, b, c = pixels[n, 0] - mean[0], pixels[n, 1] - mean[1], pixels[n, 2] - mean[2]
        aa += a * a
        ab += a * b
        ac += a * c
        bb += b * b
        bc += b * c
        cc += c * c
    covariance[0] = aa, ab, ac
    covariance[1] = ab, bb, bc
    covariance[2] = ac, bc, cc
    return mean, covariance / max(len(pixels) - 1, 1)


@njit(cache=True)
def _project(bands, mean, axis, projected):
    """Project each colour, float32 [height, width, 3], relative to the mean [3], onto an axis [3].

    projected: float32 [height, width], output.
    """
    for y in range(bands.shape[0]):
        for x in range(bands.shape[1]):
            a, b, c = bands[y, x, 0] - mean[0], bands[y, x, 1] - mean[1], bands[y, x, 2] - mean[2]
            projected[y, x] = a * axis[0] + b * axis[1] + c * axis[2]


@njit(cache=True)
def _rotate(pairs, mean, axes, rgb):
    """Convert three decorrelated images, complex64 [2, height, width], to RGB.

    mean: float32 [3]. axes: float32 [3, 3], one axis per row. rgb: float32 [height, width, 3], output.
    """
    for y in range(pairs.shape[1]):
        for x in range(pairs.shape[2]):
            a, b, c = pairs[0, y, x].real, pairs[0, y, x].imag, pairs[1, y, x].real
            for channel in range(3):
                rgb[y, x, channel] = a * axes[0, channel] + b * axes[1, channel] + c * axes[2, channel] + mean[channel]


@njit(cache=True)
def _quantise(values, low, scale, image):
    """Fill image, uint8 [n], with the scaled and rounded float32 values [n]."""
    for n in range(len(values)):
        image[n] = np.uint8((values[n] - low) * scale + np.float32(0.5))
