"""Selection of the implementation of attention in the transformer blocks."""

import torch
from torch import nn

from .timm_compat import Attention

LONGEST_PLAIN = 300
"""Maximum number of tokens for attention as two matrix products: its memory grows with their square."""


def fuses_attention(device: torch.device, low_precision: bool, tokens: int) -> bool:
    """Return True if torch's fused attention is the faster one in training.

    On a CPU in bfloat16 its backward pass is several times slower than two matrix products and a softmax. In float32,
    and in inference, it is as fast or faster.
    """
    return device.type != "cpu" or not low_precision or tokens > LONGEST_PLAIN


def choose_attention(model: nn.Module, fused: bool) -> None:
    """Select fused or plain attention for the blocks of a model; the weights and their names stay the same."""
    for part in model.modules():
        if isinstance(part, Attention):
            part.fused_attn = fused  # pyright: ignore[reportAttributeAccessIssue] Final only for TorchScript
