"""The table of protocols: how embeddings and labels become right and wrong answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import linear as evar
from .linear import linear
from .logistic import C, logistic
from .neighbours import NEIGHBOURS, knn
from .task import Split


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way to learn labels from embeddings."""

    description: str
    classify: Callable[[np.ndarray, np.ndarray, Split, int], np.ndarray]
    """Features [clips, features], labels [clips], split and seed to what is right: bool [tested]."""
    seeds: Sequence[int] = (0,)
    """Answers are averaged over them."""


PROTOCOLS: Mapping[str, Protocol] = {
    "linear": Protocol(
        description=f"linear (EVAR): standardised features, linear layer, Adam {evar.LEARNING_RATE:g}, "
        f"batch {evar.BATCH}, at most {evar.EPOCHS} epochs, patience {evar.PATIENCE}, {len(evar.SEEDS)} seeds",
        classify=linear,
        seeds=evar.SEEDS,
    ),
    "logistic": Protocol(
        description=f"logistic: standardised features, logistic regression with C = {C}", classify=logistic
    ),
    "knn": Protocol(description=f"knn: {NEIGHBOURS} nearest of standardised features by cosine", classify=knn),
}
DEFAULT = "linear"
