"""The front end of AudioMAE: a waveform as the logarithm of its energy in 128 mel bands, 100 frames a second.

The filter bank of Kaldi (Povey et al., "The Kaldi Speech Recognition Toolkit", 2011) with the settings of AST (Gong et
al., "AST: Audio Spectrogram Transformer", 2021), which AudioMAE took over: triangles of height 1 on the mel scale of
HTK, a Hann window, no dither.
"""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synpat_train.audio import SAMPLE_RATE

from .log_mel import HOP, WINDOW

BANDS = 128
FOURIER = 512
"""Samples of the Fourier transform; the window is filled up with zeros."""
LOWEST, HIGHEST = 20.0, 8000.0
"""Lower edge of the first band and upper edge of the last, in Hz."""
PRE_EMPHASIS = 0.97
"""How much of a sample is subtracted from the next one."""


def fbank(waveform: Tensor) -> Tensor:
    """ln(max(mel power, 2**-23)) of a waveform at 16 kHz: [..., samples] to float32 [..., 128, frames].

    Only whole windows count: frame i begins with sample 160 i, and the last samples of a waveform may be in none. A
    waveform shorter than a window is first filled up with zeros at its end, to one frame. The lowest bands are narrower
    than the distance of two frequencies, and the fourth holds none: it is always ln(2**-23).
    """
    waveform = waveform.float()
    waveform = waveform - waveform.mean(dim=-1, keepdim=True)
    waveform = functional.pad(waveform, (0, max(WINDOW - waveform.shape[-1], 0)))
    frames = waveform.unfold(-1, WINDOW, HOP)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    # The sample before a window's first one counts as equal to it.
    frames = frames - PRE_EMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    frames = frames * torch.hann_window(WINDOW, periodic=False, device=frames.device)
    power = torch.fft.rfft(frames, FOURIER).abs().square()
    energies = power @ mel_filters(frames.device).T
    return energies.clamp(min=torch.finfo(torch.float32).eps).log().transpose(-1, -2)


def frame_count(samples: int) -> int:
    """How many frames `fbank` makes of that many samples."""
    return 1 + (max(samples, WINDOW) - WINDOW) // HOP


@functools.cache
def mel_filters(device: torch.device) -> Tensor:
    """The weight of each frequency in each band: float32 [128, 257], triangles in mel; 8 kHz is in none."""
    frequencies = _mel(np.linspace(0, SAMPLE_RATE / 2, FOURIER // 2 + 1))
    edges = np.linspace(_mel(np.array(LOWEST)), _mel(np.array(HIGHEST)), BANDS + 2)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None)).float().to(device)


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(hertz / 700)
