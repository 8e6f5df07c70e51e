"""Transforms compared with numpy, and properties of the steerable pyramid."""

import numpy as np
import pytest

from synpat.painting.fourier import (
    images_of,
    invert,
    join,
    pairs_of,
    split,
    transform,
)
from synpat.painting.steerable_pyramid import ORIENTATIONS, Pyramid, level_count, masks_of

SIZES = [(128, 128), (80, 208), (81, 205), (33, 47), (8, 9)]


def spectra_of(images: np.ndarray) -> np.ndarray:
    return np.fft.rfft2(images).astype(np.complex64)


def bands_of(pyramid: Pyramid, channel: int) -> list[list[np.ndarray]]:
    return [images_of(pairs[channel], ORIENTATIONS) for pairs in pyramid.bands]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_transforms_of_pairs_agree_with_numpy(height: int, width: int, count: int):
    images = np.random.default_rng(0).random((count, height, width), np.float32)
    pairs, spectra = pairs_of(images), np.empty((count, height, width // 2 + 1), np.complex64)
    transform(pairs)
    split(pairs, spectra)
    assert np.allclose(spectra, np.fft.rfft2(images), atol=1e-3)
    join(spectra, np.ones(spectra.shape[1:], np.float32), pairs)
    invert(pairs)
    assert np.allclose(images_of(pairs, count), images, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_bands_and_residuals_add_up_to_the_image(height: int, width: int):
    images = np.random.default_rng(0).normal(size=(3, height, width)).astype(np.float32)
    pyramid, spectra = Pyramid(3, height, width, level_count(height, width)), spectra_of(images)
    pyramid.analyse(spectra)
    pyramid.synthesise(spectra)
    assert np.allclose(np.fft.irfft2(spectra, (height, width)), images, atol=1e-5)


def test_white_noise_has_the_same_deviation_in_all_bands():
    images = np.random.default_rng(0).normal(size=(3, 256, 256)).astype(np.float32)
    pyramid = Pyramid(3, 256, 256, 4)
    pyramid.analyse(spectra_of(images))
    for level in range(4):
        deviation = np.mean([band.std() for channel in range(3) for band in bands_of(pyramid, channel)[level]])
        assert deviation == pytest.approx(0.28, abs=0.01)  # families.md, section 3.4


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_wave_appears_in_the_band_of_its_scale_and_orientation(orientation: int, level: int):
    y, x = np.mgrid[:128, :128]
    frequency = 2 * np.pi * np.round(128 * 0.3 / 2**level / (1 + orientation % 2 * 0.4)) / 128
    angle = np.pi * orientation / ORIENTATIONS
    wave = np.cos(frequency * (np.sign(np.round(np.cos(angle), 3)) * x + np.sign(np.round(np.sin(angle), 3)) * y))
    pyramid = Pyramid(1, 128, 128, 3)
    pyramid.analyse(spectra_of(wave[None]))
    energy = np.array(
        [[np.square(band).sum() * 4**i for band in bands] for i, bands in enumerate(bands_of(pyramid, 0))]
    )
    assert np.unravel_index((energy / 4.0 ** np.arange(3)[:, None]).argmax(), energy.shape) == (level, orientation)


def test_squares_of_the_masks_of_one_level_add_up_to_one():
    masks = masks_of(128, 128, 1)
    oriented = np.square(masks.oriented[0]).sum(0)
    rest = masks.high**2 + masks.low
    assert np.allclose(oriented + rest[:, :64], 1, atol=1e-6)


@pytest.mark.parametrize(("size", "levels"), [((128, 128), 3), ((256, 256), 4), ((80, 208), 2), ((8, 240), 1)])
def test_the_number_of_levels_depends_on_the_shorter_side(size: tuple[int, int], levels: int):
    assert level_count(*size) == levels
