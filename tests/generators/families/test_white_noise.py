import numpy as np

from synpat.families.white_noise import WhiteNoise


def test_grey_levels_are_uniform_and_neighbours_are_independent():
    image = WhiteNoise().render(np.random.default_rng(0), 512, 512).astype(float)
    counts = np.bincount(image.astype(int).ravel(), minlength=256)
    expected = image.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 340  # chi-squared, 255 degrees of freedom: p is about 0.0003
    for axis in (0, 1):
        assert abs(np.corrcoef(image.ravel(), np.roll(image, 1, axis).ravel())[0, 1]) < 0.01
