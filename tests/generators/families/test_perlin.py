"""Perlin noise compared with a slow implementation of its definition."""

import math

import numpy as np
import pytest

from synpat.families.perlin import DIRECTIONS, GRADIENTS, Perlin, _add_octave


def noise_at(y: float, x: float, gradient_y: np.ndarray, gradient_x: np.ndarray) -> float:
    """Return Perlin noise at one point, in units of cells: the definition of 1985 with the fade of 2002."""
    row, column = math.floor(y), math.floor(x)
    v, u = y - row, x - column

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    def corner(down: int, right: int) -> float:
        gradient = gradient_y[row + down, column + right], gradient_x[row + down, column + right]
        return gradient[0] * (v - down) + gradient[1] * (u - right)

    upper = corner(0, 0) + fade(u) * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + fade(u) * (corner(1, 1) - corner(1, 0))
    return upper + fade(v) * (lower - upper)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (5, 2), (8, 10)])
def test_the_kernel_agrees_with_the_definition(rows: int, columns: int):
    height, width = 37, 41
    draws = np.random.default_rng(0).random((rows + 1, columns + 1), np.float32)
    gradients = np.moveaxis(GRADIENTS[(draws * DIRECTIONS).astype(int)], 2, 0)
    noise = np.zeros((height, width), np.float32)
    _add_octave(noise, draws, GRADIENTS, np.float32(0.5))
    for y in range(height):
        for x in range(width):
            expected = 0.5 * noise_at((y + 0.5) * rows / height, (x + 0.5) * columns / width, *gradients)
            assert noise[y, x] == pytest.approx(expected, abs=1e-5)


def test_gradients_are_evenly_spaced_unit_vectors():
    angles = np.sort(np.arctan2(*GRADIENTS.T))
    assert np.allclose(np.hypot(*GRADIENTS.T), 1, atol=1e-6)
    assert np.allclose(np.diff(angles), 2 * np.pi / DIRECTIONS, atol=1e-5)


def test_twice_the_cells_give_twice_the_frequency():
    def centre(columns: int) -> float:
        pattern = Perlin(rows=4, columns=columns, octaves=1)
        images = np.stack([pattern.render(np.random.default_rng(i), 80, 208) for i in range(50)]).astype(float)
        power = (np.abs(np.fft.rfft(images - images.mean((1, 2), keepdims=True), axis=2)) ** 2).mean((0, 1))
        return float((np.arange(len(power)) * power).sum() / power.sum())

    assert centre(20) / centre(10) == pytest.approx(2, rel=0.15)


def test_octaves_finer_than_four_pixels_are_omitted():
    coarse, fine = (Perlin(rows=11, columns=11, octaves=octaves) for octaves in (1, 16))
    assert np.array_equal(
        coarse.render(np.random.default_rng(0), 80, 80), fine.render(np.random.default_rng(0), 80, 80)
    )


def test_every_image_has_the_full_range_of_grey_levels():
    for seed in range(20):
        image = Perlin(rows=2, columns=3, octaves=3).render(np.random.default_rng(seed), 80, 208)
        assert (image.min(), image.max()) == (0, 255)
