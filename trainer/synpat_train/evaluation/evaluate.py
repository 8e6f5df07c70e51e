"""Run tasks: embed their clips with the encoder and with the baselines, probe every fold, score."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ..encoder import Encoder, random_encoder
from ..progress import track
from .embedding import (
    Embedder,
    Normalisation,
    batches_of_equal_steps,
    embed,
    encoder_embedder,
    log_mel_statistics,
    measure,
)
from .intervals import Interval, wilson
from .protocols import Protocol
from .recordings import Recordings
from .task import Split, Task

RANDOM_SEEDS = (0, 1, 2)
"""Seeds of the random-init encoders, whose right answers are averaged."""
ENCODER, RANDOM_INIT, LOG_MEL = "encoder", "random-init", "log-mel mean/std"


@dataclass(frozen=True)
class Contestant:
    """Something that embeds clips. Those of one name differ in their seed; their right answers are averaged."""

    name: str
    embedder: Embedder


@dataclass(frozen=True)
class Score:
    """How one contestant did on one task."""

    right: Sequence[np.ndarray]
    """For each fold, the share of seeds, of encoders and of classifiers, that got each tested clip right: [tested]."""
    by_seed: Sequence[float]
    """Accuracy of each seed, of one for a contestant without."""

    @property
    def all_right(self) -> np.ndarray:
        """The same for the tested clips of all folds."""
        return np.concatenate(self.right)

    @property
    def accuracy(self) -> float:
        """Share of right answers among the tested clips of all folds."""
        return float(self.all_right.mean())

    @property
    def interval(self) -> Interval:
        """95 % confidence interval of the accuracy."""
        return wilson(self.accuracy, len(self.all_right))


@dataclass(frozen=True)
class Result:
    """One task's scores, by contestant: the encoder first, then the baselines."""

    task: Task
    protocol: Protocol
    normalisation: Normalisation
    scores: Mapping[str, Score]


def evaluate(encoder: Encoder, tasks: Sequence[Task], protocol: Protocol, *, chunks: int) -> Iterator[Result]:
    """Score the encoder and the baselines on each task, one after the other.

    chunks: how many of the encoder's inputs are embedded at once. Tasks over the same recordings and normalisation
    share their embeddings. The encoder is moved to the GPU if there is one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder.vit.to(device)
    competing = contestants(encoder)
    names = [contestant.name for contestant in competing]
    known: dict[tuple[Recordings, Normalisation, int], list[np.ndarray]] = {}
    for task in tasks:
        normalisation = measure(task.recordings, task.learnt, device=device, what=f"{task.name}: normalise")
        key = (task.recordings, normalisation, task.unit)
        if key not in known:
            known[key] = embed(
                task.recordings,
                [contestant.embedder for contestant in competing],
                normalisation,
                batches=batches_of_equal_steps(task.recordings, encoder, chunks, task.unit),
                unit=task.unit,
                device=device,
                what=f"{task.name}: embed",
            )
        yield Result(task, protocol, normalisation, score(task, names, known[key], protocol))


def contestants(encoder: Encoder) -> list[Contestant]:
    """The encoder, and beside it encoders of its shape that have learnt nothing and plain statistics."""
    untrained = [random_encoder(encoder, seed) for seed in RANDOM_SEEDS]
    return [
        Contestant(ENCODER, encoder_embedder(encoder)),
        *(Contestant(RANDOM_INIT, encoder_embedder(each)) for each in untrained),
        Contestant(LOG_MEL, log_mel_statistics),
    ]


def score(task: Task, names: Sequence[str], embeddings: Sequence[np.ndarray], protocol: Protocol) -> dict[str, Score]:
    """Probe every fold with the embeddings of every contestant, given in the order of their names."""
    rounds = [(features, task.labels, split) for features in embeddings for split in task.splits]
    right = list(track(_probe_all(rounds, protocol), len(rounds), f"{task.name}: probe"))
    by_name: dict[str, list[Sequence[np.ndarray]]] = {name: [] for name in names}
    folds = len(task.splits)
    for position, name in enumerate(names):
        by_name[name].append(right[position * folds : (position + 1) * folds])
    return {name: _average(seeds) for name, seeds in by_name.items()}


def _probe_all(rounds: Sequence[tuple[np.ndarray, np.ndarray, Split]], protocol: Protocol) -> Iterator[np.ndarray]:
    def answers(each: tuple[np.ndarray, np.ndarray, Split]) -> np.ndarray:
        return np.mean([protocol.classify(*each, seed) for seed in protocol.seeds], axis=0)

    # A round on each core: the solver makes many small steps, in which threads that wait for one another cost more
    # than they give, ten times as much where the cores are shared.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(answers, rounds)


def _average(seeds: Sequence[Sequence[np.ndarray]]) -> Score:
    """seeds: for each seed and each fold, which tested clips were right."""
    return Score(
        right=[np.mean(fold, axis=0) for fold in zip(*seeds, strict=True)],
        by_seed=[float(np.concatenate(folds).mean()) for folds in seeds],
    )
