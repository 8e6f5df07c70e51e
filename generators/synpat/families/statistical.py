"""Statistical image models: noise on which the statistics of natural images are imposed, in a random colour space.

Baradad et al., "Learning to see by looking at noise", 2021, in the settings of its published data sets.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from .family import Family, Image

Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Spectrum(Family):
    """Noise whose Fourier magnitude falls as a power of the frequency, in three rotated colour channels."""

    source: ClassVar[str] = "Baradad et al., Learning to see by looking at noise, 2021"

    slope_y: float
    """Power of the frequency along the height by which the magnitude falls."""
    slope_x: float
    """Power of the frequency along the width by which the magnitude falls."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        slope, difference = rng.uniform(0.5, 3.5), rng.normal(0, 3 / 60)
        return cls(slope_y=slope - difference, slope_x=slope + difference)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        mean, axes = _colour_space(_colour_bands(rng, height, width))
        noise = rng.random((3, height, width), np.float32) * np.float32(256)
        # The published loop does this ten times, but it keeps phase, mean and deviation: once is the same.
        channels = _impose_spectrum(noise, self.slope_y, self.slope_x)
        return _stretched_rgb(channels, mean, axes)


def _impose_spectrum(channels: Field, slope_y: float, slope_x: float) -> Field:
    """Replace the Fourier magnitude of each of [channel, height, width]; phase, mean and deviation stay."""
    _, height, width = channels.shape
    mean = channels.mean((1, 2), keepdims=True)
    deviation = channels.std((1, 2), keepdims=True)
    spectrum = np.fft.rfft2(channels - mean)
    spectrum *= _magnitude(height, width, slope_y, slope_x) / np.maximum(np.abs(spectrum), np.float32(1e-12))
    imposed = np.fft.irfft2(spectrum, (height, width))
    return imposed * (deviation / np.maximum(imposed.std((1, 2), keepdims=True), np.float32(1e-12))) + mean


def _magnitude(height: int, width: int, slope_y: float, slope_x: float) -> Field:
    """1 / (|fy|^slope_y + |fx|^slope_x) with frequencies in cycles a pixel, float32 [height, width // 2 + 1]."""
    y, x = np.abs(np.fft.fftfreq(height)), np.fft.rfftfreq(width)
    falling = (y**slope_y)[:, None] + (x**slope_x)[None, :]
    falling[0, 0] = np.inf  # no power at frequency zero: the mean is restored apart
    return (1 / falling).astype(np.float32)


def _colour_bands(rng: np.random.Generator, height: int, width: int) -> Field:
    """An image of 3 to 22 random colours in random shares, blurred and with noise: float32 [height, width, 3], 0..255."""
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


def _colour_space(bands: Field) -> tuple[Field, Field]:
    """Mean colour [3], and the principal axes [3, 3] of the colours, one in each row, largest variance first."""
    pixels = bands.reshape(-1, 3)
    mean = pixels.mean(0)
    _, axes = np.linalg.eigh(np.cov(pixels.T.astype(np.float64)))
    axes = axes.T[::-1]
    # An eigenvector has no sign of its own: fix it, so that mathematical libraries agree on the pixels.
    return mean, (axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(1)])[:, None]).astype(np.float32)


def _stretched_rgb(channels: Field, mean: Field, axes: Field) -> Image:
    """Turn decorrelated [3, height, width] into RGB, and stretch all three channels together to 0..255."""
    rgb = np.einsum("khw,kc->hwc", channels, axes) + mean
    low, high = rgb.min(), rgb.max()
    return ((rgb - low) * (np.float32(255) / max(high - low, np.float32(1e-12))) + np.float32(0.5)).astype(np.uint8)
