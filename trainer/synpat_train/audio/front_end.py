"""The front ends: how a waveform becomes the image that an encoder sees, by the height of its images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from . import fbank as kaldi
from .log_mel import BANDS, frame_count, log_mel


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """A spectrogram of waveforms at 16 kHz."""

    name: str
    bands: int
    spectrogram: Callable[[Tensor], Tensor]
    """Waveforms [..., samples] to float32 [..., bands, frames], not normalised."""
    frames: Callable[[int], int]
    """Frames of that many samples."""


FRONT_ENDS: Mapping[int, FrontEnd] = {
    BANDS: FrontEnd(name="log-mel (M2D)", bands=BANDS, spectrogram=log_mel, frames=frame_count),
    kaldi.BANDS: FrontEnd(
        name="fbank (AudioMAE)", bands=kaldi.BANDS, spectrogram=kaldi.fbank, frames=kaldi.frame_count
    ),
}
"""By number of bands."""
