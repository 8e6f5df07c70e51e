"""Pre-training, from shard sets to an encoder: one loop that reads straight down."""

import json
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from synpat_shards import encode_png, write_whole

from .ahead import ahead
from .card import write_card
from .checkpoint import Training, begin, checkpoints, load_checkpoint, save_checkpoint
from .config import Config
from .device import Marker, autocast, compile_model, equal_pieces, memory, uses_bfloat16, what_fits
from .export import export_encoder
from .feed import Batch, batch_samples, make_batch, mask_noise
from .flops import operations, peak
from .images import key_of
from .log import RunLog, Silence, going_on, open_log
from .mae import MaskedAutoencoder
from .normalise import Normalise, moments
from .pictures import reconstructions
from .ranks import joined_ranks
from .run import Run, opened_run
from .schedule import learning_rate
from .stopping import StopSignals
from .timm_door import param_groups_weight_decay

AHEAD = 4
"""Batches that are read before the model asks for them."""
PICTURES = 8
"""Samples on a sheet of reconstructions."""
BAD_BATCH = "bad-batch.json"
"""Where a run whose loss is no number says what it learned from last."""


def pretrain(folder: Path, shards: Sequence[str], config: Config, cache: Path, workers: int) -> None:
    """Train a masked autoencoder on shard sets; a run that was stopped goes on from its last checkpoint.

    folder: of the run. shards: as for `open_sets`. cache: folder of the decoded sets. workers: threads that decode
    while streaming. SIGTERM and SIGINT end it after the step that they come in, with a checkpoint. Raises ValueError
    for what cannot be trained on or into, for a loss that is no number, and for a batch that finds no memory.
    """
    with (
        joined_ranks() as ranks,
        StopSignals() as stop,
        opened_run(folder, shards, config, cache, workers, ranks) as run,
    ):
        training = _begin(run)
        load_checkpoint(folder, training, config, run.digests)
        with open_log(folder, training.step, run.total, ranks.first) as log:
            exhausted = False
            try:
                _train(run, training, log, stop)
            except torch.OutOfMemoryError:  # what holds the memory goes with the error
                exhausted = True
            if exhausted:
                raise _too_large(run, training)
            if training.step < run.total:
                log.say(f"stopped after step {training.step} of {run.total}; the same command goes on from there")
            elif ranks.first:
                export_encoder(folder / "encoder", training.encoder, config, run.mean / 255, run.std / 255)
                write_card(folder)


class Objective(nn.Module):
    """The loss of grey levels as they come from the shards."""

    def __init__(self, model: MaskedAutoencoder, normalise: Normalise, mean: float, std: float) -> None:
        """mean, std: of the pixels of the sets, in grey levels."""
        super().__init__()
        self.model, self.mean, self.std = model, mean, std
        self.normalise: Normalise = normalise

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """images: uint8 [batch, height, width]. noise: as in MaskedAutoencoder."""
        grey = images.unsqueeze(1).float()
        mean, std = moments(grey, self.normalise, self.mean, self.std)
        return self.model((grey - mean) / std, noise)


def _begin(run: Run) -> Training:
    """The state before the first step, on the device."""
    torch.manual_seed(run.config.seed)
    torch.set_float32_matmul_precision("high")
    model = MaskedAutoencoder(run.config).to(run.ranks.device)
    groups = param_groups_weight_decay(model, run.config.weight_decay)
    return begin(model, torch.optim.AdamW(groups, betas=run.config.betas, fused=True), run.config)


def _train(run: Run, training: Training, log: RunLog | Silence, stop: StopSignals) -> None:
    """Take the steps that are left, or those until somebody asks to stop; the last one leaves a checkpoint."""
    config, ranks, start, total = run.config, run.ranks, training.step, run.total
    low_precision = uses_bfloat16(config.precision, ranks.device)
    dtype = torch.bfloat16 if low_precision else torch.float32
    effort = operations(config) / (peak(ranks.device, dtype) * ranks.count)  # seconds a sample, at best
    log.say(
        f"{run.folder}: {len(run.order):,} samples an epoch, steps {start} to {total} on "
        f"{ranks.count} x {ranks.device.type}, {str(dtype).removeprefix('torch.')}"
    )
    learner = _learner(run, training, low_precision, log)
    batches = ahead(lambda step: make_batch(step, config, run.order, run.images, ranks), range(start, total), AHEAD)
    idle = Marker(ranks.device)
    fault, waited, since, logged = None, 0.0, time.monotonic(), start
    while training.step < total:
        asked = time.monotonic()
        try:
            batch = next(batches)
        except (ValueError, OSError) as damage:
            batch, fault = None, damage
        if idle.reached():  # else it is still busy with earlier steps, and did not wait
            waited += time.monotonic() - asked
        if ranks.any(stop.asked or batch is None) or batch is None:
            break

        lr = learning_rate(training.step, peak=_peak_rate(config), warmup=config.warmup * total, total=total)
        loss = _update(learner, training, batch, lr, config, low_precision)
        idle.put()
        training.losses.append(loss)
        training.step += 1

        done, last = training.step, training.step == total
        if done % config.log_every == 0 or last:
            loss, seconds = _mean_loss(run, training), time.monotonic() - since
            rate = (done - logged) * config.batch_size / seconds
            log.numbers(
                done,
                loss=loss,
                lr=lr,
                samples_per_s=rate,
                mfu=rate * effort,
                data_wait=waited / seconds,
                memory_gb=memory(ranks.device) / 1e9,
                skipped=run.images.skipped,
            )
            training.losses.clear()
            waited, since, logged = 0.0, time.monotonic(), done
        if ranks.first and (done % config.pictures_every == 0 or last):
            with going_on(log, f"no pictures at step {done}"):
                _draw_pictures(run, training)
        if done % config.checkpoint_every == 0 and not last:
            with going_on(log, f"no checkpoint at step {done}, the one before it stays"):
                _save(run, training)
    batches.close()
    if training.step > start:
        _save(run, training)
    if fault:
        raise fault


def _peak_rate(config: Config) -> float:
    return config.base_lr * config.batch_size / config.lr_batch


def _learner(run: Run, training: Training, low_precision: bool, log: RunLog | Silence) -> nn.Module:
    """What gives the loss of a batch: compiled where that is asked for and works, and spread over the ranks."""
    config, ranks = run.config, run.ranks
    learner: nn.Module = Objective(training.model, config.normalise, run.mean, run.std)
    if config.compile is True or (config.compile == "auto" and ranks.device.type == "cuda"):
        try:
            learner = compile_model(learner, *_blank(run), low_precision)
        except ValueError as fault:
            log.say(f"torch.compile fails here, training goes on without it: {fault}")
    if ranks.count == 1:
        return learner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has another name from torch 2.13 on
        return DistributedDataParallel(
            learner,
            device_ids=[ranks.device.index] if ranks.device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            static_graph=config.accumulate == 1,  # not with no_sync
        )


def _blank(run: Run) -> tuple[Tensor, Tensor]:
    """Images and noise of the shapes that the model sees at once."""
    config, device = run.config, run.ranks.device
    size = config.batch_size // run.ranks.count // config.accumulate
    images = torch.zeros(size, config.height, config.width, dtype=torch.uint8, device=device)
    return images, torch.rand(size, config.patches, device=device)


def _too_large(run: Run, training: Training) -> ValueError:
    """What to say where the GPU's memory is not enough."""
    training.optimizer.zero_grad()
    torch.cuda.empty_cache()
    images, noise = _blank(run)
    low_precision = uses_bfloat16(run.config.precision, run.ranks.device)
    # The optimiser takes two numbers a weight, in its first step only.
    reserve = 0 if training.optimizer.state else 2 * sum(weight.nbytes for weight in training.model.parameters())
    fits = what_fits(
        Objective(training.model, run.config.normalise, run.mean, run.std), images, noise, low_precision, reserve
    )
    if not fits:
        return ValueError("the GPU has not enough memory for a single sample: take a smaller --model")
    pieces = equal_pieces(len(images), fits) * run.config.accumulate
    return ValueError(
        f"the GPU has not enough memory for {len(images)} samples at once; {fits} fit: --set accumulate={pieces} takes "
        f"them in turn, and the run goes on; --batch-size {run.config.batch_size * fits // len(images)} is another run"
    )


def _update(
    learner: nn.Module, training: Training, batch: Batch, lr: float, config: Config, low_precision: bool
) -> Tensor:
    """One step of the optimiser; the loss before it, still on the device. Nothing here waits for the device."""
    device = training.device
    images, noise = batch.images.to(device, non_blocking=True), batch.noise.to(device, non_blocking=True)
    pieces = list(zip(images.chunk(config.accumulate), noise.chunk(config.accumulate), strict=True))
    losses = []
    for piece in pieces:
        more = piece is not pieces[-1]
        # The gradients of all ranks meet once, after the last piece.
        with learner.no_sync() if more and isinstance(learner, DistributedDataParallel) else nullcontext():
            with autocast(device, low_precision):
                loss = learner(*piece)
            (loss / config.accumulate).backward()
        losses.append(loss.detach())
    if config.clip is not None:
        nn.utils.clip_grad_norm_(training.model.parameters(), config.clip)
    for group in training.optimizer.param_groups:
        group["lr"] = lr
    training.optimizer.step()
    training.optimizer.zero_grad()
    if config.ema is not None:
        training.follow(config.ema)
    return torch.stack(losses).mean()


def _mean_loss(run: Run, training: Training) -> float:
    """The mean loss of the steps since the last line of the log, on all ranks.

    Raises ValueError that names the step, samples and checkpoint if one of them is no finite number.
    """
    losses = run.ranks.mean(torch.stack(training.losses))
    training.losses[:] = losses.unbind()
    if losses.isfinite().all():
        return losses.mean().item()
    first = int((~losses.isfinite()).nonzero()[0])
    raise _diverged(run, training.step - len(losses) + first, f"the loss is {losses[first].item()}")


def _save(run: Run, training: Training) -> None:
    """Write a checkpoint on the first rank. Raises as `_mean_loss`, also where a weight is no finite number."""
    if training.losses:
        _mean_loss(run, training)
    if not training.finite():
        raise _diverged(run, training.step - 1, "a weight is no finite number")
    if run.ranks.first:
        save_checkpoint(run.folder, training, run.config, run.digests)


def _diverged(run: Run, step: int, what: str) -> ValueError:
    """What to say of a step (from 0) after which there is nothing to save; the samples of its batch go into a file."""
    samples = batch_samples(step, run.config, run.order)
    if run.ranks.first:
        keys = [key_of(run.sets, int(sample)) for sample in samples]
        write_whole(run.folder / BAD_BATCH, json.dumps({"step": step + 1, "keys": keys}, indent=1).encode())
    there = checkpoints(run.folder)
    return ValueError(
        f"{what} at step {step + 1}, on {key_of(run.sets, int(samples[0]))} and {len(samples) - 1} other samples, "
        f"which {run.folder / BAD_BATCH} names. The last good checkpoint is {there[-1] if there else 'none'}. "
        "Train into another --out, with a lower base_lr or with precision=float32"
    )


def _draw_pictures(run: Run, training: Training) -> None:
    folder = run.folder / "reconstructions"
    folder.mkdir(exist_ok=True)
    few = np.linspace(0, sum(map(len, run.sets)) - 1, min(PICTURES, run.config.batch_size), dtype=np.int64)
    images, noise = run.images.read(few, np.zeros(len(few))), mask_noise(run.config, step=0)[: len(few)]
    training.model.eval()
    sheet = reconstructions(training.model, images, noise, run.config.normalise, run.mean, run.std)
    training.model.train()
    write_whole(folder / f"step-{training.step:09d}.png", encode_png(sheet))
