"""Dead leaves: distribution of the radii, shapes compared with OpenCV, and complete coverage."""

import cv2
import numpy as np
import pytest

from synpat.families.dead_leaves import (
    _BORDERS,
    CIRCLE,
    LEAVES_PER_SQUARE,
    ORIENTED,
    QUADRILATERAL,
    RADII,
    RECTANGLE,
    SQUARE,
    TRIANGLE,
    _circle,
    _convex,
    _dress,
    _drop,
    _pile,
    _textures,
)

SHAPES = (CIRCLE, SQUARE, ORIENTED, RECTANGLE, TRIANGLE, QUADRILATERAL)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _painted(spans, height: int, width: int) -> np.ndarray:
    (top, bottom), left, right = spans
    image = np.zeros((height, width), np.uint8)
    for row in range(top, bottom):
        image[row, max(left[row], 0) : max(right[row] + 1, 0)] = 1
    return image


def _area(rng: np.random.Generator, shape: int, radius: int) -> int:
    """Return the number of pixels of one leaf that is completely inside the image."""
    while True:
        state = rng.bit_generator.state
        y, x = 400 * rng.random(6)[4:]  # the centre is drawn after the radius and the colour
        if radius < min(y, x) and max(y, x) < 400 - radius:
            rng.bit_generator.state = state
            leaf = np.zeros((400, 400), np.int32)
            _drop(leaf, np.zeros((2, 3), np.uint8), rng, np.empty(0), np.array([radius]), np.array([shape]))
            return leaf.sum()


def test_radii_follow_the_published_power_law(rng):
    radii = RADII[np.searchsorted(_BORDERS, rng.random(1_000_000))]
    # The figures of families.md, section 2.
    assert np.mean(radii == RADII[0]) == pytest.approx(0.365, abs=0.003)
    assert np.mean(radii) == pytest.approx(0.051, abs=0.001)
    assert np.mean(radii**2) == pytest.approx(0.00479, rel=0.03)
    assert np.mean(radii > 0.25) == pytest.approx(0.01, abs=0.001)


def test_a_polygon_is_filled_as_opencv_fills_it(rng):
    for _ in range(600):
        corners, radius = int(rng.integers(3, 5)), int(rng.integers(1, 60))
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        points = (64 + radius * np.stack([np.sin(angle), np.cos(angle)])).astype(np.int64)
        ys, xs = np.pad(points, ((0, 0), (0, 4 - corners)))
        left, right = np.empty((2, 128), np.int64)
        actual = _painted((_convex(ys, xs, corners, left, right), left, right), 128, 128)
        expected = np.zeros((128, 128), np.uint8)
        cv2.fillPoly(expected, [points[::-1].T.astype(np.int32)], [1])
        assert np.array_equal(actual, expected)


def test_a_polygon_is_clipped_at_the_border(rng):
    for _ in range(300):
        ys, xs = rng.integers(-40, 80, (2, 4))
        full, part = (np.empty((2, height), np.int64) for height in (160, 40))
        big = _painted((_convex(ys + 60, xs + 60, 3, *full), *full), 160, 160)
        small = _painted((_convex(ys, xs, 3, *part), *part), 40, 40)
        assert np.array_equal(small, big[60:100, 60:100])


def test_a_circle_holds_the_pixels_within_its_radius():
    left, right = np.empty((2, 64), np.int64)
    image = _painted((_circle(30, 25, 17, left, right), left, right), 64, 64)
    row, column = np.indices((64, 64))
    assert np.array_equal(image, (row - 30) ** 2 + (column - 25) ** 2 <= 17**2)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (CIRCLE, np.pi),
        (SQUARE, 2),
        (ORIENTED, 2),
        (RECTANGLE, 4 / np.pi),  # 4 sin a cos a over a in 0..pi/2
        (TRIANGLE, 3 / (2 * np.pi)),  # a random triangle in a circle
        (QUADRILATERAL, 3 / np.pi),  # n = 4 of n (n-1) / (4 pi)
    ],
)
def test_the_mean_area_of_a_shape_is_the_theoretical_one(rng, shape, area):
    areas = [_area(rng, shape, 100) for _ in range(1500)]
    assert np.mean(areas) / 100**2 == pytest.approx(area, abs=0.04)


@pytest.mark.parametrize("shapes", [(SQUARE,), (ORIENTED,), SHAPES])
@pytest.mark.parametrize(("height", "width"), [(128, 128), (80, 208), (64, 512)])
def test_leaves_cover_the_complete_image(rng, shapes, height, width):
    for _ in range(5):
        leaf, _ = _pile(rng, height, width, *shapes)
        assert leaf.min() > 0


def test_the_number_of_leaves_agrees_with_the_published_one(rng):
    last = [_pile(rng, 128, 128, *SHAPES)[0].max() for _ in range(60)]
    assert 1200 < np.median(last) < 2000  # published medians: 1374 to 1770, most 2813
    visible = [len(np.unique(_pile(rng, 128, 128, SQUARE)[0])) for _ in range(60)]
    assert 180 < np.median(visible) < 320


def test_the_maximum_number_of_leaves_is_proportional_to_the_area(rng):
    _, colours = _pile(rng, 64, 512, SQUARE)
    assert len(colours) == 8 * LEAVES_PER_SQUARE + 1


def test_colours_are_uniform_and_independent(rng):
    leaf, colours = _pile(rng, 256, 256, SQUARE)
    used = colours[1 : leaf.max() + 1].astype(float)
    assert used.max() <= 254
    assert np.allclose(used.mean(0), 127, atol=10)
    assert np.allclose(np.corrcoef(used.T), np.eye(3), atol=0.12)


def test_each_leaf_is_filled_with_its_shifted_texture(rng):
    leaf = rng.integers(5, size=(20, 30)).astype(np.int32)
    bank = rng.integers(256, size=(3, 32, 32, 3)).astype(np.uint8)
    cuts = rng.integers((3, 32, 32), size=(5, 3))
    image = np.empty((20, 30, 3), np.uint8)
    _dress(leaf, bank, cuts, image)
    for number, (texture, down, right) in enumerate(cuts):
        expected = np.roll(bank[texture], (-down, -right), (0, 1))[:20, :30]
        assert np.array_equal(image[leaf == number], expected[leaf == number])


def test_textures_are_periodic():
    for texture in _textures(3, 64).astype(int):
        inside, seam = np.abs(np.diff(texture, axis=1)).mean(), np.abs(texture[:, 0] - texture[:, -1]).mean()
        assert seam < 1.5 * inside
