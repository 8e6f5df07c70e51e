"""The log-mel front end, compared with a reference written from the definitions, without a Fourier library."""

import math

import numpy as np
import pytest
import torch

from synpat_train.audio.log_mel import frame_count, log_mel, mel_filters


def slaney_hertz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def reference_log_mel(waveform: np.ndarray) -> np.ndarray:
    """Convert [samples] to [80, frames] in double precision: reflect padding, a DFT by its sum, triangles by cases."""
    top = 15 + 27 * math.log(8000 / 1000) / math.log(6.4)
    edges = [slaney_hertz(50 * 3 / 200 + i * (top - 50 * 3 / 200) / 81) for i in range(82)]
    filters = np.zeros((80, 201))
    for band in range(80):
        low, middle, high = edges[band : band + 3]
        for k in range(201):
            f = 40.0 * k
            weight = (f - low) / (middle - low) if f <= middle else (high - f) / (high - middle)
            filters[band, k] = max(weight, 0) * 2 / (high - low)

    n = np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    mirrored = np.concatenate([waveform[200:0:-1], waveform, waveform[-2:-202:-1]]).astype(np.float64)
    frames = []
    for start in range(0, len(mirrored) - 399, 160):
        windowed = hann * mirrored[start : start + 400]
        spectrum = np.array([(windowed * np.exp(-2j * np.pi * k * n / 400)).sum() for k in range(201)])
        frames.append(np.log(filters @ np.abs(spectrum) ** 2 + 2.0**-23))
    return np.stack(frames, axis=1)


@pytest.mark.parametrize("samples", [400, 401, 1599, 1600, 4000])
def test_log_mel_agrees_with_the_definitions(samples):
    waveform = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    computed = log_mel(torch.from_numpy(waveform)).numpy()
    assert computed.shape == (80, frame_count(samples))
    np.testing.assert_allclose(computed, reference_log_mel(waveform), atol=2e-4)


def test_every_band_contains_a_frequency_bin():
    assert (mel_filters(torch.device("cpu")).sum(dim=1) > 0).all()


def test_tone_is_loudest_in_the_band_around_it():
    waveform = torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000)
    band = log_mel(waveform)[:, 50].argmax().item()
    step = (15 + 27 * math.log(8) / math.log(6.4) - 0.75) / 81
    assert abs(0.75 + (band + 1) * step - 15) <= step / 2  # 1000 Hz is 15 mel


@pytest.mark.parametrize("samples", [1, 160, 200, 201, 399])
def test_clips_shorter_than_a_window_are_padded_with_zeros(samples):
    waveform = torch.randn(samples, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([waveform, torch.zeros(400 - samples)])
    assert torch.equal(log_mel(waveform), log_mel(padded))
    assert log_mel(waveform).shape == (80, frame_count(samples)) == (80, 3)


def test_batch_equals_its_clips_one_by_one():
    clips = torch.randn(3, 2000, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([log_mel(clip) for clip in clips])
    torch.testing.assert_close(log_mel(clips), expected, atol=1e-4, rtol=1e-4)


def test_batch_dimensions_are_kept():
    clips = torch.randn(3, 2, 2000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(log_mel(clips), log_mel(clips.reshape(6, 2000)).reshape(3, 2, 80, 13))


def test_digital_silence_is_the_logarithm_of_epsilon():
    np.testing.assert_allclose(log_mel(torch.zeros(1600)).numpy(), math.log(2.0**-23), rtol=1e-6)


def test_a_waveform_that_is_not_a_tensor_is_explained():
    with pytest.raises(TypeError, match="must be a tensor, got ndarray: convert it"):
        log_mel(np.zeros(16000, np.float32))  # pyright: ignore[reportArgumentType]
