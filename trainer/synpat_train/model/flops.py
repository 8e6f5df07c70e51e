"""Arithmetic of a training sample and peak performance of the device. Their ratio is the utilisation (MFU).

Counted as usual for transformers (Kaplan et al., "Scaling Laws for Neural Language Models", 2020; Chowdhery et al.,
"PaLM", 2022, for the utilisation): only matrix products, a multiply-add as two operations, and a backward pass as two
forward passes.
"""

import re
import time

import torch

from synpat_train.config import Config

from .hog import predicted_values
from .vit import BLOCKS, WIDTHS

PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bfloat16 operations per second from the data sheets, by words in the name of a GPU. The first match counts."""

MEASURED_SECONDS = 0.3
"""Duration of the measurement of a peak that is not listed."""


def flops_per_sample(config: Config) -> float:
    """Return the floating-point operations of one training sample, forward and backward."""
    width, pixels = WIDTHS[config.model], config.patch**2
    predicted = config.patches if config.visible_weight else config.patches - config.kept
    embed = 2 * config.kept * pixels * width
    encode = _blocks(config.kept + 1, width, BLOCKS[config.model])
    decode = (
        2 * (config.kept + 1) * width * config.decoder_width
        + _blocks(config.patches + 1, config.decoder_width, config.decoder_depth)
        + 2 * predicted * config.decoder_width * predicted_values(config)
    )
    return 3 * (encode + decode) + 2 * embed  # the gradient of the pixels is not computed


def _blocks(tokens: int, width: int, depth: int) -> float:
    """Return the operations of a forward pass through transformer blocks with an MLP ratio of 4."""
    return depth * (24 * tokens * width**2 + 4 * tokens**2 * width)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a device: from its data sheet, or else of a large matrix product."""
    stated = listed_peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    # With emulated bfloat16, a model that uses it only in part would exceed the measured peak.
    return stated or max(_measured_peak_flops(device, kind) for kind in {dtype, torch.float32})


def listed_peak_flops(gpu: str) -> float | None:
    """Return the data sheet's peak of a GPU by its name, or None if it is not in PEAKS."""
    return next((value for words, value in PEAKS.items() if re.search(rf"\b{words}\b", gpu)), None)


def _measured_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the rate of the fastest matrix product; on a CPU, that of one thread times the number of threads.

    Measured with several threads, the figure would depend on how many of them a product uses and on other programs.
    """
    if device.type == "cuda":
        return _rate(8192, device, dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _rate(1024, device, dtype) * threads
    finally:
        torch.set_num_threads(threads)


def _rate(side: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of the fastest of many products; the first ones are slower."""
    matrix, times = torch.ones(side, side, device=device, dtype=dtype), []
    until = time.perf_counter() + MEASURED_SECONDS
    while len(times) < 6 or time.perf_counter() < until:
        began = _seconds(device)
        _ = matrix @ matrix
        times.append(_seconds(device) - began)
    return 2 * side**3 / min(times)


def _seconds(device: torch.device) -> float:
    """Return the time after all queued work: on a CPU that of this thread, which stops while other programs run."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.thread_time()
