"""Embeddings: one for every clip and every encoder, in one pass over the audio."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synpat_shards import mean_and_std
from synpat_train.audio.front_end import FrontEnd
from synpat_train.device import autocast, uses_bfloat16
from synpat_train.evaluation.tasks.recordings import Recordings
from synpat_train.model.encoder import Encoder
from synpat_train.prefetch import prefetch
from synpat_train.progress import track

CLIPS_MEASURED = 5000
"""Maximum number of clips from which a normalisation is measured, as in MSM-MAE."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A function from clips to features."""

    embed: Callable[[Sequence[Tensor]], Tensor]
    """Function from normalised spectrograms, each [bands, frames] with the same number of time steps, to features
    [clips, features]."""
    features: int
    digest: str
    """Equal digests mean equal features."""


@dataclass(frozen=True)
class Normalisation:
    """Mean that is subtracted from every value of a spectrogram, and standard deviation by which it is divided."""

    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingContext:
    """Conversion of clips to inputs of the embedders."""

    front_end: FrontEnd
    normalisation: Normalisation
    unit: int = 0
    """Samples that shorter clips are padded to, with zeros after normalisation; 0 for no padding."""
    device: str
    """cpu or cuda."""


def measure_normalisation(
    recordings: Recordings, clips: np.ndarray, front_end: FrontEnd, *, device: str, what: str
) -> Normalisation:
    """Return mean and standard deviation over the spectrogram values of clips, given by their indices.

    At most CLIPS_MEASURED evenly spaced clips are used. Intended for the training clips of all splits. An official test
    part is then not used. With folds, every clip is in a training part, and one normalisation allows to share
    embeddings between the folds: two numbers for all clips contain no information about labels.
    """
    chosen = clips[np.linspace(0, len(clips) - 1, min(len(clips), CLIPS_MEASURED)).round().astype(int)]
    count, total, squares = 0, 0.0, 0.0
    for index in track(chosen, len(chosen), what):
        values = front_end.spectrogram(torch.from_numpy(recordings.waveform(index)).to(device)).double()
        count += values.numel()
        total += values.sum().item()
        squares += values.square().sum().item()
    return Normalisation(*mean_and_std(count, total, squares))


def embed(
    recordings: Recordings,
    embedders: Sequence[Embedder],
    context: EmbeddingContext,
    batches: Sequence[np.ndarray],
    what: str,
) -> Iterator[list[np.ndarray]]:
    """Yield the embeddings of each batch by each embedder, float32 [batch, features].

    batches: indices of clips, with the same number of time steps in each batch.
    """
    front_end, normalisation = context.front_end, context.normalisation
    minimum = front_end.frames(context.unit) if context.unit else 0
    clips = sum(map(len, batches))
    loaded = prefetch(lambda batch: _load(recordings, batch), batches, depth=2)
    with torch.inference_mode():
        for groups in track(loaded, clips, what, size=lambda groups: sum(len(waveforms) for _, waveforms in groups)):
            spectrograms: dict[int, Tensor] = {}
            for positions, waveforms in groups:
                images = front_end.spectrogram(torch.from_numpy(waveforms).to(context.device, non_blocking=True))
                images = (images - normalisation.mean) / normalisation.std
                images = functional.pad(images, (0, max(minimum - images.shape[2], 0)))
                spectrograms |= dict(zip(positions.tolist(), images, strict=True))
            in_order = [spectrograms[position] for position in range(len(spectrograms))]
            yield [embedder.embed(in_order).float().cpu().numpy() for embedder in embedders]


def _load(recordings: Recordings, batch: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the waveforms of a batch grouped by length: positions in the batch, and float32 [clips, samples].

    One transform of many clips is several times as fast as many transforms of one clip.
    """
    lengths = recordings.lengths[batch]
    groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    return [(positions, np.stack([recordings.waveform(clip) for clip in batch[positions]])) for positions in groups]


def batches_of_equal_steps(
    recordings: Recordings, encoder: Encoder, context: EmbeddingContext, batch_size: int
) -> list[np.ndarray]:
    """Return batches of indices of clips with the same number of time steps, each about `batch_size` inputs long.

    The encoder pads a step with zeros, so that such clips can be padded to equal length without changing the result.
    """
    clips_by_steps: dict[int, list[int]] = defaultdict(list)
    for index, samples in enumerate(recordings.lengths.tolist()):
        clips_by_steps[-(-context.front_end.frames(max(samples, context.unit)) // encoder.patch)].append(index)
    batches = []
    for steps, clips in sorted(clips_by_steps.items()):
        size = max(batch_size * encoder.width // (steps * encoder.patch), 1)
        ordered = np.array(clips)[np.argsort(recordings.lengths[clips], kind="stable")]
        batches += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return batches


def embeds_in_bfloat16(device: torch.device) -> bool:
    """Return True if encoders run in bfloat16: on every GPU, and on CPUs that support it.

    On other CPUs it takes eight times as long as float32.
    """
    return device.type == "cuda" or uses_bfloat16("auto", device)


def processor(device: str) -> str:
    """Return the device and the precision of embeddings, for the keys of a cache that several machines may share."""
    in_bfloat16 = device == "cpu" and embeds_in_bfloat16(torch.device(device))
    return "cpu, bfloat16" if in_bfloat16 else device


def encoder_embedder(encoder: Encoder) -> Embedder:
    """Return the embedder of an encoder: the mean of its patch features over time."""

    def embed(images: Sequence[Tensor]) -> Tensor:
        frames = max(clip.shape[1] for clip in images)
        clips = torch.stack([functional.pad(clip, (0, frames - clip.shape[1])) for clip in images])
        with autocast(clips.device, embeds_in_bfloat16(clips.device)):
            return encoder.clip_embedding(clips)

    return Embedder(embed=embed, features=encoder.features, digest=encoder.digest)


def statistics_embedder(front_end: FrontEnd) -> Embedder:
    """Return the baseline without a model: mean and standard deviation over time of each band."""

    def embed(images: Sequence[Tensor]) -> Tensor:
        return torch.stack([torch.cat([clip.mean(dim=1), clip.std(dim=1, correction=0)]) for clip in images])

    return Embedder(embed=embed, features=2 * front_end.bands, digest=f"mean and deviation of {front_end.name}")
