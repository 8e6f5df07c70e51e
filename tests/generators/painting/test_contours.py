"""Contours: the noise of the published generators, and lines compared with Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synpat.painting.contours import (
    NOISE,
    PERMUTATION,
    _draw_orbits,
    _line,
    centres,
    draw_orbits,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_noise_has_the_published_moments_and_quantiles():
    # families.md, section 7: measured on the noise library of the published generators.
    assert np.mean(NOISE) == pytest.approx(0, abs=0.001)
    assert np.std(NOISE) == pytest.approx(0.330, abs=0.003)
    assert np.max(np.abs(NOISE)) == pytest.approx(0.952, abs=0.001)
    quantiles = np.quantile(NOISE, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    assert np.allclose(quantiles, [-0.828, -0.580, -0.153, -0.001, 0.144, 0.618, 0.854], atol=0.005)


def test_the_permutation_contains_every_number_once():
    assert sorted(PERMUTATION) == list(range(256))


def test_the_noise_is_continuous_and_periodic():
    assert np.max(np.abs(np.diff(NOISE, append=NOISE[0]))) < 0.4 * 8 / 256 * 1.5


def test_lines_agree_with_pillow(rng):
    for y0, x0, y1, x1 in rng.integers(-30, 70, (1000, 4)).tolist():
        image = np.zeros((40, 50), np.uint8)
        _line(image, y0, x0, y1, x1, 200)
        expected = Image.new("L", (50, 40))
        ImageDraw.Draw(expected).line([(x0, y0), (x1, y1)], fill=200, width=1)
        assert np.array_equal(image, np.asarray(expected)), (y0, x0, y1, x1)


@pytest.mark.parametrize("scale", [3, 60])
def test_orbits_agree_with_closed_polylines_of_pillow(rng, scale):
    vertices, orbits = 40, 5
    y, x = 30 + scale * rng.normal(size=vertices), 40 + scale * rng.normal(size=vertices)
    sine, cosine, growth = rng.normal(size=(3, vertices))
    words = rng.integers(0, 2**32, (orbits, vertices), np.uint32)
    levels = rng.integers(1, 256, orbits).astype(np.uint8)
    expected = Image.new("L", (80, 60))
    at_y, at_x = y.copy(), x.copy()
    for orbit in range(orbits):
        at_y += sine * (growth - 2.0 * NOISE[words[orbit] >> 16])
        at_x += cosine * (growth - 2.0 * NOISE[words[orbit] & 0xFFFF])
        corners = [(int(b), int(a)) for a, b in zip(at_y, at_x, strict=True)]
        ImageDraw.Draw(expected).line([corners[-1], *corners], fill=int(levels[orbit]), width=1)
    image = np.zeros((60, 80), np.uint8)
    _draw_orbits(image, y, x, sine, cosine, growth, 2.0, NOISE, words, levels)
    assert np.array_equal(image, np.asarray(expected))


def test_orbits_without_noise_are_equidistant_ellipses(rng):
    image = np.zeros((400, 400), np.uint8)
    draw_orbits(
        image,
        rng,
        centre=(200.5, 200.5),
        radii=(30, 60),
        growth=np.full(720, 40.0),
        roughness=0.0,
        orbits=3,
        greys=256,
    )
    assert np.flatnonzero(image[200]).tolist() == [20, 60, 100, 300, 340, 380]
    assert np.flatnonzero(image[:, 200]).tolist() == [50, 90, 130, 270, 310, 350]


def test_levels_are_uniform_and_256_is_drawn_as_255(rng):
    image = np.zeros((1, 40_000), np.uint8)
    for column in range(0, 40_000, 20):
        strip = image[:, column : column + 20]
        draw_orbits(
            strip,
            rng,
            centre=(0.5, 5.5),
            radii=(0, 0),
            growth=np.ones(3),
            roughness=0.0,
            orbits=1,
            greys=257,
        )
    levels = image[image > 0]
    assert levels.max() == 255
    assert levels.mean() == pytest.approx(128.5, abs=5)


@pytest.mark.parametrize(("height", "width", "squares"), [(64, 64, 1), (80, 208, 3), (128, 1024, 8), (300, 100, 3)])
def test_each_square_of_a_long_image_has_one_centre_within_its_margin(rng, height, width, squares):
    for _ in range(50):
        places = np.array(centres(rng, height, width, 0.1)) / max(height, width) * squares
        along, across = places[:, np.argsort([height, width])[::-1]].T if height != width else places.T
        assert np.all(np.abs(along - np.arange(squares) - 0.5) <= 0.4)
        assert np.all(np.abs(across / squares * max(height, width) / min(height, width) - 0.5) <= 0.4)
