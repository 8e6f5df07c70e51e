"""Published recipes of fine-tuning, by task.

M2D: Niizumi et al., "Masked Modeling Duo: Towards a Universal Audio Pre-training Framework", 2024, whose fine-tuning
is that of its benchmark EVAR. AudioMAE: Huang et al., "Masked Autoencoders that Listen", 2022, Table 3.

Not as there: the last epoch counts and not the best one; the last frames of a clip, less than a patch, are filled up
and not cut off; a log-mel is normalised to a standard deviation of 1, as the encoder knows it, where AudioMAE has a
half; short clips are filled up with zeros once they are normalised, where AudioMAE does so before.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synpat_shards import InputError

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FineTuning:
    """Everything that decides a fine-tuned classifier, beside the encoder, the clips and the seed.

    Raises ValidationError, which is a ValueError, for a setting that is out of range or unknown.
    """

    epochs: Annotated[int, Field(gt=0)]
    """Passes over the training clips; the scores are those after the last one."""
    batch_size: Annotated[int, Field(ge=3)]
    """The most clips in one update; two or less could leave a batch of one, which has no variance."""
    optimizer: Literal["sgd", "adamw", "amsgrad"]
    """SGD with momentum 0.9; AdamW with betas 0.9 and 0.95; the same with the larger second moments of AMSGrad."""
    learning_rate: Positive
    """At its peak, for this batch size and this loss."""
    final_learning_rate: NotNegative
    """At the end of half a cosine, which is stepped with every update."""
    warmup: NotNegative
    """Epochs over which the learning rate rises in a straight line from zero."""
    cosine_from: Literal["start", "warmup"]
    """Where the cosine begins: with the first update, under the warm-up (timm's way, in EVAR), or after it (MAE)."""
    weight_decay: NotNegative
    """Of the optimizer; not for biases and norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor from the learning rate of a block to that of the block before; the head has the whole rate (Clark et al.,
    "ELECTRA", 2020)."""
    drop_path: Share
    """Chance that the last block is passed over for a clip, rising in a straight line from zero at the first (Huang et
    al., "Deep Networks with Stochastic Depth", 2016)."""
    precision: Literal["auto", "float32"]
    """Of matrix products; auto takes bfloat16 on a GPU that multiplies it."""

    loss: Literal["cross-entropy", "binary-cross-entropy"]
    """Where every clip has one label. Several labels a clip always take binary cross-entropy."""
    loss_average: Literal["clips", "clips and classes"]
    """Over what the loss is averaged. EVAR averages cross-entropy over the classes too, so that its gradient and hence
    its step of SGD is smaller by their number: a learning rate of 0.5 on 50 classes is one of 0.01 on the ordinary
    cross-entropy, with which 0.5 diverges."""

    head_norm: Literal["batch", "layer"]
    """What stands before the linear layer: a batch norm without weights, behind the encoder's own last norm, and the
    layer's weights are from N(0, 0.01) (M2D); or a new layer norm in the place of the encoder's, and they are from
    N(0, 2e-5), cut at two standard deviations (MAE)."""
    pooling: Literal["patches", "time steps"]
    """What is averaged: all patches; or the time steps, each the features of its frequency patches side by side."""
    patch_embed_frozen: bool
    """Whether the projection of the patches stays as it was pre-trained."""
    patch_drop: Share
    """Share of the patches left out in training, by whole rows of frequency and columns of time."""
    patch_drop_of: Literal["patches", "axis"]
    """Of what it is the share: of all patches, divided between rows and columns by chance (M2D); or of the rows and of
    the columns (AudioMAE)."""

    mixup: Annotated[float, Field(ge=0, le=1)]
    """Share of the clips that are mixed with another one as waveforms, and their targets likewise (Zhang et al.,
    "mixup", 2018)."""
    mixup_alpha: Positive
    """Both parameters of the beta distribution of a clip's weight in its mixture."""
    roll: bool
    """Whether a clip starts anywhere in itself and goes on at its end, and its loudness changes by a factor of 0.5 to
    1.5 (AudioMAE)."""
    noise: float | None
    """White noise that is added, in dB of a clip's power to the noise's; None adds none. That the
    noise of AudioMAE is white, and weaker than the clip by its 20 dB, is our reading."""
    frequency_mask: Annotated[int, Field(ge=0)]
    """SpecAugment: the mask over neighbouring bands is narrower than so many (Park et al., 2019); 0 for none."""
    time_mask: Annotated[int, Field(ge=0)]
    """The same for frames."""
    mask_shared: bool
    """Whether all clips of a batch have the same mask (EVAR) or each its own."""
    resize_crop: bool
    """Whether a part of the log-mel, 0.6 to 1.5 times its size each way, is stretched over the whole (Niizumi et al.,
    "BYOL for Audio", 2021)."""

    def __post_init__(self) -> None:
        if self.pooling == "time steps" and self.patch_drop:
            raise InputError(f"pooling of time steps needs all their patches; patch_drop must be 0: {self.patch_drop}")
        if self.warmup >= self.epochs:
            raise InputError(f"warmup must be shorter than the {self.epochs} epochs, got {self.warmup}")


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
    # The other task with several labels a clip is nearest to AudioSet.
    "fsd50k": _AS20K,
    # Any other task, which M2D has no recipe for. The settings of Speech Commands, which most rows share; but the rate
    # of ESC-50 on the ordinary loss: with few classes, 0.5 on the average over classes would be a far higher one.
    "": replace(_EVAR, learning_rate=0.5 / 50, loss_average="clips"),
}
"""By name of the task; "" for any that is not named."""

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
    # The paper says 0.2 to 0.3; this is what its recipe for AudioSet has.
    patch_drop=0.2,
    patch_drop_of="axis",
    mixup=0,
    # Of AST, whose mixing AudioMAE took over (Gong et al., "AST: Audio Spectrogram Transformer", 2021).
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
    # Any other task: the settings of ESC-50, the one small set of clips with one label each.
    "": _AUDIOMAE,
}
"""By name of the task; "" for any that is not named."""
