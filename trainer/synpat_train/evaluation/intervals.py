"""How sure a share of right answers is, and a difference between two of them.

Both take the tested clips as independent. Clips of one speaker or one recording are not quite, so the truth is a
little wider.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

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


def paired_difference(ours: np.ndarray, theirs: np.ndarray, seeds: Sequence[float]) -> tuple[float, Interval]:
    """Mean of ours - theirs over the same clips, and its interval.

    ours, theirs: share of right answers for each clip, float [clips]; theirs is a mean over seeds.
    seeds: their accuracy with each seed. If there are several, the interval is that of the difference to one more
    seed: it holds what the clips leave open and what the luck of a seed does (without which one random-init encoder
    would "beat" three others half of the time), as Student's t with the degrees of freedom of Satterthwaite ("An
    Approximate Distribution of Estimates of Variance Components", 1946). Three seeds make it wide.
    """
    differences = ours - theirs
    mean = float(differences.mean())
    by_clips, by_seeds = differences.var() / len(differences), 0.0
    if len(seeds) > 1:
        by_seeds = np.var(seeds, ddof=1) * (1 + 1 / len(seeds))
    freedom = (len(seeds) - 1) * (1 + by_clips / by_seeds) ** 2 if by_seeds else np.inf
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(by_clips + by_seeds))
    return mean, Interval(mean - half, mean + half)
