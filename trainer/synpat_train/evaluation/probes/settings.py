"""Settings of the probes. This module imports no torch, so that the command line can check settings quickly."""

from typing import Literal

from pydantic import ConfigDict, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Linear:
    """Settings of the protocol `linear`."""

    learning_rate: PositiveFloat | Literal["validation"] = 3e-4
    """Learning rate of Adam; validation chooses it on the validation part."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Betas of Adam."""
    weight_decay: float = 1e-8
    """L2 penalty."""
    batch_size: PositiveInt = 200
    """Clips in one update."""
    epochs: PositiveInt = 200
    """Maximum number of passes over the training clips."""
    patience: PositiveInt = 20
    """Early stopping: number of epochs without an improvement on the validation part. An equal result counts as an
    improvement."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Logistic:
    """Settings of the protocol `logistic`."""

    C: PositiveFloat = 0.1
    """Inverse strength of the L2 penalty."""
    iterations: PositiveInt = 1000
    """Maximum number of iterations of the solver, which needs tens."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class KNearestNeighbours:
    """Settings of the protocol `knn`."""

    neighbours: PositiveInt = 10
    """Number of neighbours; all training clips if there are fewer."""
