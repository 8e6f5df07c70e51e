"""How sure a share of right answers is, and a difference between two of them.

Both take the tested clips as independent. Clips of one speaker or one recording are not quite, so the truth is a
little wider.
"""

from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959964
"""Standard deviations of a normal distribution that hold 95 % of it."""


class Interval(NamedTuple):
    """Bounds at 95 % confidence."""

    low: float
    high: float


def wilson(share: float, count: int) -> Interval:
    """Interval of a share, within 0 and 1, observed among `count` clips (Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference", 1927). It stays within 0 and 1, also for shares of 0 and 1."""
    z = NORMAL_95
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(max(float(centre - half), 0.0), min(float(centre + half), 1.0))


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, Interval]:
    """Mean of ours - theirs over the same clips, and its interval by the normal approximation of a paired mean.

    ours, theirs: share of right answers for each clip, float [clips]; shares between 0 and 1 are means over seeds.
    """
    differences = ours - theirs
    mean = float(differences.mean())
    half = NORMAL_95 * float(differences.std()) / np.sqrt(len(differences))
    return mean, Interval(float(mean - half), float(mean + half))
