"""StyleGAN2 generators that were never trained: random weights, random wavelets as filters, pink noise at every layer.

Baradad et al., "Learning to see by looking at noise", 2021, after Karras et al., "Analyzing and improving the image
quality of StyleGAN", 2020.

In three of the four families a layer's filter depends on the input channel alone, but for a factor of each output
channel, and demodulation takes all of that factor but its sign. So a layer's channels are plus or minus one and the
same map, before noise and bias: one map stands for up to 512, exactly. A channel's contribution to the next layer is
a broken line of that map's value, and the sum over channels is a table.

Two things differ from the published sets. Each image has a network of its own, where 400 shared the constant and the
affine maps (their weights were redrawn for each image, as here). And pink noise repeats after its own size, not one
pixel later. The frame that zero padding draws along the borders is part of the published images and is kept where the
size is 4 to 32 times a power of two; other sizes are cut out of the middle of the next larger such grid.

The full network multiplies matrices through BLAS, whose last bits depend on the processor: its pixels, alone here, are
the same only on processors of one kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .family import Family, Image, Rejected, category_generator
from .fourier import images_of, invert

SOURCE = (
    "Baradad et al., Learning to see by looking at noise, 2021; Karras et al., Analyzing and improving the image "
    "quality of StyleGAN, 2020"
)
CHANNELS = 512
"""Of the widest layers."""
STYLE_VARIANCE = 0.52
"""Of the styles around 1: the mean square of LeakyReLU_0.2 of a standard normal number."""
CELLS = 512
"""Of the table of a layer's response."""
TILES = 1024
"""Tiles of two by two pixels that are convolved at once, about, to bound memory."""
NETWORKS = 256
"""Different weights of stylegan-random; the published set has 262, of 400 images each."""

MEANS = (0.483, 0.145), (0.455, 0.142), (0.401, 0.161)
"""Mean and deviation of an image's mean, for each of R, G, B in 0..1."""
DEVIATIONS = (0.219, 0.063), (0.213, 0.062), (0.213, 0.069)
"""Mean and deviation of an image's deviation; where it comes out negative, the channel is inverted."""

Map = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class StyleganHighfreq(Family):
    """Layers of signed edges, lines and spots, pink noise, no bias: the energy is in the finest detail."""

    source: ClassVar[str] = SOURCE

    noise: float = 0.3
    """Highest strength of a layer's noise; 0 or more."""

    def __post_init__(self) -> None:
        _refuse_negative(noise=self.noise)

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        grid = Grid.of(height, width)
        maps = [_pink(rng, *grid.size(layer)) for layer in grid.layers]
        return _collapsed(rng, grid, height, width, maps, self.noise, 0.0, signed_wavelets(), subsets=False)


@dataclass(frozen=True, kw_only=True)
class StyleganSparse(Family):
    """Layers of a few edges, lines and spots each, biases, and pink noise that is strong in few places."""

    source: ClassVar[str] = SOURCE

    noise: float = 0.3
    """Highest strength of a layer's noise; 0 or more."""
    bias: float = 0.2
    """Largest bias of a channel, either sign; 0 or more."""

    def __post_init__(self) -> None:
        _refuse_negative(noise=self.noise, bias=self.bias)

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        grid = Grid.of(height, width)
        maps = self._noise_maps(rng, grid)
        return _collapsed(rng, grid, height, width, maps, self.noise, self.bias, wavelets(), subsets=True)

    def _noise_maps(self, rng: np.random.Generator, grid: "Grid") -> list[Map]:
        """The noise of each layer, before its strength."""
        return [_pink(rng, *grid.size(layer), enveloped=True) for layer in grid.layers]


@dataclass(frozen=True, kw_only=True)
class StyleganOriented(StyleganSparse):
    """Like stylegan-sparse, with one map of noise that all layers see at their own size."""

    def _noise_maps(self, rng: np.random.Generator, grid: "Grid") -> list[Map]:
        # Published: 512 pixels for an image of 256, so that the finest layer sees a mean of four values.
        noise, sizes = _pink(rng, 2 * grid.height, 2 * grid.width, enveloped=True), {}
        for doubled in range(grid.doublings, -1, -1):
            noise = sizes[doubled] = cv2.resize(noise, grid.size(doubled)[::-1], interpolation=cv2.INTER_AREA)
        return [sizes[layer] for layer in grid.layers]


@dataclass(frozen=True, kw_only=True)
class StyleganRandom(Family):
    """The full network with normal weights, without noise and bias; its class is the network that painted it."""

    source: ClassVar[str] = SOURCE
    version: ClassVar[int] = 2
    categories: ClassVar[int] = NETWORKS
    streak: ClassVar[int] = 25
    dear: ClassVar[bool] = True

    network: int
    """Which weights, from 0."""
    width: int = CHANNELS
    """Channels of the widest layers, 1 or more: 512 as published; 64 costs a tenth."""

    def __post_init__(self) -> None:
        if self.network < 0:
            raise ValueError(f"network must be 0 or more, got {self.network}")
        if self.width < 1:
            raise ValueError(f"width must be 1 or more, got {self.width}")

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(network=category)

    @classmethod
    def categories_with(cls, given: Mapping[str, Any]) -> int:
        return 0 if "network" in given else cls.categories

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        rgb = _dense(rng, _network(self.network, self.width, Grid.of(height, width)))
        return _finished(rng, rgb, height, width)


def _refuse_negative(**parameters: float) -> None:
    for name, value in parameters.items():
        if value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")


@dataclass(frozen=True)
class Grid:
    """The sizes that a network goes through: it starts with 3 or 4 pixels along the shorter side, and doubles."""

    rows: int
    """Of the constant that the network starts from."""
    columns: int
    doublings: int

    @classmethod
    def of(cls, height: int, width: int) -> Self:
        """The smallest grid that covers an image."""
        doublings = max(int(np.ceil(np.log2(min(height, width) / 4))), 0)
        return cls(-(-height // 2**doublings), -(-width // 2**doublings), doublings)

    @property
    def height(self) -> int:
        return self.rows << self.doublings

    @property
    def width(self) -> int:
        return self.columns << self.doublings

    @property
    def layers(self) -> list[int]:
        """Of each convolution, how often its output was doubled: 0, 1, 1, 2, 2, ..."""
        return [0, *(d for d in range(1, self.doublings + 1) for _ in range(2))]

    def size(self, doubled: int) -> tuple[int, int]:
        return self.rows << doubled, self.columns << doubled


def _channels(doubled: int, width: int = CHANNELS) -> int:
    """Of a layer: as many as its memory allows at 4, 8, ... pixels."""
    return min(8192 >> doubled, width)


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
    """Draw a network whose layers are one map each, and let it paint.

    maps: the noise of each layer, before its strength. filters: [n, 9]; with subsets each layer uses 5 to all of them.
    """
    reach = 1.25 * bias if bias else 0.25
    value, previous, rgb = np.empty((0, 0), np.float32), np.empty((0, 0), np.float32), None
    signs, biases = np.empty(0, np.float32), np.empty(0, np.float32)
    for number, (doubled, pink) in enumerate(zip(grid.layers, maps, strict=True)):
        size, up = grid.size(doubled), number % 2 == 1
        inputs = _channels(doubled - 1) if up else _channels(doubled)
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
            value = _smoothed(following) if up else following
        outputs = _channels(doubled)
        signs = rng.choice(np.array([-1, 1], np.float32), outputs)
        biases = rng.uniform(-bias, bias, outputs).astype(np.float32)
        previous = pink * np.float32(rng.uniform(0, noise))
        if not up:
            colours = _styles(rng, outputs)[:, None] * rng.standard_normal((outputs, 3), np.float32)
            colours *= np.float32(np.sqrt(2 / outputs))
            offset, slope = _table(colours, signs, biases, reach, CELLS)
            rgb = np.zeros((*size, 3), np.float32) if rgb is None else _doubled(rgb)
            _add_colours(value, previous, offset, slope, reach, rgb)
    assert rgb is not None
    return _finished(rng, rgb, height, width)


def _styles(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return 1 + np.float32(np.sqrt(STYLE_VARIANCE)) * rng.standard_normal(count, np.float32)


def _filter_weights(
    rng: np.random.Generator, inputs: int, filters: NDArray[np.float64], *, subsets: bool
) -> NDArray[np.float32]:
    """A style times a filter for each input channel, demodulated: [inputs, 9]."""
    if subsets:
        filters = filters[rng.permutation(len(filters))[: rng.integers(5, len(filters) + 1)]]
    weights = _styles(rng, inputs)[:, None] * filters[rng.integers(len(filters), size=inputs)]
    return (weights / np.sqrt(np.square(weights).sum() + 1e-8)).astype(np.float32)


def _finished(rng: np.random.Generator, rgb: Map, height: int, width: int) -> Image:
    """Cut the middle out of [height, width, 3], and give each channel a mean and a deviation as photographs have."""
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    rgb = np.ascontiguousarray(rgb[top : top + height, left : left + width])
    deviation = rgb.std((0, 1))
    if not (np.isfinite(deviation).all() and deviation.min() > 1e-6):
        raise Rejected
    scale = np.array([rng.normal(*law) for law in DEVIATIONS], np.float32) / deviation
    shift = np.array([rng.normal(*law) for law in MEANS], np.float32) - scale * rgb.mean((0, 1))
    image = np.empty(rgb.shape, np.uint8)
    _quantise(rgb, scale, shift, image)
    return image


def _pink(rng: np.random.Generator, height: int, width: int, *, enveloped: bool = False) -> Map:
    """Noise of standard deviation 1 whose Fourier magnitude falls as a power, 0.5 to 1.5, of the frequency.

    enveloped: multiplied by a smooth random map, so that it is strong in few places.
    """
    # The power is the exponential of a logarithm, which is the same each time. Rounding to float32 hides the last bit,
    # in which mathematical libraries differ.
    # Cut out of a power of two: OpenCV's transforms of other sizes are several times slower.
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
    return noise / noise.std()


@lru_cache(maxsize=16)
def _log_frequency(height: int, width: int) -> NDArray[np.float64]:
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    return np.log(np.maximum(np.hypot(y, x), 1e-5))


@lru_cache(maxsize=1)
def _phasors() -> NDArray[np.complex64]:
    """Numbers of absolute value 1, at 4096 angles."""
    return np.exp(2j * np.pi * np.arange(4096) / 4096).astype(np.complex64)


@lru_cache(maxsize=32)
def _lanczos(points: int, size: int) -> NDArray[np.float64]:
    """Weights [size, points] that resize a line of points to more pixels, through Lanczos' window of three points."""
    distance = (np.arange(size)[:, None] + 0.5) * points / size - (np.arange(points)[None, :] + 0.5)
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return weights / weights.sum(1, keepdims=True)


@lru_cache(maxsize=1)
def signed_wavelets() -> NDArray[np.float64]:
    """Set A, [40, 9]: the signs of edges at 16 angles, and of lines at 8, spots, and the opposites of the last two."""
    edges = [np.sign(_rotated(_EDGE, k)) for k in range(16)]
    others = [np.sign(_rotated(_LINE, k)) for k in range(8)] + _SPOTS
    return np.array(edges + others + [-one for one in others]).reshape(-1, 9)


@lru_cache(maxsize=1)
def wavelets() -> NDArray[np.float64]:
    """Set B, [40, 9]: edges and lines at 8 angles each, spots, and the opposites of all."""
    some = [_rotated(line, k) for line in (_EDGE, _LINE) for k in range(8)] + _SPOTS
    return np.array(some + [-one for one in some]).reshape(-1, 9)


_EDGE = np.sign(5.0 - np.arange(11))
"""Along x, at 11 pixels around the middle."""
_LINE = np.where(np.arange(11) == 5, -1.0, 1.0)
_PLUS = np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])
_DELTA = np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
_SPOTS = [_DELTA, 2 * _DELTA - 1, _PLUS, np.sign(_PLUS - 0.5)]


def _rotated(profile: NDArray[np.float64], sixteenths: int) -> NDArray[np.float64]:
    """A picture that changes along x only, turned by sixteenths of a turn: its middle 3x3 pixels, less their mean."""
    angle = np.pi / 8 * sixteenths
    y, x = np.mgrid[-1:2, -1:2]
    picture = np.interp(x * np.cos(angle) + y * np.sin(angle), np.arange(11) - 5, profile)
    # What is zero but for rounding must be zero: its sign counts.
    return np.round(picture - picture.mean(), 12)


@dataclass(frozen=True)
class Network:
    """Weights of the full network."""

    constant: Map
    """[inputs, rows, columns]."""
    convolutions: list[Map]
    """[outputs, 9, inputs] of those that double the size, [16, outputs, inputs] of the others: see `_minimal`."""
    squares: list[Map]
    """Of each convolution, summed over the taps: [outputs, inputs]."""
    colourings: list[Map]
    """[3, inputs] each."""


@lru_cache(maxsize=1)  # 140 MB at full width
def _network(number: int, width: int, grid: Grid) -> Network:
    rng = category_generator("stylegan-random", number)
    channels = [_channels(doubled, width) for doubled in grid.layers]
    # The constant comes last, so that the weights do not depend on the shape of the image.
    convolutions = [
        rng.standard_normal((after, 9, before), np.float32)
        for before, after in zip([channels[0], *channels], channels, strict=False)
    ]
    colourings = [rng.standard_normal((3, count), np.float32) for count in channels[::2]]
    return Network(
        constant=rng.standard_normal((channels[0], grid.rows, grid.columns), np.float32),
        convolutions=[weights if up else _minimal(weights) for weights, up in zip(convolutions, cycle((False, True)))],
        squares=[np.square(weights).sum(1) for weights in convolutions],
        colourings=colourings,
    )


@threadpool_limits.wrap(limits=1, user_api="blas")  # several threads add up in another order
def _dense(rng: np.random.Generator, network: Network) -> Map:
    """What the full network paints with random styles, [height, width, 3].

    Styles multiply what goes into a convolution, and demodulation what comes out, which spares a copy of the weights.
    """
    state, rgb = network.constant, None
    for number, (weights, squares) in enumerate(zip(network.convolutions, network.squares, strict=True)):
        outputs, inputs = squares.shape
        styles = _styles(rng, inputs)
        gains = np.sqrt(2 / (squares @ np.square(styles) + np.float32(1e-8))).astype(np.float32)
        state = (_convolved_double if number % 2 else _convolved)(weights, state * styles[:, None, None])
        np.maximum(state, 0, out=state)
        state *= gains[:, None, None]
        if number % 2 == 0:
            colouring = network.colourings[number // 2] * (_styles(rng, outputs) / np.float32(np.sqrt(outputs)))
            painted = np.tensordot(colouring, state, 1).transpose(1, 2, 0).astype(np.float32)
            rgb = painted if rgb is None else _doubled(rgb) + painted
    assert rgb is not None
    return np.ascontiguousarray(rgb)


def _minimal(weights: Map) -> Map:
    """Filters [outputs, 9, inputs] as `_convolved` multiplies them: [16, outputs, inputs]."""
    line = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    return np.tensordot(np.kron(line, line), weights, (1, 1))


def _convolved(weights: Map, state: Map) -> Map:
    """Convolve [inputs, height, width] by the filters of `_minimal`: [outputs, height, width].

    Two by two pixels at once take 16 products for 36 (Lavin and Gray, Fast algorithms for convolutional neural
    networks, 2016).
    """
    (_, outputs, inputs), (_, height, width) = weights.shape, state.shape
    result = np.empty((outputs, height, width), np.float32)
    down, across = -(-height // 2), -(-width // 2)
    step = max(TILES // across, 1)
    for first in range(0, down, step):
        tiles = np.empty((16, inputs, min(step, down - first), across), np.float32)
        _to_tiles(state, first, tiles)
        _from_tiles((weights @ tiles.reshape(16, inputs, -1)).reshape(16, outputs, -1, across), first, result)
    return result


def _convolved_double(weights: Map, state: Map) -> Map:
    """Convolve [inputs, height, width] by [outputs, 9, inputs], doubling its size: [outputs, 2 height, 2 width]."""
    outputs, _, inputs = weights.shape
    _, height, width = state.shape
    flat = state.reshape(inputs, -1)
    result = np.empty((outputs, 2 * height, 2 * width), np.float32)
    # Some output channels at a time: the responses of all to all nine taps would not fit into memory.
    step = max(2**24 // (36 * height * width), 1)
    for first in range(0, outputs, step):
        some = weights[first : first + step]
        responses = (some.reshape(-1, inputs) @ flat).reshape(len(some), 9, height, width)
        for channel, response in enumerate(responses, first):
            spread = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
            _scatter(response, spread)
            result[channel] = _smoothed(spread)
    return result


def _smoothed(spread: Map) -> Map:
    """[2 h + 1, 2 w + 1] of a transposed convolution through the filter 1 3 3 1 of each axis: [2 h, 2 w]."""
    smooth = np.empty((spread.shape[0] - 1, spread.shape[1] - 1), np.float32)
    _smooth(spread, smooth)
    return smooth


def _doubled(rgb: Map) -> Map:
    """[height, width, 3] at twice the size, through the same filter."""
    height, width, _ = rgb.shape
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    for channel in range(3):
        spread = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
        spread[1::2, 1::2] = rgb[..., channel]
        _smooth(spread, doubled[..., channel])
    return doubled


@njit(cache=True)
def _table(weights, signs, biases, reach, cells):
    """The sum over channels of weight * relu(u + bias), as broken lines in u.

    weights: float32 [n, taps]. signs, biases: float32 [n]; no bias is larger than reach. Returns offset and slope,
    float32 [2, cells + 2, taps]: for channels of sign +1 and those of sign -1; in cell 0 lies what is below -reach, in
    the last one what is above reach.
    """
    taps = weights.shape[1]
    offset = np.zeros((2, cells + 2, taps), np.float32)
    slope = np.zeros((2, cells + 2, taps), np.float32)
    step = 2 * reach / cells
    for s in range(2):
        # At each node, the slope and the offset of the line that all channels beyond their bend make together.
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
    """The next layer's map of a layer's map: nine taps of the table's response, each at its place.

    value, noise: float32 [height, width]. offset, slope: those of `_table`. following: float32, added to: [height,
    width], or [2 height + 1, 2 width + 1] where the layer doubles the size.
    """
    height, width = value.shape
    cells = offset.shape[1] - 2
    reach = np.float32(reach)
    scale = np.float32(cells) / (2 * reach)
    # Mixed [x, tap] as the table is, then tap by tap.
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
    """Add float32 [9, height, width], each tap at its place, to float32 [height, width]; beyond the border is zero."""
    _, height, width = response.shape
    for t in range(9):
        ty, tx = t // 3, t % 3
        for y in range(max(ty - 1, 0), min(height + ty - 1, height)):
            line = following[y + 1 - ty]
            for x in range(max(tx - 1, 0), min(width + tx - 1, width)):
                line[x + 1 - tx] += response[t, y, x]


@njit(cache=True)
def _scatter(response, following):
    """Add float32 [9, height, width], two pixels apart, to float32 [2 height + 1, 2 width + 1]."""
    _, height, width = response.shape
    for t in range(9):
        for y in range(height):
            line = following[2 * y + t // 3]
            for x in range(width):
                line[2 * x + t % 3] += response[t, y, x]


@njit(cache=True)
def _to_tiles(state, first, tiles):
    """Rows of tiles from `first` on, of float32 [channels, height, width] with zeros around, transformed.

    A tile is 4 pixels wide and high and overlaps the next by 2. tiles: float32 [16, channels, rows, columns], filled.
    """
    channels, height, width = state.shape
    _, _, rows, columns = tiles.shape
    lines, mixed = np.zeros((4, 2 * columns + 2), np.float32), np.empty((4, 2 * columns + 2), np.float32)
    for c in range(channels):
        for row in range(rows):
            for k in range(4):
                y = 2 * (first + row) + k - 1
                if 0 <= y < height:
                    lines[k, 1 : width + 1] = state[c, y]
                else:
                    lines[k, 1 : width + 1] = 0
            for x in range(2 * columns + 2):
                mixed[0, x] = lines[0, x] - lines[2, x]
                mixed[1, x] = lines[1, x] + lines[2, x]
                mixed[2, x] = lines[2, x] - lines[1, x]
                mixed[3, x] = lines[1, x] - lines[3, x]
            for k in range(4):
                line = mixed[k]
                a, b = tiles[4 * k, c, row], tiles[4 * k + 1, c, row]
                d, e = tiles[4 * k + 2, c, row], tiles[4 * k + 3, c, row]
                for x in range(columns):
                    a[x] = line[2 * x] - line[2 * x + 2]
                    b[x] = line[2 * x + 1] + line[2 * x + 2]
                    d[x] = line[2 * x + 2] - line[2 * x + 1]
                    e[x] = line[2 * x + 1] - line[2 * x + 3]


@njit(cache=True)
def _from_tiles(products, first, result):
    """The pixels of transformed tiles, float32 [16, channels, rows, columns], into [channels, height, width]."""
    channels, height, width = result.shape
    _, _, rows, columns = products.shape
    pair = np.empty((2, 2 * columns), np.float32)
    for c in range(channels):
        for row in range(rows):
            p = products[:, c, row]
            for x in range(columns):
                a, b = p[0, x] + p[4, x] + p[8, x], p[4, x] - p[8, x] - p[12, x]
                d, e = p[1, x] + p[5, x] + p[9, x], p[5, x] - p[9, x] - p[13, x]
                f, g = p[2, x] + p[6, x] + p[10, x], p[6, x] - p[10, x] - p[14, x]
                h, i = p[3, x] + p[7, x] + p[11, x], p[7, x] - p[11, x] - p[15, x]
                pair[0, 2 * x], pair[0, 2 * x + 1] = a + d + f, d - f - h
                pair[1, 2 * x], pair[1, 2 * x + 1] = b + e + g, e - g - i
            for k in range(min(2, height - 2 * (first + row))):
                result[c, 2 * (first + row) + k] = pair[k, :width]


@njit(cache=True)
def _add_colours(value, noise, offset, slope, reach, rgb):
    """Add a layer's colours to float32 [height, width, 3]; the others as those of `_convolve`, with three taps."""
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
def _smooth(spread, smooth):
    """Filter by 1 3 3 1 along each axis, over 16, with a zero around: float32 [h + 1, w + 1] into float32 [h, w]."""
    height, width = smooth.shape
    line = np.zeros(width + 3, np.float32)
    three, share = np.float32(3), np.float32(1 / 16)
    for y in range(height):
        for x in range(width + 1):
            total = three * (spread[y, x] + spread[y + 1, x])
            if y > 0:
                total += spread[y - 1, x]
            if y + 2 <= height:
                total += spread[y + 2, x]
            line[x + 1] = total
        for x in range(width):
            smooth[y, x] = share * (line[x] + three * (line[x + 1] + line[x + 2]) + line[x + 3])


@njit(cache=True)
def _random_phases(magnitude, rng, phasors, coefficients):
    """Coefficients of a real image with a magnitude and random phases.

    magnitude: float32 [height, width // 2 + 1]. phasors: complex64 [n]. coefficients: complex64 [height,
    width], filled.
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


@njit(cache=True)
def _quantise(rgb, scale, shift, image):
    """uint8 [height, width, 3], filled: float32 rgb * scale + shift, where 0..1 is the range, cut off beyond."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            for c in range(3):
                value = rgb[y, x, c] * scale[c] + shift[c]
                image[y, x, c] = np.uint8(min(max(value, np.float32(0)), np.float32(1)) * np.float32(255))
