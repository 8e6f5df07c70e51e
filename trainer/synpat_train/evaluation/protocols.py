"""The table of protocols: how embeddings and labels become scores of the tested clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..settings import filled
from .linear import Linear, linear
from .logistic import Logistic, logistic
from .neighbours import Neighbours, knn
from .task import Split


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A way to learn labels from embeddings."""

    name: str
    settings: Any
    scores: Callable[[Any, np.ndarray, np.ndarray, Split, int], np.ndarray]
    """Settings, features [clips, features], targets [clips] or [clips, classes], split and seed to scores [tested,
    classes]: the higher, the likelier."""
    seeds: Sequence[int] = (0,)
    """What they get right is averaged over them."""


PROTOCOLS: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe(name="linear", settings=Linear(), scores=linear, seeds=(42, 43, 44)),
        Probe(name="logistic", settings=Logistic(), scores=logistic),
        Probe(name="knn", settings=Neighbours(), scores=knn),
    )
}
DEFAULT = "linear"


def with_settings(protocol: Probe, changes: Mapping[str, Any]) -> Probe:
    """The protocol with other settings; ValueError for one that it does not have, or that is out of range."""
    settings = filled(type(protocol.settings), asdict(protocol.settings) | dict(changes))
    return replace(protocol, settings=settings)


def described(protocol: Probe) -> str:
    """The protocol in words."""
    settings = ", ".join(f"{name} {value}" for name, value in asdict(protocol.settings).items())
    return f"{protocol.name}: {settings}; seeds {', '.join(map(str, protocol.seeds))}"


def suffix(protocol: Probe) -> str:
    """What follows a task's name: nothing for the usual protocol."""
    usual = asdict(PROTOCOLS[protocol.name].settings)
    changed = [f"{name}={value}" for name, value in asdict(protocol.settings).items() if value != usual[name]]
    return f" ({', '.join([protocol.name, *changed])})" if changed or protocol.name != DEFAULT else ""
