"""Folders of recordings as training data."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from synpat_shards import InputError
from synpat_train import load_encoder, make_config, pretrain
from synpat_train.audio.log_mel import log_mel
from synpat_train.data.audio_folder import PIECE, RECORDINGS, spectrogram_images
from synpat_train.data.decoded_cache import CachedImages
from synpat_train.data.shard_sets import open_sets

SETTINGS = {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2, "batch_size": 4, "steps": 2}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Write four sounds of 1, 3, 5 and 25 s, of several formats and sample rates, and a file that is no audio."""
    folder = tmp_path / "my-recordings"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, rate, seconds in (
        ("a.wav", 16000, 1),
        ("b.flac", 44100, 3),
        ("c.ogg", 48000, 5),
        ("more/d.WAV", 8000, 25),
    ):
        soundfile.write(folder / name, 0.1 * rng.normal(size=rate * seconds), rate)
    (folder / "notes.txt").write_text("mine")
    return folder


def test_levels_between_minimum_and_maximum_are_mapped_to_0_to_255():
    waveform = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    [image] = spectrogram_images(waveform, 80)
    levels = log_mel(torch.from_numpy(waveform)).numpy()
    assert (image.dtype, image.shape, image.min(), image.max()) == (np.uint8, levels.shape, 0, 255)
    assert np.abs(image / 255 - (levels - levels.min()) / np.ptp(levels)).max() <= 0.5001 / 255


def test_long_recordings_are_cut_into_pieces_of_equal_length():
    images = spectrogram_images(np.random.default_rng(0).normal(size=25 * 16000).astype(np.float32), 128)
    assert {image.shape[0] for image in images} == {128}
    widths = [image.shape[1] for image in images]
    assert len(widths) == 3
    assert max(widths) - min(widths) <= 1
    assert max(widths) <= PIECE


def test_recordings_are_read_once_into_the_cache(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    [first] = open_sets([str(recordings)], 80, tmp_path / "cache")
    assert "files: 4/4" in capsys.readouterr().err
    [again] = open_sets([str(recordings)], 80, tmp_path / "cache")
    assert "files" not in capsys.readouterr().err
    assert (first.digest, first.family, first.name) == (again.digest, RECORDINGS, str(recordings))
    assert list(first.widths) == [101, 301, 501, 834, 834, 833]
    [elsewhere] = open_sets([str(recordings)], 80, tmp_path / "other")
    assert elsewhere.digest == first.digest
    images = CachedImages([first], 208, tmp_path / "cache").read(np.arange(6), np.zeros(6))
    assert images.shape == (6, 80, 208)


def test_an_unreadable_file_is_named_or_skipped(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (recordings / "b.flac").write_bytes(b"noise")
    with pytest.raises(InputError, match=r"my-recordings/b\.flac: cannot be decoded"):
        open_sets([str(recordings)], 80, tmp_path / "cache")
    [kept] = open_sets([str(recordings)], 80, tmp_path / "cache", skip_damaged=True)
    assert len(kept) == 5
    assert "skipped: " in capsys.readouterr().err


def test_a_run_starts_from_an_encoder_of_patterns_and_its_card_names_the_recordings(
    recordings: Path, perlin_set: Path, tmp_path: Path
):
    cache = tmp_path / "cache"
    pretrain(str(perlin_set), tmp_path / "patterns", make_config("synpat", SETTINGS), cache=cache)
    config = make_config("synpat", SETTINGS | {"init_from": str(tmp_path / "patterns")})
    encoder = pretrain([str(recordings)], tmp_path / "own", config, cache=cache)
    assert encoder.digest != load_encoder(tmp_path / "patterns").digest
    card = " ".join((tmp_path / "own" / "encoder" / "README.md").read_text().split())
    assert "It was trained on spectrograms of the recordings in my-recordings" in card
    assert "No recording" not in card
    assert "license: other" in card
