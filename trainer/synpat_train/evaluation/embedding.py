"""Frozen features: one embedding for every clip and every encoder, in one pass over the audio."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..encoder import Encoder
from ..progress import track
from .log_mel import frame_count, log_mel
from .recordings import Recordings

Embedder = Callable[[Sequence[Tensor]], Tensor]
"""Normalised log-mels of a few clips, [80, frames] each and all of one number of time steps, to [clips, features]."""

CLIPS_MEASURED = 5000
"""The most clips from which a normalisation is measured, as in MSM-MAE."""


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from every value of a log-mel, and what it is then divided by."""

    mean: float
    std: float


def measure(recordings: Recordings, clips: np.ndarray, *, device: str, what: str) -> Normalisation:
    """Mean and standard deviation over the log-mel values of clips, given by their indices.

    Of more than CLIPS_MEASURED clips, as many are taken at even distances. Meant for the clips that at least one split
    learns from: with an official split the tested clips stay out, and with folds, where each clip is learnt from at
    some time, embeddings can be shared between the folds. Two numbers for a whole task tell nothing of its labels.
    """
    chosen = clips[np.linspace(0, len(clips) - 1, min(len(clips), CLIPS_MEASURED)).round().astype(int)]
    count, total, squares = 0, 0.0, 0.0
    for index in track(chosen, len(chosen), what):
        values = log_mel(torch.from_numpy(recordings.waveform(index)).to(device)).double()
        count += values.numel()
        total += values.sum().item()
        squares += values.square().sum().item()
    mean = total / count
    return Normalisation(mean, std=(squares / count - mean**2) ** 0.5)


def embed(
    recordings: Recordings,
    embedders: Sequence[Embedder],
    normalisation: Normalisation,
    *,
    batches: Sequence[np.ndarray],
    unit: int,
    device: str,
    what: str,
) -> list[np.ndarray]:
    """The embeddings of all clips by each embedder: float32 [clips, features].

    batches: indices of clips, each clip once, those of a batch with the same number of time steps. unit: samples that
    shorter clips are filled up to, with zeros once they are normalised; 0 for none.
    """
    embeddings: list[list[Tensor]] = [[] for _ in embedders]
    with torch.inference_mode():
        for batch in track(batches, len(recordings), what, size=len):
            waveforms = [torch.from_numpy(recordings.waveform(index)).to(device) for index in batch]
            log_mels = [(log_mel(waveform) - normalisation.mean) / normalisation.std for waveform in waveforms]
            if unit:
                frames = frame_count(unit)
                log_mels = [functional.pad(each, (0, max(frames - each.shape[1], 0))) for each in log_mels]
            for embedder, parts in zip(embedders, embeddings, strict=True):
                parts.append(embedder(log_mels).cpu())
    order = np.argsort(np.concatenate(batches))
    return [torch.cat(parts).numpy()[order] for parts in embeddings]


def batches_of_equal_steps(recordings: Recordings, encoder: Encoder, chunks: int, unit: int = 0) -> list[np.ndarray]:
    """Indices of clips that fill the same number of the encoder's time steps, together about `chunks` of its inputs.

    The encoder fills up a step with zeros, so such clips can be made equally long without changing what it sees. unit:
    samples that shorter clips are filled up to.
    """
    clips_by_steps: dict[int, list[int]] = defaultdict(list)
    for index, samples in enumerate(recordings.lengths.tolist()):
        clips_by_steps[-(-frame_count(max(samples, unit)) // encoder.patch)].append(index)
    batches = []
    for steps, clips in sorted(clips_by_steps.items()):
        size = max(chunks * encoder.width // (steps * encoder.patch), 1)
        batches += [np.array(clips[start : start + size]) for start in range(0, len(clips), size)]
    return batches


def encoder_embedder(encoder: Encoder) -> Embedder:
    """The mean of the encoder's patch features over time; in bfloat16 on a GPU."""

    def embedder(log_mels: Sequence[Tensor]) -> Tensor:
        frames = max(clip.shape[1] for clip in log_mels)
        clips = torch.stack([functional.pad(clip, (0, frames - clip.shape[1])) for clip in log_mels])
        # Not on a CPU: those without bfloat16 arithmetic take eight times as long.
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
            return encoder.clip_embedding(clips)

    return embedder


def log_mel_statistics(log_mels: Sequence[Tensor]) -> Tensor:
    """The baseline that learns nothing: mean and standard deviation over time of each band, [clips, 160]."""
    return torch.stack([torch.cat([clip.mean(dim=1), clip.std(dim=1, correction=0)]) for clip in log_mels])
