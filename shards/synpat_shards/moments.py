"""Mean and standard deviation from sums."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16
"""Number of values whose squares are summed at once: 32 bits suffice for them, and are faster than 64."""


def sums(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the sum of all grey levels and the sum of their squares, exactly.

    No product of BLAS is used: its threads would compete with other processes.
    """
    levels, total, total_squares = image.reshape(-1), 0, 0
    for start in range(0, len(levels), BLOCK):
        part = levels[start : start + BLOCK]
        squares = part.astype(np.uint16)
        squares *= squares  # at most 255**2, which fits
        total += int(part.sum(dtype=np.uint32))
        total_squares += int(squares.sum(dtype=np.uint32))
    return total, total_squares


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
