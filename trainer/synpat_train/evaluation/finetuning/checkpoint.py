"""Checkpoint of an unfinished fine-tuning.

It contains no state of a random generator: the generator of each step is created from the seed and the position of the
step.
"""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from synpat_shards import InputError, valid_content
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.evaluation.tasks.recordings import digest_of
from synpat_train.evaluation.tasks.task import Split, Task
from synpat_train.model.encoder import Encoder
from synpat_train.tensor_file import read_tensors, write_tensors

from .recipes import FineTuning

SECONDS_BETWEEN_WRITES = 60.0


@dataclass
class FineTuningCheckpoint:
    """File of an unfinished training."""

    path: Path
    training: dict[str, Any]
    """Identity of the training, from `identity`."""
    written: float = field(default_factory=time.monotonic)
    """Time of the last write, or of the start of the training."""

    def save(self, model: nn.Module, optimizer: Optimizer, epochs: int) -> None:
        """Write the state after a number of epochs, unless it was written within the last minute.

        Raises OSError if the disk is full. The existing file is then unchanged.
        """
        if time.monotonic() - self.written < SECONDS_BETWEEN_WRITES:
            return
        state = {
            "training": self.training,
            "epochs": epochs,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        write_tensors(self.path, state)
        self.written = time.monotonic()

    def load(self, model: nn.Module, optimizer: Optimizer) -> int:
        """Restore the state and return the number of finished epochs; 0 if there is no file, or one of another
        training."""
        if not self.path.exists():
            return 0
        remedy = "Remove it to train again from the start"
        try:
            state = read_tensors(self.path)
        except InputError as fault:
            raise InputError(f"{fault}. {remedy}") from None
        with valid_content(self.path, remedy):
            if state["training"] != self.training:
                return 0
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return int(state["epochs"])


def identity(
    encoder: Encoder, task: Task, split: Split, normalisation: Normalisation, recipe: FineTuning, seed: int
) -> dict[str, Any]:
    """Return everything that determines a training, as plain numbers and texts."""
    return {
        "task": task.name,
        "split": split.name,
        "clips": task.full_recordings.digest,
        "unit": task.unit,
        "targets": digest_of("", split.train, task.targets),
        "encoder": encoder.digest,
        "normalisation": asdict(normalisation),
        "recipe": asdict(recipe),  # pyright: ignore[reportArgumentType]
        "seed": seed,
    }
