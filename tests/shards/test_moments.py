"""Sums of grey levels, exact for images of any size."""

import numpy as np
import pytest

from synpat_shards.moments import sums


@pytest.mark.parametrize("shape", [(1, 1), (255, 257), (256, 256), (128, 1024), (80, 208, 3)])
def test_sums_are_exact_also_for_white_images(shape: tuple[int, ...]):
    white = np.full(shape, 255, np.uint8)
    assert sums(white) == (255 * white.size, 255**2 * white.size)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert sums(image) == (sum(image.ravel().tolist()), sum(level**2 for level in image.ravel().tolist()))
