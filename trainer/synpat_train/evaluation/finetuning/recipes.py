"""Published recipes of fine-tuning by task, and one for all other tasks.

M2D: Niizumi et al., "Masked Modeling Duo: Towards a Universal Audio Pre-training Framework", 2024, which fine-tunes
with its benchmark EVAR. AudioMAE: Huang et al., "Masked Autoencoders that Listen", 2022, Table 3.

Differences from the publications: the last epoch is reported instead of the best one; the last incomplete patch of a
clip is padded instead of dropped; log-mels are normalised to a standard deviation of 1, as in pre-training, where
AudioMAE uses 0.5; short clips are padded with zeros after normalisation, where AudioMAE pads before.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from synpat_shards import InputError

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FineTuning:
    """Settings of a fine-tuning.

    Raises ValidationError, a subclass of ValueError, if a setting is out of range or unknown.
    """

    epochs: PositiveInt
    """Passes over the training clips. The scores after the last one are reported."""
    batch_size: Annotated[int, Field(ge=3)]
    """Maximum number of clips per update, at least 3. With 2 or less, a batch could have a single clip, for which
    batch norm has no variance."""
    optimizer: Literal["sgd", "adamw", "amsgrad"]
    """SGD with momentum 0.9; AdamW with betas 0.9 and 0.95; or the AMSGrad variant of this AdamW."""
    learning_rate: PositiveFloat
    """Peak learning rate for this batch size and this loss."""
    final_learning_rate: NonNegativeFloat
    """Learning rate at the end of the cosine decay. The learning rate is updated in every step."""
    warmup: NonNegativeFloat
    """Epochs in which the learning rate rises linearly from zero."""
    cosine_from: Literal["start", "warmup"]
    """Start of the cosine decay: at the first update, covered by the warm-up (timm, EVAR), or after it (MAE)."""
    weight_decay: NonNegativeFloat
    """Weight decay, not applied to biases and norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """Ratio of the learning rates of a block and the next one; the head has the full rate (Clark et al., "ELECTRA",
    2020)."""
    drop_path: Share
    """Stochastic depth: probability that the last block is skipped for a clip, decreasing linearly to zero at the first
    block (Huang et al., "Deep Networks with Stochastic Depth", 2016)."""
    precision: Literal["auto", "float32"]
    """Precision of matrix products. auto uses bfloat16 where the hardware multiplies it faster."""

    loss: Literal["cross-entropy", "binary-cross-entropy"]
    """Loss for clips with one label. Clips with several labels always use binary cross-entropy."""
    loss_average: Literal["clips", "clips and classes"]
    """Dimensions over which the loss is averaged. EVAR also averages the cross-entropy over the classes. This
    divides the gradient by the number of classes: with 50 classes and SGD, a learning rate of 0.5 then equals 0.01
    with the usual cross-entropy. With the usual cross-entropy, a learning rate of 0.5 diverges."""

    head_norm: Literal["batch", "layer"]
    """Norm before the linear layer: a batch norm without parameters after the encoder's own last norm, with weights
    of the layer from N(0, 0.01) (M2D); or a new layer norm instead of the encoder's, with weights from N(0, 2e-5)
    truncated at two standard deviations (MAE)."""
    pooling: Literal["patches", "time steps"]
    """Mean over all patches, or over the time steps, each with the concatenated features of its frequency patches."""
    patch_embed_frozen: bool
    """Do not train the patch embedding."""
    patch_drop: Share
    """Share of the patches left out in training, by complete rows (frequency) and columns (time)."""
    patch_drop_of: Literal["patches", "axis"]
    """Reference of that share: all patches, randomly divided between rows and columns (M2D), or the rows and the
    columns separately (AudioMAE)."""

    mixup: Annotated[float, Field(ge=0, le=1)]
    """Share of the clips that are mixed with another clip, as waveforms, with their targets (Zhang et al., "mixup",
    2018)."""
    mixup_alpha: PositiveFloat
    """Both parameters of the beta distribution of the weight of a clip in its mixture."""
    roll: bool
    """Roll a clip by a random offset, and change its loudness by a factor of 0.5 to 1.5 (AudioMAE)."""
    noise: float | None
    """Signal-to-noise ratio of added white noise in dB; None adds none. White noise at 20 dB is our interpretation
    of AudioMAE's recipe."""
    frequency_mask: NonNegativeInt
    """SpecAugment: the mask is narrower than this number of bands (Park et al., 2019); 0 for none."""
    time_mask: NonNegativeInt | Share
    """SpecAugment: the mask is narrower than this number of frames or, below 1, than this share of the frames; 0 for
    none."""
    mask_shared: bool
    """Use one mask for all clips of a batch (EVAR) instead of one for each."""
    resize_crop: bool
    """Resize a random part of the log-mel, 0.6 to 1.5 times its size in each direction, to the full size (Niizumi et
    al., "BYOL for Audio", 2021)."""

    covered: Annotated[float, Field(gt=0, le=1)] = 1
    """Share of the training clips that are used in full, for tasks without a clip length. Longer clips are cropped to
    the longest of these."""
    time_steps: PositiveInt | None = None
    """Maximum number of time steps of a clip that an update uses, drawn at random; None for all."""
    updates: NonNegativeInt = 0
    """Minimum number of updates. For fewer clips, the epochs and the warm-up are extended in proportion."""

    def __post_init__(self) -> None:
        if self.patch_drop and (self.pooling == "time steps" or self.time_steps is not None):
            raise InputError(f"with pooling of time steps or time_steps, patch_drop must be 0, got {self.patch_drop}")
        if self.warmup >= self.epochs:
            raise InputError(f"warmup must be shorter than the {self.epochs} epochs, got {self.warmup}")

    def for_clips(self, clips: int) -> "FineTuning":
        """Return the recipe with the epochs and the warm-up for a number of training clips."""
        steps = -(-clips // self.batch_size)
        epochs = max(self.epochs, -(-self.updates // steps))
        return replace(self, epochs=epochs, warmup=self.warmup * epochs / self.epochs)


_EVAR = FineTuning(
    epochs=200,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.5,
    final_learning_rate=1e-7,
    warmup=5,
    cosine_from="start",
    weight_decay=0,
    layer_decay=1,
    drop_path=0,
    precision="float32",
    loss="cross-entropy",
    loss_average="clips and classes",
    head_norm="batch",
    pooling="patches",
    patch_embed_frozen=False,
    patch_drop=0.5,
    patch_drop_of="patches",
    mixup=1,
    mixup_alpha=0.3,
    roll=False,
    noise=None,
    frequency_mask=30,
    time_mask=48,
    mask_shared=True,
    resize_crop=True,
)

_AS20K = replace(_EVAR, batch_size=64, time_mask=192, loss="binary-cross-entropy")

# Masks and crops scale with the clips, and epochs with their number, for sets of any size and clips of any length.
_OTHER = FineTuning(
    epochs=5,
    batch_size=16,
    optimizer="adamw",
    learning_rate=5e-4,
    final_learning_rate=0,
    warmup=0.5,
    cosine_from="warmup",
    weight_decay=0.05,
    layer_decay=1,
    drop_path=0,
    precision="auto",
    loss="cross-entropy",
    loss_average="clips",
    head_norm="batch",
    pooling="time steps",
    patch_embed_frozen=False,
    patch_drop=0,
    patch_drop_of="axis",
    mixup=0,
    mixup_alpha=0.3,
    roll=False,
    noise=None,
    frequency_mask=10,
    time_mask=0.15,
    mask_shared=False,
    resize_crop=False,
    covered=0.95,
    time_steps=16,
    updates=240,
)

M2D: Mapping[str, FineTuning] = {
    "as20k": _AS20K,
    "esc50": replace(_EVAR, mixup=0, frequency_mask=15, patch_embed_frozen=True),
    "spcv2": _EVAR,
    "voxceleb1": replace(
        _EVAR,
        epochs=50,
        batch_size=64,
        optimizer="amsgrad",
        learning_rate=5e-4,
        weight_decay=1e-4,
        mixup=0,
        resize_crop=False,
        pooling="time steps",
        patch_drop=0,
    ),
    # FSD50K also has several labels per clip, as AudioSet.
    "fsd50k": _AS20K,
    "": _OTHER,
}
"""Recipes by task. M2D has no recipe for other tasks; "" is ours."""

_AUDIOMAE = FineTuning(
    epochs=60,
    batch_size=64,
    optimizer="adamw",
    learning_rate=1e-3 * 64 / 256,
    final_learning_rate=1e-6,
    warmup=4,
    cosine_from="warmup",
    weight_decay=1e-4,
    layer_decay=0.75,
    drop_path=0.1,
    precision="auto",
    loss="cross-entropy",
    loss_average="clips",
    head_norm="layer",
    pooling="patches",
    patch_embed_frozen=False,
    # The paper states 0.2 to 0.3; its recipe for AudioSet uses 0.2.
    patch_drop=0.2,
    patch_drop_of="axis",
    mixup=0,
    # From AST, whose mixup AudioMAE uses (Gong et al., "AST: Audio Spectrogram Transformer", 2021).
    mixup_alpha=10,
    roll=True,
    noise=None,
    frequency_mask=24,
    time_mask=96,
    mask_shared=False,
    resize_crop=False,
)

_AUDIOMAE_AS20K = replace(
    _AUDIOMAE,
    batch_size=32,
    learning_rate=1e-3 * 32 / 256,
    frequency_mask=48,
    time_mask=192,
    mixup=0.5,
    loss="binary-cross-entropy",
    loss_average="clips and classes",
)

AUDIOMAE: Mapping[str, FineTuning] = {
    "as20k": _AUDIOMAE_AS20K,
    "esc50": _AUDIOMAE,
    "spcv2": replace(
        _AUDIOMAE,
        batch_size=256,
        learning_rate=1e-3,
        frequency_mask=48,
        time_mask=48,
        mixup=0.5,
        noise=20,
        loss="binary-cross-entropy",
        loss_average="clips and classes",
    ),
    "voxceleb1": replace(_AUDIOMAE, frequency_mask=48, time_mask=192, noise=20),
    "fsd50k": _AUDIOMAE_AS20K,
    # Other tasks: the settings of ESC-50, the only small set with one label per clip.
    "": _AUDIOMAE,
}
"""Recipes by task; "" for any other task."""
