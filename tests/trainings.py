"""Helpers for tests of fine-tuning: an encoder of two blocks, and clips of low and high tones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.evaluation.finetuning.clips import FineTuningContext
from synpat_train.evaluation.finetuning.finetune import finetune
from synpat_train.evaluation.finetuning.recipes import M2D, FineTuning
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.evaluation.tasks.recordings import Recordings
from synpat_train.evaluation.tasks.task import Split, Task
from synpat_train.model.encoder import Encoder
from synpat_train.model.timm_compat import VisionTransformer, create_model
from synpat_train.model.vit import initialise, sincos_positions, vit_arguments

UNIT = 8000
HALVES = Split(name="half", train=np.arange(40), test=np.arange(40, 80))
NORMALISATION = Normalisation(-6, 4)
PLAIN = replace(M2D["spcv2"], mixup=0, frequency_mask=0, time_mask=0, resize_crop=False)
"""Settings without augmentation."""


def small_encoder(height: int, columns: int = 3) -> Encoder:
    """Return an encoder of two blocks, which can be trained quickly."""
    arguments: dict[str, Any] = {"depth": 2, "embed_dim": 32, "num_heads": 2}
    arguments |= vit_arguments(height, 16 * columns, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        vit = create_model("vit_tiny_patch16_224", num_classes=0, **arguments)
        assert isinstance(vit, VisionTransformer)
        vit.pos_embed = nn.Parameter(sincos_positions(height // 16, columns, 32, prefix=1), requires_grad=False)
        initialise(vit)
    vit.eval().requires_grad_(False)
    return Encoder(vit, height, 16 * columns, 16, features=height // 16 * 32)


def recordings(samples: np.ndarray, digest: str = "generated") -> Recordings:
    """Return recordings from clips of one length: int16 [clips, samples]."""
    clips, length = samples.shape
    lengths = np.full(clips, length)
    return Recordings(samples=samples.ravel(), starts=np.arange(clips) * length, lengths=lengths, digest=digest)


def task_of(samples: np.ndarray, labels: Sequence[str], multi_label: bool = False) -> Task:
    full = recordings(samples)
    return Task(
        name="generated",
        files=np.arange(len(samples)).astype(str),
        recordings=full.cut(np.zeros(len(samples), np.int64), UNIT),
        full_recordings=full,
        labels=np.array(labels),
        splits=[HALVES],
        multi_label=multi_label,
        unit=UNIT,
    )


def tone_and_noise(tones: np.ndarray) -> np.ndarray:
    """Return clips 1.5 times as long as the unit. tones: bool [clips, 2], presence of a low and of a high tone."""
    rng = np.random.default_rng(0)
    clips, length = len(tones), UNIT * 3 // 2
    hertz = np.stack([rng.uniform(200, 500, clips), rng.uniform(2500, 4000, clips)])
    waves = np.sin(2 * np.pi * hertz[:, :, None] * np.arange(length) / 16000)
    samples = (tones.T[:, :, None] * waves).sum(axis=0) * 6000 + rng.normal(size=(clips, length)) * 300
    return samples.astype(np.int16)


def short(recipe: FineTuning, epochs: int = 3) -> FineTuning:
    """Return the recipe with a few small batches."""
    return replace(recipe, epochs=epochs, batch_size=16, warmup=1, updates=0)


def train_and_test(
    encoder: Encoder, task: Task, recipe: FineTuning, folder: Path, split: Split = HALVES, seed: int = 0
) -> np.ndarray:
    return finetune(encoder, task, split, NORMALISATION, recipe, seed, device="cpu", checkpoint=folder / "training.pt")


def context_of(task: Task, recipe: FineTuning, split: Split = HALVES) -> FineTuningContext:
    return FineTuningContext(
        task=task,
        split=split,
        normalisation=NORMALISATION,
        recipe=recipe,
        seed=0,
        front_end=FRONT_ENDS[80],
        unit=UNIT,
        device=torch.device("cpu"),
    )
