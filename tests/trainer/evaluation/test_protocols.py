"""Probes find what is there and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synpat_train.evaluation.evaluate import PROBES as FUNCTIONS
from synpat_train.evaluation.probes import linear as evar
from synpat_train.evaluation.protocols import LINEAR, PROTOCOLS, ProbeProtocol, protocol_name, suffix
from synpat_train.evaluation.scoring.metrics import mean_average_precision
from synpat_train.evaluation.tasks.task import Split

CLIPS = 6000
HALVES = Split(name="test", train=np.arange(CLIPS // 2), test=np.arange(CLIPS // 2, CLIPS))


def problem(distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Five classes in 40 dimensions of very different scales, their centres `distance` standard deviations out."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, CLIPS)
    features = rng.normal(size=(CLIPS, 40)) + distance * np.eye(5, 40)[labels]
    return (features * np.logspace(-3, 3, 40)).astype(np.float32), labels


PROBES = {name: protocol for name, protocol in PROTOCOLS.items() if isinstance(protocol, ProbeProtocol)}
every_protocol = pytest.mark.parametrize("name", PROBES)


def right(name: str, features: np.ndarray, labels: np.ndarray, split: Split = HALVES, seed: int = 0) -> np.ndarray:
    return scores(name, features, labels, split, seed).argmax(1) == labels[split.test]


def scores(name: str, features: np.ndarray, targets: np.ndarray, split: Split = HALVES, seed: int = 0) -> np.ndarray:
    return FUNCTIONS[name](PROBES[name].settings(""), features, targets, split, seed)


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


@every_protocol
def test_clips_with_several_labels_are_told_apart_too(name: str):
    features, targets = several_labels()
    shuffled = np.random.default_rng(1).permutation(targets)
    tested = HALVES.test
    assert mean_average_precision(scores(name, features, targets), targets[tested]) > 0.85
    assert mean_average_precision(scores(name, features, shuffled), shuffled[tested]) < 0.5  # a third have each


@every_protocol
def test_a_label_that_is_not_taught_is_scored_and_harms_no_other(name: str):
    features, targets = several_labels()
    targets[HALVES.train, 0] = False
    found = scores(name, features, targets)
    assert found.shape == (len(HALVES.test), 5)
    assert mean_average_precision(found[:, 1:], targets[HALVES.test, 1:]) > 0.85


def several_labels() -> tuple[np.ndarray, np.ndarray]:
    """Five labels, of which each clip has any with a chance of a third; each moves a feature of its own."""
    rng = np.random.default_rng(0)
    targets = rng.random((CLIPS, 5)) < 1 / 3
    features = rng.normal(size=(CLIPS, 40))
    features[:, :5] += 4 * targets
    return features.astype(np.float32), targets


def test_the_loss_of_evar_is_a_mean_over_clips_and_classes():
    dice = torch.Generator().manual_seed(0)
    logits, wanted = torch.randn(7, 5, generator=dice), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    by_hand = -torch.log_softmax(logits, 1)[torch.arange(7), wanted].sum() / (7 * 5)
    assert evar._loss(logits, wanted).item() == pytest.approx(by_hand.item(), rel=1e-6)
    several = (torch.rand(7, 5, generator=dice) < 0.5).float()
    chances = torch.sigmoid(logits)
    by_hand = -(several * chances.log() + (1 - several) * (1 - chances).log()).sum() / (7 * 5)
    assert evar._loss(logits, several).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_learning_rate_is_searched_only_when_asked():
    """Far too small a rate learns nothing in ten epochs; the search finds one that does."""
    features, labels = problem(distance=10)
    small = replace(LINEAR, changes={"learning_rate": 1e-9, "epochs": 10})
    searched = replace(LINEAR, changes={"learning_rate": "validation", "epochs": 10})

    def accuracy(probe) -> float:
        found = FUNCTIONS[probe.name](probe.settings(""), features, labels, HALVES, 0)
        return (found.argmax(1) == labels[HALVES.test]).mean()

    assert accuracy(searched) > accuracy(small) + 0.2


def test_a_changed_setting_is_in_the_name_of_the_result():
    assert suffix(LINEAR) == ""
    assert suffix(PROTOCOLS["knn"]) == " (knn)"
    changed = replace(LINEAR, changes={"learning_rate": "validation"})
    assert suffix(changed) == " (linear, learning_rate=validation)"
    assert "learning_rate validation" in protocol_name(changed, "esc50")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"learnin_rate": 1}, "unknown setting 'learnin_rate'; the nearest known one is 'learning_rate'"),
        ({"epochs": 0}, "epochs: input should be greater than 0, got 0"),
        ({"learning_rate": "test"}, "learning_rate: "),
    ],
)
def test_a_setting_that_the_protocol_does_not_take_is_named(changes, text):
    with pytest.raises(ValueError, match=text):
        replace(LINEAR, changes=changes).settings("esc50")
