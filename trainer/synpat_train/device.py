"""What the device does best: its precision, a compiled model, the largest batch that fits."""

import resource
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from .timm_door import Attention

LONGEST_PLAIN = 300
"""Most tokens for which attention in two matrix products is used: its memory grows with their square."""


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: as asked, or where the hardware multiplies it faster than float32."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def device_name(device: torch.device) -> str:
    """What people call it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def autocast(device: torch.device, low_precision: bool) -> torch.autocast | nullcontext:
    """Matrix products in bfloat16, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if low_precision else nullcontext()


def fuses_attention(device: torch.device, low_precision: bool, tokens: int) -> bool:
    """Return whether torch's fused attention is the faster one in training.

    On a CPU in bfloat16 its backward pass is several times slower than two matrix products and a softmax. In float32,
    and in inference, it is as fast or faster.
    """
    return device.type != "cpu" or not low_precision or tokens > LONGEST_PLAIN


def choose_attention(model: nn.Module, fused: bool) -> None:
    """Set how the blocks of a model compute attention; the weights and their names stay the same."""
    for part in model.modules():
        if isinstance(part, Attention):
            part.fused_attn = fused  # pyright: ignore[reportAttributeAccessIssue] Final for TorchScript alone


def compile_model(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool) -> nn.Module:
    """The model as one compiled graph for inputs of these shapes.

    Raises ValueError, with the reason in one line, where the compiler fails.
    """
    compiled = cast(nn.Module, torch.compile(model, fullgraph=True, dynamic=False))
    try:
        _rehearse(compiled, images, noise, low_precision)
    except torch.OutOfMemoryError:
        raise
    except Exception as fault:  # the compiler, its backends and the C++ compiler fail each in their own way
        raise ValueError((str(fault).strip().splitlines() or [type(fault).__name__])[0]) from None
    return compiled


def what_fits(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool, reserve: int) -> int:
    """The largest half, quarter, ... of these inputs for which a step finds memory; 0 if none does.

    reserve: bytes that must be left.
    """
    size = len(images) // 2
    while size and not _finds_memory(model, images[:size], noise[:size], low_precision, reserve):
        size //= 2
    return size


def _finds_memory(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool, reserve: int) -> bool:
    try:
        _held = torch.empty(reserve, dtype=torch.uint8, device=images.device)
        _rehearse(model, images, noise, low_precision)
    except torch.OutOfMemoryError:
        return False
    return True


def equal_pieces(count: int, most: int) -> int:
    """How few equal pieces of so many samples hold at most so many each."""
    return next(number for number in range(-(-count // most), count + 1) if count % number == 0)


def _rehearse(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool) -> None:
    """One step forward and back that changes nothing."""
    try:
        with autocast(images.device, low_precision):
            loss = model(images, noise)
        loss.backward()
    finally:
        model.zero_grad()


class Marker:
    """Tells, without waiting, whether the device has come to the end of what it was given."""

    def __init__(self, device: torch.device) -> None:
        self.event = torch.cuda.Event() if device.type == "cuda" else None

    def put(self) -> None:
        """The end is here."""
        if self.event is not None:
            self.event.record()

    def reached(self) -> bool:
        """Whether the device has nothing left to do. A processor never works ahead."""
        return self.event is None or self.event.query()


def memory(device: torch.device) -> int:
    """The most that this process has held so far, in bytes: of the GPU's memory where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
