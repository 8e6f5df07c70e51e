"""Mean and standard deviation from sums."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sums(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the sum of all grey levels and the sum of their squares, exactly.

    No product of BLAS is used: its threads would compete with other processes.
    """
    squares = image.astype(np.uint16)
    squares *= squares  # at most 255**2, which fits
    kind = np.uint32 if image.size < 1 << 16 else np.uint64  # 32 bits are faster
    return int(image.sum(dtype=kind)), int(squares.sum(dtype=kind))


def mean_and_std(count: float, total: float, squares: float) -> tuple[float, float]:
    """Return mean and standard deviation of `count` values from their sum and the sum of their squares.

    Rounding can make the variance of equal values slightly negative; it is then 0.
    """
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 0.0))


def pooled_mean_and_std(groups: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return mean and standard deviation of all values of several groups, each (weight, mean, standard deviation)."""
    total = math.fsum(weight for weight, _, _ in groups)
    mean = math.fsum(weight * mean for weight, mean, _ in groups) / total
    square = math.fsum(weight * (std**2 + mean**2) for weight, mean, std in groups) / total
    return mean, math.sqrt(max(square - mean**2, 0.0))
