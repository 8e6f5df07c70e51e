"""IFS: contracting systems with the given sigma factor, and filling rates as in the paper."""

import colorsys

import numpy as np
import pytest

from synpat.families.ifs import (
    IFS,
    PLASMA_STEPS,
    _background_palette,
    _colour,
    _foreground_palette,
    _orbit,
    _paint,
    _plasma,
    _rgb,
    _turns,
    jittered,
    singular_values,
    system,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_singular_values_are_ordered_and_add_up_to_the_sigma_factor(rng, n):
    for _ in range(2000):
        first, second = singular_values(rng, n).T
        assert np.all(first <= 1 + 1e-12)
        assert np.all(second <= first + 1e-12)
        assert np.all(second >= 0)
        assert (5 + n) / 2 <= np.sum(first + 2 * second) <= (6 + n) / 2


def test_every_map_of_every_category_is_contracting():
    for category in range(IFS.categories):
        values = np.linalg.svd(system(category)[:, :4].reshape(-1, 2, 2), compute_uv=False)
        assert values.max() <= 1 + 1e-9
    assert {len(system(category)) for category in range(50)} == {2, 3, 4}


def test_a_jittered_system_is_contracting_and_differs_in_one_map(rng):
    changed = 0
    for category in range(300):
        maps = jittered(system(category), rng)
        values = np.linalg.svd(maps[:, :4].reshape(-1, 2, 2), compute_uv=False)
        assert values.max() <= 1 + 1e-9
        ratio = (maps / system(category)).mean(1)
        changed += np.any(ratio != 1)
        assert np.sum(ratio != 1) <= 1
        assert np.all((ratio >= 0.8 - 1e-9) & (ratio <= 1.1 + 1e-9))
    assert changed > 270


def test_the_filling_rate_agrees_with_the_published_one(rng):
    fill = []
    for category in range(250):
        orbit, box = _orbit(system(category), rng, 100_000)
        y, x = ((orbit - box[:, :1]) / (box[:, 1:] - box[:, :1]) * 255.999).astype(int)
        fill.append(len(np.unique(y * 256 + x)) / 256**2)
    # quantiles 5 %, 50 % and 95 % at 256 x 256 and 100,000 points.
    assert np.allclose(np.quantile(fill, [0.05, 0.5, 0.95]), [0.059, 0.175, 0.437], atol=[0.02, 0.03, 0.06])


def test_an_orbit_starts_on_the_attractor(rng):
    maps = np.array([[0.5, 0.1, -0.2, 0.4, 0.3, -0.7], [0.3, 0, 0, 0.6, 0, 0.2]])
    orbit, _ = _orbit(maps, rng, 10)
    a, b, c, d, e, f = maps[0]
    y, x = orbit[:, 0]
    assert (a * x + b * y + e, c * x + d * y + f) == pytest.approx((x, y))


def test_points_in_a_square_are_uniformly_distributed(rng):
    square = np.array([[0.5, 0, 0, 0.5, e, f] for e in (0, 0.5) for f in (0, 0.5)])
    orbit, box = _orbit(square, rng, 200_000)
    assert np.allclose(box, [[0, 1], [0, 1]], atol=0.01)
    counts, _, _ = np.histogram2d(*orbit, bins=10)
    assert np.all(np.abs(counts / 2000 - 1) < 0.12)


def test_the_image_shows_the_counts_of_points_spread_over_the_stencil(rng):
    orbit = rng.uniform(-0.2, 1.2, (2, 3000))
    box = np.stack([orbit.min(1), orbit.max(1)], 1)
    stencil = 0b100_010_011
    palette = np.stack([np.arange(256)] * 3, 1).astype(np.uint8)
    image = np.zeros((40, 60, 3), np.uint8)
    _paint(image, orbit, box, np.array([40.0, -60.0]), np.array([0.0, 60.0]), stencil, palette)
    counts = np.zeros((80, 120), np.int64)
    y, x = np.floor(orbit * [[40], [-60]] + [[0], [60]]).astype(int)
    np.add.at(counts, (y + 20, x + 30), 1)
    counts[:20] = counts[60:] = counts[:, :30] = counts[:, 90:] = 0  # points outside the image are ignored
    bits = [bit for bit in range(9) if stencil >> bit & 1]
    spread = np.sum([np.roll(counts, (1 - bit // 3, 1 - bit % 3), (0, 1)) for bit in bits], axis=0)
    expected = 255 * spread[20:60, 30:90] // spread.max()
    assert np.array_equal(image[:, :, 0], expected)


def test_colours_agree_with_colorsys(rng):
    hue, saturation, value = rng.uniform(0, 1, (3, 200))
    expected = [255 * np.array(colorsys.hsv_to_rgb(*colour)) for colour in zip(hue, saturation, value, strict=True)]
    assert np.allclose(_rgb(hue, saturation, value), expected, atol=0.51)
    assert np.array_equal(_rgb(hue, saturation, value), _rgb(hue + 2, saturation, value))


def test_hues_are_bytes_of_two_degrees(rng):
    assert np.allclose(_turns(np.array([0, 90, 180, 255, 256, -1])), [0, 0.5, 1, 255 / 180, 0, 255 / 180])
    assert _foreground_palette(rng).shape == (256, 3)
    assert _background_palette(rng).shape == (2048, 3)


def test_plasma_is_smooth_and_has_the_published_range(rng):
    for height, width in ((64, 64), (80, 208), (50, 33), (1, 7)):
        assert _plasma(rng, height, width).shape == (height, width)
    plasma = _plasma(rng, 128, 1024)
    near, far = (np.mean((plasma[:, step:] - plasma[:, :-step]) ** 2) for step in (1, 32))
    assert near < far / 5
    ends = np.array([(plasma.min(), plasma.max()) for plasma in (_plasma(rng, 224, 224) for _ in range(100))])
    assert np.allclose(ends.mean(0), [0.12, 0.92], atol=0.06)


def test_each_value_of_plasma_has_its_colour(rng):
    palette = rng.integers(0, 256, (2 * PLASMA_STEPS, 3), np.uint8)
    image = np.empty((1, 5, 3), np.uint8)
    _colour(image, np.array([[-2, -0.5, 0, 1, 9]], np.float32), palette)
    assert np.array_equal(image[0], palette[[0, 0, 512, 1536, 2047]])


def test_without_colour_levels_range_from_black_to_white(rng):
    image = IFS(category=1, colour=False).render(rng, 128, 128)
    assert image.shape == (128, 128)
    assert (image.min(), image.max()) == (0, 255)
