"""The front ends, which turn waveforms into the images of an encoder, by image height."""

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
    """Function from waveforms [..., samples] to float32 [..., bands, frames], not normalised."""
    frames: Callable[[int], int]
    """Function from a number of samples to the number of frames."""


FRONT_ENDS: Mapping[int, FrontEnd] = {
    BANDS: FrontEnd(name="log-mel (M2D)", bands=BANDS, spectrogram=log_mel, frames=frame_count),
    kaldi.BANDS: FrontEnd(
        name="fbank (AudioMAE)", bands=kaldi.BANDS, spectrogram=kaldi.fbank, frames=kaldi.frame_count
    ),
}
"""Front ends by number of bands."""
