"""ExFractalDB: categories that are not flat along any axis, and a perspective projection."""

import numpy as np
import pytest

from synpat.families.exfractaldb import (
    LEAST_VARIANCE,
    SEARCH_POINTS,
    ExFractalDB,
    _project,
    _table,
    candidate,
    cloud,
    is_category,
    weight_vector,
)
from synpat.family import Rejected
from synpat.rendering.sampling import paint

CUBE = np.array([[0.5, 0, 0, e, 0, 0.5, 0, f, 0, 0, 0.5, g] for e in (0, 0.5) for f in (0, 0.5) for g in (0, 0.5)][:7])
"""Seven of the eight half-size copies of a cube."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_search_finds_the_stored_categories():
    table = _table()
    assert len(table) == len(set(table)) == ExFractalDB.categories
    # tools/search_fractaldb.py takes a minute for the complete table; the first ten categories take a second.
    assert [number for number in range(table[9] + 1) if is_category(number)] == table[:10]


def test_no_category_is_flat_along_an_axis(rng):
    for number in _table()[::40]:
        assert is_category(number)
        points = cloud(candidate(number), rng, SEARCH_POINTS)
        assert points.var(0).min() > 0.3 * LEAST_VARIANCE  # with other random points, an outlier reduces the scale
        assert np.allclose(points.mean(0), 0, atol=1e-9)
        assert np.ptp(points, axis=0).max() <= 2 + 1e-9


def test_points_of_a_cube_without_a_corner_fill_seven_octants(rng):
    points = cloud(CUBE, rng, 40_000)
    octant = (points > points.min(0) + np.ptp(points, axis=0) / 2) @ [4, 2, 1]
    share = np.bincount(octant, minlength=8) / len(octant)
    assert np.allclose(share[:7], 1 / 7, atol=0.01)
    assert share[7] < 0.001


def test_the_145_weights_vary_one_parameter_each():
    vectors = np.array([weight_vector(weight) for weight in range(145)])
    assert len(np.unique(vectors, axis=0)) == 145
    assert np.all((vectors != 1).sum(1) == [0] + [1] * 144)
    assert np.allclose(sorted(set(vectors.ravel())), np.arange(4, 17) / 10)


def test_points_are_projected_in_perspective():
    # At distance 4, with a field of view of 45 degrees on 200 pixels, a unit is 100 / tan(22.5) / 4 = 60.4 pixels.
    reach = 100 / np.tan(np.pi / 8)
    image = np.zeros((200, 200), np.uint8)
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 1], [0.5, 0, -1]])
    _project(image, points, 0.0, 1.0, reach, 100.5, 100.5)
    expected = {(100, 100), (100, 160), (40, 100), (100, 140), (100, 124)}
    assert set(zip(*(index.tolist() for index in np.nonzero(image)), strict=True)) == expected


def test_a_rotation_by_90_degrees_moves_the_front_to_the_side():
    image = np.zeros((200, 200), np.uint8)
    _project(image, np.array([[0.0, 0, 1]]), 1.0, 0.0, 100 / np.tan(np.pi / 8), 100.5, 100.5)
    assert image[100, 160] == 255


def test_a_diverging_system_is_rejected(rng):
    with pytest.raises(Rejected):
        cloud(3 * CUBE, rng, 1000)


def test_few_draws_are_rejected(rng):
    rejected = 0
    for category in range(0, 1000, 10):
        try:
            image = ExFractalDB.draw(rng, category).render(rng, 80, 208)
        except Rejected:
            rejected += 1
        else:
            assert set(np.unique(image)) == {0, 255}
    assert rejected < 15


def test_the_thinnest_category_is_rarely_rejected_in_large_images():
    """Its attractor is a curve, whose share of the pixels is smaller in larger images."""
    for side in (128, 256, 512):
        assert paint("exfractaldb", 0, 12, side, side).rejects < 10
