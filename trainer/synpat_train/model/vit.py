"""The encoder: timm's vision transformer for one-channel images, with the positions and the initialisation of MAE.

He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022. The height of an image is frequency, its width is
time.
"""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synpat_shards import InputError

from .timm_compat import VisionTransformer, create_model, resample_abs_pos_embed

ARCHITECTURES = {
    "tiny": "vit_tiny_patch16_224",
    "small": "vit_small_patch16_224",
    "base": "vit_base_patch16_224",
    "large": "vit_large_patch16_224",
}
"""Names of the sizes, and timm's names of the same architectures."""
WIDTHS = {"tiny": 192, "small": 384, "base": 768, "large": 1024}
"""Width of a token by size."""
BLOCKS = {"tiny": 12, "small": 12, "base": 12, "large": 24}


def build_vit(size: str, height: int, width: int, patch: int) -> VisionTransformer:
    """Build a transformer of a size in ARCHITECTURES for images [batch, 1, height, width], with MAE's
    initialisation."""
    vit = create_model(ARCHITECTURES[size], num_classes=0, **vit_arguments(height, width, patch))
    assert isinstance(vit, VisionTransformer)
    rows, columns = height // patch, width // patch
    vit.pos_embed = nn.Parameter(sincos_positions(rows, columns, vit.embed_dim, prefix=1), requires_grad=False)
    initialise(vit)
    return vit


def vit_arguments(height: int, width: int, patch: int) -> dict[str, Any]:
    """Return the arguments that timm needs in addition to the architecture, also to load an exported encoder."""
    return {"in_chans": 1, "img_size": [height, width], "patch_size": patch}


def sincos_positions(rows: int, columns: int, width: int, prefix: int) -> Tensor:
    """Return fixed sine-cosine positions, float32 [1, prefix + rows * columns, width], with zeros for the prefix
    tokens.

    The first half of the width encodes the column (time), the second half the row (frequency). Each half has all sines,
    then all cosines, as in the reference implementation of MAE.
    """
    if width % 4:
        raise InputError(f"sine-cosine positions need a width divisible by 4, got {width}")
    frequencies = 10000.0 ** -(np.arange(width // 4) / (width // 4))
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    halves = [position.reshape(-1, 1) * frequencies for position in (column, row)]
    table = np.concatenate([wave(half) for half in halves for wave in (np.sin, np.cos)], axis=1)
    table = np.concatenate([np.zeros((prefix, width)), table])
    return torch.from_numpy(table).float().unsqueeze(0)


def project_patches(vit: VisionTransformer, images: Tensor) -> Tensor:
    """Return the patches, [batch, width of a token, rows, columns], of images [batch, height, width] of whole patches.

    On a CPU the projection stays in float32: oneDNN's convolution in bfloat16 is wrong for a single column of patches.
    """
    with nullcontext() if images.is_cuda else torch.autocast("cpu", enabled=False):
        return vit.patch_embed.proj(images.unsqueeze(1))


def split_positions(vit: VisionTransformer, patches: int) -> tuple[Tensor, Tensor]:
    """Return the positions of the prefix tokens, which some models do not have, and of the patches."""
    assert vit.pos_embed is not None
    before, table = vit.pos_embed.split([vit.pos_embed.shape[1] - patches, patches], dim=1)
    return before, table


def fit_positions(table: Tensor, rows: int, columns: int, steps: int) -> Tensor:
    """Adapt the positions of an encoder's patches [1, rows * columns, D] to another number of time steps.

    For fewer steps the first columns are used, which keeps the distance between steps. For more, the table is
    interpolated, as in M2D.
    """
    if steps > columns:
        return resample_abs_pos_embed(table, [rows, steps], [rows, columns], num_prefix_tokens=0, antialias=False)
    return table.unflatten(1, (rows, columns))[:, :, :steps].flatten(1, 2)


def after_prefix(vit: VisionTransformer, tokens: Tensor, positions: Tensor) -> Tensor:
    """Return the tokens of the patches, [batch, patches, width], after the class and register tokens of the model, if
    any.

    positions: of the prefix tokens, or none.
    """
    prefix: list[Tensor] = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
    if not prefix:
        return tokens
    before = torch.cat(prefix, dim=1) + (positions if positions.shape[1] else 0)
    return torch.cat([before.expand(tokens.shape[0], -1, -1), tokens], dim=1)


def initialise(module: nn.Module) -> None:
    """Initialise a model as MAE does, with torch's global generator.

    Xavier-uniform weights, also for the flattened patch embedding; zero biases; tokens from N(0, 0.02). Positions are
    not changed.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        if name.endswith(("cls_token", "mask_token")):
            nn.init.normal_(parameter, std=0.02)
