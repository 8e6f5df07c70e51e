"""Frozen features: one embedding for every clip and every encoder, in one pass over the audio."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..ahead import ahead
from ..device import autocast, uses_bfloat16
from ..encoder import Encoder
from ..progress import track
from .front_end import FrontEnd
from .recordings import Recordings

CLIPS_MEASURED = 5000
"""The most clips from which a normalisation is measured, as in MSM-MAE."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """Something that turns clips into features."""

    embed: Callable[[Sequence[Tensor]], Tensor]
    """Normalised spectrograms of a few clips, [bands, frames] each and all of one number of time steps, to features
    [clips, features]."""
    features: int
    digest: str
    """The same digest means the same features."""


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from every value of a spectrogram, and what it is then divided by."""

    mean: float
    std: float


def measure(recordings: Recordings, clips: np.ndarray, front_end: FrontEnd, *, device: str, what: str) -> Normalisation:
    """Mean and standard deviation over the spectrogram values of clips, given by their indices.

    Of more than CLIPS_MEASURED clips, as many are taken at even distances. Meant for the clips that at least one split
    learns from: with an official split the tested clips stay out, and with folds, where each clip is learnt from at
    some time, embeddings can be shared between the folds. Two numbers for a whole task tell nothing of its labels.
    """
    chosen = clips[np.linspace(0, len(clips) - 1, min(len(clips), CLIPS_MEASURED)).round().astype(int)]
    count, total, squares = 0, 0.0, 0.0
    for index in track(chosen, len(chosen), what):
        values = front_end.spectrogram(torch.from_numpy(recordings.waveform(index)).to(device)).double()
        count += values.numel()
        total += values.sum().item()
        squares += values.square().sum().item()
    mean = total / count
    return Normalisation(mean, std=(squares / count - mean**2) ** 0.5)


def embed(
    recordings: Recordings,
    embedders: Sequence[Embedder],
    front_end: FrontEnd,
    normalisation: Normalisation,
    *,
    batches: Sequence[np.ndarray],
    unit: int,
    device: str,
    what: str,
) -> Iterator[list[np.ndarray]]:
    """For each batch, the embeddings of its clips by each embedder: float32 [batch, features].

    batches: indices of clips, those of a batch with the same number of time steps. unit: samples that shorter clips
    are filled up to, with zeros once they are normalised; 0 for none.
    """
    least = front_end.frames(unit) if unit else 0
    clips = sum(map(len, batches))
    loaded = ahead(lambda batch: _load(recordings, batch), batches, depth=2)
    with torch.inference_mode():
        for groups in track(loaded, clips, what, size=lambda groups: sum(len(waveforms) for _, waveforms in groups)):
            spectrograms: dict[int, Tensor] = {}
            for places, waveforms in groups:
                images = front_end.spectrogram(torch.from_numpy(waveforms).to(device, non_blocking=True))
                images = (images - normalisation.mean) / normalisation.std
                images = functional.pad(images, (0, max(least - images.shape[2], 0)))
                spectrograms |= dict(zip(places.tolist(), images, strict=True))
            in_order = [spectrograms[place] for place in range(len(spectrograms))]
            yield [embedder.embed(in_order).float().cpu().numpy() for embedder in embedders]


def _load(recordings: Recordings, batch: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The waveforms of a batch, those of one length together: their places in the batch, and float32 [clips, samples].

    Most data sets have clips of one length, and one transform of many is several times as fast as many of one.
    """
    lengths = recordings.lengths[batch]
    groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    return [(places, np.stack([recordings.waveform(clip) for clip in batch[places]])) for places in groups]


def batches_of_equal_steps(
    recordings: Recordings, encoder: Encoder, front_end: FrontEnd, chunks: int, unit: int = 0
) -> list[np.ndarray]:
    """Indices of clips that fill the same number of the encoder's time steps, together about `chunks` of its inputs.

    The encoder fills up a step with zeros, so such clips can be made equally long without changing what it sees. unit:
    samples that shorter clips are filled up to.
    """
    clips_by_steps: dict[int, list[int]] = defaultdict(list)
    for index, samples in enumerate(recordings.lengths.tolist()):
        clips_by_steps[-(-front_end.frames(max(samples, unit)) // encoder.patch)].append(index)
    batches = []
    for steps, clips in sorted(clips_by_steps.items()):
        size = max(chunks * encoder.width // (steps * encoder.patch), 1)
        ordered = np.array(clips)[np.argsort(recordings.lengths[clips], kind="stable")]
        batches += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return batches


def embeds_in_bfloat16(device: torch.device) -> bool:
    """Return whether encoders run in bfloat16: on every GPU, and on CPUs that multiply it.

    On other CPUs it takes eight times as long as float32.
    """
    return device.type == "cuda" or uses_bfloat16("auto", device)


def encoder_embedder(encoder: Encoder) -> Embedder:
    """Return the mean of the encoder's patch features over time; in bfloat16 where `embeds_in_bfloat16`."""

    def embed(images: Sequence[Tensor]) -> Tensor:
        frames = max(clip.shape[1] for clip in images)
        clips = torch.stack([functional.pad(clip, (0, frames - clip.shape[1])) for clip in images])
        with autocast(clips.device, embeds_in_bfloat16(clips.device)):
            return encoder.clip_embedding(clips)

    return Embedder(embed=embed, features=encoder.features, digest=encoder.digest)


def statistics_embedder(front_end: FrontEnd) -> Embedder:
    """The baseline that learns nothing: mean and standard deviation over time of each band."""

    def embed(images: Sequence[Tensor]) -> Tensor:
        return torch.stack([torch.cat([clip.mean(dim=1), clip.std(dim=1, correction=0)]) for clip in images])

    return Embedder(embed=embed, features=2 * front_end.bands, digest=f"mean and deviation of {front_end.name}")
