"""How one contestant did on one task, and by how much another did better."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Interval, difference_interval
from .metrics import METRICS


@dataclass(frozen=True, kw_only=True)
class Score:
    """A figure with what it stands on."""

    metric: str
    """One of METRICS."""
    parts: Sequence[np.ndarray]
    """Of each fold, averaged over the seeds of encoders and of classifiers."""
    tested: Sequence[int]
    """Clips of each fold."""
    by_seed: Sequence[float]
    """The figure of each seed of the encoder, of one for a contestant without."""

    @property
    def by_fold(self) -> list[float]:
        """The figure of each fold."""
        return [METRICS[self.metric].value(fold) for fold in self.parts]

    @property
    def value(self) -> float:
        """The mean over the folds, between 0 and 1."""
        return float(np.mean(self.by_fold))

    @property
    def interval(self) -> Interval:
        """95 % confidence interval of the figure: what other clips would have changed."""
        # A mean over folds of unequal size is worth fewer clips than it has.
        worth = len(self.tested) ** 2 / sum(1 / count for count in self.tested)
        return METRICS[self.metric].interval(self.value, _variance(self.metric, self.parts), worth)

    def minus(self, other: "Score") -> tuple[float, Interval]:
        """The difference to another on the same tested clips, and its 95 % confidence interval."""
        parts = [ours - theirs for ours, theirs in zip(self.parts, other.parts, strict=True)]
        difference = self.value - other.value
        return difference, difference_interval(difference, _variance(self.metric, parts), other.by_seed)


def _variance(metric: str, parts: Sequence[np.ndarray]) -> float:
    return sum(METRICS[metric].variance(fold) for fold in parts) / len(parts) ** 2
