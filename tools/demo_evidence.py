"""Embeddings, answers and waveforms of single recordings, for the demo's report. A module of demo.py, not a script."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.evaluation.evaluate import RANDOM_SEEDS
from synpat_train.evaluation.probes.embedding import EmbeddingContext, encoder_embedder, measure_normalisation
from synpat_train.evaluation.probes.embedding_cache import embeddings
from synpat_train.evaluation.probes.logistic import logistic
from synpat_train.evaluation.probes.settings import Logistic
from synpat_train.evaluation.tasks.general_midi import FAMILIES, instrument_task
from synpat_train.evaluation.tasks.task import Source, Task
from synpat_train.model.encoder import load_encoder, random_encoder


@dataclass(frozen=True)
class Evidence:
    """The notes of gm-instrument, embedded by the encoder and by one with random weights."""

    task: Task
    trained: NDArray[np.float32]
    """Embeddings of the encoder: [clips, features]."""
    random: NDArray[np.float32]

    @property
    def names(self) -> Sequence[str]:
        """Instrument families in the order of General MIDI."""
        return FAMILIES

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Instrument family of each note, as an index of `names`: [clips]."""
        return np.array([FAMILIES.index(label) for label in self.task.labels])

    @cached_property
    @threadpool_limits.wrap(limits=1)  # threads of BLAS compete with other programs, and gain little
    def scores(self) -> NDArray[np.float64]:
        """Probability of each family, by the logistic regression that was not trained on the note: [clips, names]."""
        scores = np.empty((len(self.labels), len(FAMILIES)))
        for split in self.task.splits:
            scores[split.test] = logistic(Logistic(), self.trained, self.labels, split, seed=0)
        return scores

    def confusion(self) -> NDArray[np.float64]:
        """Return the share of the notes of each family (row) for which each family (column) is the answer."""
        counts = np.zeros((len(FAMILIES), len(FAMILIES)))
        np.add.at(counts, (self.labels, self.scores.argmax(axis=1)), 1)
        return counts / counts.sum(axis=1, keepdims=True)

    def spectrogram(self, clip: int) -> NDArray[np.float32]:
        """Return the log-mel spectrogram of a note: [80, frames]."""
        waveform = torch.from_numpy(self.task.recordings.waveform(clip))
        return FRONT_ENDS[80].spectrogram(waveform.unsqueeze(0))[0].numpy()

    def examples(self, count: int) -> list[int]:
        """Return one note of each of `count` families, from the middle of the family, whatever the answer is."""
        chosen = np.linspace(0, len(FAMILIES) - 1, count).round().astype(int)
        return [
            int(members[len(members) // 2]) for family in chosen for members in [np.flatnonzero(self.labels == family)]
        ]


def gather(run: Path, cache: Path) -> Evidence:
    """Return the evidence of a run. The embeddings are those that `synpat-eval` left in the cache."""
    encoder = load_encoder(run)
    task = instrument_task(Source(data=None, label="", split=None, cache=cache, skip_unreadable=False))()
    front_end = FRONT_ENDS[encoder.height]
    normalisation = measure_normalisation(
        task.recordings, task.training_clips, front_end, device="cpu", what="report: normalise"
    )
    context = EmbeddingContext(front_end=front_end, normalisation=normalisation, unit=task.unit, device="cpu")
    embedders = [encoder_embedder(encoder), encoder_embedder(random_encoder(encoder, RANDOM_SEEDS[0]))]
    trained, random = embeddings(
        task.recordings, embedders, context, encoder=encoder, batch_size=64, cache=cache, what="report: embed"
    )
    return Evidence(task, trained, random)


@threadpool_limits.wrap(limits=1)
def on_a_plane(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points [clips, 2] whose neighbours are those of the features (t-SNE on 30 principal components)."""
    standardised = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    components = PCA(min(30, len(features)), random_state=0).fit_transform(standardised)
    return TSNE(perplexity=min(30, len(features) / 4), random_state=0).fit_transform(components)
