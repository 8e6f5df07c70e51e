"""Run tasks: embed their clips with the encoder and with the baselines, or train them; test every fold, score."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.model.encoder import Encoder, random_encoder

from .finetuning.finetune import finetune
from .probes.embedding import Embedder, Normalisation, encoder_embedder, measure_normalisation, statistics_embedder
from .probes.embedding_cache import embeddings
from .protocols import LINEAR, FineTuningProtocol, ProbeProtocol, protocol_name
from .scoring.metrics import ACCURACY, MAP, METRICS
from .scoring.score import Score
from .tasks.recordings import digest_of
from .tasks.task import Task
from .trials import Trial, delete_trials, run_trials

RANDOM_SEEDS = (0, 1, 2)
"""Seeds of the random-init encoders, whose figures are averaged."""
ENCODER, RANDOM_INIT, LOG_MEL = "encoder", "random-init", "log-mel mean/std"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something that embeds clips. Those of one name differ in their seed; their figures are averaged."""

    name: str
    embedder: Embedder
    encoder: Encoder | None
    """None for what cannot be trained."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One task's scores, by contestant: the encoder first, then the baselines."""

    task: Task
    protocol: ProbeProtocol | FineTuningProtocol
    normalisation: Normalisation
    scores: Mapping[str, Score]


def evaluate(
    encoder: Encoder,
    tasks: Sequence[Task],
    protocol: ProbeProtocol | FineTuningProtocol,
    *,
    chunks: int,
    cache: Path,
    unfinished: Path,
) -> Iterator[Result]:
    """Score the encoder and the baselines on each task, one after the other.

    chunks: how many of the encoder's inputs are embedded at once. cache: the user's, where embeddings are kept.
    unfinished: a folder for the rounds of a task that is not finished. The encoder is moved to the GPU if there is one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder.vit.to(device)
    front_end = FRONT_ENDS[encoder.height]
    competing = contestants(encoder)
    trained = [each for each in competing if each.encoder and isinstance(protocol, FineTuningProtocol)]
    frozen = [each for each in competing if each.encoder is None or isinstance(protocol, ProbeProtocol)]
    for task in tasks:
        normalisation = measure_normalisation(
            task.recordings, task.learnt, front_end, device=device, what=f"{task.name}: normalise"
        )
        features = embeddings(
            task.recordings,
            [each.embedder for each in frozen],
            front_end,
            normalisation,
            encoder=encoder,
            chunks=chunks,
            unit=task.unit,
            device=device,
            cache=cache,
            what=f"{task.name}: embed",
        )
        # What cannot be trained is probed beside those that are.
        probe = protocol if isinstance(protocol, ProbeProtocol) else LINEAR
        trials = probe_trials(task, frozen, features, probe)
        threads = _threads(max(each.nbytes for each in features), device)
        if isinstance(protocol, FineTuningProtocol):
            trials = [*finetune_trials(task, trained, normalisation, protocol, device, unfinished), *trials]
            threads = 1
        answers = list(run_trials(trials, unfinished, threads, f"{task.name}: {protocol.name}"))
        yield Result(task=task, protocol=protocol, normalisation=normalisation, scores=score(task, trials, answers))
        delete_trials(trials, unfinished)


def contestants(encoder: Encoder) -> list[Contestant]:
    """The encoder, and beside it encoders of its shape that have learnt nothing and plain statistics."""
    untrained = [random_encoder(encoder, seed) for seed in RANDOM_SEEDS]
    statistics = statistics_embedder(FRONT_ENDS[encoder.height])
    return [
        Contestant(name=ENCODER, embedder=encoder_embedder(encoder), encoder=encoder),
        *(Contestant(name=RANDOM_INIT, embedder=encoder_embedder(each), encoder=each) for each in untrained),
        Contestant(name=LOG_MEL, embedder=statistics, encoder=None),
    ]


def probe_trials(
    task: Task, competing: Sequence[Contestant], features: Sequence[np.ndarray], protocol: ProbeProtocol
) -> list[Trial]:
    """A round for every contestant, fold and seed; features: [clips, features] of each contestant."""
    settings = protocol.settings(task.key)
    return [
        Trial(
            name=contestant.name,
            member=member,
            fold=fold,
            key=_key(task, fold, contestant, protocol, seed),
            scores=partial(protocol.scores, settings, features[member], task.targets, split, seed),
        )
        for member, contestant in enumerate(competing)
        for fold, split in enumerate(task.splits)
        for seed in protocol.seeds
    ]


def finetune_trials(
    task: Task,
    competing: Sequence[Contestant],
    normalisation: Normalisation,
    protocol: FineTuningProtocol,
    device: str,
    unfinished: Path,
) -> list[Trial]:
    """A round for every fold and seed: of the encoder, and of one random-init encoder for each seed."""
    (encoder, *untrained), recipe = competing, protocol.settings(task.key)
    pairs = [(encoder, seed) for seed in protocol.seeds] + list(zip(untrained, protocol.seeds, strict=True))
    trials = []
    for member, (contestant, seed) in enumerate(pairs):
        assert contestant.encoder is not None
        for fold, split in enumerate(task.splits):
            key = _key(task, fold, contestant, protocol, seed)
            scores = partial(finetune, contestant.encoder, task, split, normalisation, recipe, seed, device=device)
            scores = partial(scores, checkpoint=unfinished / f"{key}.checkpoint")
            trials.append(Trial(name=contestant.name, member=member, fold=fold, key=key, scores=scores))
    return trials


def _key(task: Task, fold: int, contestant: Contestant, protocol: ProbeProtocol | FineTuningProtocol, seed: int) -> str:
    """A name for all that decides the scores of a round."""
    split = task.splits[fold]
    data = digest_of(task.recordings.digest, task.targets, split.train, split.valid, split.test)
    words = json.dumps([data, task.unit, contestant.embedder.digest, protocol_name(protocol, task.key), seed])
    return digest_of(words)[:32]


def score(task: Task, trials: Sequence[Trial], answers: Sequence[np.ndarray]) -> dict[str, Score]:
    """The score of each contestant; answers: the scores of each round's tested clips, [tested, classes]."""
    metric = MAP if task.multi_label else ACCURACY
    parts: dict[str, dict[int, list[list[np.ndarray]]]] = {}
    for each, answer in zip(trials, answers, strict=True):
        folds = parts.setdefault(each.name, {}).setdefault(each.member, [[] for _ in task.splits])
        folds[each.fold].append(METRICS[metric].parts(answer, task.targets[task.splits[each.fold].test]))
    scores = {}
    for name, members in parts.items():
        averaged = [[np.mean(seeds, axis=0) for seeds in folds] for folds in members.values()]
        scores[name] = Score(
            metric=metric,
            parts=[np.mean(fold, axis=0) for fold in zip(*averaged, strict=True)],
            tested=[len(split.test) for split in task.splits],
            by_seed=[float(np.mean([METRICS[metric].value(fold) for fold in folds])) for folds in averaged],
        )
    return scores


def _threads(features: int, device: str) -> int:
    """How many rounds fit into half of the memory side by side, each with two copies of its features, in bytes."""
    if device == "cuda":
        memory = torch.cuda.mem_get_info()[0]
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(min(os.cpu_count() or 1, memory // 2 // (2 * features)), 1)
