"""Checkpoints: weights, optimiser and step in a file of plain tensors and numbers, whole or not there at all."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from synpat_shards import atomic_file

FOLDER = "checkpoints"


def save_checkpoint(run: Path, step: int, model: nn.Module, optimizer: Optimizer, keep: int) -> None:
    """Write the state after `step` updates, then remove all but the last `keep` checkpoints."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    state: dict[str, Any] = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with atomic_file(folder / f"step-{step:09d}.pt") as file:
        torch.save(state, file)
    for old in _checkpoints(run)[:-keep]:
        old.unlink()


def load_checkpoint(run: Path, model: nn.Module, optimizer: Optimizer) -> int:
    """Restore the last checkpoint, and return the number of updates it has seen; 0 if there is none."""
    if not (checkpoints := _checkpoints(run)):
        return 0
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / FOLDER).glob("step-*.pt"))
