"""The metrics accuracy and mAP: a score between 0 and 1 and its variance over the choice of test clips.

Both are computed from parts, numbers for the test clips of a fold: one for each clip for accuracy, one for each group
of clips for mAP. The parts of several seeds can be averaged, and those of two encoders subtracted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .intervals import Interval, normal, wilson

ACCURACY, MAP = "accuracy", "mAP"
GROUPS = 20
"""Number of groups of test clips for the variance of mAP."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Functions from class scores to the score of a task."""

    parts: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Function from class scores [tested, classes] and targets, int64 [tested] or bool [tested, classes], to the
    parts of a fold."""
    value: Callable[[np.ndarray], float]
    """Function from the parts of a fold to its score."""
    variance: Callable[[np.ndarray], float]
    """Function from parts, or differences of parts, to the variance of the score."""
    interval: Callable[[float, float, float], Interval]
    """Function from a score, its variance and its effective number of clips to the 95 % interval."""


def correct(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return 1 if the highest score is that of the target, else 0: float64 [tested]."""
    return (scores.argmax(1) == targets).astype(float)


def leave_groups_out(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mAP of all clips, and without each group of them: float64 [1 + groups]. Clips are assigned to groups
    in turn.

    The grouped jackknife of Quenouille, "Notes on bias in estimation", 1956, needs twenty evaluations where a bootstrap
    needs hundreds.
    """
    groups = np.arange(len(targets)) % GROUPS
    without = [groups != group for group in range(min(GROUPS, len(targets)))]
    kept = [np.full(len(targets), True), *without]
    return np.array([mean_average_precision(scores[clips], targets[clips]) for clips in kept])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean of the average precision over the classes of at least one clip; 0 if there is none."""
    from sklearn.metrics import average_precision_score  # slow to import

    present = targets.any(0)
    if not present.any():
        return 0.0
    return float(average_precision_score(targets[:, present], scores[:, present], average="macro"))


METRICS: Mapping[str, Metric] = {
    ACCURACY: Metric(
        parts=correct,
        value=lambda parts: float(parts.mean()),
        variance=lambda parts: float(parts.var() / len(parts)),
        interval=lambda share, _, count: wilson(share, count),
    ),
    MAP: Metric(
        parts=leave_groups_out,
        value=lambda parts: float(parts[0]),
        variance=lambda parts: float((len(parts) - 2) * parts[1:].var()),
        interval=lambda value, variance, _: normal(value, variance),
    ),
}
