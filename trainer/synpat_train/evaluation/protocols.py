"""The table of protocols. This module imports no torch, so that the command line can check settings quickly."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from synpat_train.settings import build_settings

from .finetuning.recipes import AUDIOMAE, M2D, FineTuning
from .probes.settings import KNearestNeighbours, Linear, Logistic


@dataclass(frozen=True, kw_only=True)
class ProbeProtocol:
    """A way to learn labels from embeddings."""

    name: str
    usual: Any
    """Its settings, a pydantic dataclass, before any is changed."""
    seeds: Sequence[int] = (0,)
    """What they get right is averaged over them."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the usual ones."""

    def settings(self, task: str) -> Any:
        """All settings for a task; InputError for a change that is unknown, or out of range."""
        return build_settings(type(self.usual), asdict(self.usual) | dict(self.changes))


@dataclass(frozen=True, kw_only=True)
class FineTuningProtocol:
    """A way to train the encoder itself on a task."""

    name: str
    usual: Mapping[str, FineTuning]
    """By task; "" for the others."""
    seeds: Sequence[int] = (43, 44, 45)
    """Each is a training of its own."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the usual ones."""

    def settings(self, task: str) -> FineTuning:
        """All settings for a task; InputError for a change that is unknown, or out of range."""
        recipe = self.usual.get(task, self.usual[""])
        return build_settings(FineTuning, asdict(recipe) | dict(self.changes))  # pyright: ignore[reportArgumentType]


LINEAR = ProbeProtocol(name="linear", usual=Linear(), seeds=(42, 43, 44))
"""The usual one."""
PROTOCOLS: Mapping[str, ProbeProtocol | FineTuningProtocol] = {
    protocol.name: protocol
    for protocol in (
        LINEAR,
        ProbeProtocol(name="logistic", usual=Logistic()),
        ProbeProtocol(name="knn", usual=KNearestNeighbours()),
        FineTuningProtocol(name="finetune", usual=M2D),
        FineTuningProtocol(name="finetune-audiomae", usual=AUDIOMAE),
    )
}


def protocol_name(protocol: ProbeProtocol | FineTuningProtocol, task: str) -> str:
    """The protocol for a task in words."""
    settings = ", ".join(f"{name} {value}" for name, value in asdict(protocol.settings(task)).items())
    return f"{protocol.name}: {settings}; seeds {', '.join(map(str, protocol.seeds))}"


def suffix(protocol: ProbeProtocol | FineTuningProtocol) -> str:
    """What follows a task's name: nothing for the usual protocol."""
    changed = [f"{name}={value}" for name, value in protocol.changes.items()]
    return f" ({', '.join([protocol.name, *changed])})" if changed or protocol.name != LINEAR.name else ""
