"""FractalDB: the published category search, and known attractors."""

import numpy as np
import pytest

from synpat.families.fractaldb import (
    PADDING,
    SPARE,
    FractalDB,
    _orbit,
    _stamp,
    _table,
    candidate,
    filling_rate,
    is_category,
    system_of,
    weight_vector,
)
from synpat.family import Rejected

SQUARE = np.array([[0.5, 0, 0, 0.5, e, f] for e in (0, 0.5) for f in (0, 0.5)])
"""System whose attractor is the uniformly covered unit square."""
SIERPINSKI = np.array([[0.5, 0, 0, 0.5, e, f] for e, f in ((0, 0), (0.5, 0), (0, 0.5))])
"""System whose attractor is the Sierpinski triangle with corners (0, 0), (1, 0), (0, 1)."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_filling_rate_of_a_square_is_the_expected_one(rng):
    # 100,000 points are uniformly distributed over the 500 x 500 pixels inside the padding.
    expected = 500**2 * (1 - np.exp(-100_000 / 500**2)) / 512**2
    assert filling_rate(SQUARE, rng) == pytest.approx(expected, rel=0.01)


def test_points_of_the_sierpinski_triangle_avoid_the_holes(rng):
    points, _, _ = _orbit(system_of(SIERPINSKI), rng, 20_000)
    # In binary, x and y never have a digit 1 at the same position. The start (0, 0) is on the attractor.
    y, x = (points * 2**30).astype(np.int64)
    assert not np.any(x >> 20 & y >> 20)


def test_maps_are_selected_in_proportion_to_their_determinants(rng):
    maps = np.array([[0.1, 0, 0, 0.3, 0, 0], [0.3, 0, 0, 0.3, 0.5, 0], [0, 0.2, 0.3, 0, 0, 0.5]])
    y, x = _orbit(system_of(maps), rng, 200_000)[0]
    assert np.mean((x >= 0.5) & (y < 0.4)) == pytest.approx(9 / 18, abs=0.01)
    assert np.mean(y >= 0.5) == pytest.approx(6 / 18, abs=0.01)


def test_a_diverging_system_is_rejected_and_has_filling_rate_0(rng):
    maps = np.array([[1.2, 0, 0, 1.2, 1, 1], [1.1, 0, 0, 1.1, -1, 1]])
    with pytest.raises(Rejected, match="farther than"):
        _orbit(system_of(maps), rng, 10_000)
    assert filling_rate(maps, rng) == 0


def test_the_search_finds_the_stored_categories():
    # tools/search_fractaldb.py takes a minute or two for the complete table; the first eight categories take a second.
    table = _table()
    assert [number for number in range(table[7] + 1) if is_category(number)] == table[:8]


def test_stored_categories_are_accepted_by_the_search():
    table = _table()
    assert len(table) == len(set(table)) == FractalDB.categories
    assert all(is_category(number) for number in table[::50])


def test_the_number_of_maps_has_the_published_distribution():
    share = np.bincount([len(candidate(number)) for number in _table()], minlength=8)[2:] / 1000
    published = np.array([231, 294, 218, 146, 77, 34]) / 1000
    assert np.allclose(share, published, atol=0.035)


def test_the_25_weights_vary_one_parameter_each():
    vectors = np.array([weight_vector(weight) for weight in range(25)])
    assert len(np.unique(vectors, axis=0)) == 25
    assert np.all(vectors[0] == 1)
    assert np.all((vectors[1:] != 1).sum(1) == 1)
    assert sorted(set(vectors.ravel())) == [0.2, 0.6, 1, 1.4, 1.8]


@pytest.mark.parametrize("share", [[1.0], [0.5, 0.5], [9, 3, 6], [1, 0, 1e-6, 8], [5, 1, 1, 1, 1, 1, 30]])
def test_the_alias_table_has_the_right_probabilities(share):
    maps = np.zeros((len(share), 6))
    maps[:, 0], maps[:, 3] = share, 1
    system = system_of(maps)
    # Each column has an eighth of the 2**32 numbers.
    ends = 2**29 * np.arange(9)
    below, above = system.bounds.astype(np.int64) - ends[:-1], ends[1:] - system.bounds.astype(np.int64)
    numbers = np.bincount(system.choices, np.stack([below, above], 1).ravel(), len(share))
    assert numbers / 2**32 == pytest.approx(np.array(share) / sum(share), abs=1e-8)


def test_patches_light_half_of_their_pixels(rng):
    points, box, numbers = _orbit(system_of(SQUARE), rng, 200_000)
    bits = np.zeros((128 + SPARE, (128 + SPARE) // 8 + 1), np.uint8)
    _stamp(bits, points, box, numbers, 128, 128)
    image = np.unpackbits(bits[:128], axis=1, count=128, bitorder="little")
    inside = image[PADDING + 4 : -PADDING, PADDING + 4 : -PADDING]
    assert np.mean(inside) == pytest.approx(256 / 511, abs=0.02)
    assert not image[: PADDING + 1].any()
    assert not image[:, : PADDING + 1].any()


def test_all_511_patches_are_drawn_at_the_position_of_their_point(rng):
    """Each image has one point, always at the same pixel, so the lit pixels are its patch."""
    box = np.array([[0.0, 1], [0, 1]])
    found = set()
    for number in np.linspace(0, 2**32 - 1, 1022).astype(np.uint32):
        bits = np.zeros((64 + SPARE, (64 + SPARE) // 8 + 1), np.uint8)
        _stamp(bits, np.array([[0.5], [0.44]]), box, np.array([number]), 64, 64)
        image = np.unpackbits(bits, axis=1, bitorder="little")
        patch = image[33:36, 29:32]  # at 0.5 and 0.44 of the 52 pixels inside the padding, plus 1
        assert patch.sum() == image.sum()
        found.add(int(patch.ravel() @ 2 ** np.arange(9)))
    assert found == set(range(1, 512))


def test_an_attractor_extends_to_the_padding_on_all_sides(rng):
    image = FractalDB(category=0, weight=0).render(rng, 90, 300)
    rows, columns = np.nonzero(image)
    assert rows.min() == pytest.approx(PADDING + 1, abs=2)
    assert rows.max() == pytest.approx(90 - PADDING + 3, abs=3)
    assert columns.min() == pytest.approx(PADDING + 1, abs=2)
    assert columns.max() == pytest.approx(300 - PADDING + 3, abs=3)


def test_flips_mirror_the_same_image():
    plain, turned = (
        FractalDB(category=3, weight=0, flip_y=flip, flip_x=flip).render(np.random.default_rng(1), 80, 208)
        for flip in (False, True)
    )
    assert np.array_equal(turned, plain[::-1, ::-1])


def test_diverging_and_empty_instances_are_rejected_and_rare():
    rejected = 0
    for category in range(0, 1000, 10):
        pattern = FractalDB.draw(np.random.default_rng(category), category)
        try:
            image = pattern.render(np.random.default_rng(category), 80, 208)
        except Rejected:
            rejected += 1
        else:
            assert np.mean(image > 0) >= 0.025
    assert 0 < rejected < 20


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 300), (20, 13), (300, 9)])
def test_small_images_have_less_padding(rng, height, width):
    image = FractalDB(category=0, weight=0).render(rng, height, width)
    assert image.shape == (height, width)
    assert image.any()


def test_a_side_below_8_pixels_is_rejected(rng):
    with pytest.raises(ValueError, match="at least 8 pixels per side, got 7x99"):
        FractalDB(category=0, weight=0).render(rng, 7, 99)
