"""Histograms of oriented gradients as a target beside the pixels.

Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005; as the target of masked patches: Wei et
al., "Masked feature prediction for self-supervised visual pre-training", 2022. Cells span all columns of a patch and a
quarter of its rows (HOG_CELLS). Square cells, as there, give equally good encoders (RESULTS.md).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from synpat_train.config import HOG_CELLS, Config

ORIENTATIONS = 9
"""Number of bins of the orientations from 0 to pi."""
NUMBERS = HOG_CELLS * ORIENTATIONS
"""Number of values of a patch."""
SOFTENING = 1e-3
"""Added to the norm of the histograms of a patch, so that a patch without gradients has zeros."""


def predicted_values(config: Config) -> int:
    """Return how many values of a patch are predicted: its pixels and, with a hog_weight, its histograms."""
    return config.patch**2 + (NUMBERS if config.hog_weight else 0)


def oriented_gradients(images: Tensor, patch: int) -> Tensor:
    """Return the histograms of each patch: [B, L, NUMBERS], cell by cell, with a mean square of 1.

    images: [B, 1, height, width], normalised. patch: side of a patch, a multiple of HOG_CELLS. The gradient of a pixel
    is the difference of its two neighbours; at an edge of the image, of the pixel and its neighbour. It is counted with
    its magnitude.
    """
    padded = F.pad(images.float(), (1, 1, 1, 1), mode="replicate").squeeze(1)
    over_time, over_frequency = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    turned = torch.atan2(over_frequency, over_time) % math.pi
    batch, height, width = turned.shape
    cells = batch, height // patch, HOG_CELLS, patch // HOG_CELLS, width // patch, patch
    orientation = (turned * (ORIENTATIONS / math.pi)).floor().clamp(max=ORIENTATIONS - 1).reshape(cells)
    magnitude = torch.hypot(over_time, over_frequency).reshape(cells)
    counted = [(magnitude * (orientation == number)).mean(dim=(3, 5)) for number in range(ORIENTATIONS)]
    by_patch = torch.stack(counted, dim=-1).transpose(2, 3)  # [B, rows, columns, cells, orientations]
    histograms = by_patch.reshape(batch, -1, NUMBERS)
    return math.sqrt(NUMBERS) * histograms / (histograms.norm(dim=-1, keepdim=True) + SOFTENING)
