"""Probes learn the labels from the features, and only from the training clips."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from synpat_shards import InputError
from synpat_train.evaluation.evaluate import PROBES as FUNCTIONS
from synpat_train.evaluation.finetuning.recipes import M2D
from synpat_train.evaluation.probes import linear as linear_probe
from synpat_train.evaluation.protocols import LINEAR, PROTOCOLS, ProbeProtocol, protocol_name, suffix
from synpat_train.evaluation.scoring.metrics import mean_average_precision
from synpat_train.evaluation.tasks.task import Split

CLIPS = 6000
HALVES = Split(name="test", train=np.arange(CLIPS // 2), test=np.arange(CLIPS // 2, CLIPS))


def problem(distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return five classes in 40 dimensions of different scales, with centres `distance` deviations from 0."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, CLIPS)
    features = rng.normal(size=(CLIPS, 40)) + distance * np.eye(5, 40)[labels]
    return (features * np.logspace(-3, 3, 40)).astype(np.float32), labels


PROBES = {name: protocol for name, protocol in PROTOCOLS.items() if isinstance(protocol, ProbeProtocol)}
every_protocol = pytest.mark.parametrize("name", PROBES)


def correct(name: str, features: np.ndarray, labels: np.ndarray, split: Split = HALVES, seed: int = 0) -> np.ndarray:
    return scores(name, features, labels, split, seed).argmax(1) == labels[split.test]


def scores(name: str, features: np.ndarray, targets: np.ndarray, split: Split = HALVES, seed: int = 0) -> np.ndarray:
    return FUNCTIONS[name](PROBES[name].settings(""), features, targets, split, seed)


@every_protocol
def test_separable_problem_is_solved(name: str):
    assert correct(name, *problem(distance=10)).mean() > 0.99


@every_protocol
def test_shuffled_labels_give_chance_level(name: str):
    features, labels = problem(distance=10)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert 0.1 < correct(name, features, shuffled).mean() < 0.3


@every_protocol
def test_test_clips_do_not_affect_training(name: str):
    features, labels = problem(distance=1)
    changed = features.copy()
    changed[CLIPS - 10 :] *= 1000
    same, with_others_changed = correct(name, features, labels), correct(name, changed, labels)
    np.testing.assert_array_equal(same[:-10], with_others_changed[:-10])


@every_protocol
def test_same_seed_gives_the_same_predictions(name: str):
    features, labels = problem(distance=1)
    np.testing.assert_array_equal(correct(name, features, labels, seed=42), correct(name, features, labels, seed=42))


def test_validation_part_determines_when_linear_stops():
    """Wrong labels in the validation part stop training early."""
    features, labels = problem(distance=3)
    halves = Split(name="test", train=np.arange(2000), valid=np.arange(2000, 3000), test=HALVES.test)
    contradicting = labels.copy()
    contradicting[2000:3000] = (labels[2000:3000] + 1) % 5
    with_valid_labels, with_wrong_labels = (
        correct("linear", features, labels, halves),
        correct("linear", features, contradicting, halves),
    )
    assert with_valid_labels.mean() > with_wrong_labels.mean() + 0.1


def test_linear_rejects_labels_with_a_single_clip():
    features, _ = problem(distance=1)
    with pytest.raises(ValueError, match=r"without losing a label.*--protocol logistic"):
        correct("linear", features, np.arange(CLIPS), HALVES)


@every_protocol
def test_multi_label_problem_is_solved(name: str):
    features, targets = several_labels()
    shuffled = np.random.default_rng(1).permutation(targets)
    test_clips = HALVES.test
    assert mean_average_precision(scores(name, features, targets), targets[test_clips]) > 0.85
    assert (
        mean_average_precision(scores(name, features, shuffled), shuffled[test_clips]) < 0.5
    )  # each label is in a third of the clips


@every_protocol
def test_label_without_training_clips_does_not_affect_the_others(name: str):
    features, targets = several_labels()
    targets[HALVES.train, 0] = False
    computed = scores(name, features, targets)
    assert computed.shape == (len(HALVES.test), 5)
    assert mean_average_precision(computed[:, 1:], targets[HALVES.test, 1:]) > 0.85


def several_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return features and five labels, each present with probability 1/3. Each label shifts one feature."""
    rng = np.random.default_rng(0)
    targets = rng.random((CLIPS, 5)) < 1 / 3
    features = rng.normal(size=(CLIPS, 40))
    features[:, :5] += 4 * targets
    return features.astype(np.float32), targets


def test_loss_of_evar_is_a_mean_over_clips_and_classes():
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(7, 5, generator=rng), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    expected = -torch.log_softmax(logits, 1)[torch.arange(7), labels].sum() / (7 * 5)
    assert linear_probe._loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)
    several = (torch.rand(7, 5, generator=rng) < 0.5).float()
    chances = torch.sigmoid(logits)
    expected = -(several * chances.log() + (1 - several) * (1 - chances).log()).sum() / (7 * 5)
    assert linear_probe._loss(logits, several).item() == pytest.approx(expected.item(), rel=1e-5)


def test_learning_rate_is_searched_only_on_request():
    """A very small rate learns nothing in ten epochs. The search finds a better one."""
    features, labels = problem(distance=10)
    small = replace(LINEAR, changes={"learning_rate": 1e-9, "epochs": 10})
    searched = replace(LINEAR, changes={"learning_rate": "validation", "epochs": 10})

    def accuracy(probe) -> float:
        computed = FUNCTIONS[probe.name](probe.settings(""), features, labels, HALVES, 0)
        return (computed.argmax(1) == labels[HALVES.test]).mean()

    assert accuracy(searched) > accuracy(small) + 0.2


def test_changed_settings_are_part_of_the_result_name():
    assert suffix(LINEAR) == ""
    assert suffix(PROTOCOLS["knn"]) == " (knn)"
    changed = replace(LINEAR, changes={"learning_rate": "validation"})
    assert suffix(changed) == " (linear, learning_rate=validation)"
    assert "learning_rate validation" in protocol_name(changed, "esc50")


def test_names_of_published_recipes_do_not_change():
    """Finished trials and results are found by these names."""
    published = ("as20k", "esc50", "spcv2", "voxceleb1", "fsd50k")
    names = [protocol_name(PROTOCOLS["finetune"], task) for task in published]
    names += [protocol_name(PROTOCOLS["finetune-audiomae"], task) for task in (*published, "esc10")]
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert digest == "c638687e4e0c4d3b2cfe33f8a48c987dc696533215da193afe00dc068394c548"


def test_tasks_without_a_published_recipe_share_one():
    assert PROTOCOLS["finetune"].settings("esc10") == PROTOCOLS["finetune"].settings("folder:dogs") == M2D[""]
    assert "time_mask 0.15, " in protocol_name(PROTOCOLS["finetune"], "esc10")
    changed = replace(PROTOCOLS["finetune"], changes={"updates": 7})
    assert "updates 7" in protocol_name(changed, "esc10")
    assert "updates 7" in protocol_name(changed, "esc50")


@pytest.mark.parametrize("changes", [{"time_mask": -1}, {"time_mask": 1.5}, {"covered": 0}, {"updates": -1}], ids=str)
def test_error_for_invalid_recipe_names_the_setting(changes):
    with pytest.raises(InputError, match=f"^{next(iter(changes))}: .*got {next(iter(changes.values()))}$"):
        replace(PROTOCOLS["finetune"], changes=changes).settings("esc10")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"learnin_rate": 1}, "unknown setting 'learnin_rate'; the nearest known one is 'learning_rate'"),
        ({"epochs": 0}, "epochs: input should be greater than 0, got 0"),
        ({"learning_rate": "test"}, "learning_rate: "),
    ],
)
def test_error_for_invalid_setting_names_it(changes, text):
    with pytest.raises(ValueError, match=text):
        replace(LINEAR, changes=changes).settings("esc50")
