"""The front end of AudioMAE: log energies of a waveform in 128 mel bands, 100 frames per second.

Kaldi's filter bank (Povey et al., "The Kaldi Speech Recognition Toolkit", 2011) with the settings of AST (Gong et al.,
"AST: Audio Spectrogram Transformer", 2021), which AudioMAE uses too: triangles of height 1 on HTK's mel scale, a Hann
window, no dither.
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
"""Length of the Fourier transform in samples. The window is padded with zeros."""
LOWEST, HIGHEST = 20.0, 8000.0
"""Lower edge of the first band and upper edge of the last band in Hz."""
PRE_EMPHASIS = 0.97
"""Share of a sample that is subtracted from the next one."""


def fbank(waveform: Tensor) -> Tensor:
    """Return ln(max(mel power, 2**-23)) of a waveform at 16 kHz: [..., samples] to float32 [..., 128, frames].

    Only complete windows are used: frame i begins at sample 160 i, and the last samples may be in no frame. A waveform
    shorter than a window is padded with zeros to one frame. The lowest bands are narrower than the spacing of the
    frequency bins, and the fourth band contains no bin: it is always ln(2**-23).
    """
    waveform = waveform.float()
    waveform = waveform - waveform.mean(dim=-1, keepdim=True)
    waveform = functional.pad(waveform, (0, max(WINDOW - waveform.shape[-1], 0)))
    frames = waveform.unfold(-1, WINDOW, HOP)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    # The first sample of a window is its own predecessor.
    frames = frames - PRE_EMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    frames = frames * torch.hann_window(WINDOW, periodic=False, device=frames.device)
    power = torch.fft.rfft(frames, FOURIER).abs().square()
    energies = power @ mel_filters(frames.device).T
    return energies.clamp(min=torch.finfo(torch.float32).eps).log().transpose(-1, -2)


def frame_count(samples: int) -> int:
    """Return the number of frames of `fbank` for a number of samples."""
    return 1 + (max(samples, WINDOW) - WINDOW) // HOP


@functools.cache
def mel_filters(device: torch.device) -> Tensor:
    """Return the weight of each frequency bin in each band, float32 [128, 257]: triangles in mel. The bin at 8 kHz
    has weight 0."""
    frequencies = _mel(np.linspace(0, SAMPLE_RATE / 2, FOURIER // 2 + 1))
    edges = np.linspace(_mel(np.array(LOWEST)), _mel(np.array(HIGHEST)), BANDS + 2)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None)).float().to(device)


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(hertz / 700)
