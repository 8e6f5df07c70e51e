"""The log-mel front end: log energies of a waveform in 80 mel bands, 100 frames per second.

The bands are triangles of equal area on Slaney's mel scale ("Auditory Toolbox", version 2, 1998), with the settings of
MSM-MAE and M2D (Niizumi et al., 2022 and 2023).
"""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synpat_train.audio import SAMPLE_RATE

BANDS = 80
WINDOW = 400
"""Length of the periodic Hann window and of the Fourier transform in samples (25 ms)."""
HOP = 160
"""Distance between frames in samples (10 ms)."""
LOWEST, HIGHEST = 50.0, 8000.0
"""Lower edge of the first band and upper edge of the last band in Hz."""


def log_mel(waveform: Tensor) -> Tensor:
    """Return ln(mel power + 2**-23) of a waveform at 16 kHz: [..., samples] to float32 [..., 80, frames].

    Frame i is centred on sample 160 i, with reflect padding at both ends, so that there are 1 + samples // 160 frames.
    A waveform shorter than the window is first padded with zeros to 400 samples, because reflect padding needs at least
    201. Raises TypeError if the waveform is not a tensor.
    """
    if not isinstance(waveform, Tensor):
        raise TypeError(f"waveform must be a tensor, got {type(waveform).__name__}: convert it with torch.from_numpy")
    if waveform.ndim > 2:  # torch.stft accepts at most two dimensions
        return log_mel(waveform.flatten(0, -2)).unflatten(0, waveform.shape[:-1])
    missing = max(WINDOW - waveform.shape[-1], 0)
    waveform = functional.pad(waveform.float(), (0, missing))
    window = torch.hann_window(WINDOW, periodic=True, device=waveform.device)
    spectrum = torch.stft(waveform, WINDOW, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = mel_filters(waveform.device) @ spectrum.abs().square()
    return torch.log(power + torch.finfo(torch.float32).eps)


def frame_count(samples: int) -> int:
    """Return the number of frames of `log_mel` for a number of samples."""
    return 1 + max(samples, WINDOW) // HOP


@functools.cache
def mel_filters(device: torch.device) -> Tensor:
    """Return the weight of each frequency bin in each band, float32 [80, 201]: triangles of area 1 over Hz."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    edges = _hertz(np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2))[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    return torch.from_numpy(triangles * 2 / (upper - lower)).float().to(device)


# Slaney's scale: linear up to 1 kHz, which is 15 mel, and from there 27 mel for every factor of 6.4.


def _mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
