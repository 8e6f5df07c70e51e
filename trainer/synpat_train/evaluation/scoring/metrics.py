"""The two metrics, accuracy and mAP: a figure between 0 and 1, and how much of it is the luck of the tested clips.

Both work on parts, numbers that stand for the tested clips of a fold: for accuracy one for each clip, for mAP one for
each group of them. The parts of several seeds can be averaged, and those of two encoders subtracted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .intervals import Interval, normal, wilson

ACCURACY, MAP = "accuracy", "mAP"
GROUPS = 20
"""Into which the tested clips are divided to see how much mAP hangs on each."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How scores become a figure."""

    parts: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Scores [tested, classes] and targets, int64 [tested] or bool [tested, classes], to the parts of a fold."""
    value: Callable[[np.ndarray], float]
    """The figure of a fold."""
    variance: Callable[[np.ndarray], float]
    """Its variance over other clips; also of a difference."""
    interval: Callable[[float, float, float], Interval]
    """95 % interval of a figure, given its variance and the number of clips that it is worth."""


def correct(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 where the highest score is that of the target, else 0: float64 [tested]."""
    return (scores.argmax(1) == targets).astype(float)


def leave_groups_out(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """mAP of all clips, and without each group of them: float64 [1 + groups]. Clips go to the groups in turn.

    The grouped jackknife of Quenouille, "Notes on bias in estimation", 1956: twenty figures, where a bootstrap takes
    hundreds.
    """
    groups = np.arange(len(targets)) % GROUPS
    without = [groups != group for group in range(min(GROUPS, len(targets)))]
    kept = [np.full(len(targets), True), *without]
    return np.array([mean_average_precision(scores[clips], targets[clips]) for clips in kept])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of the average precision over the classes that at least one clip has; 0 if there is none."""
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
