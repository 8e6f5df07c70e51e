"""The score of a contestant on a task, and differences of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Interval, difference_interval
from .metrics import METRICS


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score and the data behind it."""

    metric: str
    """One of METRICS."""
    parts: Sequence[np.ndarray]
    """Parts of each fold, averaged over the seeds of encoders and of classifiers."""
    tested: Sequence[int]
    """Number of test clips of each fold."""
    by_seed: Sequence[float]
    """Score of each seed of the encoder; one entry for a contestant without seeds."""

    @property
    def by_fold(self) -> list[float]:
        """Score of each fold."""
        return [METRICS[self.metric].value(fold) for fold in self.parts]

    @property
    def value(self) -> float:
        """Mean over the folds, between 0 and 1."""
        return float(np.mean(self.by_fold))

    @property
    def interval(self) -> Interval:
        """95 % confidence interval over the choice of clips."""
        # The effective number of clips of a mean over folds of unequal size is smaller than their number.
        effective_count = len(self.tested) ** 2 / sum(1 / count for count in self.tested)
        return METRICS[self.metric].interval(self.value, _variance(self.metric, self.parts), effective_count)

    def minus(self, other: "Score") -> tuple[float, Interval]:
        """Return the difference to another score on the same test clips, and its 95 % confidence interval."""
        parts = [own - others for own, others in zip(self.parts, other.parts, strict=True)]
        difference = self.value - other.value
        return difference, difference_interval(difference, _variance(self.metric, parts), other.by_seed)


def _variance(metric: str, parts: Sequence[np.ndarray]) -> float:
    return sum(METRICS[metric].variance(fold) for fold in parts) / len(parts) ** 2
