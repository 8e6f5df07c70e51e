"""Recipes of masked autoencoders on spectrograms: one of synpat, and published ones as far as `Config` has settings."""

from collections.abc import Mapping
from typing import Any

DEFAULT_PRESET = "synpat"

_OURS: Mapping[str, Any] = {
    "patch": 16,
    "visible_weight": 0.0,
    "hog_weight": 0.0,
    "normalise": "set",
    "steps": None,
    "accumulate": 1,
    "betas": (0.9, 0.95),
    "ema": None,
    "seed": 0,
    "precision": "auto",
    "compile": "auto",
    "stream": "auto",
    "window": 16384,
    "skip_damaged": False,
    "init_from": None,
    "checkpoint_every": 1000,
    "keep_checkpoints": 2,
    "log_every": 20,
    "pictures_every": 2000,
}
"""Settings that the recipes share or do not specify."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # For ViT-Ti, synthetic patterns and one or two CPU cores; the trials behind it are in RESULTS.md.
    "synpat": {
        **_OURS,
        "model": "tiny",
        "height": 80,
        "width": 208,
        "mask_ratio": 0.75,
        "decoder_width": 128,
        "decoder_depth": 2,
        "decoder_heads": 4,
        "norm_pix": True,
        "visible_weight": 0.25,
        "hog_weight": 1.0,
        "normalise": "image",
        "epochs": None,
        "steps": 10_000,
        "batch_size": 32,
        "base_lr": 1e-3,
        "lr_batch": 32,
        "warmup": 0.05,
        "weight_decay": 0.05,
        "clip": 3.0,
    },
    # Niizumi et al., "Masked spectrogram modeling using masked autoencoders for learning general-purpose audio
    # representation", 2022, also with norm_pix off. synpat adds the clipping, and the warm-up as a share of the steps.
    "msm-mae": {
        **_OURS,
        "model": "base",
        "height": 80,
        "width": 208,
        "mask_ratio": 0.75,
        "decoder_width": 384,
        "decoder_depth": 4,
        "decoder_heads": 6,
        "norm_pix": False,
        "epochs": 100,
        "batch_size": 256,
        "base_lr": 1.5e-4,
        "lr_batch": 128,
        "warmup": 0.1,
        "weight_decay": 0.05,
        "clip": 3.0,
    },
    # Niizumi et al., "Masked modeling duo: learning representations by encouraging both networks to model the input",
    # 2023: its input, masks, sizes and schedule, with pixels as the target. M2D's own target, features of the masked
    # patches from a second encoder, is not implemented.
    "m2d": {
        **_OURS,
        "model": "base",
        "height": 80,
        "width": 608,
        "mask_ratio": 0.7,
        "decoder_width": 512,
        "decoder_depth": 8,
        "decoder_heads": 16,
        "norm_pix": False,
        "epochs": 300,
        "batch_size": 2048,
        "base_lr": 3e-4,
        "lr_batch": 256,
        "warmup": 20 / 300,
        "weight_decay": 0.05,
        "clip": 3.0,
    },
    # Huang et al., "Masked autoencoders that listen", 2022. Its decoder is 16 layers of shifted windows; ours is a
    # plain transformer of 8, the depth of He et al., that attends to all patches. The image height is frequency.
    "audiomae": {
        **_OURS,
        "model": "base",
        "height": 128,
        "width": 1024,
        "mask_ratio": 0.8,
        "decoder_width": 512,
        "decoder_depth": 8,
        "decoder_heads": 16,
        "norm_pix": True,
        "epochs": 32,
        "batch_size": 512,
        "base_lr": 2e-4,
        "lr_batch": 256,
        "warmup": 3 / 32,
        "weight_decay": 1e-4,
        "clip": None,
    },
}
