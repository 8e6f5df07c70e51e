"""The network that is fine-tuned: a copy of an encoder with a linear layer behind the mean of its features.

Axes in this file: B clips, L patches of a log-mel, K of them kept, D the width of the encoder.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..encoder import Encoder
from ..mae import take
from ..timm_door import VisionTransformer

# isort: split
# Behind the door, which must open first.
from timm.layers.drop import DropPath
from timm.layers.pos_embed import resample_abs_pos_embed

from .finetune_recipes import FineTuning


def make_classifier(encoder: Encoder, classes: int, steps: int, recipe: FineTuning, seed: int) -> VisionTransformer:
    """A copy of the encoder for clips of so many time steps, whose `fc_norm` and `head` are new; where it is.

    seed: of the new weights. Positions stay fixed, as they were in pre-training. Torch's global generator is used.
    """
    vit = copy.deepcopy(encoder.vit).requires_grad_(True)
    vit.patch_embed.requires_grad_(not recipe.patch_embed_frozen)
    rows, columns = encoder.height // encoder.patch, encoder.width // encoder.patch
    assert vit.pos_embed is not None
    vit.pos_embed = nn.Parameter(fit_positions(vit.pos_embed.detach(), rows, columns, steps), requires_grad=False)
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


def fit_positions(positions: Tensor, rows: int, columns: int, steps: int) -> Tensor:
    """The positions [1, 1 + rows * columns, D] of an encoder for another number of time steps.

    Of fewer steps than columns, the first ones are taken, so that a step is as far from the next as in pre-training.
    More are interpolated over the whole table, as in M2D.
    """
    if steps > columns:
        return resample_abs_pos_embed(positions, [rows, steps], [rows, columns], antialias=False)
    first, table = positions.split([1, rows * columns], dim=1)
    return torch.cat([first, table.unflatten(1, (rows, columns))[:, :, :steps].flatten(1, 2)], dim=1)


def scores(
    vit: VisionTransformer, log_mels: Tensor, kept: Tensor | None, pooling: Literal["patches", "time steps"]
) -> Tensor:
    """Logits, float32 [B, classes], of normalised log-mels [B, height, frames].

    The last time step is filled up with zeros. kept: indices of the patches to see, int64 [B, K]; None for all.
    """
    rows, columns = patch_grid(vit, log_mels)
    missing = columns * vit.patch_embed.patch_size[1] - log_mels.shape[2]
    patches = vit.patch_embed.proj(functional.pad(log_mels, (0, missing))[:, None])
    assert vit.pos_embed is not None
    assert vit.cls_token is not None
    tokens = patches.flatten(2).transpose(1, 2) + vit.pos_embed[:, 1:]
    if kept is not None:
        tokens = take(tokens, kept)
    first = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(tokens), -1, -1)
    tokens = vit.norm(vit.blocks(torch.cat([first, tokens], dim=1)))[:, 1:]
    if pooling == "time steps":
        tokens = tokens.unflatten(1, (rows, -1)).transpose(1, 2).flatten(2)
    return vit.head(vit.fc_norm(tokens.mean(dim=1))).float()


def patch_grid(vit: VisionTransformer, log_mels: Tensor) -> tuple[int, int]:
    """Patches of log-mels [B, height, frames] in frequency and in time."""
    height, width = vit.patch_embed.patch_size
    return log_mels.shape[1] // height, -(-log_mels.shape[2] // width)


def _set_drop_path(vit: VisionTransformer, last: float) -> None:
    """Let blocks be passed over, the last one with this chance and those before in proportion; the first never."""
    blocks = list(vit.blocks.children())
    for number, block in enumerate(blocks):
        chance = last * number / max(len(blocks) - 1, 1)
        block.drop_path1, block.drop_path2 = DropPath(chance), DropPath(chance)
