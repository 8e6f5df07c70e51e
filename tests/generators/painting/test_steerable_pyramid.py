"""Transforms compared with numpy, and the steerable pyramid compared with pyrtools."""

import numpy as np
import pytest
from pyrtools.pyramids import SteerablePyramidSpace

from synpat.painting.fourier import (
    images_of,
    invert,
    join,
    pairs_of,
    split,
    transform,
)
from synpat.painting.steerable_pyramid import ORIENTATIONS, Pyramid, level_count

SIZES = [(128, 128), (80, 208), (81, 205), (33, 47), (8, 9)]


def spectra_of(images: np.ndarray) -> np.ndarray:
    return np.fft.rfft2(images).astype(np.complex64)


def bands_of(pyramid: Pyramid, channel: int) -> list[list[np.ndarray]]:
    return [images_of(pairs[channel], ORIENTATIONS) for pairs in pyramid.bands]


def published_pyramid(image: np.ndarray, levels: int) -> SteerablePyramidSpace:
    # pyrtools declares that the number of levels is a text.
    return SteerablePyramidSpace(image.astype(float), levels, 3, edge_type="circular")  # pyright: ignore[reportArgumentType]


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


@pytest.mark.parametrize(("height", "width", "levels"), [(128, 128, 3), (256, 128, 3), (80, 208, 2)])
def test_bands_and_reconstruction_are_those_of_pyrtools(height: int, width: int, levels: int):
    images = np.random.default_rng(0).normal(100, 50, (3, height, width)).astype(np.float32)
    pyramid, spectra = Pyramid(3, height, width, levels), spectra_of(images)
    pyramid.analyse(spectra)
    for channel, image in enumerate(images):
        published = published_pyramid(image, levels)
        residual = images_of(pyramid.residual, 3)[channel]
        assert np.allclose(residual, published.pyr_coeffs["residual_highpass"], atol=1e-3)
        for level, bands in enumerate(bands_of(pyramid, channel)):
            for orientation, band in enumerate(bands):
                assert np.allclose(band, published.pyr_coeffs[level, orientation], atol=1e-3)
    pyramid.synthesise(spectra)
    again = np.fft.irfft2(spectra, (height, width))
    for image, other in zip(images, again, strict=True):
        published = published_pyramid(image, levels)
        assert np.allclose(other, published.recon_pyr(), atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (80, 208), (82, 206), (34, 48), (8, 10)])
def test_bands_and_residuals_nearly_add_up_to_the_image(height: int, width: int):
    """The error of the published filters is a few percent."""
    levels = 1 if height % 4 else 2
    images = np.random.default_rng(0).normal(size=(3, height, width)).astype(np.float32)
    pyramid, spectra = Pyramid(3, height, width, levels), spectra_of(images)
    pyramid.analyse(spectra)
    pyramid.synthesise(spectra)
    assert np.std(np.fft.irfft2(spectra, (height, width)) - images) < 0.1


def test_white_noise_has_the_same_deviation_in_all_bands():
    images = np.random.default_rng(0).normal(size=(3, 256, 256)).astype(np.float32)
    pyramid = Pyramid(3, 256, 256, 4)
    pyramid.analyse(spectra_of(images))
    for level in range(4):
        deviation = np.mean([band.std() for channel in range(3) for band in bands_of(pyramid, channel)[level]])
        assert deviation == pytest.approx(0.25, abs=0.015)


@pytest.mark.parametrize(("wavelength", "response"), [(128, 0.012), (64, 0.024), (32, 0.044), (16, 0.052)])
def test_low_frequencies_leak_into_the_finest_diagonal_band(wavelength: int, response: float):
    wave = np.sin(2 * np.pi * np.arange(128) / wavelength) * np.ones((128, 1))
    pyramid = Pyramid(1, 128, 128, 3)
    pyramid.analyse(spectra_of(wave[None]))
    assert bands_of(pyramid, 0)[0][1].max() == pytest.approx(response, abs=0.001)


@pytest.mark.parametrize(("size", "levels"), [((128, 128), 3), ((256, 256), 4), ((80, 208), 2), ((8, 240), 1)])
def test_the_number_of_levels_depends_on_the_shorter_side(size: tuple[int, int], levels: int):
    assert level_count(*size) == levels
