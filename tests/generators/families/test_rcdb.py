"""RCDB: the published prior, the number of vertices of a class, and the background."""

import dataclasses

import numpy as np
import pytest

from synpat.families.rcdb import RCDB
from synpat.family import Rejected


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_classes_and_instances_follow_the_published_prior(rng):
    figures = [RCDB.draw(rng, category) for category in range(RCDB.categories)]
    assert all(3 <= figure.vertices <= 200 and 0 <= figure.radius <= 100 for figure in figures)
    # An exponential distribution of mean 100, truncated to integers and limited to 3..200, has mean 72.
    assert np.mean([figure.vertices for figure in figures]) == pytest.approx(72, abs=6)
    assert np.mean([figure.radius for figure in figures]) == pytest.approx(50, abs=3)
    assert np.mean([figure.oval_x for figure in figures]) == pytest.approx(1.5, abs=0.03)
    # Classes with very few contours are skipped, so the mean is slightly above 100.
    assert 98 < np.mean([figure.orbits for figure in figures]) < 112


def test_a_class_determines_the_contours_and_an_instance_the_radius():
    one, other = (RCDB.draw(np.random.default_rng(seed), 5) for seed in (1, 2))
    assert (one.vertices, one.orbits, one.roughness, one.spacing) == (
        other.vertices,
        other.orbits,
        other.roughness,
        other.spacing,
    )
    assert one.radius != other.radius


def test_a_polygon_has_the_number_of_vertices_of_its_class(rng):
    square = RCDB(vertices=4, orbits=40, roughness=0.0, spacing=0.1, radius=90.0, oval_y=1.0, oval_x=1.0)
    image = square.render(rng, 512, 512)
    row, column = np.nonzero(image)
    y, x = row - (row.min() + row.max()) / 2, column - (column.min() + column.max()) / 2
    # Vertices at 0, 90, 180 and 270 degrees: |x| + |y| is the radius, 90 to 94, along all sides.
    assert np.all((np.abs(y) + np.abs(x) > 86) & (np.abs(y) + np.abs(x) < 97))


def test_contours_grow_by_lambda_on_average(rng):
    figure = RCDB(vertices=150, orbits=100, roughness=1.0, spacing=0.0, radius=50.0, oval_y=1.0, oval_x=1.0)
    reach = [np.ptp(np.nonzero(figure.render(rng, 512, 512))[0]) / 2 for _ in range(20)]
    # A radius of 50 and 100 steps of mean 1 and deviation 2 x 0.33. The extent is that of the outermost vertices.
    assert 150 < np.max(reach) < 150 + 4 * 0.66 * 10


def test_inverted_gives_the_negative_image(rng):
    figure = RCDB.draw(rng, 12)
    black, white = (
        dataclasses.replace(figure, inverted=inverted).render(np.random.default_rng(3), 80, 208)
        for inverted in (True, False)
    )
    assert np.array_equal(white, 255 - black)
    assert np.mean(black) < np.mean(white)


def test_a_nearly_empty_image_is_rejected(rng):
    with pytest.raises(Rejected):
        RCDB(vertices=3, orbits=1, roughness=0.0, spacing=0.0, radius=5.0, oval_y=1.0, oval_x=1.0).render(rng, 99, 99)


def test_few_draws_are_rejected(rng):
    rejected = 0
    for category in range(0, 1000, 5):
        try:
            RCDB.draw(rng, category).render(rng, 80, 208)
        except Rejected:
            rejected += 1
    assert rejected <= 4


@pytest.mark.parametrize("category", [311, 508])  # of few contours
def test_a_thin_class_is_not_rejected_in_a_large_image(category):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert np.any(RCDB.draw(rng, category).render(rng, 2048, 2048))
