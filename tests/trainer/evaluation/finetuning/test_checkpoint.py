"""A killed fine-tuning resumes exactly. Other trainings ignore its checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trainings
from trainings import HALVES, UNIT, short, train_and_test

from synpat_train.evaluation.finetuning import checkpoint
from synpat_train.evaluation.finetuning import finetune as finetuning
from synpat_train.evaluation.finetuning.recipes import AUDIOMAE, M2D
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.model.encoder import random_encoder


class Killed(BaseException):
    """Exception that simulates a killed process. No handler catches it."""


def killed_after(epochs: int, monkeypatch, *arguments, **keywords) -> None:
    """Train with a checkpoint after each epoch, and stop after a number of epochs."""
    write = checkpoint.FineTuningCheckpoint.save

    def save_and_stop(self, model, optimizer, done):
        write(self, model, optimizer, done)
        if done == epochs:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0)
        patch.setattr(checkpoint.FineTuningCheckpoint, "save", save_and_stop)
        with pytest.raises(Killed):
            train_and_test(*arguments, **keywords)


@pytest.fixture
def updates(monkeypatch) -> list[int]:
    """Return a list that gets one entry for each update."""
    calls, update = [], finetuning.update

    def counted(*arguments):
        calls.append(1)
        return update(*arguments)

    monkeypatch.setattr(finetuning, "update", counted)
    return calls


@pytest.mark.parametrize(
    "recipe",
    [M2D["spcv2"], M2D["voxceleb1"], AUDIOMAE["spcv2"], M2D[""]],
    ids=["sgd", "amsgrad", "adamw", "other tasks"],
)
def test_killed_training_resumes_with_identical_scores(encoder, low_or_high, recipe, tmp_path, monkeypatch, updates):
    recipe = short(recipe, epochs=4)
    uninterrupted = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert len(updates) == 4 * 3
    killed_after(3, monkeypatch, encoder, low_or_high, recipe, tmp_path)
    assert isinstance(torch.load(tmp_path / "training.pt", weights_only=True), dict)
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), uninterrupted)
    assert len(updates) == 1 * 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["seed", "recipe", "encoder", "split", "labels", "unit", "normalisation"])
def test_checkpoint_of_another_training_is_ignored(encoder, low_or_high, other, tmp_path, monkeypatch, updates):
    recipe = short(M2D["spcv2"])
    uninterrupted = train_and_test(encoder, low_or_high, recipe, tmp_path)
    arguments = {"encoder": encoder, "task": low_or_high, "recipe": recipe, "folder": tmp_path}
    match other:
        case "seed":
            arguments["seed"] = 1
        case "recipe":
            arguments["recipe"] = replace(recipe, learning_rate=0.1)
        case "encoder":
            arguments["encoder"] = random_encoder(encoder, 5)
        case "split":
            arguments["split"] = replace(HALVES, train=np.arange(1, 40))
        case "labels":
            arguments["task"] = replace(low_or_high, labels=low_or_high.labels[::-1])
        case "unit":
            arguments["task"] = replace(low_or_high, unit=UNIT - 1600)
        case "normalisation":
            monkeypatch.setattr(trainings, "NORMALISATION", Normalisation(-5, 4))
    killed_after(2, monkeypatch, **arguments)
    if other == "normalisation":
        monkeypatch.setattr(trainings, "NORMALISATION", Normalisation(-6, 4))
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), uninterrupted)
    assert len(updates) == 3 * 3


def test_error_for_corrupt_checkpoint_names_it(encoder, low_or_high, tmp_path):
    (tmp_path / "training.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"training\.pt is corrupt.*Remove it"):
        train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)
    torch.save({}, tmp_path / "training.pt")
    with pytest.raises(ValueError, match=r"training\.pt is corrupt: 'training' is missing. Remove it"):
        train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)


def test_no_checkpoint_is_written_within_the_first_minute(encoder, low_or_high, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "write_tensors", lambda *_: pytest.fail("written"))
    train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)
