"""Copies to the device that nobody waits for."""

import numpy as np
import torch
from torch import Tensor


def sent(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on the device, or on its way there; a copy from memory that is not pinned would wait for the device to
    finish all else first."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
