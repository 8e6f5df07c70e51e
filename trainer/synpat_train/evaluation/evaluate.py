"""Evaluation: embed the clips of a task or fine-tune on them, test every fold, and compute scores."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from synpat_shards import available_cores, memory_limit
from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.model.encoder import Encoder, random_encoder

from .finetuning.finetune import finetune
from .probes.embedding import (
    Embedder,
    EmbeddingContext,
    Normalisation,
    encoder_embedder,
    measure_normalisation,
    processor,
    statistics_embedder,
)
from .probes.embedding_cache import embeddings
from .probes.knn import knn
from .probes.linear import linear
from .probes.logistic import logistic
from .protocols import LINEAR, FineTuningProtocol, ProbeProtocol, protocol_name
from .scoring.metrics import ACCURACY, MAP, METRICS
from .scoring.score import Score
from .tasks.recordings import digest_of
from .tasks.task import Task
from .trials import Trial, delete_trials, run_trials

PROBES = {"linear": linear, "logistic": logistic, "knn": knn}
"""Functions of the probe protocols by name."""
RANDOM_SEEDS = (0, 1, 2)
"""Seeds of the random-init encoders, whose scores are averaged."""
VERSION = 1
"""Increased when a protocol gives the same encoder other scores."""
ENCODER, RANDOM_INIT, LOG_MEL = "encoder", "random-init", "log-mel mean/std"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """An encoder or a baseline. Contestants of the same name differ in their seed, and their scores are averaged."""

    name: str
    embedder: Embedder
    encoder: Encoder | None
    """None for a baseline that cannot be trained."""
    kept: Path
    """Folder for the scores of its trials."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The scores of one task by contestant: the encoder first, then the baselines."""

    task: Task
    protocol: ProbeProtocol | FineTuningProtocol
    normalisation: Normalisation
    scores: Mapping[str, Score]


def evaluate_tasks(
    encoder: Encoder,
    tasks: Iterable[Task],
    protocol: ProbeProtocol | FineTuningProtocol,
    *,
    batch_size: int,
    cache: Path,
    unfinished: Path,
) -> Iterator[Result]:
    """Score the encoder and the baselines on each task, one after the other.

    batch_size: number of the encoder's inputs that are embedded at once. cache: folder of the user's cache, where
    embeddings and the scores of the baselines are kept. unfinished: folder for the encoder's trials of a task that is
    not finished. The encoder is moved to the GPU if there is one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder.vit.to(device)
    front_end = FRONT_ENDS[encoder.height]
    competing = contestants(encoder, unfinished, cache / "baselines")
    for task in tasks:
        normalisation = measure_normalisation(
            task.recordings, task.training_clips, front_end, device=device, what=f"{task.name}: normalise"
        )
        context = EmbeddingContext(front_end=front_end, normalisation=normalisation, unit=task.unit, device=device)
        embed = partial(embeddings, encoder=encoder, batch_size=batch_size, cache=cache, what=f"{task.name}: embed")
        if isinstance(protocol, FineTuningProtocol):
            trials = finetune_trials(task, competing, context, protocol, embed, unfinished)
        else:
            trials = probe_trials(task, competing, context, protocol, embed)
        answers = list(run_trials(trials, _threads(trials, device), f"{task.name}: {protocol.name}"))
        yield Result(task=task, protocol=protocol, normalisation=normalisation, scores=score(task, trials, answers))
        delete_trials(trials, unfinished)


def contestants(encoder: Encoder, unfinished: Path, baselines: Path) -> list[Contestant]:
    """Return the encoder, random-init encoders of the same shape, and log-mel statistics.

    unfinished, baselines: folders for the scores of the encoder and of the others.
    """
    untrained = [random_encoder(encoder, seed) for seed in RANDOM_SEEDS]
    statistics = statistics_embedder(FRONT_ENDS[encoder.height])
    return [
        Contestant(name=ENCODER, embedder=encoder_embedder(encoder), encoder=encoder, kept=unfinished),
        *(
            Contestant(name=RANDOM_INIT, embedder=encoder_embedder(each), encoder=each, kept=baselines)
            for each in untrained
        ),
        Contestant(name=LOG_MEL, embedder=statistics, encoder=None, kept=baselines),
    ]


def probe_trials(
    task: Task,
    competing: Sequence[Contestant],
    context: EmbeddingContext,
    protocol: ProbeProtocol,
    embed: Callable[..., list[np.ndarray]],
) -> list[Trial]:
    """Return a trial for each contestant, fold and seed. embed: as `embeddings`, with its options filled in."""
    settings, probe = protocol.settings(task.benchmark), PROBES[protocol.name]
    features = embed(task.recordings, [contestant.embedder for contestant in competing], context)
    return [
        Trial(
            name=contestant.name,
            member=member,
            fold=fold,
            key=_key(task, fold, contestant, protocol, seed, context.device),
            folder=contestant.kept,
            scores=partial(probe, settings, features[member], task.targets, split, seed),
            memory=2 * features[member].nbytes,  # a standardised copy and a float64 copy
        )
        for member, contestant in enumerate(competing)
        for fold, split in enumerate(task.splits)
        for seed in protocol.seeds
    ]


def finetune_trials(
    task: Task,
    competing: Sequence[Contestant],
    context: EmbeddingContext,
    protocol: FineTuningProtocol,
    embed: Callable[..., list[np.ndarray]],
    unfinished: Path,
) -> list[Trial]:
    """Return a trial for each fold and seed, of the encoder and of one random-init encoder for each seed.

    Contestants that cannot be trained are probed by the default protocol.
    """
    encoder, *untrained = (contestant for contestant in competing if contestant.encoder is not None)
    frozen = [contestant for contestant in competing if contestant.encoder is None]
    recipe = protocol.settings(task.benchmark)
    pairs = [(encoder, seed) for seed in protocol.seeds] + list(zip(untrained, protocol.seeds, strict=True))
    trials = []
    for member, (contestant, seed) in enumerate(pairs):
        assert contestant.encoder is not None
        for fold, split in enumerate(task.splits):
            key = _key(task, fold, contestant, protocol, seed, context.device)
            scores = partial(
                finetune,
                contestant.encoder,
                task,
                split,
                context.normalisation,
                recipe,
                seed,
                device=context.device,
                checkpoint=unfinished / f"{key}.checkpoint",
            )
            trial = Trial(
                name=contestant.name,
                member=member,
                fold=fold,
                key=key,
                folder=contestant.kept,
                scores=scores,
                memory=None,
            )
            trials.append(trial)
    return [*trials, *probe_trials(task, frozen, context, LINEAR, embed)]


def _key(
    task: Task,
    fold: int,
    contestant: Contestant,
    protocol: ProbeProtocol | FineTuningProtocol,
    seed: int,
    device: str,
) -> str:
    """Return a digest of everything that determines the scores of a trial."""
    split = task.splits[fold]
    data = digest_of(task.recordings.digest, task.targets, split.train, split.valid, split.test)
    recipe = protocol_name(protocol, task.benchmark)
    words = json.dumps([VERSION, data, task.unit, contestant.embedder.digest, recipe, seed, processor(device)])
    return digest_of(words)[:32]


def score(task: Task, trials: Sequence[Trial], answers: Sequence[np.ndarray]) -> dict[str, Score]:
    """Return the score of each contestant. answers: class scores of the test clips of each trial, [tested, classes]."""
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


def _threads(trials: Sequence[Trial], device: str) -> int:
    """Return how many of the trials fit into half of the memory side by side."""
    needed = [trial.memory for trial in trials]
    if None in needed:
        return 1
    memory = torch.cuda.mem_get_info()[0] if device == "cuda" else memory_limit()
    return max(min(available_cores(), memory // 2 // max(size for size in needed if size)), 1)
