"""Statistical image models: noise on which statistics of natural images are imposed, in a random colour space.

Baradad et al., "Learning to see by looking at noise", 2021, in the settings of its published data sets. The spectrum
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

from .family import Family, Image
from .fourier import Images, Spectra, images_of, spectra_of
from .steerable_pyramid import ORIENTATIONS, analysed, level_count, put_together

SOURCE = "Baradad et al., Learning to see by looking at noise, 2021"
COLOUR_BINS = 256
"""Of the colours' histograms."""
COEFFICIENTS = np.arange(-200, 200.5, 0.5)
"""Wavelet coefficients at which their density is sampled."""


@dataclass(frozen=True)
class Histogram:
    """A distribution whose cumulative weight runs in straight lines between the edges of bins."""

    edges: NDArray[np.float64]
    """[bins + 1], rising."""
    cumulative: NDArray[np.float64]
    """Share of the weight below each edge, [bins + 1], rising strictly from 0 to 1."""
    deviation: float = 0.0
    """Standard deviation that its samples are brought to; 0 where they stay as the matching leaves them."""


@dataclass(frozen=True, kw_only=True)
class Spectrum(Family):
    """Noise whose Fourier magnitude falls as a power of the frequency, in three rotated colour channels."""

    source: ClassVar[str] = SOURCE

    slope_y: float
    """Power of the frequency along the height by which the magnitude falls."""
    slope_x: float
    """Power of the frequency along the width by which the magnitude falls."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        mean, axes = _colour_space(_colour_bands(rng, height, width))
        # The published loop does this ten times, but it keeps phase, mean and deviation: once is the same.
        spectra = _impose_spectrum(spectra_of(_noise(rng, height, width)), self.slope_y, self.slope_x, width)
        return _stretched_rgb(images_of(spectra, width), mean, axes)


@dataclass(frozen=True, kw_only=True)
class Wmm(Family):
    """Noise whose wavelet coefficients are spread like those of natural images (the wavelet marginal model)."""

    source: ClassVar[str] = f"{SOURCE}; Simoncelli and Freeman, The steerable pyramid, 1995"

    iterations: int = 10
    """Rounds of imposing, at least 1; the published model takes 10."""

    def __post_init__(self) -> None:
        _refuse_no_iteration(self.iterations)

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        mean, axes = _colour_space(_colour_bands(rng, height, width))
        marginals = _marginals(rng, level_count(height, width))
        spectra = spectra_of(_noise(rng, height, width))
        for _ in range(self.iterations):
            spectra = _impose_marginals(spectra, marginals, width)
        return _stretched_rgb(images_of(spectra, width), mean, axes)


@dataclass(frozen=True, kw_only=True)
class SpectrumColor(Family):
    """Noise with a power-law spectrum and the colours of a random image, decorrelated."""

    source: ClassVar[str] = SOURCE

    slope_y: float
    """Power of the frequency along the height by which the magnitude falls."""
    slope_x: float
    """Power of the frequency along the width by which the magnitude falls."""
    iterations: int = 10
    """Rounds of imposing, at least 1; the published model takes 10."""

    def __post_init__(self) -> None:
        _refuse_no_iteration(self.iterations)

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        colours = _colour_bands(rng, height, width)
        mean, axes = _colour_space(colours)
        targets = _colour_histograms(colours, mean, axes)
        images = _noise(rng, height, width)
        for _ in range(self.iterations):
            spectra = _impose_spectrum(spectra_of(images), self.slope_y, self.slope_x, width)
            images = _impose_colours(images_of(spectra, width), targets)
        return _stretched_rgb(images, mean, axes)


@dataclass(frozen=True, kw_only=True)
class SpectrumColorWmm(Family):
    """Noise with a power-law spectrum, the wavelet marginals of natural images and the colours of a random one."""

    source: ClassVar[str] = f"{SOURCE}; Simoncelli and Freeman, The steerable pyramid, 1995"

    slope_y: float
    """Power of the frequency along the height by which the magnitude falls."""
    slope_x: float
    """Power of the frequency along the width by which the magnitude falls."""
    iterations: int = 10
    """Rounds of imposing, at least 1; the published model takes 10."""

    def __post_init__(self) -> None:
        _refuse_no_iteration(self.iterations)

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope_y, slope_x = _slopes(rng)
        return cls(slope_y=slope_y, slope_x=slope_x)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        colours = _colour_bands(rng, height, width)
        mean, axes = _colour_space(colours)
        targets = _colour_histograms(colours, mean, axes)
        marginals = _marginals(rng, level_count(height, width))
        images = _noise(rng, height, width)
        # The order matters: what is imposed last is met exactly, what came before nearly so.
        for _ in range(self.iterations):
            spectra = _impose_spectrum(spectra_of(images), self.slope_y, self.slope_x, width)
            spectra = _impose_marginals(spectra, marginals, width)
            images = _impose_colours(images_of(spectra, width), targets)
        return _stretched_rgb(images, mean, axes)


def _refuse_no_iteration(iterations: int) -> None:
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")


def _slopes(rng: np.random.Generator) -> tuple[float, float]:
    slope, difference = rng.uniform(0.5, 3.5), rng.normal(0, 3 / 60)
    return slope - difference, slope + difference


def _noise(rng: np.random.Generator, height: int, width: int) -> Images:
    return rng.random((3, height, width), np.float32) * np.float32(256)


def _impose_spectrum(spectra: Spectra, slope_y: float, slope_x: float, width: int) -> Spectra:
    """Replace the Fourier magnitude of three images; the phase, and each image's mean and deviation, stay."""
    magnitude = _magnitude(spectra.shape[1], width, slope_y, slope_x)
    result = np.empty_like(spectra)
    _set_magnitude(spectra, magnitude, width, result)
    return result


@lru_cache(maxsize=2)  # the same in each round of imposing
def _magnitude(height: int, width: int, slope_y: float, slope_x: float) -> NDArray[np.float32]:
    """1 / (|fy|^slope_y + |fx|^slope_x) with frequencies in cycles a pixel, [height, width // 2 + 1]."""
    y, x = np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width)
    falling = (y**slope_y)[:, None] + (x**slope_x)[None, :]
    falling[0, 0] = np.inf  # no power at frequency zero: the mean is restored apart
    return (1 / falling).astype(np.float32)


def _marginals(rng: np.random.Generator, levels: int) -> list[list[Histogram]]:
    """For each of three channels, densities of the high-pass residual and then of the bands, finest level first.

    They fall as exp(-|coefficient / width| ** shape). On the coefficients' range a width of 256 is nearly uniform, so
    that the shape shows in the finest two levels.
    """
    widths = [4.0] + [4.0 ** (2**level) for level in range(levels) for _ in range(ORIENTATIONS)]
    return [[_marginal(rng.uniform(0.4, 0.8), width) for width in widths] for _ in range(3)]


def _marginal(shape: float, width: float) -> Histogram:
    density = np.exp(-(np.abs(COEFFICIENTS / width) ** shape))
    deviation = np.sqrt((COEFFICIENTS**2 * density).sum() / density.sum())
    return _histogram(density, COEFFICIENTS[0] - 0.25, COEFFICIENTS[-1] + 0.25, float(deviation))


def _histogram(weights: NDArray[np.float64], low: float, high: float, deviation: float = 0.0) -> Histogram:
    # A trace of weight in each bin makes the cumulative weight rise strictly, so that it can be inverted.
    cumulative = np.append(0, np.cumsum(weights + 1e-8 * weights.mean()))
    return Histogram(np.linspace(low, high, len(weights) + 1), cumulative / cumulative[-1], deviation)


def _impose_marginals(spectra: Spectra, marginals: list[list[Histogram]], width: int) -> Spectra:
    """Give every band of a steerable pyramid its distribution; the low-pass residual stays."""
    residual, bands = analysed(spectra, width, len(marginals[0]) // ORIENTATIONS)
    for channel, targets in enumerate(marginals):
        _match(residual[channel], targets[0].edges, targets[0].cumulative, targets[0].deviation)
        for level, pairs in enumerate(bands):
            for b in range(ORIENTATIONS):
                pair, target = pairs[channel, b // 2], targets[1 + ORIENTATIONS * level + b]
                _match(pair.imag if b % 2 else pair.real, target.edges, target.cumulative, target.deviation)
    return put_together(spectra, residual, bands)


def _colour_bands(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """An image of 3 to 22 random colours in random shares, blurred and with noise: [height, width, 3], 0..255."""
    count = 3 + int(20 * rng.random())
    shares = 0.001 + rng.random(count)
    pixels = rng.multinomial(height * width, shares / shares.sum())
    colours = rng.random((count, 3), np.float32) * np.float32(256)
    bands = np.repeat(colours, pixels, axis=0).reshape(width, height, 3).transpose(1, 0, 2)
    side = int(np.ceil(10 * rng.random()))
    bands = cv2.blur(bands, (side, side), borderType=cv2.BORDER_CONSTANT)
    bands += rng.random(bands.shape, np.float32) * np.float32(10)
    low, high = bands.min(), bands.max()
    return (bands - low) * (255 / (high - low))


def _colour_space(bands: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colour [3], and the principal axes [3, 3] of the colours, one in each row, largest variance first."""
    mean, covariance = _moments(bands.reshape(-1, 3))
    _, axes = np.linalg.eigh(covariance)
    axes = axes.T[::-1]
    # An eigenvector has no sign of its own: fix it, so that mathematical libraries agree on the pixels.
    axes = axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(1)])[:, None]
    return mean.astype(np.float32), axes.astype(np.float32)


def _colour_histograms(
    bands: NDArray[np.float32], mean: NDArray[np.float32], axes: NDArray[np.float32]
) -> list[Histogram]:
    """Histograms of the colours along each axis, from the mean."""
    histograms = []
    for channel in axes @ (bands.reshape(-1, 3) - mean).T:
        counts, edges = np.histogram(channel, COLOUR_BINS)
        histograms.append(_histogram(counts.astype(np.float64), float(edges[0]), float(edges[-1])))
    return histograms


def _impose_colours(images: Images, targets: list[Histogram]) -> Images:
    """Give each of three images its distribution, in place."""
    for image, target in zip(images, targets, strict=True):
        _match(image, target.edges, target.cumulative, target.deviation)
    return images


def _stretched_rgb(images: Images, mean: NDArray[np.float32], axes: NDArray[np.float32]) -> Image:
    """Turn decorrelated [3, height, width] into RGB, and stretch all three channels together to 0..255."""
    _, height, width = images.shape
    rgb, image = np.empty((height, width, 3), np.float32), np.empty((height, width, 3), np.uint8)
    _rotate(images, mean, axes, rgb)
    low, high = rgb.min(), rgb.max()
    _quantise(rgb.reshape(-1), low, np.float32(255) / max(high - low, np.float32(1e-12)), image.reshape(-1))
    return image


@njit(cache=True)
def _match(values, edges, cumulative, deviation):
    """Map values monotonously so that they follow a distribution, through a histogram of as many bins as it has.

    values: float32 [height, width], changed in place; left alone where all are equal. edges, cumulative: float64
    [bins + 1], those of `Histogram`. deviation: standard deviation that they get in the end, around zero; 0 for none.
    """
    height, width = values.shape
    bins = len(edges) - 1
    low, high = values[0, 0], values[0, 0]
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            if value < low:
                low = value
            if value > high:
                high = value
    if not high > low:
        return
    scale = np.float32(bins) / (high - low)
    counts = np.zeros(bins + 1, np.int32)
    for y in range(height):
        for x in range(width):
            counts[int((values[y, x] - low) * scale)] += 1
    counts[bins - 1] += counts[bins]  # the highest value, and those that rounding takes there

    # What each edge of the values' own histogram becomes: the same share of the distribution lies below.
    start, rise = np.empty(bins + 1, np.float32), np.empty(bins + 1, np.float32)
    below, k = 0, 0
    for b in range(bins + 1):
        share = below / (height * width)
        while k < bins - 1 and cumulative[k + 1] < share:
            k += 1
        within = (share - cumulative[k]) / (cumulative[k + 1] - cumulative[k])
        start[b] = np.float32(edges[k] + within * (edges[k + 1] - edges[k]))
        below += counts[b]
    for b in range(bins):
        rise[b] = start[b + 1] - start[b]
    rise[bins] = rise[bins - 1]

    total, squares = 0.0, 0.0
    for y in range(height):
        for x in range(width):
            place = (values[y, x] - low) * scale
            b = int(place)
            value = start[b] + (place - np.float32(b)) * rise[b]
            values[y, x] = value
            total += value
            squares += value * value
    if deviation == 0:
        return
    mean = total / (height * width)
    factor = np.float32(deviation / np.sqrt(max(squares / (height * width) - mean * mean, 1e-30)))
    middle = np.float32(mean)
    for y in range(height):
        for x in range(width):
            values[y, x] = (values[y, x] - middle) * factor


@njit(cache=True)
def _set_magnitude(spectra, magnitude, width, result):
    """Give the coefficients a magnitude, scaled for each image so that the sum of squares stays, frequency 0 aside.

    spectra, result: complex64 [n, height, width // 2 + 1]; result is filled. magnitude: float32 [height, the same].
    """
    count, height, columns = spectra.shape
    for n in range(count):
        # By Parseval's theorem these are the variances; a column inside stands for its mirror image too.
        before, after = 0.0, 0.0
        for y in range(height):
            power, line = np.float32(0), np.float32(0)
            for x in range(columns):
                twice = np.float32(1 if 2 * x % width == 0 else 2)
                value, wanted = spectra[n, y, x], magnitude[y, x]
                square = value.real * value.real + value.imag * value.imag
                power += twice * square
                line += twice * wanted * wanted
                factor = wanted / np.sqrt(max(square, np.float32(1e-24)))
                result[n, y, x] = complex(value.real * factor, value.imag * factor)
            before += power
            after += line
        mean = spectra[n, 0, 0]
        before -= mean.real * mean.real
        scale = np.float32(np.sqrt(max(before, 0.0) / after))
        for y in range(height):
            for x in range(columns):
                value = result[n, y, x]
                result[n, y, x] = complex(value.real * scale, value.imag * scale)
        result[n, 0, 0] = mean


@njit(cache=True)
def _moments(pixels):
    """Mean [3] and covariance [3, 3] in float64 of float32 [n, 3]."""
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
def _rotate(images, mean, axes, rgb):
    """Back from decorrelated float32 [3, height, width] to float32 [height, width, 3], which is filled.

    mean: float32 [3]. axes: float32 [3, 3], an axis in each row.
    """
    for y in range(images.shape[1]):
        for x in range(images.shape[2]):
            a, b, c = images[0, y, x], images[1, y, x], images[2, y, x]
            for channel in range(3):
                rgb[y, x, channel] = a * axes[0, channel] + b * axes[1, channel] + c * axes[2, channel] + mean[channel]


@njit(cache=True)
def _quantise(values, low, scale, image):
    """uint8 image, rounded, of float32 values; both [n]."""
    for n in range(len(values)):
        image[n] = np.uint8((values[n] - low) * scale + np.float32(0.5))
