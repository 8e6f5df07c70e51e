"""Histograms of oriented gradients, compared with a slow implementation and with images of known gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from synpat_train.config import make_config
from synpat_train.model.hog import NUMBERS, ORIENTATIONS, SOFTENING, oriented_gradients
from synpat_train.model.mae import MaskedAutoencoder


def reference(image: NDArray[np.float64], patch: int) -> NDArray[np.float64]:
    """Return the histograms of all patches of an image, pixel by pixel."""
    height, width = image.shape
    histograms = np.zeros((height // patch * (width // patch), 4, 9))
    for y in range(height):
        for x in range(width):
            over_time = image[y, min(x + 1, width - 1)] - image[y, max(x - 1, 0)]
            over_frequency = image[min(y + 1, height - 1), x] - image[max(y - 1, 0), x]
            angle = math.atan2(over_frequency, over_time) % math.pi
            cell = y % patch // (patch // 4)
            number = y // patch * (width // patch) + x // patch
            histograms[number, cell, min(int(angle / (math.pi / 9)), 8)] += math.hypot(over_time, over_frequency)
    flat = histograms.reshape(len(histograms), -1) / (patch // 4 * patch)
    return 6 * flat / (np.linalg.norm(flat, axis=1, keepdims=True) + SOFTENING)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), patch=st.sampled_from([4, 8, 16]))
def test_histograms_equal_those_of_a_slow_implementation(seed: int, patch: int):
    image = np.random.default_rng(seed).normal(size=(2 * patch, 3 * patch)).astype(np.float32)
    histograms = oriented_gradients(torch.from_numpy(image)[None, None], patch)
    assert histograms.shape == (1, 6, NUMBERS)
    assert histograms[0].numpy() == pytest.approx(reference(image.astype(np.float64), patch), abs=1e-4)


@pytest.mark.parametrize(("angle", "number"), [(0.1, 0), (math.pi / 2 + 0.01, 4), (3.0, 8)])
def test_a_slope_is_counted_in_the_bin_of_its_direction(angle: float, number: int):
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    image = (math.cos(angle) * columns + math.sin(angle) * rows)[None, None]
    histograms = oriented_gradients(image, 16).reshape(3, 3, 4, ORIENTATIONS)
    assert (histograms[1, 1].argmax(1) == number).all()
    assert histograms[1, 1].square().mean() == pytest.approx(1, rel=1e-2)


def test_a_constant_image_has_zeros():
    assert not oriented_gradients(torch.full((1, 1, 16, 32), 3.0), 16).any()


def test_the_loss_is_the_weighted_mean_of_pixels_and_histograms():
    """A model that predicts zeros has the mean squares of both targets as its errors: 4 and 1."""
    config = make_config("msm-mae", {"model": "tiny", "hog_weight": 0.5})
    model = MaskedAutoencoder(config)
    torch.nn.init.zeros_(model.decoder_predict.weight)
    images = 2 * torch.randn(4, 1, 80, 208)
    assert model(images, torch.rand(4, config.patches)).item() == pytest.approx((4 + 0.5 * 1) / 1.5, rel=0.02)
