"""The statistical models against the statistics that they impose."""

import numpy as np
import pytest

from synpat.families.statistical import Spectrum, _colour_bands, _colour_space, _impose_spectrum


def slope_along_axis(channels: np.ndarray, axis: int) -> float:
    """Power by which the Fourier magnitude falls along one axis, the other frequency being zero."""
    magnitude = np.abs(np.fft.fft2(channels.astype(np.float64))).mean(0)
    line = magnitude[:, 0] if axis == 0 else magnitude[0]
    half = len(line) // 2
    frequency = np.arange(2, half - 1)
    return -np.polyfit(np.log(frequency), np.log(line[frequency]), 1)[0]


@pytest.mark.parametrize(("slope_y", "slope_x"), [(0.6, 0.7), (1.5, 1.4), (3.0, 2.9)])
@pytest.mark.parametrize(("height", "width"), [(128, 128), (80, 208), (81, 205)])
def test_the_imposed_slope_is_recovered_along_each_axis(slope_y: float, slope_x: float, height: int, width: int):
    noise = np.random.default_rng(0).random((3, height, width), np.float32)
    imposed = _impose_spectrum(noise, slope_y, slope_x)
    assert slope_along_axis(imposed, 0) == pytest.approx(slope_y, abs=0.02)
    assert slope_along_axis(imposed, 1) == pytest.approx(slope_x, abs=0.02)


def test_imposing_keeps_phase_mean_and_deviation_so_that_once_is_ten_times():
    noise = np.random.default_rng(0).random((3, 64, 96), np.float32) * 256
    once = _impose_spectrum(noise, 1.2, 1.3)
    assert np.allclose(once.mean((1, 2)), noise.mean((1, 2)), rtol=1e-4)
    assert np.allclose(once.std((1, 2)), noise.std((1, 2)), rtol=1e-4)
    assert np.allclose(_impose_spectrum(once, 1.2, 1.3), once, atol=0.05)


def test_slopes_follow_the_prior():
    patterns = [Spectrum.draw(np.random.default_rng(i), 0) for i in range(4000)]
    middle = np.array([(p.slope_y + p.slope_x) / 2 for p in patterns])
    difference = np.array([(p.slope_x - p.slope_y) / 2 for p in patterns])
    assert np.allclose(np.quantile(middle, [0, 0.5, 1]), [0.5, 2, 3.5], atol=0.06)
    assert difference.std() == pytest.approx(0.05, abs=0.003)


def test_colour_space_is_a_rotation_that_decorrelates_its_own_image():
    bands = _colour_bands(np.random.default_rng(3), 80, 208)
    mean, axes = _colour_space(bands)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-5)
    covariance = np.cov(((bands.reshape(-1, 3) - mean) @ axes.T).T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()


def test_colour_image_has_three_channels_and_uses_the_whole_range():
    image = Spectrum(slope_y=1.5, slope_x=1.5).render(np.random.default_rng(0), 80, 208)
    assert image.shape == (80, 208, 3)
    assert (image.min(), image.max()) == (0, 255)
