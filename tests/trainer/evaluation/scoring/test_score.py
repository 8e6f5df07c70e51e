"""Scores, compared with scikit-learn, and the coverage of their intervals."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, average_precision_score

from synpat_train.evaluation.scoring.intervals import wilson
from synpat_train.evaluation.scoring.metrics import ACCURACY, MAP, METRICS, mean_average_precision
from synpat_train.evaluation.scoring.score import Score


def multi_label(clips: int, seed: int, better: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and targets of eight rare labels. The scores of present labels are higher by `better`."""
    rng = np.random.default_rng(seed)
    targets = rng.random((clips, 8)) < 0.1
    return rng.normal(size=(clips, 8)) + better * targets, targets


def score_of(metric: str, *folds: tuple[np.ndarray, np.ndarray], by_seed=(0.5,)) -> Score:
    return Score(
        metric=metric,
        parts=[METRICS[metric].parts(*fold) for fold in folds],
        tested=[len(targets) for _, targets in folds],
        by_seed=by_seed,
    )


def test_accuracy_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(500, 4)), rng.integers(0, 4, 500)
    assert score_of(ACCURACY, (scores, targets)).value == pytest.approx(accuracy_score(targets, scores.argmax(1)))


def test_map_agrees_with_scikit_learn_class_by_class():
    scores, targets = multi_label(500, 0)
    expected = np.mean([average_precision_score(targets[:, c], scores[:, c]) for c in range(8)])
    assert score_of(MAP, (scores, targets)).value == pytest.approx(expected)


@pytest.mark.parametrize("kept", [1, 5])
def test_classes_without_a_clip_are_ignored(kept):
    scores, targets = multi_label(300, 0)
    targets[:, kept:] = False
    assert mean_average_precision(scores, targets) == pytest.approx(
        mean_average_precision(scores[:, :kept], targets[:, :kept])
    )
    assert mean_average_precision(scores, np.zeros_like(targets)) == 0


def test_value_is_the_unweighted_mean_over_folds():
    eye = np.eye(3)
    large, small = (eye[np.zeros(90, int)], np.zeros(90, int)), (eye[np.zeros(10, int)], np.ones(10, int))
    score = score_of(ACCURACY, large, small)
    assert score.by_fold == [1, 0]
    assert score.value == 0.5


def test_interval_of_map_matches_its_variation_over_clips():
    """The width is compared with the variation of the mAP over 100 other samples of clips."""
    intervals = [score_of(MAP, multi_label(400, seed)).interval for seed in range(10)]
    width = np.mean([interval.high - interval.low for interval in intervals])
    values = [score_of(MAP, multi_label(400, 1000 + seed)).value for seed in range(100)]
    assert width == pytest.approx(2 * 1.96 * np.std(values), rel=0.25)


def test_interval_of_a_paired_difference_is_narrower():
    scores, targets = multi_label(400, 0)
    other = scores + 0.1 * np.random.default_rng(1).normal(size=scores.shape)
    first, second = score_of(MAP, (scores, targets)), score_of(MAP, (other, targets))
    _, interval = first.minus(second)
    assert interval.high - interval.low < 0.5 * (first.interval.high - first.interval.low)


@pytest.mark.parametrize(("correct", "count"), [(0, 10), (1, 10), (80, 100), (400, 400)])
def test_wilson_agrees_with_scipy(correct, count):
    expected = stats.binomtest(correct, count).proportion_ci(method="wilson")
    assert wilson(correct / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("correct", [0.0, 0.5, 1.0])
def test_interval_contains_its_value_despite_rounding(correct):
    for count in range(1, 1000):
        low, high = wilson(correct, count)
        assert 0 <= low <= correct <= high <= 1


def accuracy_score_of(parts: np.ndarray, seeds=(0.5,)) -> Score:
    return Score(metric=ACCURACY, parts=[parts.astype(float)], tested=[len(parts)], by_seed=seeds)


def test_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.random(2000) < 0.8, rng.integers(0, 4, 2000) / 3
    difference, interval = accuracy_score_of(first).minus(accuracy_score_of(second))
    expected = stats.ttest_rel(first.astype(float), second).confidence_interval(0.95)
    assert difference == pytest.approx((first - second).mean())
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_interval_over_seeds_has_the_stated_coverage():
    """Four encoders differ only in their seed, by 2 points. With this many clips, the variance over clips is small."""
    rng = np.random.default_rng(0)
    clips = np.linspace(0, 1, 10_000)
    missed = 0
    for _ in range(400):
        first, *seeds = rng.normal(0.5, 0.02, 4)
        second = np.mean([clips < accuracy for accuracy in seeds], axis=0)
        _, interval = accuracy_score_of(clips < first).minus(accuracy_score_of(second, seeds))
        missed += not interval.low <= 0 <= interval.high
    assert 0.02 < missed / 400 < 0.08
