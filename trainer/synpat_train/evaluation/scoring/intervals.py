"""Confidence intervals of scores and of differences.

All intervals treat the test clips as independent. Clips of one speaker or one recording are not fully independent, so
the true intervals are a little wider.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959964
"""Half-width of the central 95 % of a normal distribution, in standard deviations."""


class Interval(NamedTuple):
    """Bounds of a 95 % confidence interval."""

    low: float
    high: float


def wilson(share: float, count: float) -> Interval:
    """Return the interval of a proportion observed in `count` clips.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. The bounds are within 0 and 1,
    also for proportions of 0 and 1.
    """
    z = NORMAL_95
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # A proportion of 0 or 1 is itself a bound. Rounding would leave it just outside.
    return Interval(min(max(float(centre - half), 0.0), share), max(min(float(centre + half), 1.0), share))


def normal(value: float, variance: float) -> Interval:
    """Return the interval of a score between 0 and 1 by the normal approximation."""
    half = NORMAL_95 * variance**0.5
    return Interval(max(value - half, 0.0), min(value + half, 1.0))


def difference_interval(difference: float, by_clips: float, seeds: Sequence[float]) -> Interval:
    """Return the interval of a difference to the mean of several seeds.

    by_clips: variance of the difference over the choice of clips. seeds: score of each seed. With several seeds, the
    interval is that of the difference to one more seed: it includes the variance over clips and over seeds, as
    Student's t with Satterthwaite's degrees of freedom ("An Approximate Distribution of Estimates of Variance
    Components", 1946). Without the second part, one random-init encoder would differ significantly from three others
    half of the time. Three seeds make the interval wide.
    """
    from scipy import stats  # slow to import

    by_seeds = float(np.var(seeds, ddof=1)) * (1 + 1 / len(seeds)) if len(seeds) > 1 else 0.0
    degrees_of_freedom = (len(seeds) - 1) * (1 + by_clips / by_seeds) ** 2 if by_seeds else np.inf
    half = float(stats.t.ppf(0.975, degrees_of_freedom)) * (by_clips + by_seeds) ** 0.5
    return Interval(difference - half, difference + half)
