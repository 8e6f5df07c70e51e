"""Pre-training of audio encoders on synthetic patterns, and their evaluation.

The Python interface. These names are imported on first use, because they import torch:

    encoder = pretrain("sets/perlin", "runs/perlin", make_config("synpat", {"steps": 3000}))
    results = evaluate("runs/perlin", ["gm-instrument", "gm-pitch"], "logistic")
    encoder = load_encoder("runs/perlin")      # a run folder, or the folder of an encoder
    clips = log_mel(waveform)                  # [clips, samples] at 16 kHz to [clips, 80, frames]
    clips = (clips - mean) / std               # statistics of the data that the encoder is used on
    encoder.patch_features(clips)              # [clips, steps, features], any length
    encoder.clip_embedding(clips)              # [clips, features]
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .audio.log_mel import log_mel
    from .config import Config, make_config
    from .evaluation.evaluate import Result
    from .evaluation.run import evaluate
    from .model.encoder import Encoder, load_encoder
    from .pretraining.signals import Stopped
    from .pretraining.train import pretrain

__version__ = version("synpat")

__all__ = [
    "Config",
    "Encoder",
    "Result",
    "Stopped",
    "evaluate",
    "load_encoder",
    "log_mel",
    "make_config",
    "pretrain",
]

_MODULES = {
    "Config": "config",
    "Encoder": "model.encoder",
    "Result": "evaluation.evaluate",
    "Stopped": "pretraining.signals",
    "evaluate": "evaluation.run",
    "load_encoder": "model.encoder",
    "log_mel": "audio.log_mel",
    "make_config": "config",
    "pretrain": "pretraining.train",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
