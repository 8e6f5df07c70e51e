"""Untrained StyleGANs: one map per layer compared with all channels, wavelets, noise and grid."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from threadpoolctl import threadpool_limits

from synpat.families import FAMILIES, Family, Rejected
from synpat.families.stylegan_collapsed import (
    StyleganHighfreq,
    StyleganOriented,
    StyleganSparse,
    _add_colours,
    _convolve,
    _filter_weights,
    _gather,
    _pink,
    _table,
    signed_wavelets,
    wavelets,
)
from synpat.families.stylegan_random import (
    StyleganRandom,
    _convolved,
    _convolved_double,
    _dense,
    _minimal,
    _network,
)
from synpat.family import category_generator
from synpat.painting.stylegan import (
    DEVIATIONS,
    MEANS,
    Grid,
    channel_count,
    double,
    draw_styles,
    finished,
    smoothed,
)


def dense_layer(state: np.ndarray, weights: np.ndarray, *, up: bool) -> np.ndarray:
    """Apply a modulated convolution as defined in the paper, pixel by pixel: [o, i, 3, 3] on [i, h, w]."""
    outputs = len(weights)
    weights = weights / np.sqrt(np.square(weights).sum((1, 2, 3), keepdims=True) + 1e-8)
    _, height, width = state.shape
    if not up:
        padded = np.pad(state, ((0, 0), (1, 1), (1, 1)))
        result = np.empty((outputs, height, width))
        for y in range(height):
            for x in range(width):
                result[:, y, x] = np.tensordot(weights, padded[:, y : y + 3, x : x + 3], 3)
        return result
    spread = np.zeros((outputs, 2 * height + 3, 2 * width + 3))
    for y in range(height):
        for x in range(width):
            spread[:, 2 * y + 1 : 2 * y + 4, 2 * x + 1 : 2 * x + 4] += np.einsum("oiyx,i->oyx", weights, state[:, y, x])
    line = np.array([1, 3, 3, 1]) / 8
    fir = 4 * np.outer(line, line)
    result = np.empty((outputs, 2 * height, 2 * width))
    for y in range(2 * height):
        for x in range(2 * width):
            result[:, y, x] = (spread[:, y : y + 4, x : x + 4] * fir).sum((1, 2))
    return result


def activated(state: np.ndarray, noise: np.ndarray, biases: np.ndarray) -> np.ndarray:
    return np.sqrt(2) * np.maximum(state + noise + biases[:, None, None], 0)


@pytest.mark.parametrize("bias", [0.0, 0.2])
def test_one_map_per_layer_is_equivalent_to_the_dense_network(bias: float):
    rng = np.random.default_rng(0)
    channels, size, reach = 16, (4, 6), 0.25
    state = rng.standard_normal((channels, *size))
    value, noise, signs, biases = np.empty(0), np.empty(0), np.empty(0), np.empty(0)
    for number, up in enumerate([False, True, False, True, False]):
        filters = rng.standard_normal((channels, 9))
        styles, gains = 1 + 0.7 * rng.standard_normal(channels), rng.standard_normal(channels)
        # Dense: all weights. Collapsed: a style and a filter per input channel, and a sign per output channel.
        weights = np.einsum("o,i,it->oit", gains, styles, filters).reshape(channels, channels, 3, 3)
        dense = dense_layer(state, weights, up=up)
        collapsed = styles[:, None] * filters
        collapsed = (collapsed / np.sqrt(np.square(collapsed).sum())).astype(np.float32)
        size = (2 * size[0], 2 * size[1]) if up else size
        if number == 0:
            value = np.zeros(size, np.float32)
            _gather(np.einsum("it,iyx->tyx", collapsed, state).astype(np.float32), value)
        else:
            offset, slope = _table(collapsed * np.float32(np.sqrt(2)), signs, biases, reach, 512)
            following = np.zeros((size[0] + 1, size[1] + 1) if up else size, np.float32)
            _convolve(value, noise, offset, slope, reach, up, following)
            value = smoothed(following) if up else following
        signs = np.sign(gains).astype(np.float32)
        assert np.allclose(signs[:, None, None] * value, dense, atol=2e-3 * np.abs(dense).max())
        noise = 0.3 * rng.standard_normal(size).astype(np.float32)
        biases = rng.uniform(-bias, bias, channels).astype(np.float32)
        state = activated(dense, noise, biases)
    colours = rng.standard_normal((channels, 3)).astype(np.float32)
    offset, slope = _table(colours * np.float32(np.sqrt(2)), signs, biases, reach, 512)
    rgb = np.zeros((*size, 3), np.float32)
    _add_colours(value, noise, offset, slope, reach, rgb)
    expected = np.einsum("iyx,ic->yxc", state, colours)
    assert np.allclose(rgb, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("height", "width"), [(6, 8), (3, 7), (2, 1), (70, 60)])
def test_fast_convolutions_agree_with_the_dense_layer(height: int, width: int):
    rng = np.random.default_rng(0)
    state, weights = rng.random((5, height, width), np.float32), rng.standard_normal((7, 5, 3, 3), np.float32)
    weights /= np.sqrt(np.square(weights).sum((1, 2, 3), keepdims=True))
    flat = np.ascontiguousarray(weights.transpose(0, 2, 3, 1).reshape(7, 9, 5))
    assert np.allclose(_convolved(_minimal(flat), state), dense_layer(state, weights, up=False), atol=1e-5)
    assert np.allclose(_convolved_double(flat, state), dense_layer(state, weights, up=True), atol=1e-5)


def test_stylegan_random_uses_each_network_for_25_consecutive_images():
    networks = [FAMILIES["stylegan-random"].category_of(index, {}) for index in range(0, 80, 5)]
    assert networks == [0] * 5 + [1] * 5 + [2] * 5 + [3]
    assert StyleganRandom.category_of(30, {"network": 7}) is None


def test_the_complete_network_agrees_with_modulated_weights():
    grid, own, rng = Grid.of(8, 12), category_generator("stylegan-random", 3), np.random.default_rng(1)
    network = _network(3, 4, grid)
    state, rgb = network.constant, np.empty(0, np.float32)
    for number in range(len(grid.layers)):
        weights = own.standard_normal((4, 9, 4), np.float32) * draw_styles(rng, 4)
        weights = weights.transpose(0, 2, 1).reshape(4, 4, 3, 3)
        state = np.sqrt(2) * np.maximum(dense_layer(state, weights, up=number % 2 == 1), 0)
        if number % 2 == 0:
            painted = np.einsum("ci,iyx->yxc", network.colourings[number // 2] * draw_styles(rng, 4) / 2, state)
            rgb = painted if number == 0 else double(rgb.astype(np.float32)) + painted
    assert np.allclose(_dense(np.random.default_rng(1), network), rgb, atol=1e-4 * np.abs(rgb).max())


def test_a_table_is_the_sum_of_piecewise_linear_functions():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((300, 9), np.float32)
    signs, biases = np.sign(rng.standard_normal(300)).astype(np.float32), rng.uniform(-0.2, 0.2, 300).astype(np.float32)
    offset, slope = _table(weights, signs, biases, 0.25, 512)
    for u in np.linspace(-1, 1, 333):
        cell = int(np.clip((u + 0.25) * 1024 + 1, 0, 513))
        for s, sign in enumerate([1, -1]):
            expected = (weights[signs == sign] * np.maximum(u + biases[signs == sign], 0)[:, None]).sum(0)
            assert np.allclose(offset[s, cell] + slope[s, cell] * u, expected, atol=3e-3)


def test_a_doubled_flat_image_is_flat():
    doubled = double(np.ones((5, 7, 3), np.float32))
    assert doubled.shape == (10, 14, 3)
    assert np.allclose(doubled[1:-1, 1:-1], 1)


def test_signed_wavelets_are_forty_filters_of_three_values():
    a = signed_wavelets()
    assert a.shape == (40, 9)
    assert set(np.unique(a)) == {-1, 0, 1}
    assert np.array_equal(a[0], [1, 0, -1] * 3)
    assert np.array_equal(a[2].reshape(3, 3), [[1, 1, 0], [1, 0, -1], [0, -1, -1]])  # the diagonal one
    assert np.array_equal(a[16], [1, -1, 1] * 3)
    assert np.array_equal(a[17], [1, -1, 1] * 3)  # a line turned by 22.5 degrees, without the mean subtracted
    assert np.array_equal(a[18].reshape(3, 3), [[1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    assert {abs(total) for total in a[24:28].sum(1)} == {1, 5, 7}


def test_signed_wavelets_are_those_of_pictures_rotated_bilinearly():
    """The mean is subtracted before the sign is taken for edges, not for lines."""

    def rotated(picture: np.ndarray, angle: float) -> np.ndarray:
        cosine, sine = np.cos(angle), np.sin(angle)
        y, x = np.mgrid[-1:2, -1:2]
        places = np.array([5 - x * sine + y * cosine, 5 + x * cosine + y * sine])
        return map_coordinates(picture, places, order=1).ravel()

    profile = np.arange(11) - 5
    edge, line = np.tile(-np.sign(profile), (11, 1)).astype(float), np.tile(np.where(profile, 1.0, -1.0), (11, 1))
    filters = signed_wavelets()
    for k in range(16):
        picture = rotated(edge, k * np.pi / 8)
        assert np.array_equal(filters[k], np.sign(np.round(picture - picture.mean(), 9)))
    for k in range(8):
        assert np.array_equal(filters[16 + k], np.sign(np.round(rotated(line, k * np.pi / 8), 9)))
        assert np.array_equal(filters[28 + k], -filters[16 + k])


def test_unsigned_wavelets_are_twenty_filters_and_their_negatives():
    b = wavelets()
    assert b.shape == (40, 9)
    assert np.array_equal(b[:20], -b[20:])
    assert np.allclose(b[:16].sum(1), 0)
    assert np.allclose(b[8], [2 / 3, -4 / 3, 2 / 3] * 3)
    # the values of the edge turned by 22.5 degrees.
    assert np.allclose(np.unique(np.abs(b[1]).round(3)), [0, 0.383, 0.541, 0.924, 1])


@pytest.mark.parametrize(("height", "width"), [(256, 256), (128, 448)])
def test_the_spectrum_of_pink_noise_is_a_power_law(height: int, width: int):
    for seed in range(5):
        noise = _pink(np.random.default_rng(seed), height, width)
        assert noise.std() == pytest.approx(1, abs=1e-4)
        assert noise.mean() == pytest.approx(0, abs=1e-4)
        magnitude = np.abs(np.fft.rfft2(noise)) + 1e-9
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        inside = (radius > 0.03) & (radius < 0.4)
        slope = -np.polyfit(np.log(radius[inside]), np.log(magnitude[inside]), 1)[0]
        assert 0.4 < slope < 1.6


def test_enveloped_noise_is_locally_concentrated():
    kurtosis = [
        np.mean([(_pink(np.random.default_rng(i), 64, 64, enveloped=e) ** 4).mean() for i in range(20)])
        for e in (False, True)
    ]
    assert kurtosis[0] == pytest.approx(3, abs=0.4)
    assert kurtosis[1] > 5


@pytest.mark.parametrize(
    ("size", "grid"), [((128, 128), (4, 4, 5)), ((128, 1024), (4, 32, 5)), ((80, 208), (3, 7, 5)), ((8, 9), (4, 5, 1))]
)
def test_the_grid_is_the_smallest_that_covers_the_image(size: tuple[int, int], grid: tuple[int, int, int]):
    assert Grid.of(*size) == Grid(*grid)
    assert Grid.of(*size).height >= size[0]
    assert Grid.of(*size).width >= size[1]


def test_layers_have_the_published_numbers_of_channels():
    grid = Grid.of(256, 256)
    assert [channel_count(doubled) for doubled in grid.layers[::2]] == [512, 512, 512, 512, 512, 256, 128]
    assert len(grid.layers) == 13


def test_filters_are_demodulated():
    weights = _filter_weights(np.random.default_rng(0), 512, wavelets(), subsets=True)
    assert np.square(weights).sum() == pytest.approx(1, abs=1e-4)
    assert weights.shape == (512, 9)


def test_finished_images_have_the_published_means_and_deviations():
    rng = np.random.default_rng(0)
    rgb = rng.normal(size=(16, 16, 3)).astype(np.float32)
    # Clipping hardly changes the mean of an image with a symmetric distribution.
    images = np.array([finished(rng, rgb, 16, 16) for _ in range(3000)]) / 255
    means = images.mean((1, 2))
    assert np.allclose(means.mean(0), [mean for mean, _ in MEANS], atol=0.02)
    assert np.allclose(images.std((1, 2)).mean(0), [mean for mean, _ in DEVIATIONS], atol=0.03)


def test_a_network_is_determined_by_its_number():
    first, again = (StyleganRandom(network=3, width=8).render(np.random.default_rng(0), 16, 24) for _ in range(2))
    other = StyleganRandom(network=4, width=8).render(np.random.default_rng(0), 16, 24)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pixels_do_not_depend_on_the_number_of_threads():
    network, pictures = _network(1, 512, Grid.of(80, 208)), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            pictures.append(_dense(np.random.default_rng(0), network))
    assert np.array_equal(*pictures)


@pytest.mark.parametrize("family", [StyleganHighfreq, StyleganSparse, StyleganOriented])
def test_a_single_pixel_is_rejected(family: type[Family]):
    with pytest.raises(Rejected):
        family.draw(np.random.default_rng(0), 0).render(np.random.default_rng(0), 1, 1)
