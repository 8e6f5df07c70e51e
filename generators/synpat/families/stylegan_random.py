"""The complete StyleGAN with normal weights, in which all channels differ.

It multiplies matrices with BLAS, whose last bits depend on the processor. Unlike the pixels of most families, its
pixels are therefore the same only on processors of the same type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from synpat.family import Bounds, Family, Image, Size, category_generator
from synpat.painting.stylegan import (
    CHANNELS,
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

TILES = 1024
"""Approximate number of tiles of 2x2 pixels that are convolved together; it limits memory."""
NETWORKS = 256
"""Number of networks of stylegan-random; the published set has 262, with 400 images each."""


@dataclass(frozen=True, kw_only=True)
class StyleganRandom(Family):
    """Images of a StyleGAN with normally distributed weights, without noise and bias; a class is a network."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = PUBLISHED_SIZE
    version: ClassVar[int] = 2
    categories: ClassVar[int] = NETWORKS
    class_run_length: ClassVar[int] = 25
    expensive: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"network": (0, 2**32 - 1), "width": (1, 4096)}

    network: int
    """Number of the network."""
    width: int = CHANNELS
    """Channels of the widest layers: 512 as published; 64 takes a tenth of the time."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(network=category)

    @classmethod
    def categories_with(cls, given: Mapping[str, Any]) -> int:
        return 0 if "network" in given else cls.categories

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        rgb = _dense(rng, _network(self.network, self.width, Grid.of(height, width)))
        return finished(rng, rgb, height, width)


@dataclass(frozen=True)
class Network:
    """Weights of the complete network."""

    constant: Map
    """The constant input: [inputs, rows, columns]."""
    convolutions: list[Map]
    """Filters: [outputs, 9, inputs] if the layer doubles the size, else [16, outputs, inputs], see `_minimal`."""
    squares: list[Map]
    """Squared filters of each convolution, summed over the taps: [outputs, inputs]."""
    colourings: list[Map]
    """Weights of the outputs to RGB: [3, inputs] each."""


@lru_cache(maxsize=1)  # 140 MB at full width
def _network(number: int, width: int, grid: Grid) -> Network:
    rng = category_generator("stylegan-random", number)
    channels = [channel_count(doubled, width) for doubled in grid.layers]
    # The constant is drawn last, so that the weights do not depend on the size of the image.
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


@threadpool_limits.wrap(limits=1, user_api="blas")  # several threads add numbers in another order
def _dense(rng: np.random.Generator, network: Network) -> Map:
    """Return the output of the complete network with random styles: [height, width, 3].

    Styles multiply the input of a convolution and demodulation multiplies its output, which avoids a copy of the
    weights.
    """
    state, rgb = network.constant, None
    for number, (weights, squares) in enumerate(zip(network.convolutions, network.squares, strict=True)):
        outputs, inputs = squares.shape
        styles = draw_styles(rng, inputs)
        gains = np.sqrt(2 / (squares @ np.square(styles) + np.float32(1e-8))).astype(np.float32)
        state = (_convolved_double if number % 2 else _convolved)(weights, state * styles[:, None, None])
        np.maximum(state, 0, out=state)
        state *= gains[:, None, None]
        if number % 2 == 0:
            colouring = network.colourings[number // 2] * (draw_styles(rng, outputs) / np.float32(np.sqrt(outputs)))
            painted = np.tensordot(colouring, state, 1).transpose(1, 2, 0).astype(np.float32)
            rgb = painted if rgb is None else double(rgb) + painted
    assert rgb is not None
    return np.ascontiguousarray(rgb)


def _minimal(weights: Map) -> Map:
    """Transform filters [outputs, 9, inputs] for `_convolved`: [16, outputs, inputs]."""
    line = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    return np.tensordot(np.kron(line, line), weights, (1, 1))


def _convolved(weights: Map, state: Map) -> Map:
    """Convolve [inputs, height, width] with the filters of `_minimal`: [outputs, height, width].

    A tile of 2x2 pixels takes 16 products instead of 36 (Lavin and Gray, "Fast algorithms for convolutional neural
    networks", 2016).
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
    """Convolve [inputs, height, width] with [outputs, 9, inputs] and double the size: [outputs, 2 height, 2 width]."""
    outputs, _, inputs = weights.shape
    _, height, width = state.shape
    flat = state.reshape(inputs, -1)
    result = np.empty((outputs, 2 * height, 2 * width), np.float32)
    # A few output channels at a time: the responses of all channels and taps would not fit into memory.
    step = max(2**24 // (36 * height * width), 1)
    for first in range(0, outputs, step):
        some = weights[first : first + step]
        responses = (some.reshape(-1, inputs) @ flat).reshape(len(some), 9, height, width)
        for channel, response in enumerate(responses, first):
            spread = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
            _scatter(response, spread)
            result[channel] = smoothed(spread)
    return result


@njit(cache=True)
def _scatter(response, following):
    """Add the nine taps, float32 [9, height, width], with a stride of 2, to float32 [2 height + 1, 2 width + 1]."""
    _, height, width = response.shape
    for t in range(9):
        for y in range(height):
            line = following[2 * y + t // 3]
            for x in range(width):
                line[2 * x + t % 3] += response[t, y, x]


@njit(cache=True)
def _to_tiles(state, first, tiles):
    """Transform rows of tiles, starting at `first`, of zero-padded float32 [channels, height, width].

    Tiles have 4x4 pixels and overlap by 2. tiles: float32 [16, channels, rows, columns], output.
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
    """Write the pixels of transformed tiles, float32 [16, channels, rows, columns], to [channels, height, width]."""
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
