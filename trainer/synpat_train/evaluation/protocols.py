"""The table of protocols. This module imports no torch, so that the command line can check settings quickly."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from synpat_train.settings import build_settings

from .finetuning.recipes import AUDIOMAE, M2D, FineTuning
from .probes.settings import KNearestNeighbours, Linear, Logistic


@dataclass(frozen=True, kw_only=True)
class ProbeProtocol:
    """A classifier on frozen features."""

    name: str
    defaults: Any
    """Default settings, a pydantic dataclass."""
    seeds: Sequence[int] = (0,)
    """Seeds over which the results are averaged."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the defaults."""

    def settings(self, task: str) -> Any:
        """Return all settings for a task. Raises InputError if a change is unknown or out of range."""
        return build_settings(type(self.defaults), asdict(self.defaults) | dict(self.changes))


@dataclass(frozen=True, kw_only=True)
class FineTuningProtocol:
    """Training of the encoder itself on a task."""

    name: str
    defaults: Mapping[str, FineTuning]
    """Default settings by task; "" for all other tasks."""
    seeds: Sequence[int] = (43, 44, 45)
    """Seeds, each of one training."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the defaults."""

    def settings(self, task: str) -> FineTuning:
        """Return all settings for a task. Raises InputError if a change is unknown or out of range."""
        recipe = self.defaults.get(task, self.defaults[""])
        return build_settings(FineTuning, asdict(recipe) | dict(self.changes))  # pyright: ignore[reportArgumentType]


LINEAR = ProbeProtocol(name="linear", defaults=Linear(), seeds=(42, 43, 44))
"""The default protocol."""
PROTOCOLS: Mapping[str, ProbeProtocol | FineTuningProtocol] = {
    protocol.name: protocol
    for protocol in (
        LINEAR,
        ProbeProtocol(name="logistic", defaults=Logistic()),
        ProbeProtocol(name="knn", defaults=KNearestNeighbours()),
        FineTuningProtocol(name="finetune", defaults=M2D),
        FineTuningProtocol(name="finetune-audiomae", defaults=AUDIOMAE),
    )
}


def protocol_name(protocol: ProbeProtocol | FineTuningProtocol, task: str) -> str:
    """Return the protocol of a task and its settings as text.

    Settings that published recipes do not have are named only where they differ from their default.
    """
    chosen = protocol.settings(task)
    optional = {each.name: each.default for each in fields(chosen)} if isinstance(chosen, FineTuning) else {}
    settings = ", ".join(
        f"{name} {value}" for name, value in asdict(chosen).items() if name not in optional or value != optional[name]
    )
    return f"{protocol.name}: {settings}; seeds {', '.join(map(str, protocol.seeds))}"


def suffix(protocol: ProbeProtocol | FineTuningProtocol) -> str:
    """Return the suffix of a task's name in the results: empty for the default protocol."""
    changed = [f"{name}={value}" for name, value in protocol.changes.items()]
    return f" ({', '.join([protocol.name, *changed])})" if changed or protocol.name != LINEAR.name else ""
