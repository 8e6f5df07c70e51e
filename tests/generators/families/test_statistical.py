"""Statistical models: the images have the imposed statistics."""

import numpy as np
import pytest

from synpat.families.statistical import (
    COEFFICIENTS,
    Spectrum,
    _colour_bands,
    _colour_histograms,
    _colour_space,
    _histogram,
    _impose_colours,
    _impose_marginals,
    _impose_spectrum,
    _marginal_densities,
    _marginals,
    _match,
    _pixels_below,
)
from synpat.painting.fourier import images_of, pairs_of
from synpat.painting.steerable_pyramid import Pyramid


def with_spectrum(images: np.ndarray, slope_y: float, slope_x: float) -> np.ndarray:
    pairs = pairs_of(images)
    _impose_spectrum(pairs, slope_y, slope_x)
    return np.array(images_of(pairs, len(images)))


def slope_along_axis(channels: np.ndarray, axis: int) -> float:
    """Return the exponent of the Fourier magnitude along one axis, with the other frequency 0."""
    magnitude = np.abs(np.fft.fft2(channels.astype(np.float64))).mean(0)
    line = magnitude[:, 0] if axis == 0 else magnitude[0]
    half = len(line) // 2
    frequency = np.arange(2, half - 1)
    return -np.polyfit(np.log(frequency), np.log(line[frequency]), 1)[0]


@pytest.mark.parametrize(("slope_y", "slope_x"), [(0.6, 0.7), (1.5, 1.4), (3.0, 2.9)])
@pytest.mark.parametrize(("height", "width"), [(128, 128), (80, 208), (81, 205)])
def test_the_imposed_slope_is_recovered_along_each_axis(slope_y: float, slope_x: float, height: int, width: int):
    noise = np.random.default_rng(0).random((3, height, width), np.float32)
    imposed = with_spectrum(noise, slope_y, slope_x)
    assert slope_along_axis(imposed, 0) == pytest.approx(slope_y, abs=0.02)
    assert slope_along_axis(imposed, 1) == pytest.approx(slope_x, abs=0.02)


def test_imposing_a_spectrum_keeps_mean_and_deviation_and_is_idempotent():
    noise = np.random.default_rng(0).random((3, 64, 96), np.float32) * 256
    once = with_spectrum(noise, 1.2, 1.3)
    assert np.allclose(once.mean((1, 2)), noise.mean((1, 2)), rtol=1e-4)
    assert np.allclose(once.std((1, 2)), noise.std((1, 2)), rtol=1e-4)
    assert np.allclose(with_spectrum(once, 1.2, 1.3), once, atol=0.05)


def test_slopes_follow_the_prior():
    patterns = [Spectrum.draw(np.random.default_rng(i), 0) for i in range(4000)]
    middle = np.array([(p.slope_y + p.slope_x) / 2 for p in patterns])
    difference = np.array([(p.slope_x - p.slope_y) / 2 for p in patterns])
    assert np.allclose(np.quantile(middle, [0, 0.5, 1]), [0.5, 2, 3.5], atol=0.06)
    assert difference.std() == pytest.approx(0.05, abs=0.003)


def test_the_colour_space_is_a_rotation_that_decorrelates_its_image():
    bands = _colour_bands(np.random.default_rng(3), 80, 208)
    mean, axes = _colour_space(bands)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-5)
    covariance = np.cov(((bands.reshape(-1, 3) - mean) @ axes.T).T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()


def test_more_than_half_of_the_axes_have_a_positive_largest_component():
    axes = np.array([_colour_space(_colour_bands(np.random.default_rng(i), 64, 64))[1] for i in range(400)])
    positive = np.take_along_axis(axes, np.abs(axes).argmax(2)[:, :, None], 2) > 0
    assert np.allclose(positive.mean(0).ravel(), [0.61, 0.65, 0.72], atol=0.08)


def test_a_colour_image_has_three_channels_and_the_full_range():
    image = Spectrum(slope_y=1.5, slope_x=1.5).render(np.random.default_rng(0), 80, 208)
    assert image.shape == (80, 208, 3)
    assert (image.min(), image.max()) == (0, 255)


def test_the_steepest_valid_slope_works_in_the_longest_image():
    image = Spectrum(slope_y=4.0, slope_x=4.0).render(np.random.default_rng(0), 16, 16384)
    assert image.std() > 4


@pytest.mark.parametrize("bins", [256, 801])
def test_matching_maps_each_value_to_the_quantile_of_its_rank(bins: int):
    rng = np.random.default_rng(0)
    target = _histogram(rng.random(bins) ** 3, -10, 30)
    values = rng.normal(size=(128, 128)).astype(np.float32)
    # The exact method: sort, and map the value of rank r to the quantile (r + 1/2) / n.
    ranks = np.argsort(np.argsort(values, axis=None))
    exact = np.interp((ranks + 0.5) / values.size, target.cumulative, np.linspace(-10, 30, bins + 1))
    order = values.argsort(axis=None)
    _match(values, target)
    assert (np.diff(values.ravel()[order]) >= 0).all()
    # The error of a histogram is the position of a value within its bin.
    distances = np.abs(np.sort(values, axis=None) - np.sort(exact))
    assert np.quantile(distances, 0.95) < 60 / bins
    assert np.mean(distances) < 20 / bins


def test_matching_hardly_changes_values_that_already_follow_the_distribution():
    target = _histogram(np.ones(801), 0, 1)
    values = np.random.default_rng(0).random((256, 256), np.float32)
    before = values.copy()
    _match(values, target)
    assert np.abs(values - before).max() < 0.005


def test_matching_does_not_change_a_flat_image():
    values = np.full((8, 8), 3, np.float32)
    _match(values, _histogram(np.ones(16), 0, 1))
    assert (values == 3).all()


def test_a_density_agrees_with_its_definition():
    densities = _marginal_densities(np.array([0.5]), np.array([16.0]))
    assert np.allclose(densities[0], np.exp(-(np.abs(COEFFICIENTS / 16) ** 0.5)))


def test_deviations_of_the_densities_span_the_known_ranges():
    # by the level's width.
    drawn = [_marginals(np.random.default_rng(i), 4) for i in range(30)]
    for first, low, high in [(0, 9, 62), (1, 9, 62), (5, 35, 85), (9, 103, 107), (13, 114, 117)]:
        deviations = [channel[first].deviation for marginals in drawn for channel in marginals]
        assert low - 1 < min(deviations)
        assert max(deviations) < high + 1


def test_imposed_bands_have_the_deviation_of_their_density():
    marginals = _marginals(np.random.default_rng(0), 3)
    rng = np.random.default_rng(1)
    pairs, pyramid = pairs_of(rng.random((3, 128, 128), np.float32) * 256), Pyramid(3, 128, 128, 3)
    for _ in range(10):
        _impose_marginals(pairs, pyramid, marginals)
    pyramid.analyse(np.fft.rfft2(np.array(images_of(pairs, 3))).astype(np.complex64))
    for channel, targets in enumerate(marginals):
        bands = [images_of(pyramid.residual, 3)[channel]]
        bands += [band for level in pyramid.bands for band in images_of(level[channel], 4)]
        ratios = [band.std() / target.deviation for band, target in zip(bands, targets, strict=True)]
        # Bands overlap, so a weak band next to a strong one is too strong. Coarse bands have nearly the same targets.
        assert np.median(ratios) == pytest.approx(1, abs=0.05)
        assert np.allclose(ratios[9:], 1, atol=0.1)
        assert min(ratios) > 0.8
        assert max(ratios) < 2


def test_a_matched_band_has_its_deviation_exactly_and_the_quantiles_of_its_density():
    target = _marginals(np.random.default_rng(0), 3)[0][3]
    band = np.random.default_rng(1).normal(size=(128, 128)).astype(np.float32)
    _match(band, target)
    assert band.mean() == pytest.approx(0, abs=1e-3)
    assert band.std() == pytest.approx(target.deviation, rel=1e-4)
    expected = np.interp([0.1, 0.25, 0.5, 0.75, 0.9], target.cumulative, np.linspace(-200.25, 200.25, 802))
    assert np.allclose(np.quantile(band, [0.1, 0.25, 0.5, 0.75, 0.9]), expected, atol=0.03 * target.deviation)


def test_imposed_colours_have_the_distribution_of_their_image():
    rng = np.random.default_rng(5)
    bands = _colour_bands(rng, 96, 160)
    mean, axes = _colour_space(bands)
    pairs = pairs_of(rng.normal(size=(3, 96, 160)).astype(np.float32))
    _impose_colours(pairs, _colour_histograms(bands, mean, axes))
    projected = (bands.reshape(-1, 3) - mean) @ axes.T
    for image, channel in zip(images_of(pairs, 3), projected.T, strict=True):
        steps = (channel.max() - channel.min()) / 256
        assert np.abs(np.sort(image, axis=None) - np.sort(channel)).mean() < 2 * steps


def test_numbers_of_pixels_per_colour_are_multinomial():
    shares, pixels = np.array([0.5, 0.001, 2.0, 1.5]), 5000
    rng = np.random.default_rng(1)
    counts = np.diff([_pixels_below(rng, shares, pixels) for _ in range(2000)], prepend=0)
    expected = shares / shares.sum()
    assert np.all(counts.sum(1) == pixels)
    assert np.allclose(counts.mean(0), pixels * expected, atol=3)
    assert np.allclose(counts.var(0), pixels * expected * (1 - expected), rtol=0.1)


def test_colours_fill_the_image_column_by_column():
    bands = _colour_bands(np.random.default_rng(2), 64, 64)
    assert bands.shape == (64, 64, 3)
    assert (bands.min(), bands.max()) == pytest.approx((0, 255))
    # Colours fill the image column by column: neighbours in a column differ less than those in a row.
    assert np.abs(np.diff(bands, axis=0)).mean() < np.abs(np.diff(bands, axis=1)).mean()
