"""The masked autoencoder: an encoder of the visible patches and a small decoder that predicts the masked ones.

He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022, for one-channel images.

Axes in this file: B samples, L patches of an image, K visible, M = L - K masked, P the side of a patch, D the width of
the encoder, E the width of the decoder.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synpat_train.config import Config

from .hog import oriented_gradients, predicted_values
from .timm_compat import Block, PatchEmbed
from .vit import build_vit, initialise, sincos_positions


class MaskedAutoencoder(nn.Module):
    """A model that predicts the masked patches of an image from the visible ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch, self.kept, self.norm_pix = config.patch, config.kept, config.norm_pix
        self.visible_weight, self.hog_weight = config.visible_weight, config.hog_weight
        self.encoder = build_vit(config.model, config.height, config.width, config.patch)
        rows, columns = config.height // config.patch, config.width // config.patch
        width, norm = config.decoder_width, cast(type[nn.Module], partial(nn.LayerNorm, eps=1e-6))
        self.decoder_embed = nn.Linear(self.encoder.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("decoder_positions", sincos_positions(rows, columns, width, prefix=1), persistent=False)
        self.decoder_blocks = nn.Sequential(
            *(Block(width, config.decoder_heads, qkv_bias=True, norm_layer=norm) for _ in range(config.decoder_depth))
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_predict = nn.Linear(width, predicted_values(config))
        initialise(self)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the loss: the mean squared error over the pixels of the masked patches.

        With a visible_weight w it is (masked + w * visible) / (1 + w), with the same error of the visible patches. With
        a hog_weight h each error is (pixels + h * histograms) / (1 + h), with that of the histograms of oriented
        gradients.

        images: [B, 1 or 2, height, width], normalised: the images and the targets of their reconstruction, which are
        the images themselves if there is one channel. noise: [B, L], uniform; the K patches with the lowest noise are
        visible.
        """
        patches, targets = patchify(images[:, :1], self.patch), patchify(images[:, -1:], self.patch)  # [B, L, P * P]
        if self.norm_pix:
            targets = standardise(targets) if images.shape[1] == 1 else standardise_as(targets, patches)
        if self.hog_weight:
            targets = torch.cat([targets, oriented_gradients(images[:, -1:], self.patch)], dim=-1)
        kept, masked = split_patches(noise, self.kept)
        encoded = self.encode(patches, kept)
        if not self.visible_weight:
            return self._error(self.decode(encoded, kept, masked), targets, masked)
        seen, predictions = self.decode(encoded, kept, masked, visible=True).split([kept.shape[1], masked.shape[1]], 1)
        visible, hidden = self._error(seen, targets, kept), self._error(predictions, targets, masked)
        return _weighted(hidden, visible, self.visible_weight)

    def encode(self, patches: Tensor, kept: Tensor) -> Tensor:
        """Return [B, 1 + K, D] from patches [B, L, P * P] and the indices of the visible ones [B, K]."""
        projection = cast(nn.Conv2d, cast(PatchEmbed, self.encoder.patch_embed).proj)
        positions = self.encoder.pos_embed
        assert isinstance(positions, Tensor)
        # Projecting only the visible patches equals the convolution of the image at these patches.
        tokens = F.linear(gather_patches(patches, kept), projection.weight.flatten(1), projection.bias)
        tokens = tokens + positions[0, 1:][kept]
        first = (cast(Tensor, self.encoder.cls_token) + positions[:, :1]).expand(len(tokens), -1, -1)
        return self.encoder.norm(self.encoder.blocks(torch.cat([first, tokens], dim=1)))

    def decode(self, encoded: Tensor, kept: Tensor, masked: Tensor, visible: bool = False) -> Tensor:
        """Return predictions [B, M, V] of the masked patches, in the order of their indices [B, M].

        V is as in `predicted_values`. With `visible`, predictions of the visible patches come first: [B, K + M, V].

        The patches need not be sorted: each token includes its position, and attention does not depend on the order.
        """
        positions = cast(Tensor, self.decoder_positions)
        first, seen = self.decoder_embed(encoded).split([1, kept.shape[1]], dim=1)
        tokens = [first + positions[:, :1], seen + positions[0, 1:][kept], self.mask_token + positions[0, 1:][masked]]
        tokens = self.decoder_blocks(torch.cat(tokens, dim=1))
        return self.decoder_predict(self.decoder_norm(tokens[:, 1:] if visible else tokens[:, -masked.shape[1] :]))

    def _error(self, predictions: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        """Return the error of predictions [B, n, V] of the targets at indices [B, n], of targets [B, L, V]."""
        predictions, chosen = predictions.float(), gather_patches(targets, indices).float()
        pixels = self.patch**2
        error = F.mse_loss(predictions[..., :pixels], chosen[..., :pixels])
        if not self.hog_weight:
            return error
        return _weighted(error, F.mse_loss(predictions[..., pixels:], chosen[..., pixels:]), self.hog_weight)


def _weighted(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Return the mean of two errors, of which the second has a weight relative to the first."""
    return (first + weight * second) / (1 + weight)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Split images [B, 1, height, width] into patches [B, L, P * P], row by row from the first row of the image."""
    batch, _, height, width = images.shape
    tiles = images.reshape(batch, height // patch, patch, width // patch, patch)
    return tiles.transpose(2, 3).reshape(batch, -1, patch * patch)


def unpatchify(patches: Tensor, height: int, width: int) -> Tensor:
    """Join patches [B, L, P * P] to images [B, 1, height, width]."""
    patch = round(patches.shape[2] ** 0.5)
    tiles = patches.reshape(len(patches), height // patch, width // patch, patch, patch)
    return tiles.transpose(2, 3).reshape(len(patches), 1, height, width)


def split_patches(noise: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Return the indices [B, K] of the patches with the lowest noise, and [B, M] of the others."""
    order = noise.argsort(dim=1)
    return order[:, :kept], order[:, kept:]


def gather_patches(patches: Tensor, indices: Tensor) -> Tensor:
    """Select the patches [B, n, ...] at indices [B, n] from [B, L, ...]."""
    return patches.gather(1, indices.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def standardise(patches: Tensor) -> Tensor:
    """Subtract the mean of each patch and divide by the root of its unbiased variance plus 1e-6."""
    return standardise_as(patches, patches, softening=1e-6)


def standardise_as(targets: Tensor, patches: Tensor, softening: float = 1e-4) -> Tensor:
    """Subtract the mean of each patch of another image from its target, and divide by the root of its variance.

    softening is added to the variance, so that a target of a constant patch is not amplified.
    """
    return (targets - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + softening).sqrt()
