"""The encoder in encoders/tiny: it loads, its digests are right, and it embeds a second of sound as stored."""

import json
from pathlib import Path

import pytest
import torch

from synpat_train import load_encoder, log_mel
from synpat_train.model.sharing import SUMS, checksums
from synpat_train.model.timm_compat import create_model

TINY = Path(__file__).parents[3] / "encoders" / "tiny"
STORED = Path(__file__).with_name("shipped_embedding.json")


def clip() -> torch.Tensor:
    """Return the normalised log-mel of a second of two tones: [1, 80, 101]."""
    time = torch.arange(16_000, dtype=torch.float64) / 16_000
    waveform = 0.3 * torch.sin(2 * torch.pi * 440 * time) + 0.1 * torch.sin(2 * torch.pi * 2500 * time) * (time > 0.5)
    spectrogram = log_mel(waveform.float().unsqueeze(0))
    return (spectrogram - spectrogram.mean()) / spectrogram.std()


def test_a_second_of_sound_has_the_stored_embedding(pytestconfig: pytest.Config):
    embedding = load_encoder(TINY).clip_embedding(clip())
    assert embedding.shape == (1, 960)
    if pytestconfig.getoption("--update-golden"):
        STORED.write_text(json.dumps([round(value, 5) for value in embedding[0].tolist()]) + "\n")
    torch.testing.assert_close(embedding[0], torch.tensor(json.loads(STORED.read_text())), rtol=1e-3, atol=1e-3)


def test_the_checksums_are_those_of_the_files():
    assert (TINY / SUMS).read_text() == checksums(TINY)


def test_timm_loads_it():
    vit = create_model(f"local-dir:{TINY}", pretrained=True)
    assert vit(torch.zeros(1, 1, 80, 208)).shape == (1, 192)


def test_it_is_at_most_twelve_megabytes():
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 12_000_000
