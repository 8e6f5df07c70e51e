"""Pre-training of audio encoders on synthetic patterns, and their evaluation.

The Python interface. These names are imported on first use, because they import torch:

    encoder = load_encoder("runs/perlin")      # a run folder, or the folder of an encoder
    clips = log_mel(waveform)                  # [clips, samples] at 16 kHz to [clips, 80, frames]
    clips = (clips - mean) / std               # statistics of the data that the encoder is used on
    encoder.patch_features(clips)              # [clips, steps, features], any length
    encoder.clip_embedding(clips)              # [clips, features]
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .audio.log_mel import log_mel
    from .model.encoder import Encoder, load_encoder

__version__ = version("synpat")

__all__ = ["Encoder", "load_encoder", "log_mel"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .audio import log_mel
    from .model import encoder

    return getattr(log_mel if name == "log_mel" else encoder, name)
