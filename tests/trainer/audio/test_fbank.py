"""The front end of AudioMAE, compared with a reference written from the definitions, without a Fourier library."""

import math

import numpy as np
import pytest
import torch

from synpat_train.audio.fbank import fbank, frame_count, mel_filters
from synpat_train.audio.front_end import FRONT_ENDS

FLOOR = math.log(2.0**-23)


def mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def reference_filters() -> np.ndarray:
    """Return the weights of the bands, [128, 257], case by case."""
    step = (mel(8000) - mel(20)) / 129
    filters = np.zeros((128, 257))
    for band in range(128):
        low = mel(20) + band * step
        for k in range(256):  # Kaldi leaves out the highest frequency
            position = (mel(31.25 * k) - low) / step  # 0 at the lower edge, 1 in the middle, 2 at the upper edge
            filters[band, k] = max(min(position, 2 - position), 0)
    return filters


def reference_fbank(waveform: np.ndarray) -> np.ndarray:
    """Convert [samples] to [128, frames] in double precision, with a DFT by its sum."""
    waveform = waveform.astype(np.float64) - waveform.astype(np.float64).mean()
    n = np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 399)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(257), n) / 512)
    filters, columns = reference_filters(), []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400]
        frame = frame - frame.mean()
        emphasised = [frame[0] - 0.97 * frame[0], *(frame[i] - 0.97 * frame[i - 1] for i in range(1, 400))]
        spectrum = waves @ (hann * emphasised)
        columns.append(np.log(np.maximum(filters @ np.abs(spectrum) ** 2, 2.0**-23)))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 4000])
def test_fbank_agrees_with_the_definitions(samples):
    waveform = 0.3 + np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    computed = fbank(torch.from_numpy(waveform)).numpy()
    assert computed.shape == (128, frame_count(samples)) == (128, 1 + (samples - 400) // 160)
    np.testing.assert_allclose(computed, reference_fbank(waveform), atol=3e-4)


def test_one_band_alone_hears_nothing():
    np.testing.assert_array_equal(np.flatnonzero(mel_filters(torch.device("cpu")).sum(dim=1) == 0), [3])


@pytest.mark.parametrize("samples", [1, 2, 160, 399])
def test_clips_shorter_than_a_window_are_one_frame(samples):
    waveform = torch.randn(samples, generator=torch.Generator().manual_seed(0))
    computed = fbank(waveform)
    assert computed.shape == (128, frame_count(samples)) == (128, 1)
    padded = np.concatenate([waveform - waveform.mean(), np.zeros(400 - samples)])
    # The padding is 0, which is the mean.
    np.testing.assert_allclose(computed.numpy(), reference_fbank(padded), atol=3e-4)


def test_batch_equals_its_clips_one_by_one():
    clips = torch.randn(3, 2, 2000, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([torch.stack([fbank(clip) for clip in pair]) for pair in clips])
    torch.testing.assert_close(fbank(clips), expected, atol=1e-4, rtol=1e-4)


def test_gain_shifts_all_bands_equally_and_an_offset_has_no_effect():
    waveform = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    bands = [band for band in range(128) if band != 3]
    plain = fbank(waveform)[bands]
    torch.testing.assert_close(fbank(2 * waveform)[bands], plain + math.log(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(fbank(waveform + 1)[bands], plain, atol=1e-2, rtol=0)


def test_silence_has_the_minimum_value():
    np.testing.assert_allclose(fbank(torch.zeros(1600)).numpy(), FLOOR, rtol=1e-6)


def test_encoders_with_128_bands_use_fbank():
    front_end = FRONT_ENDS[128]
    waveform = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(front_end.spectrogram(waveform), fbank(waveform))
    assert front_end.spectrogram(waveform).shape == (2, front_end.bands, front_end.frames(3000))
