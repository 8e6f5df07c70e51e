"""The protocol `finetune`: train the encoder with a linear layer on a task, and test it once.

After Niizumi et al. ("Masked Modeling Duo", 2024) or Huang et al. ("Masked Autoencoders that Listen", 2022), with the
settings of `recipes`. The scores after the last epoch are reported: no validation part is used, and nothing is chosen
on test clips. (EVAR reports the epoch that is best on the validation part or, without one, on the test clips.)

Axes in this file: B clips, S samples, C classes, F bands, T frames.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from synpat_shards import InputError
from synpat_train.audio import SAMPLE_RATE
from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.device import autocast, to_device, uses_bfloat16
from synpat_train.evaluation.probes.embedding import Normalisation
from synpat_train.evaluation.tasks.task import Split, Task
from synpat_train.model.attention import choose_attention, fuses_attention
from synpat_train.model.encoder import Encoder
from synpat_train.model.timm_compat import VisionTransformer, param_groups_layer_decay
from synpat_train.prefetch import prefetch
from synpat_train.progress import track
from synpat_train.schedule import learning_rate

from .augmentation import kept_patches, kept_time_steps
from .checkpoint import FineTuningCheckpoint, identity
from .classifier import make_classifier, patch_grid, scores
from .clips import Batch, FineTuningContext, augmented, log_mels_of_test_clips, training_batch
from .recipes import FineTuning

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, momentum=0.9),
    "adamw": partial(AdamW, betas=(0.9, 0.95)),
    "amsgrad": partial(AdamW, betas=(0.9, 0.95), amsgrad=True),
}
LONGEST = 10 * SAMPLE_RATE
"""Number of samples to which clips of a task without a unit are cropped, unless all training clips are shorter."""
BATCHES_AHEAD = 2


def finetune(
    encoder: Encoder,
    task: Task,
    split: Split,
    normalisation: Normalisation,
    recipe: FineTuning,
    seed: int,
    *,
    device: str,
    checkpoint: Path,
) -> np.ndarray:
    """Return the logits of the test clips after the last epoch, float32 [tested, C], in the order of `split.test`.

    Classes are in the order of `task.classes`. The encoder is not changed. seed: of the head, the order, the crops and
    all augmentation; each step has its own generators. checkpoint: file of the unfinished training; the same call
    continues it exactly, and removes it at the end. The file of another training is overwritten.

    Training clips are cropped at random in each epoch, test clips at their start. Shorter clips are padded with zeros
    after normalisation. Without a unit, clips have the length of the longest training clip that the recipe covers, at
    most LONGEST.

    Torch's global generators are used and then restored: two calls must not run in threads at the same time. Raises
    InputError if training diverges.
    """
    front_end, recipe = FRONT_ENDS[encoder.height], recipe.for_clips(len(split.train))
    lengths = task.full_recordings.lengths[split.train]
    unit = task.unit or min(int(np.quantile(lengths, recipe.covered, method="higher")), LONGEST)
    context = FineTuningContext(
        task=task,
        split=split,
        normalisation=normalisation,
        recipe=recipe,
        seed=seed,
        front_end=front_end,
        unit=unit,
        device=torch.device(device),
    )
    steps = -(-front_end.frames(unit) // encoder.patch)
    saved = FineTuningCheckpoint(checkpoint, identity(encoder, task, split, normalisation, recipe, seed))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model = make_classifier(encoder, len(task.classes), steps, recipe, seed).to(device)
        patches = encoder.height // encoder.patch * min(steps, recipe.time_steps or steps)
        choose_attention(model, fuses_attention(context.device, low_precision(context), patches + 1))
        train(model, context, saved)
    logits = predict_test_clips(model, context)
    if not np.isfinite(logits).all():
        raise InputError(_diverged("the scores are not finite", recipe.learning_rate))
    checkpoint.unlink(missing_ok=True)
    return logits


def train(model: VisionTransformer, context: FineTuningContext, checkpoint: FineTuningCheckpoint) -> None:
    """Train for the remaining epochs."""
    recipe = context.recipe
    optimizer = OPTIMIZERS[recipe.optimizer](layers(model, recipe), lr=recipe.learning_rate)
    positions = [
        (epoch, step)
        for epoch in range(checkpoint.load(model, optimizer), recipe.epochs)
        for step in range(context.steps)
    ]
    batches = prefetch(partial(training_batch, context), positions, BATCHES_AHEAD)
    what = f"{context.task.name} {context.split.name}: fine-tune"
    losses = []
    model.train()
    for (epoch, step), batch in track(zip(positions, batches, strict=True), len(positions), what):
        rate = learning_rate_at(epoch * context.steps + step, context.steps, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        losses.append(update(model, optimizer, batch, context, context.rng(epoch, step, 1)))
        if step == context.steps - 1:
            # Once per epoch, because it waits for the device.
            _require_finite(torch.stack(losses), epoch, context)
            losses = []
            checkpoint.save(model, optimizer, epoch + 1)


def update(
    model: VisionTransformer, optimizer: Optimizer, batch: Batch, context: FineTuningContext, rng: np.random.Generator
) -> Tensor:
    """Take one step; return the loss before it, on the device."""
    log_mels, targets = augmented(batch, context, rng)
    recipe = context.recipe
    patches = chosen_patches(len(log_mels), *patch_grid(model, log_mels), recipe, rng)
    kept = None if patches is None else to_device(patches, context.device)
    torch.manual_seed(int(rng.integers(2**62)))  # for the drop path
    with autocast(context.device, low_precision(context)):
        logits = scores(model, log_mels, kept, recipe.pooling)
    batch_loss = loss(logits, targets, recipe, context.task.multi_label)
    optimizer.zero_grad()
    batch_loss.backward()
    optimizer.step()
    return batch_loss.detach()


def chosen_patches(
    clips: int, rows: int, columns: int, recipe: FineTuning, rng: np.random.Generator
) -> np.ndarray | None:
    """Return the indices of the patches that an update uses, int64 [clips, K]; None for all."""
    if recipe.patch_drop:
        return kept_patches(clips, rows, columns, recipe.patch_drop, recipe.patch_drop_of, rng)
    if recipe.time_steps is not None and recipe.time_steps < columns:
        return kept_time_steps(clips, rows, columns, recipe.time_steps, rng)
    return None


def low_precision(context: FineTuningContext) -> bool:
    """Return True if matrix products use bfloat16: if the recipe allows it and the hardware supports it."""
    return uses_bfloat16(context.recipe.precision, context.device)


def loss(logits: Tensor, targets: Tensor, recipe: FineTuning, multi_label: bool) -> Tensor:
    """Return the cross-entropy of logits and targets [B, C], averaged as the recipe requires. Targets are between 0
    and 1."""
    if multi_label or recipe.loss == "binary-cross-entropy":
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    else:
        losses = -targets * functional.log_softmax(logits, dim=1)
    return losses.mean() if recipe.loss_average == "clips and classes" else losses.sum(dim=1).mean()


def layers(model: VisionTransformer, recipe: FineTuning) -> list[dict]:
    """Return the trained parameters in groups for the optimizer, each with the `lr_scale` of its depth."""
    return param_groups_layer_decay(model, recipe.weight_decay, model.no_weight_decay(), layer_decay=recipe.layer_decay)


def learning_rate_at(step: int, steps: int, recipe: FineTuning) -> float:
    """Return the learning rate of an update, counted from 0. steps: updates of an epoch."""
    return learning_rate(
        step,
        peak=recipe.learning_rate,
        warmup=recipe.warmup * steps,
        total=recipe.epochs * steps,
        final=recipe.final_learning_rate,
        cosine_start=None if recipe.cosine_from == "warmup" else 0,
    )


def predict_test_clips(model: VisionTransformer, context: FineTuningContext) -> np.ndarray:
    """Return the logits of the test clips, float32 [tested, C]."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for log_mels in log_mels_of_test_clips(context):
            with autocast(context.device, low_precision(context)):
                parts.append(scores(model, log_mels, None, context.recipe.pooling))
    return torch.cat(parts).cpu().numpy()


def _require_finite(losses: Tensor, epoch: int, context: FineTuningContext) -> None:
    """Raise InputError for an epoch with a NaN or infinite loss, naming the first step."""
    invalid = (~losses.isfinite()).nonzero()
    if len(invalid):
        step = int(invalid[0])
        rate = learning_rate_at(epoch * context.steps + step, context.steps, context.recipe)
        raise InputError(_diverged(f"epoch {epoch + 1}, step {step + 1}: the loss is {losses[step].item()}", rate))


def _diverged(what: str, rate: float) -> str:
    return f"fine-tuning diverged: {what}, at a learning rate of {rate:g}. Choose a smaller learning_rate"
