"""Augmentation of training clips.

All random numbers come from a given numpy generator on the CPU, whatever the device, except white noise.

Axes in this file: B clips, S samples, C classes, F bands, T frames, K kept patches.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synpat_train.device import to_device

SMALLEST, LARGEST = 0.6, 1.5
"""Size of the crop of `random_resize_crop`, relative to the log-mel."""
CANVAS = 1.5
"""Number of frames of the area from which it crops, relative to the log-mel. The area has no additional bands."""
LOUDNESS = 10
"""Both parameters of the beta distribution of `change_loudness`: a standard deviation of 11 %."""


def change_loudness(waveforms: Tensor, rng: np.random.Generator) -> Tensor:
    """Multiply each waveform of [B, S] by a random factor between 0.5 and 1.5 (Huang et al., "Masked Autoencoders
    that Listen", 2022)."""
    return waveforms * _column(0.5 + rng.beta(LOUDNESS, LOUDNESS, len(waveforms)), waveforms)


def add_noise(waveforms: Tensor, lengths: np.ndarray, decibels: float, rng: np.random.Generator) -> Tensor:
    """Add white noise to waveforms [B, S], by `decibels` below the power of each. lengths: number of samples, int
    [B]."""
    generator = torch.Generator(waveforms.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(waveforms.shape, generator=generator, device=waveforms.device)
    power = waveforms.square().sum(dim=1, keepdim=True) / _column(lengths, waveforms)
    return waveforms + noise * power.sqrt() * 10 ** (-decibels / 20)


def mixup(
    waveforms: Tensor, targets: Tensor, share: float, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Mix a share of the waveforms [B, S] and their targets [B, C] with others; also return the partner of each, int
    [B].

    The weight of a clip is drawn from Beta(alpha, alpha), and its partner has the rest, in the waveform and in the
    targets. A clip that is not mixed is its own partner and does not change.
    """
    clips = np.arange(len(waveforms))
    partners = np.where(rng.random(len(clips)) < share, rng.permutation(clips), clips)
    weights = _column(rng.beta(alpha, alpha, len(clips)), waveforms)
    chosen = to_device(partners, waveforms.device)
    return waveforms[chosen].lerp(waveforms, weights), targets[chosen].lerp(targets, weights), partners


def spec_augment(log_mels: Tensor, bands: int, frames: int, shared: bool, rng: np.random.Generator) -> Tensor:
    """Set one stripe of adjacent bands and one of adjacent frames of normalised log-mels [B, F, T] to zero, their mean.

    The stripes are narrower than `bands` and `frames`. shared: all clips have the same stripes. Without time warping
    (Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", 2019).
    """
    masks = 1 if shared else len(log_mels)
    hidden = _stripes(masks, log_mels.shape[1], bands, log_mels.device, rng)[:, :, None]
    hidden = hidden | _stripes(masks, log_mels.shape[2], frames, log_mels.device, rng)[:, None]
    return log_mels.masked_fill(hidden, 0)


def _stripes(masks: int, length: int, widest: int, device: torch.device, rng: np.random.Generator) -> Tensor:
    """Return bool [masks, length], each with one stripe of length 0 to widest - 1."""
    widths = np.minimum(rng.integers(max(widest, 1), size=masks), length - 1)
    starts = rng.integers(length - widths)
    first, end = to_device(np.stack([starts, starts + widths])[:, :, None], device)
    positions = torch.arange(length, device=device)
    return (positions >= first) & (positions < end)


def random_resize_crop(log_mels: Tensor, rng: np.random.Generator) -> Tensor:
    """Crop a part of each normalised log-mel [B, F, T] and resize it to the full size by bicubic interpolation.

    The part may extend beyond the first and the last frame, with zeros there (Niizumi et al., "BYOL for Audio:
    Self-Supervised Learning for General-Purpose Audio Representation", 2021).
    """
    clips, bands, frames = log_mels.shape
    canvas = int(CANVAS * frames)
    heights, widths = (
        np.clip((length * rng.uniform(SMALLEST, LARGEST, clips)).astype(int), 1, most)
        for length, most in ((bands, bands), (frames, canvas))
    )
    tops = rng.integers(bands - heights + 1)
    lefts = rng.integers(canvas - widths + 1) - (canvas - frames) // 2
    return stretch(log_mels, tops, heights, lefts, widths)


def stretch(log_mels: Tensor, tops: np.ndarray, heights: np.ndarray, lefts: np.ndarray, widths: np.ndarray) -> Tensor:
    """Resize parts of log-mels [B, F, T] to the full size. The parts are given by their first band and frame and
    their size, each int [B]. The first and last values of a part become the first and last of the result."""

    def positions(starts: np.ndarray, sizes: np.ndarray, length: int) -> Tensor:
        """Return sampling positions, -1 for the first value of the log-mel and 1 for the last: float32 [B, length]."""
        along = torch.linspace(0, 1, length, device=log_mels.device)
        first, last = 2 * np.stack([starts, starts + sizes - 1]) / max(length - 1, 1) - 1
        return _column(first, log_mels) + _column(last - first, log_mels) * along

    bands, frames = log_mels.shape[1:]
    rows = positions(tops, heights, bands)[:, :, None].expand(-1, -1, frames)
    columns = positions(lefts, widths, frames)[:, None].expand(-1, bands, -1)
    grid = torch.stack([columns, rows], dim=3)
    return functional.grid_sample(log_mels[:, None], grid, mode="bicubic", align_corners=True)[:, 0]


def kept_patches(
    clips: int, rows: int, columns: int, share: float, of: Literal["patches", "axis"], rng: np.random.Generator
) -> np.ndarray:
    """Return the indices of the patches that a training step uses, row by row: int64 [clips, K], with the same K for
    all clips.

    Complete rows (frequency) and columns (time) are left out, different ones for each clip. At least one patch is kept.
    of: as in `FineTuning.patch_drop_of`.
    """
    if of == "axis":
        kept_rows, kept_columns = (max(int(length * (1 - share)), 1) for length in (rows, columns))
    else:
        kept_rows = rows - int(rng.integers(min(int(share * rows), rows - 1) + 1))
        kept_columns = max(round((1 - share) * rows * columns / kept_rows), 1)

    return _crossings(_drawn(clips, rows, kept_rows, rng), _drawn(clips, columns, kept_columns, rng), columns)


def kept_time_steps(clips: int, rows: int, columns: int, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of all patches of `kept` columns (time steps), row by row: int64 [clips, rows * kept].

    The columns are drawn for each clip.
    """
    return _crossings(np.tile(np.arange(rows), (clips, 1)), _drawn(clips, columns, kept, rng), columns)


def _drawn(clips: int, length: int, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted random positions below `length`, without repetition: int64 [clips, kept]."""
    return np.sort(rng.random((clips, length)).argsort(axis=1)[:, :kept], axis=1)


def _crossings(rows: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
    """Return the indices of the patches at the crossings of rows and columns. width: number of all columns."""
    return (rows[:, :, None] * width + columns[:, None]).reshape(len(rows), -1)


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """Return float32 [B, 1] on the device of another tensor."""
    return to_device(values.astype(np.float32)[:, None], like.device)
