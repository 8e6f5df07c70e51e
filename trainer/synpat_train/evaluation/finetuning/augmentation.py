"""What is done to training clips, so that a classifier never hears the same one twice.

All that is drawn comes from a numpy generator that is given, on the CPU whatever the device, but for white noise.

Axes in this file: B clips, S samples, C classes, F bands, T frames, K kept patches.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synpat_train.device import to_device

SMALLEST, LARGEST = 0.6, 1.5
"""Size of what `random_resize_crop` cuts out, relative to the log-mel."""
CANVAS = 1.5
"""Frames of the ground that it cuts from, likewise; in frequency the ground is no larger than the log-mel."""
LOUDNESS = 10
"""Both parameters of the beta distribution by which `change_loudness` varies: a standard deviation of 11 %."""


def change_loudness(waveforms: Tensor, dice: np.random.Generator) -> Tensor:
    """Waveforms [B, S], each times a factor between 0.5 and 1.5 of its own (Huang et al., "Masked Autoencoders that
    Listen", 2022)."""
    return waveforms * _column(0.5 + dice.beta(LOUDNESS, LOUDNESS, len(waveforms)), waveforms)


def add_noise(waveforms: Tensor, lengths: np.ndarray, decibels: float, dice: np.random.Generator) -> Tensor:
    """Waveforms [B, S] with white noise, so many decibels below the power of each; lengths: their samples, int [B]."""
    generator = torch.Generator(waveforms.device).manual_seed(int(dice.integers(2**62)))
    noise = torch.randn(waveforms.shape, generator=generator, device=waveforms.device)
    power = waveforms.square().sum(dim=1, keepdim=True) / _column(lengths, waveforms)
    return waveforms + noise * power.sqrt() * 10 ** (-decibels / 20)


def mixup(
    waveforms: Tensor, targets: Tensor, share: float, alpha: float, dice: np.random.Generator
) -> tuple[Tensor, Tensor, np.ndarray]:
    """A share of the waveforms [B, S] and of their targets [B, C] mixed with others; and the partner of each, int [B].

    A clip's weight in its mixture is drawn from Beta(alpha, alpha), its partner has the rest, in the waveform as in the
    targets. What is not mixed has itself for a partner, and stays as it is to the bit.
    """
    clips = np.arange(len(waveforms))
    partners = np.where(dice.random(len(clips)) < share, dice.permutation(clips), clips)
    weights = _column(dice.beta(alpha, alpha, len(clips)), waveforms)
    chosen = to_device(partners, waveforms.device)
    return waveforms[chosen].lerp(waveforms, weights), targets[chosen].lerp(targets, weights), partners


def spec_augment(log_mels: Tensor, bands: int, frames: int, shared: bool, dice: np.random.Generator) -> Tensor:
    """Normalised log-mels [B, F, T] with one stripe of neighbouring bands and one of frames set to zero, their mean.

    The stripes are narrower than `bands` and `frames`. shared: whether all clips have the same ones. Time is not warped
    (Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", 2019).
    """
    masks = 1 if shared else len(log_mels)
    hidden = _stripes(masks, log_mels.shape[1], bands, log_mels.device, dice)[:, :, None]
    hidden = hidden | _stripes(masks, log_mels.shape[2], frames, log_mels.device, dice)[:, None]
    return log_mels.masked_fill(hidden, 0)


def _stripes(masks: int, length: int, widest: int, device: torch.device, dice: np.random.Generator) -> Tensor:
    """Bool [masks, length], each with one stripe of 0 to widest - 1."""
    widths = np.minimum(dice.integers(max(widest, 1), size=masks), length - 1)
    starts = dice.integers(length - widths)
    first, behind = to_device(np.stack([starts, starts + widths])[:, :, None], device)
    place = torch.arange(length, device=device)
    return (place >= first) & (place < behind)


def random_resize_crop(log_mels: Tensor, dice: np.random.Generator) -> Tensor:
    """A part of each normalised log-mel [B, F, T], stretched over the whole by bicubic interpolation.

    It may reach beyond the first and the last frame, where zeros are (Niizumi et al., "BYOL for Audio: Self-Supervised
    Learning for General-Purpose Audio Representation", 2021).
    """
    clips, bands, frames = log_mels.shape
    ground = int(CANVAS * frames)
    heights, widths = (
        np.clip((length * dice.uniform(SMALLEST, LARGEST, clips)).astype(int), 1, most)
        for length, most in ((bands, bands), (frames, ground))
    )
    tops = dice.integers(bands - heights + 1)
    lefts = dice.integers(ground - widths + 1) - (ground - frames) // 2
    return stretch(log_mels, tops, heights, lefts, widths)


def stretch(log_mels: Tensor, tops: np.ndarray, heights: np.ndarray, lefts: np.ndarray, widths: np.ndarray) -> Tensor:
    """The parts of log-mels [B, F, T] that start at a band and a frame and reach over so many, each int [B], in the
    size of the whole: the first and last values of a part become the first and last of the result."""

    def positions(starts: np.ndarray, sizes: np.ndarray, length: int) -> Tensor:
        """Where to look, -1 for the first value of the log-mel and 1 for the last: float32 [B, length]."""
        along = torch.linspace(0, 1, length, device=log_mels.device)
        first, last = 2 * np.stack([starts, starts + sizes - 1]) / max(length - 1, 1) - 1
        return _column(first, log_mels) + _column(last - first, log_mels) * along

    bands, frames = log_mels.shape[1:]
    rows = positions(tops, heights, bands)[:, :, None].expand(-1, -1, frames)
    columns = positions(lefts, widths, frames)[:, None].expand(-1, bands, -1)
    grid = torch.stack([columns, rows], dim=3)
    return functional.grid_sample(log_mels[:, None], grid, mode="bicubic", align_corners=True)[:, 0]


def kept_patches(
    clips: int, rows: int, columns: int, share: float, of: Literal["patches", "axis"], dice: np.random.Generator
) -> np.ndarray:
    """Indices of the patches that a training step sees, row by row: int64 [clips, K], K the same for all clips.

    Whole rows (of frequency) and whole columns (of time) are left out, others for each clip; at least one patch stays.
    of: what the share is of, as in `FineTuning.patch_drop_of`.
    """
    if of == "axis":
        kept_rows, kept_columns = (max(int(length * (1 - share)), 1) for length in (rows, columns))
    else:
        kept_rows = rows - int(dice.integers(min(int(share * rows), rows - 1) + 1))
        kept_columns = max(round((1 - share) * rows * columns / kept_rows), 1)

    def chosen(length: int, kept: int) -> np.ndarray:
        return np.sort(dice.random((clips, length)).argsort(axis=1)[:, :kept], axis=1)

    patches = chosen(rows, kept_rows)[:, :, None] * columns + chosen(columns, kept_columns)[:, None]
    return patches.reshape(clips, -1)


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """Float32 [B, 1], where the other is."""
    return to_device(values.astype(np.float32)[:, None], like.device)
