"""The network for fine-tuning: a copy of an encoder, with a linear layer on the mean of its features.

Axes in this file: B clips, L patches of a log-mel, K of them kept, D the width of the encoder.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from synpat_train.model.encoder import Encoder
from synpat_train.model.mae import gather_patches
from synpat_train.model.timm_compat import DropPath, VisionTransformer
from synpat_train.model.vit import after_prefix, fit_positions, project_patches, split_positions

from .recipes import FineTuning


def make_classifier(encoder: Encoder, classes: int, steps: int, recipe: FineTuning, seed: int) -> VisionTransformer:
    """Return a copy of the encoder for clips of `steps` time steps, with a new `fc_norm` and `head`, on the same
    device.

    seed: of the new weights. Positions are fixed as in pre-training. Torch's global generator is used.
    """
    vit = copy.deepcopy(encoder.vit).requires_grad_(True)
    vit.patch_embed.requires_grad_(not recipe.patch_embed_frozen)
    rows, columns = encoder.height // encoder.patch, encoder.width // encoder.patch
    before, table = split_positions(encoder.vit, rows * columns)
    positions = torch.cat([before, fit_positions(table, rows, columns, steps)], dim=1)
    vit.pos_embed = nn.Parameter(positions, requires_grad=False)
    _set_drop_path(vit, recipe.drop_path)
    torch.manual_seed(seed)
    features = vit.embed_dim * (rows if recipe.pooling == "time steps" else 1)
    vit.head = nn.Linear(features, classes)
    nn.init.zeros_(vit.head.bias)
    if recipe.head_norm == "batch":
        vit.fc_norm = nn.BatchNorm1d(features, affine=False)
        nn.init.normal_(vit.head.weight, std=0.01)
    else:
        vit.norm, vit.fc_norm = nn.Identity(), nn.LayerNorm(features, eps=1e-6)
        nn.init.trunc_normal_(vit.head.weight, std=2e-5, a=-4e-5, b=4e-5)
    return vit.to(encoder.vit.patch_embed.proj.weight.device)


def scores(
    vit: VisionTransformer, log_mels: Tensor, kept: Tensor | None, pooling: Literal["patches", "time steps"]
) -> Tensor:
    """Return logits, float32 [B, classes], of normalised log-mels [B, height, frames].

    The last time step is padded with zeros. kept: indices of the patches to use, int64 [B, K]; None for all.
    """
    rows, columns = patch_grid(vit, log_mels)
    missing = columns * vit.patch_embed.patch_size[1] - log_mels.shape[2]
    patches = project_patches(vit, functional.pad(log_mels, (0, missing)))
    before, positions = split_positions(vit, rows * columns)
    tokens = patches.flatten(2).transpose(1, 2) + positions
    if kept is not None:
        tokens = gather_patches(tokens, kept)
    tokens = vit.blocks(vit.norm_pre(after_prefix(vit, tokens, before)))
    tokens = vit.norm(tokens)[:, vit.num_prefix_tokens :]
    if pooling == "time steps":
        tokens = tokens.unflatten(1, (rows, -1)).transpose(1, 2).flatten(2)
    return vit.head(vit.fc_norm(tokens.mean(dim=1))).float()


def patch_grid(vit: VisionTransformer, log_mels: Tensor) -> tuple[int, int]:
    """Return the number of patches of log-mels [B, height, frames] in frequency and in time."""
    height, width = vit.patch_embed.patch_size
    return log_mels.shape[1] // height, -(-log_mels.shape[2] // width)


def _set_drop_path(vit: VisionTransformer, last: float) -> None:
    """Set the probability of dropping a block: `last` for the last block, decreasing linearly to zero at the first."""
    blocks = list(vit.blocks.children())
    for number, block in enumerate(blocks):
        chance = last * number / max(len(blocks) - 1, 1)
        block.drop_path1, block.drop_path2 = DropPath(chance), DropPath(chance)
