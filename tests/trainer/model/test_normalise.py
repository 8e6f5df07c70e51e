"""Normalisation by the mean and standard deviation of all sets, or of each image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synpat_train.config import make_config
from synpat_train.model.export import export_encoder
from synpat_train.model.mae import MaskedAutoencoder
from synpat_train.model.normalise import Normalise, moments
from synpat_train.pretraining.reconstructions import reconstructions
from synpat_train.pretraining.train import Objective

SETTINGS = {"decoder_width": 48, "decoder_depth": 1, "decoder_heads": 3}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Return three noisy images of different brightness and contrast, uint8 [3, 80, 208]."""
    rng = np.random.default_rng(0)
    levels, contrasts = np.array([40, 128, 200]).reshape(-1, 1, 1), np.array([5, 60, 20]).reshape(-1, 1, 1)
    return torch.from_numpy((levels + contrasts * rng.normal(size=(3, 80, 208))).clip(0, 255).astype(np.uint8))


def test_image_normalisation_uses_mean_and_deviation_of_each_image(images: torch.Tensor):
    grey = images.unsqueeze(1).float()
    mean, std = moments(grey, "image", 1.0, 2.0)
    normalised = ((grey - mean) / std).numpy()
    for image, result in zip(images.numpy() / 255, normalised, strict=True):
        assert result[0] == pytest.approx((image - image.mean()) / (image.std() + 0.02), abs=1e-4)


def test_constant_image_becomes_zero():
    grey = torch.full((1, 1, 80, 208), 77.0)
    mean, std = moments(grey, "image", 0, 1)
    assert ((grey - mean) / std).abs().max() == 0


def test_set_normalisation_uses_the_given_moments(images: torch.Tensor):
    assert moments(images.unsqueeze(1).float(), "set", 100.0, 50.0) == (100.0, 50.0)


def test_loss_does_not_depend_on_the_brightness_of_an_image(images: torch.Tensor):
    torch.manual_seed(0)
    config = make_config("synpat", SETTINGS | {"norm_pix": False})
    model, noise = MaskedAutoencoder(config), torch.rand(1, config.patches)
    brighter = images[:1] + 50
    losses = [Objective(model, "image", 10.0, 3.0)(each[:, None], noise).item() for each in (images[:1], brighter)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    other = [Objective(model, "set", 10.0, 3.0)(each[:, None], noise).item() for each in (images[:1], brighter)]
    assert abs(other[0] - other[1]) > 0.1


@pytest.mark.parametrize("normalise", ["set", "image"])
def test_pictures_keep_grey_levels_and_hide_patches(normalise: Normalise, images: torch.Tensor):
    config = make_config("synpat", SETTINGS | {"normalise": normalise})
    sheet = reconstructions(
        MaskedAutoencoder(config), images[:, None].numpy(), torch.rand(3, config.patches), normalise, 100.0, 50.0
    )
    assert np.array_equal(sheet[84 : 84 + 80, 424 : 424 + 208], images[1].numpy())
    hidden = sheet[84 : 84 + 80, :208]
    patches = hidden.reshape(5, 16, 13, 16).transpose(0, 2, 1, 3).reshape(65, 256)
    assert (patches == 128).all(1).sum() == 65 - config.kept
    shown = images[1].numpy().reshape(5, 16, 13, 16).transpose(0, 2, 1, 3).reshape(65, 256)
    kept = ~(patches == 128).all(1)
    assert np.array_equal(patches[kept], shown[kept])


def test_exported_encoder_records_the_normalisation(tmp_path: Path):
    config = make_config("synpat", SETTINGS)
    export_encoder(tmp_path, MaskedAutoencoder(config).encoder, config, 0.4, 0.2, step=3)
    assert json.loads((tmp_path / "config.json").read_text())["normalise"] == "image"
