"""Checkpoints of pre-training: everything that a run needs to resume exactly.

A checkpoint contains no state of a random generator: order, masks and crops are functions of seed and step, and the
model draws no random numbers.
"""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from synpat_shards import InputError, first_line
from synpat_train.config import Config, differences, stored_config
from synpat_train.model.mae import MaskedAutoencoder
from synpat_train.model.timm_compat import VisionTransformer
from synpat_train.model.vit import build_vit
from synpat_train.tensor_file import read_tensors, write_tensors

FOLDER = "checkpoints"


@dataclass
class Training:
    """State that changes during a run."""

    model: MaskedAutoencoder
    optimizer: Optimizer
    average: VisionTransformer | None
    """Exponential moving average of the encoder's weights; None if it is not requested."""
    mean: float
    """Mean of the pixels of the sets, in grey levels 0..255."""
    std: float
    step: int = 0
    """Number of updates so far."""
    losses: list[Tensor] = field(default_factory=list)
    """Losses of the steps since the last log line, on the device."""

    def update_average(self, decay: float) -> None:
        """Update the moving average of the encoder's weights."""
        if self.average is not None:
            update = get_ema_multi_avg_fn(decay)
            update(list(self.average.parameters()), list(self.model.encoder.parameters()), torch.empty(0))

    def finite(self) -> bool:
        """Return True if all weights are finite. This waits for the device."""
        return bool(torch.stack([weight.isfinite().all() for weight in self.model.parameters()]).all().item())

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    @property
    def encoder(self) -> VisionTransformer:
        """The encoder that a run exports: the moving average if there is one."""
        return self.model.encoder if self.average is None else self.average


def begin(model: MaskedAutoencoder, optimizer: Optimizer, config: Config, mean: float, std: float) -> Training:
    """Return the state before the first step."""
    average = None if config.ema is None else copy.deepcopy(model.encoder).requires_grad_(False)
    return Training(model, optimizer, average, mean, std)


def save_checkpoint(run: Path, training: Training, config: Config, digests: list[str]) -> Path:
    """Write a checkpoint, then remove all but the most recent ones.

    Raises OSError if the disk is full. The existing checkpoints are then unchanged.
    """
    path = checkpoint_path(run, training.step)
    state: dict[str, Any] = {
        "step": training.step,
        "config": asdict(config),  # pyright: ignore[reportArgumentType]
        "sets": digests,
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "average": training.average and training.average.state_dict(),
        "losses": training.losses,
        "mean": training.mean,
        "std": training.std,
    }
    write_tensors(path, state)
    for old in checkpoints(run)[: -config.keep_checkpoints]:
        old.unlink()
    return path


def load_checkpoint(run: Path, training: Training, config: Config, digests: list[str]) -> None:
    """Restore the most recent checkpoint, if there is one.

    Raises InputError if it is corrupt, or if it belongs to another configuration, with the differences.
    """
    if not (saved := checkpoints(run)):
        return
    path = saved[-1]
    try:
        state = read_tensors(path)
        faults = [text] if (text := differences(stored_config(state["config"]), config)) else []
        if state["sets"] != digests:
            faults.append("it was trained on other shard sets")
        if not faults:
            _restore(training, state)
    except InputError as error:
        raise InputError(f"{error}. Remove it to continue from the previous checkpoint") from None
    except (RuntimeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path} is corrupt: {first_line(error)}. Remove it to continue from the previous checkpoint"
        ) from None
    if faults:
        raise InputError(f"{path} belongs to another run: {', '.join(faults)}. Choose another --out")


def _restore(training: Training, state: dict[str, Any]) -> None:
    training.model.load_state_dict(state["model"])
    training.optimizer.load_state_dict(state["optimizer"])
    if training.average is not None:
        training.average.load_state_dict(state["average"])
    training.step, training.losses = state["step"], [loss.to(training.device) for loss in state["losses"]]


def read_encoder(path: Path, config: Config) -> tuple[VisionTransformer, float, float]:
    """Return the encoder of a checkpoint, and the mean and standard deviation of the pixels of its sets.

    Raises InputError if the checkpoint is corrupt.
    """
    state = read_tensors(path)
    try:
        weights = state["average"] or _after_dot("encoder", state["model"])
        with torch.random.fork_rng(devices=[]):
            encoder = build_vit(config.model, config.height, config.width, config.patch)
        encoder.load_state_dict(weights)
        return encoder, state["mean"], state["std"]
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is corrupt: {first_line(error)}") from None


def _after_dot(part: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of one part of a model, by their names inside that part."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}


def checkpoint_path(run: Path, step: int) -> Path:
    """Return the path of the checkpoint after a number of steps."""
    return run / FOLDER / f"step-{step:09d}.pt"


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints of a run, the most recent one last."""
    return sorted((run / FOLDER).glob("step-*.pt"))
