"""Inputs of a classifier: clips of a step, cropped, augmented and converted to normalised log-mels.

Axes in this file: B clips, S samples, C classes, F bands, T frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synpat_train.audio.front_end import FrontEnd
from synpat_train.device import to_device
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.evaluation.tasks.recordings import FULL_SCALE, Recordings
from synpat_train.evaluation.tasks.task import Split, Task

from .augmentation import add_noise, change_loudness, mixup, random_resize_crop, spec_augment
from .recipes import FineTuning


@dataclass(frozen=True, kw_only=True)
class FineTuningContext:
    """Everything that determines a training and its test, except the network."""

    task: Task
    split: Split
    normalisation: Normalisation
    recipe: FineTuning
    seed: int
    front_end: FrontEnd
    unit: int
    """Number of samples to which clips are cropped or padded."""
    device: torch.device

    @property
    def steps(self) -> int:
        """Number of updates in an epoch."""
        return -(-len(self.split.train) // self.recipe.batch_size)

    def rng(self, *position: int) -> np.random.Generator:
        """Return the random generator of a position in the training: an epoch; or epoch, step and purpose."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=position))


@dataclass(frozen=True)
class Batch:
    """The clips of a step before augmentation."""

    waveforms: Tensor
    """int16 [B, S], padded with zeros, on the device."""
    lengths: np.ndarray
    """Number of samples of each clip without padding: int64 [B]."""
    targets: Tensor
    """float32 [B, C], on the device."""


def training_batch(context: FineTuningContext, position: tuple[int, int]) -> Batch:
    """Return the clips of a step, each cropped at random and, if the recipe requires it, rolled within its crop."""
    epoch, step = position
    order = context.rng(epoch).permutation(context.split.train)
    # Batch sizes differ by at most one clip, so that no batch is too small for a variance.
    clips = np.array_split(order, context.steps)[step]
    rng, recordings = context.rng(epoch, step, 0), context.task.full_recordings
    offsets = rng.integers(np.maximum(recordings.lengths[clips] - context.unit, 0) + 1)
    waveforms, lengths = gather(recordings, clips, offsets, context.unit)
    if context.recipe.roll:
        for waveform, length, shift in zip(waveforms, lengths, rng.integers(lengths), strict=True):
            waveform[:length] = np.roll(waveform[:length], shift)
    targets = context.task.targets[clips]
    if not context.task.multi_label:
        targets = targets[:, None] == np.arange(len(context.task.classes))
    return Batch(to_device(waveforms, context.device), lengths, to_device(targets, context.device).float())


def log_mels_of_test_clips(context: FineTuningContext) -> Iterator[Tensor]:
    """Yield the test clips in order, cropped at their start, as normalised log-mels [B, F, T]."""
    clips = context.split.test
    for start in range(0, len(clips), context.recipe.batch_size):
        batch = clips[start : start + context.recipe.batch_size]
        waveforms, lengths = gather(context.task.recordings, batch, np.zeros_like(batch), context.unit)
        yield normalised(to_device(waveforms, context.device).float() / FULL_SCALE, lengths, context)


def gather(recordings: Recordings, clips: np.ndarray, offsets: np.ndarray, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clips from their offsets on, padded with zeros, int16 [B, unit], and their numbers of samples, int64
    [B]."""
    lengths = np.minimum(recordings.lengths[clips] - offsets, unit)
    waveforms = np.zeros((len(clips), unit), np.int16)
    for waveform, start, length in zip(waveforms, recordings.starts[clips] + offsets, lengths, strict=True):
        waveform[:length] = recordings.samples[start : start + length]
    return waveforms, lengths


def augmented(batch: Batch, context: FineTuningContext, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return normalised log-mels [B, F, T] and targets [B, C], augmented as the recipe requires."""
    recipe, lengths, targets = context.recipe, batch.lengths, batch.targets
    waveforms = batch.waveforms.float() / FULL_SCALE
    if recipe.roll:
        waveforms = change_loudness(waveforms, rng)
    if recipe.noise is not None:
        waveforms = add_noise(waveforms, lengths, recipe.noise, rng)
    if recipe.mixup:
        waveforms, targets, partners = mixup(waveforms, targets, recipe.mixup, recipe.mixup_alpha, rng)
        lengths = np.maximum(lengths, lengths[partners])
    log_mels = normalised(waveforms, lengths, context)
    # A share below 1 counts in frames of the clip.
    frames = round(recipe.time_mask * log_mels.shape[2]) if recipe.time_mask < 1 else int(recipe.time_mask)
    log_mels = spec_augment(log_mels, recipe.frequency_mask, frames, recipe.mask_shared, rng)
    return random_resize_crop(log_mels, rng) if recipe.resize_crop else log_mels, targets


def normalised(waveforms: Tensor, lengths: np.ndarray, context: FineTuningContext) -> Tensor:
    """Return log-mels [B, F, T] of waveforms [B, S], with zeros (the mean) after the last frame of each clip.

    The last frame or two of a padded clip include silence, where the unpadded clip would be reflected.
    """
    log_mels = (context.front_end.spectrogram(waveforms) - context.normalisation.mean) / context.normalisation.std
    frames = np.array([context.front_end.frames(length) for length in lengths.tolist()])
    padding = torch.arange(log_mels.shape[2], device=context.device) >= to_device(frames[:, None], context.device)
    return log_mels.masked_fill(padding[:, None], 0)
