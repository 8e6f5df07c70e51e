"""Embeddings do not depend on batches and padding, and are cached."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.audio.log_mel import log_mel
from synpat_train.evaluation.probes import embedding_cache
from synpat_train.evaluation.probes.embedding import (
    Embedder,
    EmbeddingContext,
    Normalisation,
    batches_of_equal_steps,
    embed,
    encoder_embedder,
    measure_normalisation,
    statistics_embedder,
)
from synpat_train.evaluation.probes.embedding_cache import embeddings
from synpat_train.evaluation.tasks.recordings import Recordings
from synpat_train.model.encoder import Encoder, load_encoder


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch):
    """Use float32: the tolerances below are smaller than the precision of bfloat16."""
    monkeypatch.setattr("synpat_train.evaluation.probes.embedding.embeds_in_bfloat16", lambda device: False)


@pytest.fixture(scope="module")
def encoder(run) -> Encoder:
    return load_encoder(run)


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    """Return twenty clips of noise of 10 ms to 5 s, with different loudness."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(160, 80_000, 20)
    loudness = np.repeat(rng.uniform(0.01, 0.5, 20), lengths)
    samples = (rng.normal(size=lengths.sum()) * loudness * 8192).astype(np.int16)
    return Recordings(samples=samples, starts=np.cumsum(lengths) - lengths, lengths=lengths, digest="noise")


def log_mel_of(recordings: Recordings, index: int) -> torch.Tensor:
    return log_mel(torch.from_numpy(recordings.waveform(index)))


FRONT_END = FRONT_ENDS[80]
CONTEXT = EmbeddingContext(front_end=FRONT_END, normalisation=Normalisation(-4, 2), device="cpu")


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_embedding_of_a_clip_does_not_depend_on_its_batch(recordings, encoder, batch_size, tmp_path):
    computed, statistics = embeddings(
        recordings,
        [encoder_embedder(encoder), statistics_embedder(FRONT_END)],
        CONTEXT,
        encoder=encoder,
        batch_size=batch_size,
        cache=tmp_path,
        what="test",
    )
    assert computed.shape == (20, encoder.features)
    for index in range(20):
        expected = (log_mel_of(recordings, index) + 4) / 2
        np.testing.assert_allclose(computed[index], encoder.clip_embedding(expected[None])[0], atol=1e-4)
        np.testing.assert_allclose(statistics[index, :80], expected.mean(dim=1), atol=1e-4)
        np.testing.assert_allclose(statistics[index, 80:], expected.numpy().std(axis=1), atol=1e-4)


def test_batches_contain_each_clip_once_and_respect_the_batch_size(recordings, encoder):
    batches = batches_of_equal_steps(recordings, encoder, CONTEXT, 2)
    assert sorted(np.concatenate(batches)) == list(range(20))
    for batch in batches:
        frames = [log_mel_of(recordings, index).shape[1] for index in batch]
        assert len({-(-count // encoder.patch) for count in frames}) == 1
        assert len(batch) == 1 or sum(frames) <= 2 * encoder.width


def test_clips_of_equal_length_stay_in_order(recordings):
    alike = recordings.cut(np.zeros(20, int), 160)
    batches = [np.array([3, 11, 0, 7])]
    spectrograms = [Embedder(embed=lambda images: torch.stack(list(images)).flatten(1), features=0, digest="")]
    plain = replace(CONTEXT, normalisation=Normalisation(0, 1))
    ((computed,),) = embed(alike, spectrograms, plain, batches, "")
    for row, index in zip(computed, batches[0], strict=True):
        np.testing.assert_allclose(row, log_mel_of(alike, index).flatten(), atol=1e-5)


def test_normalisation_is_measured_only_over_the_given_clips(recordings):
    chosen = np.array([1, 4, 11])
    values = torch.cat([log_mel_of(recordings, index).flatten() for index in chosen]).double()
    computed = measure_normalisation(recordings, chosen, FRONT_END, device="cpu", what="test")
    assert computed.mean == pytest.approx(values.mean().item())
    assert computed.std == pytest.approx(values.std(correction=0).item())


class Killed(Exception):
    """Exception that simulates the end of the process."""


def test_killed_embedding_resumes_and_embeds_no_clip_twice(recordings, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_cache, "SECONDS_BETWEEN_SAVES", 0)
    statistics = statistics_embedder(FRONT_END)
    seen: list[int] = []
    limit = 12

    def counting(images):
        if sum(seen) + len(images) > limit:
            raise Killed
        seen.append(len(images))
        return statistics.embed(images)

    def run(embedder: Embedder) -> np.ndarray:
        (computed,) = embeddings(
            recordings,
            [embedder],
            CONTEXT,
            encoder=encoder,
            batch_size=1,
            cache=tmp_path,
            what="test",
        )
        return computed

    counted = Embedder(embed=counting, features=160, digest="counted")
    with pytest.raises(Killed):
        run(counted)
    limit = 20
    np.testing.assert_array_equal(run(counted), run(statistics))
    assert sum(seen) == 20  # no clip twice
    np.testing.assert_array_equal(run(counted), run(statistics))
    assert sum(seen) == 20


def test_features_in_bfloat16_and_float32_are_cached_separately(recordings, encoder, tmp_path, monkeypatch):
    for low_precision in (False, True):
        name = "synpat_train.evaluation.probes.embedding.embeds_in_bfloat16"
        monkeypatch.setattr(name, lambda device, low_precision=low_precision: low_precision)
        computed = embeddings(
            recordings,
            [encoder_embedder(encoder)],
            CONTEXT,
            encoder=encoder,
            batch_size=7,
            cache=tmp_path,
            what="test",
        )
        expected = torch.stack(
            [encoder.clip_embedding((log_mel_of(recordings, i)[None] + 4) / 2)[0] for i in range(20)]
        )
        assert np.linalg.norm(computed[0] - expected.numpy()) < 2e-2 * expected.norm()
    assert len(list((tmp_path / "embeddings").glob("*/"))) == 2
