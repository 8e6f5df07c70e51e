"""Batches and padding change nothing: every clip has the embedding that it has alone."""

import numpy as np
import pytest
import torch

from synpat_train.encoder import Encoder, load_encoder
from synpat_train.evaluation.embedding import (
    Normalisation,
    batches_of_equal_steps,
    embed,
    encoder_embedder,
    log_mel_statistics,
    measure,
)
from synpat_train.evaluation.log_mel import log_mel
from synpat_train.evaluation.recordings import Recordings


@pytest.fixture(scope="module")
def encoder(run) -> Encoder:
    return load_encoder(run)


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    """Twenty clips of noise, of 10 ms to 5 s and of various loudness."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(160, 80_000, 20)
    loudness = np.repeat(rng.uniform(0.01, 0.5, 20), lengths)
    samples = (rng.normal(size=lengths.sum()) * loudness * 8192).astype(np.int16)
    return Recordings(samples=samples, starts=np.cumsum(lengths) - lengths, lengths=lengths, digest="noise")


def log_mel_of(recordings: Recordings, index: int) -> torch.Tensor:
    return log_mel(torch.from_numpy(recordings.waveform(index)))


@pytest.mark.parametrize("chunks", [1, 7, 64])
def test_every_clip_is_embedded_as_if_alone(recordings, encoder, chunks):
    batches = batches_of_equal_steps(recordings, encoder, chunks)
    embedders = [encoder_embedder(encoder), log_mel_statistics]
    found, statistics = embed(
        recordings, embedders, Normalisation(-4, 2), batches=batches, unit=0, device="cpu", what="test"
    )
    assert found.shape == (20, encoder.features)
    for index in range(20):
        alone = (log_mel_of(recordings, index) + 4) / 2
        np.testing.assert_allclose(found[index], encoder.clip_embedding(alone[None])[0], atol=1e-4)
        np.testing.assert_allclose(statistics[index, :80], alone.mean(dim=1), atol=1e-4)
        np.testing.assert_allclose(statistics[index, 80:], alone.numpy().std(axis=1), atol=1e-4)


def test_batches_hold_each_clip_once_and_no_more_than_asked(recordings, encoder):
    batches = batches_of_equal_steps(recordings, encoder, 2)
    assert sorted(np.concatenate(batches)) == list(range(20))
    for batch in batches:
        frames = [log_mel_of(recordings, index).shape[1] for index in batch]
        assert len({-(-count // encoder.patch) for count in frames}) == 1
        assert len(batch) == 1 or sum(frames) <= 2 * encoder.width


def test_a_normalisation_is_measured_over_the_given_clips_alone(recordings):
    chosen = np.array([1, 4, 11])
    values = torch.cat([log_mel_of(recordings, index).flatten() for index in chosen]).double()
    found = measure(recordings, chosen, device="cpu", what="test")
    assert found.mean == pytest.approx(values.mean().item())
    assert found.std == pytest.approx(values.std(correction=0).item())
