"""Statistics of images with known statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Picture

from synpat.cli import main
from synpat.families import Image
from synpat.inspection.statistics import (
    constant_patches,
    entropy,
    radial_power,
    set_images,
    set_statistics,
    spectral_slope,
    statistics,
    total_variation,
)
from synpat.rendering.render import make_spec, render_set
from synpat.rendering.sampling import paint
from synpat_shards import open_set, open_store


def power_law(exponent: float, height: int, width: int, seed: int = 0) -> Image:
    """Return noise with amplitude proportional to frequency ** -exponent, in integer grey levels."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * frequency**-exponent, (height, width))
    low, high = noise.min(), noise.max()
    return np.rint((noise - low) / (high - low) * 255).astype(np.uint8)


def white_noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(("height", "width"), [(80, 208), (256, 256)])
def test_the_slope_of_a_power_law_is_recovered(exponent: float, height: int, width: int):
    slopes = [spectral_slope(radial_power(power_law(exponent, height, width, seed))) for seed in range(8)]
    assert np.mean(np.array(slopes, float)) == pytest.approx(exponent, abs=0.06)


@pytest.mark.parametrize("slope", [0.7, 1.5, 2.5])
def test_the_slope_of_a_spectrum_image_is_its_parameter(slope: float):
    parameters = {"slope_y": slope, "slope_x": slope}
    images = (paint("spectrum", 0, index, 80, 208, parameters=parameters).image for index in range(4))
    slopes = [spectral_slope(radial_power(image)) for image in images]
    assert np.mean(np.array(slopes, float)) == pytest.approx(slope, abs=0.15)


def test_the_slope_of_a_set_is_the_mean_of_its_images_slopes():
    images = [power_law(exponent, 64, 64) for exponent in (0.5, 1.5)]
    slopes = [spectral_slope(radial_power(image)) for image in images]
    assert statistics((image, 1) for image in images).slope == pytest.approx(np.mean(np.array(slopes, float)))


def test_white_noise_has_the_theoretical_statistics():
    figures = statistics((white_noise(128, 128, seed), 100 + seed) for seed in range(3))
    assert figures.mean == pytest.approx(127.5, abs=1)
    assert figures.std == pytest.approx(np.sqrt((256**2 - 1) / 12), abs=0.5)
    assert figures.entropy == pytest.approx(8, abs=0.02)
    assert figures.total_variation == pytest.approx(256 / 3, rel=0.02)
    assert figures.slope == pytest.approx(0, abs=0.03)
    assert figures.constant_patches == 0
    assert (figures.images, figures.png_bytes) == (3, 101)
    assert sum(figures.histogram) == pytest.approx(1)


def test_a_constant_image_has_no_variation_and_no_slope():
    figures = statistics([(np.full((32, 48), 9, np.uint8), 50)])
    assert (figures.mean, figures.std, figures.entropy, figures.total_variation) == (9, 0, 0, 0)
    assert (figures.constant_patches, figures.slope) == (1, None)


def test_two_equal_halves_have_an_entropy_of_one_bit():
    halves = np.repeat(np.array([[0], [255]], np.uint8), 8, axis=0).repeat(4, axis=1)
    assert entropy(halves) == pytest.approx(1)
    assert total_variation(halves) == pytest.approx(255 * 4 / (15 * 4 + 16 * 3))


def test_constant_patches_are_counted_among_complete_patches():
    image = white_noise(40, 70)
    image[:16, 16:48] = 7
    image[32:, :] = 7  # incomplete patches
    assert constant_patches(image) == 2 / 8


def test_the_power_of_white_noise_is_its_variance():
    power = np.mean([radial_power(white_noise(80, 208, seed)) for seed in range(20)], axis=0)
    assert power[2:] == pytest.approx((256**2 - 1) / 12, rel=0.15)


def test_statistics_of_a_set_agree_with_its_manifest(perlin_set: Path):
    figures, manifest = set_statistics(open_store(perlin_set), 10**6), open_set(perlin_set)
    assert (figures.images, figures.mean) == (100, pytest.approx(manifest.mean))
    assert figures.std == pytest.approx(manifest.std)
    assert figures.png_bytes == pytest.approx(np.mean([size for _, size in set_images(open_store(perlin_set), 100)]))


def test_samples_are_evenly_spaced_from_the_first_to_the_last(perlin_set: Path):
    every = [image for image, _ in set_images(open_store(perlin_set), 100)]
    some = [image for image, _ in set_images(open_store(perlin_set), 4)]
    assert all(np.array_equal(image, every[place]) for image, place in zip(some, (0, 33, 66, 99), strict=True))


@pytest.fixture(scope="module")
def noise_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour") / "noise"
    render_set(folder, make_spec("white-noise", 3, height=16, width=16, mode="RGB"), 1, lambda *_: None)
    return folder


def test_stats_prints_a_line_for_each_set_and_draws_plots(perlin_set: Path, noise_set: Path, tmp_path: Path):
    command = ["stats", str(perlin_set), str(noise_set), "--samples", "20", "--out", str(tmp_path / "x.png")]
    result = CliRunner().invoke(main, command, env={"COLUMNS": "200"})
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["set", "images"],
        [str(perlin_set), "20"],
        [str(noise_set), "3"],
    ]
    with Picture.open(tmp_path / "x.png") as picture:
        assert picture.width > 1000


def test_stats_json_contains_histograms(noise_set: Path):
    figures = json.loads(CliRunner().invoke(main, ["stats", str(noise_set), "--json"]).stdout)[str(noise_set)]
    assert len(figures["histogram"]) == 256
    assert figures["images"] == 3


def test_stats_reports_a_folder_without_a_set(tmp_path: Path):
    result = CliRunner().invoke(main, ["stats", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path} is empty: it contains no shard set")
    assert result.stderr.count("\n") == 1
