"""Properties of the device: precision, compilation, memory."""

import resource
import sys
from contextlib import nullcontext
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from synpat_shards import InputError, first_line


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Return True if matrix products use bfloat16: as requested, or with auto if the hardware multiplies it faster."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def device_name(device: torch.device) -> str:
    """Return the name of a device for logs."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


def autocast(device: torch.device, low_precision: bool) -> torch.autocast | nullcontext:
    """Return a context for matrix products in bfloat16, or a no-op."""
    return torch.autocast(device.type, torch.bfloat16) if low_precision else nullcontext()


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to the device without waiting for it.

    A copy from memory that is not pinned would first wait for all queued work.
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def compile_model(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool) -> nn.Module:
    """Compile a model to one graph for inputs of these shapes.

    Raises InputError, with the reason in one line, if the compiler fails.
    """
    compiled = cast(nn.Module, torch.compile(model, fullgraph=True, dynamic=False))
    try:
        _trial_step(compiled, images, noise, low_precision)
    except torch.OutOfMemoryError:
        raise
    except Exception as fault:  # compilers raise many kinds of exceptions
        raise InputError(first_line(fault)) from None
    return compiled


def largest_fitting_batch(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool, reserve: int) -> int:
    """Return the largest half, quarter, ... of the inputs for which a training step fits into memory; 0 if none does.

    reserve: bytes that must remain free.
    """
    size = len(images) // 2
    while size and not _fits_in_memory(model, images[:size], noise[:size], low_precision, reserve):
        size //= 2
    return size


def _fits_in_memory(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool, reserve: int) -> bool:
    try:
        _held = torch.empty(reserve, dtype=torch.uint8, device=images.device)
        _trial_step(model, images, noise, low_precision)
    except torch.OutOfMemoryError:
        return False
    return True


def equal_parts(count: int, most: int) -> int:
    """Return the smallest number of equal parts of `count` samples with at most `most` samples each."""
    return next(number for number in range(-(-count // most), count + 1) if count % number == 0)


def _trial_step(model: nn.Module, images: Tensor, noise: Tensor, low_precision: bool) -> None:
    """Run a forward and a backward pass without changing the model."""
    try:
        with autocast(images.device, low_precision):
            loss = model(images, noise)
        loss.backward()
    finally:
        model.zero_grad()


class DeviceMarker:
    """A marker in the queue of the device, which shows without waiting whether the work before it is done."""

    def __init__(self, device: torch.device) -> None:
        self.event = torch.cuda.Event() if device.type == "cuda" else None

    def put(self) -> None:
        """Record an event after the queued work."""
        if self.event is not None:
            self.event.record()

    def reached(self) -> bool:
        """Return True if the device has finished the work before the marker. A CPU never has queued work."""
        return self.event is None or self.event.query()


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process in bytes: of the GPU if there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
