"""The masked autoencoder, compared with a slow and simple implementation of the paper."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from synpat_train.config import Config, make_config
from synpat_train.model.mae import MaskedAutoencoder, patchify, split_patches, standardise, unpatchify
from synpat_train.model.vit import sincos_positions

SMALL = make_config("msm-mae", {"model": "tiny", "decoder_width": 48, "decoder_depth": 2, "decoder_heads": 3})


def reference_loss(model: Any, images: Tensor, noise: Tensor, config: Config) -> Tensor:
    """Return the loss of He et al., 2022, step by step: all patches are embedded and decoded in order."""
    encoder = model.encoder
    patch, columns = config.patch, config.width // config.patch
    masked, visible = [], []
    for image, numbers in zip(images, noise, strict=True):
        tiles = [
            image[0, patch * (i // columns) :, patch * (i % columns) :][:patch, :patch] for i in range(config.patches)
        ]
        tokens = encoder.patch_embed.proj(image[None]).flatten(2)[0].T + encoder.pos_embed[0, 1:]
        kept = sorted(range(config.patches), key=lambda i: numbers[i].item())[: config.kept]
        seen = torch.cat([encoder.cls_token[0], torch.stack([tokens[i] for i in kept])])[None]
        for block in encoder.blocks:
            seen = block(seen)
        seen = model.decoder_embed(encoder.norm(seen))[0]
        full = [seen[1 + kept.index(i)] if i in kept else model.mask_token[0, 0] for i in range(config.patches)]
        full = (torch.stack([seen[0], *full]) + model.decoder_positions[0])[None]
        for block in model.decoder_blocks:
            full = block(full)
        predictions = model.decoder_predict(model.decoder_norm(full))[0, 1:]
        for i in range(config.patches):
            target = tiles[i].flatten()
            if config.norm_pix:
                variance = ((target - target.mean()) ** 2).sum() / (len(target) - 1)
                target = (target - target.mean()) / (variance + 1e-6) ** 0.5
            (visible if i in kept else masked).append(((predictions[i] - target) ** 2).mean())
    weight = config.visible_weight
    return (torch.stack(masked).mean() + weight * torch.stack(visible).mean()) / (1 + weight)


@pytest.mark.parametrize(("norm_pix", "visible_weight"), [(True, 0), (False, 0), (True, 0.25)])
def test_loss_and_gradients_equal_those_of_the_reference(norm_pix: bool, visible_weight: float):
    config = make_config("msm-mae", {"model": "tiny", "decoder_width": 48, "decoder_depth": 2, "decoder_heads": 3,
                                     "norm_pix": norm_pix, "visible_weight": visible_weight})  # fmt: skip
    torch.manual_seed(0)
    model = MaskedAutoencoder(config)
    images, noise = torch.randn(3, 1, 80, 208), torch.rand(3, config.patches)
    gradients = []
    for loss in (model(images, noise), reference_loss(model, images, noise, config)):
        model.zero_grad()
        loss.backward()
        gradients.append((loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (loss, gradients_of_model), (expected, gradients_of_reference) = gradients
    assert loss == pytest.approx(expected, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients_of_model, gradients_of_reference, strict=True))


@pytest.mark.parametrize(
    ("height", "width", "mask_ratio", "kept"),
    [(80, 208, 0.7, 19), (80, 208, 0.75, 16), (80, 208, 0.8, 12), (80, 608, 0.7, 57), (80, 608, 0.8, 37),
     (128, 1024, 0.7, 153), (128, 1024, 0.75, 128), (128, 1024, 0.8, 102)],
)  # fmt: skip
def test_number_of_kept_patches_equals_that_of_the_mae_code(height, width, mask_ratio, kept):
    assert make_config("msm-mae", {"height": height, "width": width, "mask_ratio": mask_ratio}).kept == kept


def test_patches_are_row_by_row_and_unpatchify_inverts_patchify():
    images = torch.arange(2 * 32 * 48.0).reshape(2, 1, 32, 48)
    patches = patchify(images, 16)
    assert patches.shape == (2, 6, 256)
    assert torch.equal(patches[1, 4], images[1, 0, 16:32, 16:32].flatten())
    assert torch.equal(unpatchify(patches, 32, 48), images)


def test_patches_with_the_lowest_noise_are_kept_and_the_others_masked():
    noise = torch.rand(5, 65)
    kept, masked = split_patches(noise, 16)
    assert torch.equal(torch.cat([kept, masked], 1).sort().values, torch.arange(65).expand(5, -1))
    assert (noise.gather(1, kept).max(1).values < noise.gather(1, masked).min(1).values).all()


def test_constant_patch_is_standardised_to_zero():
    assert torch.equal(standardise(torch.full((1, 2, 256), 3.0)), torch.zeros(1, 2, 256))


def test_positions_encode_time_in_the_first_half_and_frequency_in_the_second():
    table = sincos_positions(5, 13, 192, prefix=1)[0]
    assert torch.equal(table[0], torch.zeros(192))
    grid = table[1:].reshape(5, 13, 192)
    assert (grid[0, :, :96] == grid[4, :, :96]).all()
    assert (grid[:, 0, 96:] == grid[:, 12, 96:]).all()
    for row, column, index in [(2, 7, 0), (4, 12, 31)]:
        angle = column / 10000 ** (index / 48), row / 10000 ** (index / 48)
        expected = [np.sin(angle[0]), np.cos(angle[0]), np.sin(angle[1]), np.cos(angle[1])]
        assert grid[row, column, [index, 48 + index, 96 + index, 144 + index]].tolist() == pytest.approx(
            expected, abs=1e-6
        )


def test_initial_weights_follow_the_paper():
    torch.manual_seed(0)
    model: Any = MaskedAutoencoder(SMALL).requires_grad_(False)
    qkv, projection = model.encoder.blocks[0].attn.qkv, model.encoder.patch_embed.proj
    assert qkv.weight.abs().max() == pytest.approx((6 / (192 + 576)) ** 0.5, rel=1e-2)
    assert projection.weight.abs().max() == pytest.approx((6 / (192 + 256)) ** 0.5, rel=1e-2)
    assert not qkv.bias.any()
    assert model.mask_token.std() == pytest.approx(0.02, rel=0.5)
    assert model.encoder.blocks[0].norm1.eps == model.decoder_blocks[0].norm1.eps == model.decoder_norm.eps == 1e-6


def test_positions_are_fixed():
    assert [name for name, p in MaskedAutoencoder(SMALL).named_parameters() if not p.requires_grad] == [
        "encoder.pos_embed"
    ]
