"""How sure a figure is, and a difference between two of them.

All take the tested clips as independent. Clips of one speaker or one recording are not quite, so the truth is a
little wider.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959964
"""Standard deviations of a normal distribution that hold 95 % of it."""


class Interval(NamedTuple):
    """Bounds at 95 % confidence."""

    low: float
    high: float


def wilson(share: float, count: float) -> Interval:
    """Interval of a share, within 0 and 1, observed among `count` clips (Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference", 1927). It stays within 0 and 1, also for shares of 0 and 1."""
    z = NORMAL_95
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # A share of 0 or 1 is itself a bound, which rounding would leave just outside.
    return Interval(min(max(float(centre - half), 0.0), share), max(min(float(centre + half), 1.0), share))


def normal(value: float, variance: float) -> Interval:
    """Interval of a figure between 0 and 1 by the normal distribution."""
    half = NORMAL_95 * variance**0.5
    return Interval(max(value - half, 0.0), min(value + half, 1.0))


def difference_interval(difference: float, by_clips: float, seeds: Sequence[float]) -> Interval:
    """Interval of a difference to the mean of several seeds.

    by_clips: its variance over other clips. seeds: the figure of each seed. If there are several, the interval is that
    of the difference to one more seed: it holds what the clips leave open and what the luck of a seed does (without
    which one random-init encoder would "beat" three others half of the time), as Student's t with the degrees of
    freedom of Satterthwaite ("An Approximate Distribution of Estimates of Variance Components", 1946). Three seeds make
    it wide.
    """
    from scipy import stats  # slow to import

    by_seeds = float(np.var(seeds, ddof=1)) * (1 + 1 / len(seeds)) if len(seeds) > 1 else 0.0
    freedom = (len(seeds) - 1) * (1 + by_clips / by_seeds) ** 2 if by_seeds else np.inf
    half = float(stats.t.ppf(0.975, freedom)) * (by_clips + by_seeds) ** 0.5
    return Interval(difference - half, difference + half)
