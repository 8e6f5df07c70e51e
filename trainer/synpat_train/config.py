"""The configuration of a pre-training run, from presets, a file and the command line."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from synpat_shards import InputError, describe_differences

from .presets import DEFAULT_PRESET, PRESETS
from .settings import build_settings, reject_unknown_keys

HOG_CELLS = 4
"""Number of cells of a patch in which gradients are counted, from its first row to its last."""
Decay = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """All settings of a pre-training run except its shard sets."""

    model: Literal["tiny", "small", "base", "large"]
    """Size of the encoder: ViT-Ti, ViT-S, ViT-B or ViT-L."""
    height: PositiveInt
    """Height of the images (frequency) in pixels, a multiple of `patch`."""
    width: PositiveInt
    """Width of the images (time) in pixels, a multiple of `patch`."""
    patch: PositiveInt
    """Side of a patch in pixels."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    """Share of the patches that are masked."""
    decoder_width: PositiveInt
    """Width of a decoder token."""
    decoder_depth: PositiveInt
    """Number of decoder blocks."""
    decoder_heads: PositiveInt
    """Number of attention heads of the decoder."""
    norm_pix: bool
    """Normalise each target patch to mean 0 and variance 1 (norm_pix_loss in MAE)."""
    visible_weight: Annotated[float, Field(ge=0)]
    """Weight of the loss of the visible patches relative to that of the masked ones; 0 predicts only masked patches,
    as MAE does."""
    hog_weight: Annotated[float, Field(ge=0)]
    """Weight of the loss of histograms of oriented gradients (Wei et al., "Masked feature prediction for
    self-supervised visual pre-training", 2022) relative to that of the pixels; 0 predicts only pixels."""
    normalise: Literal["set", "image"]
    """Normalise images by the mean and standard deviation of all sets (set) or of each image (image)."""
    epochs: PositiveInt | None
    """Passes over the shard sets; None if `steps` is given."""
    steps: PositiveInt | None
    """Number of updates; None if `epochs` is given."""
    batch_size: PositiveInt
    """Samples per update, over all devices."""
    accumulate: PositiveInt
    """Number of gradient accumulation steps per update on each device. More steps need less memory; the update is
    the same."""
    base_lr: PositiveFloat
    """Peak learning rate for a batch of `lr_batch` samples. It scales linearly with the batch size."""
    lr_batch: PositiveInt
    """Batch size that `base_lr` refers to."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of the steps with linear warm-up. Cosine decay to zero follows."""
    betas: tuple[Decay, Decay]
    """Betas of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Weight decay of AdamW, not applied to biases and norms."""
    clip: PositiveFloat | None
    """Maximum norm of the gradient; None for no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    """Decay of the exponential moving average of the encoder's weights, which is then exported; None exports the
    weights."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    """Seed of the weights, the order of the samples and the masks."""
    precision: Literal["auto", "bfloat16", "float32"]
    """Precision of matrix products. auto uses bfloat16 if the hardware supports it."""
    compile: Literal["auto"] | bool
    """Compile the model. auto compiles on a GPU."""
    stream: Literal["auto"] | bool
    """Decode images in every epoch instead of once. auto does this if the disk has no room for the decoded sets, or
    with skip_damaged."""
    window: PositiveInt
    """Number of samples that are shuffled together when streaming. The shards are always shuffled."""
    skip_damaged: bool
    """Skip and count corrupt shards and images when streaming, instead of stopping."""
    init_from: str | None
    """Encoder whose weights the run starts from: a run folder, or the folder, the URL or the hf-hub: name of an
    encoder, of the same model and size. None starts from random weights."""
    checkpoint_every: PositiveInt
    """Steps between two checkpoints."""
    keep_checkpoints: PositiveInt
    """Number of recent checkpoints that are kept."""
    log_every: PositiveInt
    """Steps between two log lines."""
    pictures_every: PositiveInt
    """Steps between two pictures of reconstructions."""

    CHANGEABLE: ClassVar = (
        "accumulate", "compile", "skip_damaged",
        "checkpoint_every", "keep_checkpoints", "log_every", "pictures_every",
    )  # fmt: skip
    """Settings that a resumed run may change. They do not affect the weights, except by rounding and skipped data."""

    def __post_init__(self) -> None:
        if self.height % self.patch or self.width % self.patch:
            raise InputError(
                f"height and width must be multiples of the patch, {self.patch} pixels, got {self.height}x{self.width}"
            )
        if not 0 < self.kept < self.patches:
            raise InputError(
                f"mask_ratio {self.mask_ratio} of {self.patches} patches leaves no visible or no masked patch"
            )
        if self.hog_weight and self.patch % HOG_CELLS:
            raise InputError(
                f"with a hog_weight the patch must be a multiple of {HOG_CELLS} pixels, got {self.patch}: "
                "use another patch or --set hog_weight=0"
            )
        if self.batch_size % self.accumulate:
            raise InputError(
                f"batch_size must be a multiple of accumulate, got {self.batch_size} and {self.accumulate}"
            )
        if self.decoder_width % (2 * self.decoder_heads):
            raise InputError(
                f"decoder_width must be a multiple of twice decoder_heads, "
                f"got {self.decoder_width} and {self.decoder_heads}"
            )
        if (self.epochs is None) == (self.steps is None):
            raise InputError(f"give either epochs or steps, got epochs={self.epochs} and steps={self.steps}")

    @property
    def patches(self) -> int:
        """Number of patches of an image."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def kept(self) -> int:
        """Number of visible patches, truncated as in the reference implementation of MAE."""
        return int(self.patches * (1 - self.mask_ratio))


def make_config(preset: str = DEFAULT_PRESET, *layers: Mapping[str, Any]) -> Config:
    """Return a preset, updated by layers of settings: `make_config("synpat", {"steps": 3000, "seed": 1})`.

    Raises InputError that names a setting which is unknown (with the nearest known name) or out of range.
    """
    settings = dict(PRESETS[preset])
    for layer in layers:
        reject_unknown_keys(Config, layer)
        if "steps" in layer or "epochs" in layer:  # one replaces the other
            settings |= {"steps": None, "epochs": None}
        settings |= layer
    return build_settings(Config, settings)


def stored_config(settings: Mapping[str, Any]) -> Config:
    """Return a configuration that was stored with all its settings.

    Raises InputError that names a setting which is missing, unknown or out of range.
    """
    if missing := [field.name for field in fields(Config) if field.name not in settings]:  # pyright: ignore
        raise InputError(f"the setting {missing[0]} is missing: it was stored by another version of synpat")
    return build_settings(Config, settings)


def differences(found: Config, expected: Config) -> str:
    """Return the settings for which a run cannot continue with another configuration; empty if there are none."""
    old, new = asdict(found), asdict(expected)  # pyright: ignore[reportArgumentType]
    return describe_differences(old, {name: value for name, value in new.items() if name not in Config.CHANGEABLE})


def to_yaml(config: Config) -> str:
    """Return the configuration as YAML, which `read_settings` reads."""
    return yaml.safe_dump(asdict(config) | {"betas": list(config.betas)}, sort_keys=False)  # pyright: ignore
