"""Batches and padding change nothing: every clip has the embedding that it has alone."""

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
    """The comparisons below are closer than bfloat16 is."""
    monkeypatch.setattr("synpat_train.evaluation.probes.embedding.embeds_in_bfloat16", lambda device: False)


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


FRONT_END = FRONT_ENDS[80]
CONTEXT = EmbeddingContext(front_end=FRONT_END, normalisation=Normalisation(-4, 2), device="cpu")


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_clip_is_embedded_as_if_alone(recordings, encoder, batch_size, tmp_path):
    found, statistics = embeddings(
        recordings,
        [encoder_embedder(encoder), statistics_embedder(FRONT_END)],
        CONTEXT,
        encoder=encoder,
        batch_size=batch_size,
        cache=tmp_path,
        what="test",
    )
    assert found.shape == (20, encoder.features)
    for index in range(20):
        alone = (log_mel_of(recordings, index) + 4) / 2
        np.testing.assert_allclose(found[index], encoder.clip_embedding(alone[None])[0], atol=1e-4)
        np.testing.assert_allclose(statistics[index, :80], alone.mean(dim=1), atol=1e-4)
        np.testing.assert_allclose(statistics[index, 80:], alone.numpy().std(axis=1), atol=1e-4)


def test_batches_hold_each_clip_once_and_no_more_than_asked(recordings, encoder):
    batches = batches_of_equal_steps(recordings, encoder, CONTEXT, 2)
    assert sorted(np.concatenate(batches)) == list(range(20))
    for batch in batches:
        frames = [log_mel_of(recordings, index).shape[1] for index in batch]
        assert len({-(-count // encoder.patch) for count in frames}) == 1
        assert len(batch) == 1 or sum(frames) <= 2 * encoder.width


def test_clips_of_one_length_are_transformed_together_and_stay_in_order(recordings):
    alike = recordings.cut(np.zeros(20, int), 160)
    batches = [np.array([3, 11, 0, 7])]
    spectrograms = [Embedder(embed=lambda images: torch.stack(list(images)).flatten(1), features=0, digest="")]
    plain = replace(CONTEXT, normalisation=Normalisation(0, 1))
    ((found,),) = embed(alike, spectrograms, plain, batches, "")
    for row, index in zip(found, batches[0], strict=True):
        np.testing.assert_allclose(row, log_mel_of(alike, index).flatten(), atol=1e-5)


def test_a_normalisation_is_measured_over_the_given_clips_alone(recordings):
    chosen = np.array([1, 4, 11])
    values = torch.cat([log_mel_of(recordings, index).flatten() for index in chosen]).double()
    found = measure_normalisation(recordings, chosen, FRONT_END, device="cpu", what="test")
    assert found.mean == pytest.approx(values.mean().item())
    assert found.std == pytest.approx(values.std(correction=0).item())


class Killed(Exception):
    """Stands for the end of the process."""


def test_embedding_goes_on_where_it_was_killed_and_is_not_done_twice(recordings, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_cache, "SECONDS_BETWEEN_NOTES", 0)
    statistics = statistics_embedder(FRONT_END)
    seen: list[int] = []
    limit = 12

    def counting(images):
        if sum(seen) + len(images) > limit:
            raise Killed
        seen.append(len(images))
        return statistics.embed(images)

    def run(embedder: Embedder) -> np.ndarray:
        (found,) = embeddings(
            recordings,
            [embedder],
            CONTEXT,
            encoder=encoder,
            batch_size=1,
            cache=tmp_path,
            what="test",
        )
        return found

    counted = Embedder(embed=counting, features=160, digest="counted")
    with pytest.raises(Killed):
        run(counted)
    limit = 20
    np.testing.assert_array_equal(run(counted), run(statistics))
    assert sum(seen) == 20  # none of them twice
    np.testing.assert_array_equal(run(counted), run(statistics))
    assert sum(seen) == 20


def test_features_in_bfloat16_and_in_float32_are_cached_apart(recordings, encoder, tmp_path, monkeypatch):
    for low_precision in (False, True):
        for module in ("embedding", "embedding_cache"):
            name = f"synpat_train.evaluation.probes.{module}.embeds_in_bfloat16"
            monkeypatch.setattr(name, lambda device, low_precision=low_precision: low_precision)
        found = embeddings(
            recordings,
            [encoder_embedder(encoder)],
            CONTEXT,
            encoder=encoder,
            batch_size=7,
            cache=tmp_path,
            what="test",
        )
        alone = torch.stack([encoder.clip_embedding((log_mel_of(recordings, i)[None] + 4) / 2)[0] for i in range(20)])
        assert np.linalg.norm(found[0] - alone.numpy()) < 2e-2 * alone.norm()
    assert len(list((tmp_path / "embeddings").glob("*/"))) == 2
