"""What a pre-training run is: one frozen record, filled from presets, file and command line."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from .normalise import Normalise
from .presets import PRESETS
from .settings import filled, refuse_unknown

Positive = Annotated[int, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """Everything that decides the weights of a run, beside its shard sets; and how it is watched."""

    model: Literal["tiny", "small", "base", "large"]
    """Size of the encoder: ViT-Ti, S, B or L."""
    height: Positive
    """Of the images, in pixels: frequency. A multiple of `patch`."""
    width: Positive
    """Of the images, in pixels: time. A multiple of `patch`."""
    patch: Positive
    """Side of a patch in pixels."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    """Share of the patches that the encoder does not see."""
    decoder_width: Positive
    decoder_depth: Positive
    """Blocks."""
    decoder_heads: Positive
    norm_pix: bool
    """Whether each patch is standardised before it becomes the target."""
    normalise: Normalise
    """Whether images are normalised by the mean and deviation of all sets, or each image by its own."""
    epochs: Positive | None
    """Passes over the shard sets; None if `steps` is given."""
    steps: Positive | None
    """Updates of the weights; None if `epochs` is given."""
    batch_size: Positive
    """Samples in one update, of all devices together."""
    accumulate: Positive
    """Pieces that a device takes its share of a batch in: more of them need less memory, and give the same update."""
    base_lr: Annotated[float, Field(gt=0)]
    """Peak learning rate for a batch of `lr_batch` samples; it scales with the batch."""
    lr_batch: Positive
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the learning rate rises; half a cosine leads to zero after it."""
    betas: tuple[Decay, Decay]
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Of AdamW; not for biases and norms."""
    clip: Annotated[float, Field(gt=0)] | None
    """Largest norm of the gradient; None leaves it alone."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    """Decay of the running mean of the encoder's weights that is exported in their place; None exports them."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    """Of the weights, the order of the samples and the masks."""
    precision: Literal["auto", "bfloat16", "float32"]
    """Of matrix products; auto takes bfloat16 where the hardware multiplies it."""
    compile: Literal["auto"] | bool
    """Whether the model is compiled; auto does so on a GPU."""
    stream: Literal["auto"] | bool
    """Whether images are decoded again in every epoch; auto does so where the disk has no room for the decoded sets and
    where damage is skipped."""
    window: Positive
    """Samples that are shuffled among each other when streaming; the shards themselves are always shuffled."""
    skip_damaged: bool
    """Whether a stream goes on past damaged shards, and counts what it skipped, instead of stopping."""
    checkpoint_every: Positive
    """Steps between two checkpoints."""
    keep_checkpoints: Positive
    """How many of the last checkpoints stay."""
    log_every: Positive
    """Steps between two lines of the log."""
    pictures_every: Positive
    """Steps between two sheets of reconstructions."""

    CHANGEABLE: ClassVar = (
        "accumulate", "compile", "skip_damaged",
        "checkpoint_every", "keep_checkpoints", "log_every", "pictures_every",
    )  # fmt: skip
    """Settings that decide no weight, but for rounding and damage: a run may go on with others."""

    def __post_init__(self) -> None:
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(
                f"height and width must be multiples of the patch, {self.patch} pixels, got {self.height}x{self.width}"
            )
        if not 0 < self.kept < self.patches:
            raise ValueError(
                f"mask_ratio {self.mask_ratio} of {self.patches} patches leaves none to see or none to guess"
            )
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size must be a multiple of accumulate, got {self.batch_size} and {self.accumulate}"
            )
        if self.decoder_width % (2 * self.decoder_heads):
            raise ValueError(
                f"decoder_width must be a multiple of twice decoder_heads, "
                f"got {self.decoder_width} and {self.decoder_heads}"
            )
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give either epochs or steps, got epochs={self.epochs} and steps={self.steps}")

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def kept(self) -> int:
        """Patches that the encoder sees; a truncated float as in the reference implementation of MAE."""
        return int(self.patches * (1 - self.mask_ratio))


def make_config(preset: str, *layers: Mapping[str, Any]) -> Config:
    """A preset with one layer of settings after another over it.

    Raises ValueError that names the setting: unknown (with the nearest known one), or out of range.
    """
    settings = dict(PRESETS[preset])
    for layer in layers:
        refuse_unknown(Config, layer)
        if "steps" in layer or "epochs" in layer:  # one replaces the other
            settings |= {"steps": None, "epochs": None}
        settings |= layer
    return filled(Config, settings)


def differences(there: Config, here: Config) -> list[str]:
    """What keeps a run of one configuration from going on with another, in words."""
    old, new = asdict(there), asdict(here)  # pyright: ignore[reportArgumentType]
    return [
        f"{name} is {old[name]} there and {new[name]} here"
        for name in old
        if old[name] != new[name] and name not in Config.CHANGEABLE
    ]


def to_yaml(config: Config) -> str:
    """The whole configuration as a file that `read_settings` reads."""
    return yaml.safe_dump(asdict(config) | {"betas": list(config.betas)}, sort_keys=False)  # pyright: ignore
