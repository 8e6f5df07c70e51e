"""The protocol `finetune`: the encoder and a linear layer behind it are trained on a task, and then tested once.

After Niizumi et al. ("Masked Modeling Duo", 2024) or Huang et al. ("Masked Autoencoders that Listen", 2022), with the
settings of `finetune_recipes`. Reported are the scores after the last epoch: a validation part is not used, and nothing
is chosen by the tested clips. (EVAR takes the epoch that is best on the validation part, and where there is none, on
the tested clips.)

Axes in this file: B clips, S samples, C classes, F bands, T frames.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from ..ahead import ahead
from ..device import autocast, uses_bfloat16
from ..encoder import Encoder
from ..progress import track
from ..timm_door import VisionTransformer

# isort: split
# Behind the door, which must open first.
from timm.optim._param_groups import param_groups_layer_decay

from .augmentation import add_noise, change_loudness, kept_patches, mixup, random_resize_crop, spec_augment
from .classifier import make_classifier, scores
from .embedding import Normalisation
from .finetune_recipes import FineTuning
from .front_end import FRONT_ENDS, FrontEnd
from .log_mel import SAMPLE_RATE
from .recordings import FULL_SCALE, Recordings
from .task import Split, Task
from .unfinished import Unfinished, identity

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, momentum=0.9),
    "adamw": partial(AdamW, betas=(0.9, 0.95)),
    "amsgrad": partial(AdamW, betas=(0.9, 0.95), amsgrad=True),
}
LONGEST = 10 * SAMPLE_RATE
"""Samples that the clips of a task without a unit are cut to, if its longest training clip is not shorter."""
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
    """The logits of the tested clips after the last epoch: float32 [tested, C], in the order of `split.test`.

    Classes are in the order of `task.classes`. The encoder stays as it is. seed: of the head, the order, the crops and
    all augmentation; each step draws from generators of its own. checkpoint: a file for the unfinished training; the
    same call goes on from there as if nothing had happened, and the file is removed in the end. One of another training
    is overwritten.

    Training clips are cut anew in each epoch, tested ones at their start; shorter clips are filled up with zeros once
    they are normalised. Clips of a task without a unit count as of the length of the longest training clip, or of
    LONGEST.

    Torch's global generators are used, and are in the end as they were: two calls may not run side by side in threads.
    Raises ValueError when training diverges.
    """
    front_end = FRONT_ENDS[encoder.height]
    unit = task.unit or min(int(task.whole.lengths[split.train].max()), LONGEST)
    trial = Trial(task, split, normalisation, recipe, seed, front_end, unit, torch.device(device))
    steps = -(-front_end.frames(unit) // encoder.patch)
    unfinished = Unfinished(checkpoint, identity(encoder, task, split, normalisation, recipe, seed))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model = make_classifier(encoder, len(task.classes), steps, recipe, seed).to(device)
        train(model, trial, unfinished)
    found = tested(model, trial)
    if not np.isfinite(found).all():
        raise ValueError(_diverged("the scores are not finite", recipe.learning_rate))
    checkpoint.unlink(missing_ok=True)
    return found


@dataclass(frozen=True)
class Trial:
    """One training and its test."""

    task: Task
    split: Split
    normalisation: Normalisation
    recipe: FineTuning
    seed: int
    front_end: FrontEnd
    unit: int
    """Samples that clips are cut or filled up to."""
    device: torch.device

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return -(-len(self.split.train) // self.recipe.batch_size)

    def dice(self, *place: int) -> np.random.Generator:
        """A generator for one place of the training: epoch, step, purpose."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=place))

    def autocast(self) -> torch.autocast | nullcontext:
        """Matrix products in bfloat16 if the recipe lets a GPU have it."""
        low = self.device.type == "cuda" and uses_bfloat16(self.recipe.precision, self.device)
        return autocast(self.device, low)


@dataclass(frozen=True)
class Batch:
    """Waveforms on their way to the device."""

    waveforms: Tensor
    """Int16 [B, S], filled up with zeros."""
    lengths: np.ndarray
    """Samples of each without what was filled up: int64 [B]."""
    targets: Tensor
    """Float32 [B, C]."""


def train(model: VisionTransformer, trial: Trial, unfinished: Unfinished) -> None:
    """All epochs, or those that are left."""
    recipe = trial.recipe
    optimizer = OPTIMIZERS[recipe.optimizer](layers(model, recipe), lr=recipe.learning_rate)
    places = [
        (epoch, step)
        for epoch in range(unfinished.load(model, optimizer), recipe.epochs)
        for step in range(trial.steps)
    ]
    batches = ahead(partial(training_batch, trial), places, BATCHES_AHEAD)
    what = f"{trial.task.name} {trial.split.name}: fine-tune"
    losses = []
    for (epoch, step), batch in track(zip(places, batches, strict=True), len(places), what):
        rate = learning_rate(epoch * trial.steps + step, trial.steps, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        losses.append(update(model, optimizer, batch, trial, trial.dice(epoch, step, 1)))
        if step == trial.steps - 1:
            # Once an epoch, since it waits for the device.
            _require_finite(torch.stack(losses), epoch, trial)
            losses = []
            unfinished.save(model, optimizer, epoch + 1)


def training_batch(trial: Trial, place: tuple[int, int]) -> Batch:
    """The clips of a step of an epoch, each cut at random and, if the recipe says so, rolled round within its cut."""
    epoch, step = place
    order = trial.dice(epoch).permutation(trial.split.train)
    # Batches of one size, but for one clip: none is so small that its variance means nothing.
    clips = np.array_split(order, trial.steps)[step]
    dice, whole = trial.dice(epoch, step, 0), trial.task.whole
    offsets = dice.integers(np.maximum(whole.lengths[clips] - trial.unit, 0) + 1)
    waveforms, lengths = gather(whole, clips, offsets, trial.unit)
    if trial.recipe.roll:
        for waveform, length, shift in zip(waveforms, lengths, dice.integers(lengths), strict=True):
            waveform[:length] = np.roll(waveform[:length], shift)
    targets = torch.from_numpy(trial.task.targets[clips])
    if not trial.task.multi_label:
        targets = functional.one_hot(targets, len(trial.task.classes))
    return Batch(_sent(waveforms, trial.device), lengths, targets.float())


def gather(recordings: Recordings, clips: np.ndarray, offsets: np.ndarray, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips from their offsets on, filled up with zeros: int16 [B, unit]; and how many samples they have, int64 [B]."""
    lengths = np.minimum(recordings.lengths[clips] - offsets, unit)
    waveforms = np.zeros((len(clips), unit), np.int16)
    for waveform, start, length in zip(waveforms, recordings.starts[clips] + offsets, lengths, strict=True):
        waveform[:length] = recordings.samples[start : start + length]
    return waveforms, lengths


def _sent(waveforms: np.ndarray, device: torch.device) -> Tensor:
    """Made ready for a copy to the device that nobody waits for."""
    tensor = torch.from_numpy(waveforms)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def update(
    model: VisionTransformer, optimizer: Optimizer, batch: Batch, trial: Trial, dice: np.random.Generator
) -> Tensor:
    """One step: the loss before it, on the device."""
    model.train()
    log_mels, targets = augmented(batch, trial, dice)
    kept, recipe = None, trial.recipe
    if recipe.patch_drop:
        rows, columns = model.patch_embed.grid_size[0], -(-log_mels.shape[2] // model.patch_embed.patch_size[1])
        kept = kept_patches(len(log_mels), rows, columns, recipe.patch_drop, recipe.patch_drop_of, dice)
        kept = kept.to(trial.device)
    torch.manual_seed(int(dice.integers(2**62)))  # of the drop path
    with trial.autocast():
        logits = scores(model, log_mels, kept, recipe.pooling)
    found = loss(logits, targets, recipe, trial.task.multi_label)
    optimizer.zero_grad()
    found.backward()
    optimizer.step()
    return found.detach()


def augmented(batch: Batch, trial: Trial, dice: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Normalised log-mels [B, F, T] and targets [B, C], on the device."""
    recipe, lengths = trial.recipe, batch.lengths
    waveforms = _full_scale(batch.waveforms, trial.device)
    targets = batch.targets.to(trial.device)
    if recipe.roll:
        waveforms = change_loudness(waveforms, dice)
    if recipe.noise is not None:
        waveforms = add_noise(waveforms, lengths, recipe.noise, dice)
    if recipe.mixup:
        waveforms, targets, partners = mixup(waveforms, targets, recipe.mixup, recipe.mixup_alpha, dice)
        lengths = np.maximum(lengths, lengths[partners])
    log_mels = normalised(waveforms, lengths, trial)
    log_mels = spec_augment(log_mels, recipe.frequency_mask, recipe.time_mask, recipe.mask_shared, dice)
    return random_resize_crop(log_mels, dice) if recipe.resize_crop else log_mels, targets


def normalised(waveforms: Tensor, lengths: np.ndarray, trial: Trial) -> Tensor:
    """Log-mels [B, F, T] of waveforms [B, S] with zeros, the mean, behind the last frame of each clip's own samples.

    The last frame or two of a clip that was filled up hear silence where alone they would hear its mirror image.
    """
    log_mels = (trial.front_end.spectrogram(waveforms) - trial.normalisation.mean) / trial.normalisation.std
    frames = torch.tensor([trial.front_end.frames(length) for length in lengths.tolist()]).to(trial.device)
    behind = torch.arange(log_mels.shape[2], device=trial.device) >= frames[:, None]
    return log_mels.masked_fill(behind[:, None], 0)


def _full_scale(waveforms: Tensor, device: torch.device) -> Tensor:
    return waveforms.to(device, non_blocking=True).float() / FULL_SCALE


def loss(logits: Tensor, targets: Tensor, recipe: FineTuning, multi_label: bool) -> Tensor:
    """Cross-entropy of logits and targets [B, C], averaged as the recipe says; targets are shares, from 0 to 1."""
    if multi_label or recipe.loss == "binary-cross-entropy":
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    else:
        losses = -targets * functional.log_softmax(logits, dim=1)
    return losses.mean() if recipe.loss_average == "clips and classes" else losses.sum(dim=1).mean()


def layers(model: VisionTransformer, recipe: FineTuning) -> list[dict]:
    """What is trained, in groups for the optimizer, each with the `lr_scale` of its depth."""
    return param_groups_layer_decay(model, recipe.weight_decay, model.no_weight_decay(), layer_decay=recipe.layer_decay)


def learning_rate(step: int, steps: int, recipe: FineTuning) -> float:
    """Of one update of all, counted from 0; steps: those of an epoch."""
    warmup, total = recipe.warmup * steps, recipe.epochs * steps
    if step < warmup:
        return recipe.learning_rate * step / warmup
    start = warmup if recipe.cosine_from == "warmup" else 0
    share = 0.5 * (1 + math.cos(math.pi * (step - start) / (total - start)))
    return recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * share


def tested(model: VisionTransformer, trial: Trial) -> np.ndarray:
    """Logits of the tested clips, each cut at its start: float32 [tested, C]."""
    model.eval()
    parts = []
    clips = trial.split.test
    with torch.inference_mode(), trial.autocast():
        for start in range(0, len(clips), trial.recipe.batch_size):
            some = clips[start : start + trial.recipe.batch_size]
            waveforms, lengths = gather(trial.task.recordings, some, np.zeros(len(some), np.int64), trial.unit)
            log_mels = normalised(_full_scale(_sent(waveforms, trial.device), trial.device), lengths, trial)
            parts.append(scores(model, log_mels, None, trial.recipe.pooling))
    return torch.cat(parts).cpu().numpy()


def _require_finite(losses: Tensor, epoch: int, trial: Trial) -> None:
    """Refuse an epoch with a loss that is no number, naming the first."""
    wrong = (~losses.isfinite()).nonzero()
    if len(wrong):
        step = int(wrong[0])
        rate = learning_rate(epoch * trial.steps + step, trial.steps, trial.recipe)
        raise ValueError(_diverged(f"epoch {epoch + 1}, step {step + 1}: the loss is {losses[step].item()}", rate))


def _diverged(what: str, rate: float) -> str:
    return f"fine-tuning diverged: {what}, at a learning rate of {rate:g}. Take a smaller learning_rate"
