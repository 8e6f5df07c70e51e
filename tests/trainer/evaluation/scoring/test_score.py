"""Figures are those of scikit-learn, and their intervals hold what they say."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, average_precision_score

from synpat_train.evaluation.scoring.intervals import wilson
from synpat_train.evaluation.scoring.metrics import ACCURACY, MAP, METRICS, mean_average_precision
from synpat_train.evaluation.scoring.score import Score


def multi_label(clips: int, seed: int, better: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets of eight rare labels; the scores of those that a clip has are higher by `better`."""
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
def test_classes_that_no_clip_has_count_for_nothing(kept):
    scores, targets = multi_label(300, 0)
    targets[:, kept:] = False
    assert mean_average_precision(scores, targets) == pytest.approx(
        mean_average_precision(scores[:, :kept], targets[:, :kept])
    )
    assert mean_average_precision(scores, np.zeros_like(targets)) == 0


def test_the_figure_is_the_mean_over_folds_however_large_they_are():
    eye = np.eye(3)
    large, small = (eye[np.zeros(90, int)], np.zeros(90, int)), (eye[np.zeros(10, int)], np.ones(10, int))
    score = score_of(ACCURACY, large, small)
    assert score.by_fold == [1, 0]
    assert score.value == 0.5


def test_map_varies_over_other_clips_as_the_interval_says():
    """Its width is that of the figures of 100 other draws of clips."""
    intervals = [score_of(MAP, multi_label(400, seed)).interval for seed in range(10)]
    width = np.mean([interval.high - interval.low for interval in intervals])
    values = [score_of(MAP, multi_label(400, 1000 + seed)).value for seed in range(100)]
    assert width == pytest.approx(2 * 1.96 * np.std(values), rel=0.25)


def test_differences_on_the_same_clips_are_surer_than_the_figures():
    scores, targets = multi_label(400, 0)
    other = scores + 0.1 * np.random.default_rng(1).normal(size=scores.shape)
    ours, theirs = score_of(MAP, (scores, targets)), score_of(MAP, (other, targets))
    _, interval = ours.minus(theirs)
    assert interval.high - interval.low < 0.5 * (ours.interval.high - ours.interval.low)


@pytest.mark.parametrize(("correct", "count"), [(0, 10), (1, 10), (80, 100), (400, 400)])
def test_wilson_agrees_with_scipy(correct, count):
    expected = stats.binomtest(correct, count).proportion_ci(method="wilson")
    assert wilson(correct / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("correct", [0.0, 0.5, 1.0])
def test_an_interval_holds_its_figure_whatever_the_rounding(correct):
    for count in range(1, 1000):
        low, high = wilson(correct, count)
        assert 0 <= low <= correct <= high <= 1


def answered(parts: np.ndarray, seeds=(0.5,)) -> Score:
    return Score(metric=ACCURACY, parts=[parts.astype(float)], tested=[len(parts)], by_seed=seeds)


def test_a_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(2000) < 0.8, rng.integers(0, 4, 2000) / 3
    difference, interval = answered(ours).minus(answered(theirs))
    expected = stats.ttest_rel(ours.astype(float), theirs).confidence_interval(0.95)
    assert difference == pytest.approx((ours - theirs).mean())
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_luck_of_a_seed_is_inside_the_interval_as_often_as_promised():
    """Four encoders differ by luck alone, by 2 points, over so many clips that these leave little open."""
    rng = np.random.default_rng(0)
    clips = np.linspace(0, 1, 10_000)
    missed = 0
    for _ in range(400):
        ours, *seeds = rng.normal(0.5, 0.02, 4)
        theirs = np.mean([clips < accuracy for accuracy in seeds], axis=0)
        _, interval = answered(clips < ours).minus(answered(theirs, seeds))
        missed += not interval.low <= 0 <= interval.high
    assert 0.02 < missed / 400 < 0.08
