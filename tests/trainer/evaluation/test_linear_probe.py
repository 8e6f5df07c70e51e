"""The probe finds what is there and nothing else, and its intervals hold what they say."""

import numpy as np
import pytest
from scipy import stats

from synpat_train.evaluation.intervals import paired_difference, wilson
from synpat_train.evaluation.linear_probe import linear_probe
from synpat_train.evaluation.task import Split

HALVES = Split(name="test", train=np.arange(300), test=np.arange(300, 600))


def problem(distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Five classes in 40 dimensions of very different scales, their centres `distance` standard deviations out."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 600)
    features = rng.normal(size=(600, 40)) + distance * np.eye(5, 40)[labels]
    return (features * np.logspace(-3, 3, 40)).astype(np.float32), labels


def test_a_separable_problem_is_solved():
    assert linear_probe(*problem(distance=10), HALVES).all()


def test_shuffled_labels_leave_chance():
    features, labels = problem(distance=10)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert 0.1 < linear_probe(features, shuffled, HALVES).mean() < 0.3


def test_tested_clips_have_no_say():
    features, labels = problem(distance=1)
    changed = features.copy()
    changed[450:] *= 1000
    right, with_others_changed = linear_probe(features, labels, HALVES), linear_probe(changed, labels, HALVES)
    np.testing.assert_array_equal(right[:150], with_others_changed[:150])


@pytest.mark.parametrize(("right", "count"), [(0, 10), (1, 10), (80, 100), (400, 400)])
def test_wilson_agrees_with_scipy(right, count):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(2000) < 0.8, rng.integers(0, 4, 2000) / 3
    mean, interval = paired_difference(ours, theirs, seeds=[0.5])
    expected = stats.ttest_rel(ours.astype(float), theirs).confidence_interval(0.95)
    assert mean == pytest.approx((ours - theirs).mean())
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_luck_of_a_seed_is_inside_the_interval_as_often_as_promised():
    """Four encoders differ by luck alone, by 2 points, over so many clips that these leave little open."""
    rng = np.random.default_rng(0)
    clips = np.linspace(0, 1, 10_000)
    missed = 0
    for _ in range(400):
        ours, *seeds = rng.normal(0.5, 0.02, 4)
        theirs = np.mean([clips < accuracy for accuracy in seeds], axis=0)
        _, interval = paired_difference((clips < ours).astype(float), theirs, seeds)
        missed += not interval.low <= 0 <= interval.high
    assert 0.02 < missed / 400 < 0.08
