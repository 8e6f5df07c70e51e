"""A fine-tuning that was killed goes on to the bit, and no other goes on from what it left."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trainings
from trainings import LEARNT, UNIT, short, train_and_test

from synpat_train.evaluation.finetuning import checkpoint as checkpoint
from synpat_train.evaluation.finetuning import finetune as finetuning
from synpat_train.evaluation.finetuning.recipes import AUDIOMAE, M2D
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.model.encoder import random_encoder


class Killed(BaseException):
    """What no one catches."""


def killed_after(epochs: int, monkeypatch, *arguments, **keywords) -> None:
    """Run, write each epoch, and stop right after some have been written."""
    write = checkpoint.FineTuningCheckpoint.save

    def save_and_die(self, model, optimizer, done):
        write(self, model, optimizer, done)
        if done == epochs:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0)
        patch.setattr(checkpoint.FineTuningCheckpoint, "save", save_and_die)
        with pytest.raises(Killed):
            train_and_test(*arguments, **keywords)


@pytest.fixture
def updates(monkeypatch) -> list[int]:
    """One entry for each update that is made."""
    made, update = [], finetuning.update

    def counted(*arguments):
        made.append(1)
        return update(*arguments)

    monkeypatch.setattr(finetuning, "update", counted)
    return made


@pytest.mark.parametrize("recipe", [M2D["spcv2"], M2D["voxceleb1"], AUDIOMAE["spcv2"]], ids=["sgd", "amsgrad", "adamw"])
def test_a_killed_training_goes_on_to_the_bit(encoder, low_or_high, recipe, tmp_path, monkeypatch, updates):
    recipe = short(recipe, epochs=4)
    straight = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert len(updates) == 4 * 3
    killed_after(3, monkeypatch, encoder, low_or_high, recipe, tmp_path)
    assert isinstance(torch.load(tmp_path / "training.pt", weights_only=True), dict)
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), straight)
    assert len(updates) == 1 * 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["seed", "recipe", "encoder", "split", "labels", "unit", "normalisation"])
def test_another_training_does_not_go_on_from_it(encoder, low_or_high, other, tmp_path, monkeypatch, updates):
    recipe = short(M2D["spcv2"])
    straight = train_and_test(encoder, low_or_high, recipe, tmp_path)
    theirs = {"encoder": encoder, "task": low_or_high, "recipe": recipe, "folder": tmp_path}
    match other:
        case "seed":
            theirs["seed"] = 1
        case "recipe":
            theirs["recipe"] = replace(recipe, learning_rate=0.1)
        case "encoder":
            theirs["encoder"] = random_encoder(encoder, 5)
        case "split":
            theirs["split"] = replace(LEARNT, train=np.arange(1, 40))
        case "labels":
            theirs["task"] = replace(low_or_high, labels=low_or_high.labels[::-1])
        case "unit":
            theirs["task"] = replace(low_or_high, unit=UNIT - 1600)
        case "normalisation":
            monkeypatch.setattr(trainings, "NORMALISATION", Normalisation(-5, 4))
    killed_after(2, monkeypatch, **theirs)
    if other == "normalisation":
        monkeypatch.setattr(trainings, "NORMALISATION", Normalisation(-6, 4))
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), straight)
    assert len(updates) == 3 * 3


def test_a_damaged_file_is_named(encoder, low_or_high, tmp_path):
    (tmp_path / "training.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"training\.pt is corrupt.*Remove it"):
        train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)


def test_no_file_is_written_within_the_first_minute(encoder, low_or_high, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "write_tensors", lambda *_: pytest.fail("written"))
    train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)
