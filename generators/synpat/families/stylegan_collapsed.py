"""StyleGANs with wavelet filters and pink noise, in which every layer is equivalent to one map.

In these networks the filter of a layer depends only on the input channel, except for one factor per output channel.
Demodulation removes that factor except for its sign. Before noise and bias, all channels of a layer are therefore equal
up to the sign, and one map represents up to 512 channels exactly. The contribution of a channel to the next layer is a
piecewise linear function of that map's value, so the sum over channels is a table of piecewise linear functions.

Each image has its own network. The published ones also draw the weights for each image, but 400 images share the
constant and the affine maps, and the period of their pink noise is one pixel more than its size.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Rejected, Size
from synpat.painting.fourier import images_of, invert
from synpat.painting.stylegan import (
    PUBLISHED_SIZE,
    SOURCE,
    Grid,
    Map,
    channel_count,
    double,
    draw_styles,
    finished,
    smoothed,
)

CELLS = 512
"""Number of cells of the table of a layer's response."""


@dataclass(frozen=True, kw_only=True)
class StyleganHighfreq(Family):
    """Images of a StyleGAN whose filters are signed edges, lines and spots; pink noise, no bias; high frequencies."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 2
    bounds: ClassVar[Bounds] = {"noise": (0, 1000)}

    noise: float = 0.3
    """Maximum strength of the noise of a layer."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        grid = Grid.of(height, width)
        maps = [_pink(rng, *grid.size(layer)) for layer in grid.layers]
        return _collapsed(rng, grid, height, width, maps, self.noise, 0.0, signed_wavelets(), subsets=False)


@dataclass(frozen=True, kw_only=True)
class StyleganSparse(Family):
    """Images of a StyleGAN with a few edge, line and spot filters per layer, biases and local pink noise."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    bounds: ClassVar[Bounds] = {"noise": (0, 1000), "bias": (0, 1000)}

    noise: float = 0.3
    """Maximum strength of the noise of a layer."""
    bias: float = 0.2
    """Maximum absolute value of the bias of a channel."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        grid = Grid.of(height, width)
        maps = self._noise_maps(rng, grid)
        return _collapsed(rng, grid, height, width, maps, self.noise, self.bias, wavelets(), subsets=True)

    def _noise_maps(self, rng: np.random.Generator, grid: "Grid") -> list[Map]:
        """Return the noise of each layer, not yet multiplied by its strength."""
        return [_pink(rng, *grid.size(layer), enveloped=True) for layer in grid.layers]


@dataclass(frozen=True, kw_only=True)
class StyleganOriented(StyleganSparse):
    """Like stylegan-sparse, but all layers use the same noise map, resized to the size of the layer."""

    def _noise_maps(self, rng: np.random.Generator, grid: "Grid") -> list[Map]:
        # As published: the map has twice the size of the image, so the finest layer uses means of four values.
        noise, sizes = _pink(rng, 2 * grid.height, 2 * grid.width, enveloped=True), {}
        for doubled in range(grid.doublings, -1, -1):
            noise = sizes[doubled] = cv2.resize(noise, grid.size(doubled)[::-1], interpolation=cv2.INTER_AREA)
        return [sizes[layer] for layer in grid.layers]


def _collapsed(
    rng: np.random.Generator,
    grid: Grid,
    height: int,
    width: int,
    maps: list[Map],
    noise: float,
    bias: float,
    filters: NDArray[np.float64],
    *,
    subsets: bool,
) -> Image:
    """Draw a network with one map per layer and paint its image.

    maps: noise of each layer, not yet multiplied by its strength. filters: [n, 9]. subsets: use a random subset of at
    least 5 filters in each layer.
    """
    reach = 1.25 * bias if bias > 1e-6 else 0.25  # never 0: the code divides by the width of the table
    value, previous, rgb = np.empty((0, 0), np.float32), np.empty((0, 0), np.float32), None
    signs, biases = np.empty(0, np.float32), np.empty(0, np.float32)
    for number, (doubled, pink) in enumerate(zip(grid.layers, maps, strict=True)):
        size, up = grid.size(doubled), number % 2 == 1
        inputs = channel_count(doubled - 1) if up else channel_count(doubled)
        weights = _filter_weights(rng, inputs, filters, subsets=subsets)
        if number == 0:
            constant = rng.standard_normal((inputs, *size), np.float32)
            response = np.einsum("it,iyx->tyx", weights, constant)
            value = np.zeros(size, np.float32)
            _gather(response, value)
        else:
            offset, slope = _table(weights * np.float32(np.sqrt(2)), signs, biases, reach, CELLS)
            following = np.zeros((size[0] + 1, size[1] + 1) if up else size, np.float32)
            _convolve(value, previous, offset, slope, reach, up, following)
            value = smoothed(following) if up else following
        outputs = channel_count(doubled)
        signs = rng.choice(np.array([-1, 1], np.float32), outputs)
        biases = rng.uniform(-bias, bias, outputs).astype(np.float32)
        previous = pink * np.float32(rng.uniform(0, noise))
        if not up:
            colours = draw_styles(rng, outputs)[:, None] * rng.standard_normal((outputs, 3), np.float32)
            colours *= np.float32(np.sqrt(2 / outputs))
            offset, slope = _table(colours, signs, biases, reach, CELLS)
            rgb = np.zeros((*size, 3), np.float32) if rgb is None else double(rgb)
            _add_colours(value, previous, offset, slope, reach, rgb)
    assert rgb is not None
    return finished(rng, rgb, height, width)


def _filter_weights(
    rng: np.random.Generator, inputs: int, filters: NDArray[np.float64], *, subsets: bool
) -> NDArray[np.float32]:
    """Return the product of a style and a filter for each input channel, demodulated: float32 [inputs, 9]."""
    if subsets:
        filters = filters[rng.permutation(len(filters))[: rng.integers(5, len(filters) + 1)]]
    weights = draw_styles(rng, inputs)[:, None] * filters[rng.integers(len(filters), size=inputs)]
    return (weights / np.sqrt(np.square(weights).sum() + 1e-8)).astype(np.float32)


def _pink(rng: np.random.Generator, height: int, width: int, *, enveloped: bool = False) -> Map:
    """Return noise of standard deviation 1 whose Fourier magnitude falls with a random exponent, 0.5 to 1.5.

    enveloped: multiply the noise by a smooth random map, which makes it locally concentrated.
    """
    # The power is computed by exp, because the logarithm is always the same. Mathematical libraries differ in the last
    # bit of exp; rounding to float32 removes the difference. The noise is cropped from sides that are powers of two,
    # because OpenCV's transforms of other sizes are several times slower.
    rows, columns = (1 << (size - 1).bit_length() for size in (height, width))
    magnitude = np.exp(-rng.uniform(0.5, 1.5) * _log_frequency(rows, columns)).astype(np.float32)
    magnitude[0, 0] = 0
    pairs = np.empty((1, rows, columns), np.complex64)
    _random_phases(magnitude, rng, _phasors(), pairs[0])
    invert(pairs, flags=0)
    noise = np.ascontiguousarray(images_of(pairs, 1)[0][:height, :width])
    noise -= noise.mean()
    if enveloped:
        short = min(height, width)
        grid = rng.laplace(size=(round(4 * height / short), round(4 * width / short)))
        noise *= (_lanczos(len(grid), height) @ grid @ _lanczos(len(grid[0]), width).T).astype(np.float32)
    deviation = noise.std()
    if not deviation > 0:
        raise Rejected("noise needs more than one pixel")
    return noise / deviation


@lru_cache(maxsize=16)
def _log_frequency(height: int, width: int) -> NDArray[np.float64]:
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    return np.log(np.maximum(np.hypot(y, x), 1e-5))


@lru_cache(maxsize=1)
def _phasors() -> NDArray[np.complex64]:
    """Return 4096 complex numbers of absolute value 1, at equally spaced angles."""
    return np.exp(2j * np.pi * np.arange(4096) / 4096).astype(np.complex64)


@lru_cache(maxsize=32)
def _lanczos(points: int, size: int) -> NDArray[np.float64]:
    """Return the weights [size, points] that enlarge a row of points to `size` pixels by Lanczos resampling, a = 3."""
    distance = (np.arange(size)[:, None] + 0.5) * points / size - (np.arange(points)[None, :] + 0.5)
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return weights / weights.sum(1, keepdims=True)


@lru_cache(maxsize=1)
def signed_wavelets() -> NDArray[np.float64]:
    """Return filter set A, [40, 9]: signs of edges at 16 angles, signs of lines at 8 angles, and spots.

    Lines and spots are followed by their negatives. The centre of a diagonal edge is 0; in the published filters it is
    -1, 0 or 1 by rounding errors.
    """
    edges = [np.sign(_centred(_EDGE, k)) for k in range(16)]
    others = [np.sign(_rotated(_LINE, k)) for k in range(8)] + _SPOTS
    return np.array(edges + others + [-one for one in others]).reshape(-1, 9)


@lru_cache(maxsize=1)
def wavelets() -> NDArray[np.float64]:
    """Return filter set B, [40, 9]: edges and lines at 8 angles each, spots, and the negatives of all of them."""
    some = [_centred(line, k) for line in (_EDGE, _LINE) for k in range(8)] + _SPOTS
    return np.array(some + [-one for one in some]).reshape(-1, 9)


_EDGE = np.sign(5.0 - np.arange(11))
"""Profile of an edge along x, at the 11 pixels around its centre."""
_LINE = np.where(np.arange(11) == 5, -1.0, 1.0)
_PLUS = np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])
_DELTA = np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
_SPOTS = [_DELTA, 2 * _DELTA - 1, _PLUS, np.sign(_PLUS - 0.5)]


def _centred(profile: NDArray[np.float64], sixteenths: int) -> NDArray[np.float64]:
    """Return `_rotated` minus its mean."""
    picture = _rotated(profile, sixteenths)
    # Values that are zero up to rounding errors must be exactly zero, because their signs are used.
    return np.round(picture - picture.mean(), 12)


def _rotated(profile: NDArray[np.float64], sixteenths: int) -> NDArray[np.float64]:
    """Return the central 3x3 pixels of an image that varies along x only and is then rotated.

    sixteenths: angle of the rotation in sixteenths of a turn.
    """
    angle = np.pi / 8 * sixteenths
    y, x = np.mgrid[-1:2, -1:2]
    return np.interp(x * np.cos(angle) + y * np.sin(angle), np.arange(11) - 5, profile)


@njit(cache=True)
def _table(weights, signs, biases, reach, cells):
    """Return the sum over channels of weight * relu(u + bias) as piecewise linear functions of u.

    weights: float32 [n, taps]. signs, biases: float32 [n]; the absolute value of a bias is at most reach. Returns
    offset and slope, float32 [2, cells + 2, taps], for channels of sign +1 and of sign -1. Cell 0 is for u below
    -reach, the last cell for u above reach.
    """
    taps = weights.shape[1]
    offset = np.zeros((2, cells + 2, taps), np.float32)
    slope = np.zeros((2, cells + 2, taps), np.float32)
    step = 2 * reach / cells
    for s in range(2):
        # At each node: total slope and offset of the channels that are active there.
        slopes, offsets = np.zeros((cells + 1, taps)), np.zeros((cells + 1, taps))
        for n in range(len(signs)):
            if (signs[n] < 0) == (s == 1):
                node = min(int((reach - biases[n]) / step) + 1, cells)
                for t in range(taps):
                    slopes[node, t] += weights[n, t]
                    offsets[node, t] += weights[n, t] * biases[n]
        for node in range(1, cells + 1):
            for t in range(taps):
                slopes[node, t] += slopes[node - 1, t]
                offsets[node, t] += offsets[node - 1, t]
                start, end = (node - 1) * step - reach, node * step - reach
                low = slopes[node - 1, t] * start + offsets[node - 1, t]
                high = slopes[node, t] * end + offsets[node, t]
                rise = (high - low) / step
                slope[s, node, t] = rise
                offset[s, node, t] = low - rise * start
        slope[s, cells + 1] = slopes[cells]
        offset[s, cells + 1] = offsets[cells]
    return offset, slope


@njit(cache=True, inline="always")
def _cell(u, reach, scale, cells):
    return np.int32(min(max((u + reach) * scale + np.float32(1), np.float32(0)), np.float32(cells + 1)))


@njit(cache=True)
def _convolve(value, noise, offset, slope, reach, up, following):
    """Compute the map of the next layer: the response of the table for each of the nine taps, shifted and added.

    value, noise: float32 [height, width]. offset, slope: results of `_table`. following: float32, added to: [height,
    width], or [2 height + 1, 2 width + 1] if the layer doubles the size.
    """
    height, width = value.shape
    cells = offset.shape[1] - 2
    reach = np.float32(reach)
    scale = np.float32(cells) / (2 * reach)
    # First in the order of the table, [x, tap], then transposed.
    mixed, taps = np.empty((width, 9), np.float32), np.empty((9, width), np.float32)
    for y in range(height):
        for x in range(width):
            u, v = noise[y, x] + value[y, x], noise[y, x] - value[y, x]
            i, j = _cell(u, reach, scale, cells), _cell(v, reach, scale, cells)
            for t in range(9):
                mixed[x, t] = offset[0, i, t] + slope[0, i, t] * u + offset[1, j, t] + slope[1, j, t] * v
        for t in range(9):
            for x in range(width):
                taps[t, x] = mixed[x, t]
        for t in range(9):
            ty, tx = t // 3, t % 3
            if up:
                line = following[2 * y + ty]
                for x in range(width):
                    line[2 * x + tx] += taps[t, x]
            elif 0 <= y + 1 - ty < height:
                line = following[y + 1 - ty]
                for x in range(max(tx - 1, 0), min(width + tx - 1, width)):
                    line[x + 1 - tx] += taps[t, x]


@njit(cache=True)
def _gather(response, following):
    """Shift the nine taps, float32 [9, height, width], and add them to float32 [height, width], with zero padding."""
    _, height, width = response.shape
    for t in range(9):
        ty, tx = t // 3, t % 3
        for y in range(max(ty - 1, 0), min(height + ty - 1, height)):
            line = following[y + 1 - ty]
            for x in range(max(tx - 1, 0), min(width + tx - 1, width)):
                line[x + 1 - tx] += response[t, y, x]


@njit(cache=True)
def _add_colours(value, noise, offset, slope, reach, rgb):
    """Add the colours of a layer to rgb, float32 [height, width, 3].

    The other arguments are those of `_convolve`, with three taps.
    """
    height, width = value.shape
    cells = offset.shape[1] - 2
    reach = np.float32(reach)
    scale = np.float32(cells) / (2 * reach)
    for y in range(height):
        for x in range(width):
            u, v = noise[y, x] + value[y, x], noise[y, x] - value[y, x]
            i, j = _cell(u, reach, scale, cells), _cell(v, reach, scale, cells)
            for c in range(3):
                rgb[y, x, c] += offset[0, i, c] + slope[0, i, c] * u + offset[1, j, c] + slope[1, j, c] * v


@njit(cache=True)
def _random_phases(magnitude, rng, phasors, coefficients):
    """Fill the Fourier coefficients of a real image with a given magnitude and random phases.

    magnitude: float32 [height, width // 2 + 1]. phasors: complex64 [n]. coefficients: complex64 [height, width],
    output.
    """
    height, width = coefficients.shape
    for y in range(height):
        mirrored = (height - y) % height
        for x in range(width // 2 + 1):
            opposite = (width - x) % width
            value = phasors[int(len(phasors) * rng.random())]
            value = complex(value.real * magnitude[y, x], value.imag * magnitude[y, x])
            if mirrored == y and opposite == x:
                value = complex(value.real, np.float32(0))
            coefficients[y, x] = value
            coefficients[mirrored, opposite] = complex(value.real, -value.imag)
