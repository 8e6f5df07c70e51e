"""The probe finds what is there and nothing else, and its intervals hold what they say."""

import numpy as np
import pytest
from scipy import stats

from synpat_train.evaluation.intervals import paired_difference, wilson
from synpat_train.evaluation.protocols import PROTOCOLS
from synpat_train.evaluation.task import Split

CLIPS = 6000
HALVES = Split(name="test", train=np.arange(CLIPS // 2), test=np.arange(CLIPS // 2, CLIPS))


def problem(distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Five classes in 40 dimensions of very different scales, their centres `distance` standard deviations out."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, CLIPS)
    features = rng.normal(size=(CLIPS, 40)) + distance * np.eye(5, 40)[labels]
    return (features * np.logspace(-3, 3, 40)).astype(np.float32), labels


every_protocol = pytest.mark.parametrize("name", PROTOCOLS)


def right(name: str, features: np.ndarray, labels: np.ndarray, split: Split = HALVES, seed: int = 0) -> np.ndarray:
    return PROTOCOLS[name].classify(features, labels, split, seed)


@every_protocol
def test_a_separable_problem_is_solved(name: str):
    assert right(name, *problem(distance=10)).mean() > 0.99


@every_protocol
def test_shuffled_labels_leave_chance(name: str):
    features, labels = problem(distance=10)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert 0.1 < right(name, features, shuffled).mean() < 0.3


@every_protocol
def test_tested_clips_have_no_say(name: str):
    features, labels = problem(distance=1)
    changed = features.copy()
    changed[CLIPS - 10 :] *= 1000
    same, with_others_changed = right(name, features, labels), right(name, changed, labels)
    np.testing.assert_array_equal(same[:-10], with_others_changed[:-10])


@every_protocol
def test_the_same_seed_gives_the_same_answers(name: str):
    features, labels = problem(distance=1)
    np.testing.assert_array_equal(right(name, features, labels, seed=42), right(name, features, labels, seed=42))


def test_a_validation_part_decides_when_the_linear_layer_stops():
    """Labels of the validation part that contradict those of the training part stop it after its patience."""
    features, labels = problem(distance=3)
    halves = Split(name="test", train=np.arange(2000), valid=np.arange(2000, 3000), test=HALVES.test)
    contradicting = labels.copy()
    contradicting[2000:3000] = (labels[2000:3000] + 1) % 5
    helped, misled = right("linear", features, labels, halves), right("linear", features, contradicting, halves)
    assert helped.mean() > misled.mean() + 0.1


def test_a_label_that_one_clip_alone_has_cannot_be_set_aside():
    features, _ = problem(distance=1)
    with pytest.raises(ValueError, match=r"without losing a label.*--protocol logistic"):
        right("linear", features, np.arange(CLIPS), HALVES)


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
