"""Pre-training, from shard sets to an encoder."""

import json
import signal
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from synpat_shards import InputError, encode_png, write_atomically
from synpat_train.cache import cache_errors, default_cache
from synpat_train.config import Config, make_config
from synpat_train.data.batches import Batch, batch_samples, make_batch, mask_noise
from synpat_train.data.images import key_of, read_channels
from synpat_train.device import (
    DeviceMarker,
    autocast,
    compile_model,
    equal_parts,
    largest_fitting_batch,
    peak_memory,
    uses_bfloat16,
)
from synpat_train.distributed import process_group
from synpat_train.model.attention import choose_attention, fuses_attention
from synpat_train.model.encoder import Encoder, copy_weights, load_encoder
from synpat_train.model.flops import flops_per_sample, peak_flops
from synpat_train.model.mae import MaskedAutoencoder
from synpat_train.model.normalise import Normalise, moments
from synpat_train.model.timm_compat import param_groups_weight_decay
from synpat_train.prefetch import prefetch
from synpat_train.schedule import learning_rate

from .checkpoint import Training, begin, checkpoints, load_checkpoint, save_checkpoint
from .export import export_run
from .log import NullLog, RunLog, log_disk_errors, open_log
from .reconstructions import reconstructions
from .run import Run, default_workers, open_run
from .signals import Stopped, StopSignals

BATCHES_AHEAD = 4
"""Number of batches that are read in advance."""
PICTURES = 8
"""Number of samples in a picture of reconstructions."""
BAD_BATCH = "bad-batch.json"
"""File with the samples of the step at which training diverged."""


def pretrain(
    shards: str | Sequence[str],
    out: str | Path,
    config: Config | None = None,
    *,
    targets: str | Sequence[str] = (),
    cache: str | Path | None = None,
    workers: int | None = None,
) -> Encoder:
    """Pre-train a masked autoencoder on shard sets, and return its encoder.

    A run that was stopped resumes from its last checkpoint. A finished run is not repeated.

    shards: shard sets of synpat, folders or URLs with WebDataset tars of images, single tars, or folders of audio
    files; "PATH=WEIGHT" sets how often an epoch contains each sample. out: folder of the run; the encoder is exported
    to its subfolder `encoder`. config: see `make_config`; by default the preset `synpat`. targets: one set for each
    shard set, whose images are reconstructed from those of the same number in the shard set; by default the images
    themselves. cache: folder of the decoded sets; by default a subfolder of the user's cache. workers: number of
    threads that decode images while streaming; by default the number of available cores, at most 8.

    On SIGTERM, SIGINT, SIGUSR1 and SIGHUP the run stops after the current step, writes a checkpoint and raises Stopped,
    a KeyboardInterrupt. Raises InputError if the sets or the folder cannot be used, if the loss becomes NaN or
    infinite, and if the GPU runs out of memory.
    """
    folder, config = Path(out), config or make_config()
    cache = Path(cache) if cache else default_cache() / "decoded"
    shards, targets = ([given] if isinstance(given, str) else given for given in (shards, targets))
    with (
        cache_errors(cache),
        process_group() as group,
        StopSignals() as stop,
        open_run(folder, shards, targets, config, cache, workers or default_workers(), group) as run,
    ):
        training = _begin(run)
        load_checkpoint(folder, training, config, run.digests)
        with open_log(folder, training.step, run.total, group.first) as log:
            exhausted = False
            try:
                _train(run, training, log, stop)
            except torch.OutOfMemoryError:  # the memory is released with the exception
                exhausted = True
            if exhausted:
                raise _too_large(run, training)
            if training.step < run.total:
                message = f"Stopped after step {training.step} of {run.total}. Run the same command to continue."
                log.message(message)
                raise Stopped(stop.received or signal.SIGTERM, message)  # received here, or on another rank
        if group.first:
            export_run(folder, training.encoder, config, run.mean, run.std, training.step)
        group.wait()
        return load_encoder(folder)


class Objective(nn.Module):
    """The loss of images in grey levels."""

    def __init__(self, model: MaskedAutoencoder, normalise: Normalise, mean: float, std: float) -> None:
        """mean, std: of the pixels of the sets, in grey levels."""
        super().__init__()
        self.model, self.mean, self.std = model, mean, std
        self.normalise: Normalise = normalise

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the loss. images: uint8 [batch, 1 or 2, height, width]. noise: as in MaskedAutoencoder."""
        grey = images.float()
        mean, std = moments(grey[:, :1], self.normalise, self.mean, self.std)
        return self.model((grey - mean) / std, noise)


def _begin(run: Run) -> Training:
    """Return the state before the first step, on the device."""
    torch.manual_seed(run.config.seed)
    torch.set_float32_matmul_precision("high")
    model = MaskedAutoencoder(run.config)
    if run.config.init_from and not checkpoints(run.folder):
        copy_weights(load_encoder(run.config.init_from), model.encoder)
    model.to(run.group.device)
    groups = param_groups_weight_decay(model, run.config.weight_decay)
    optimizer = torch.optim.AdamW(groups, betas=run.config.betas, fused=True)
    return begin(model, optimizer, run.config, run.mean, run.std)


def _train(run: Run, training: Training, log: RunLog | NullLog, stop: StopSignals) -> None:
    """Train until the last step, or until a stop signal; then write a checkpoint."""
    config, group, start, total = run.config, run.group, training.step, run.total
    low_precision = uses_bfloat16(config.precision, group.device)
    dtype = torch.bfloat16 if low_precision else torch.float32
    peak_seconds = flops_per_sample(config) / (
        peak_flops(group.device, dtype) * group.count
    )  # seconds per sample at peak performance
    log.message(
        f"{run.folder}: {len(run.order):,} samples per epoch, steps {start} to {total} on "
        f"{group.count} x {group.device.type}, {str(dtype).removeprefix('torch.')}"
    )
    learner = _learner(run, training, low_precision, log)
    batches = prefetch(
        lambda step: make_batch(step, config, run.order, run.channels, group), range(start, total), BATCHES_AHEAD
    )
    idle = DeviceMarker(group.device)
    fault, waited, since, logged = None, 0.0, time.monotonic(), start
    while training.step < total:
        requested = time.monotonic()
        try:
            batch = next(batches)
        except (InputError, OSError) as error:
            batch, fault = None, error
        if idle.reached():  # otherwise the device is busy and did not wait for data
            waited += time.monotonic() - requested
        if group.any(stop.requested or batch is None) or batch is None:
            break

        lr = learning_rate(training.step, peak=_peak_rate(config), warmup=config.warmup * total, total=total)
        loss = _update(learner, training, batch, lr, config, low_precision)
        idle.put()
        training.losses.append(loss)
        training.step += 1

        done, last = training.step, training.step == total
        log.advance(done)
        if done % config.log_every == 0 or last:
            loss, seconds = _mean_loss(run, training), time.monotonic() - since
            rate = (done - logged) * config.batch_size / seconds
            log.metrics(
                done,
                loss=loss,
                lr=lr,
                samples_per_s=rate,
                mfu=rate * peak_seconds,
                data_wait=waited / seconds,
                memory_gb=peak_memory(group.device) / 1e9,
                skipped=run.channels[0].skipped,
            )
            training.losses.clear()
            waited, since, logged = 0.0, time.monotonic(), done
        if group.first and (done % config.pictures_every == 0 or last):
            with log_disk_errors(log, f"no pictures at step {done}"):
                _draw_pictures(run, training)
        if done % config.checkpoint_every == 0 and not last:
            with log_disk_errors(log, f"no checkpoint at step {done}, the one before it stays"):
                _save(run, training)
    batches.close()
    if training.step > start:
        _save(run, training)
    if fault:
        raise fault


def _peak_rate(config: Config) -> float:
    return config.base_lr * config.batch_size / config.lr_batch


def _learner(run: Run, training: Training, low_precision: bool, log: RunLog | NullLog) -> nn.Module:
    """Return the module that computes the loss of a batch: compiled if that is requested and works, and distributed."""
    config, group = run.config, run.group
    for part, tokens in (
        (training.model.encoder, config.kept + 1),
        (training.model.decoder_blocks, config.patches + 1),
    ):
        choose_attention(part, fuses_attention(group.device, low_precision, tokens))
    learner: nn.Module = Objective(training.model, config.normalise, run.mean, run.std)
    if config.compile is True or (config.compile == "auto" and group.device.type == "cuda"):
        try:
            learner = compile_model(learner, *_blank(run), low_precision)
        except InputError as fault:
            log.message(f"torch.compile failed, training continues without it: {fault}")
    if group.count == 1:
        return learner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has another name from torch 2.13 on
        return DistributedDataParallel(
            learner,
            device_ids=[group.device.index] if group.device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            static_graph=config.accumulate == 1,  # not with no_sync
        )


def _blank(run: Run) -> tuple[Tensor, Tensor]:
    """Return images and noise of the shapes that the model receives in one pass."""
    config, device = run.config, run.group.device
    size = config.batch_size // run.group.count // config.accumulate
    images = torch.zeros(size, len(run.channels), config.height, config.width, dtype=torch.uint8, device=device)
    return images, torch.rand(size, config.patches, device=device)


def _too_large(run: Run, training: Training) -> InputError:
    """Return the error for a GPU that is out of memory, with settings that fit."""
    training.optimizer.zero_grad()
    torch.cuda.empty_cache()
    images, noise = _blank(run)
    low_precision = uses_bfloat16(run.config.precision, run.group.device)
    # The optimiser allocates two numbers per weight in its first step.
    reserve = 0 if training.optimizer.state else 2 * sum(weight.nbytes for weight in training.model.parameters())
    objective = Objective(training.model, run.config.normalise, run.mean, run.std)
    fits = largest_fitting_batch(objective, images, noise, low_precision, reserve)
    if not fits:
        return InputError("the GPU is out of memory for a single sample: choose a smaller --model")
    pieces = equal_parts(len(images), fits) * run.config.accumulate
    return InputError(
        f"the GPU is out of memory for {len(images)} samples at once, but {fits} fit: continue with "
        f"--set accumulate={pieces}, or start another run with --batch-size "
        f"{run.config.batch_size * fits // len(images)}"
    )


def _update(
    learner: nn.Module, training: Training, batch: Batch, lr: float, config: Config, low_precision: bool
) -> Tensor:
    """Take one optimiser step; return the loss before it, on the device. This never waits for the device."""
    device = training.device
    images, noise = batch.images.to(device, non_blocking=True), batch.noise.to(device, non_blocking=True)
    pieces = list(zip(images.chunk(config.accumulate), noise.chunk(config.accumulate), strict=True))
    losses = []
    for piece in pieces:
        last = piece is pieces[-1]
        # The gradients of all ranks are averaged once, after the last part.
        with learner.no_sync() if not last and isinstance(learner, DistributedDataParallel) else nullcontext():
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
        training.update_average(config.ema)
    return torch.stack(losses).mean()


def _mean_loss(run: Run, training: Training) -> float:
    """Return the mean loss of the steps since the last log line, over all ranks.

    Raises InputError that names the step, its samples and the last checkpoint if a loss is NaN or infinite.
    """
    losses = run.group.mean(torch.stack(training.losses))
    training.losses[:] = losses.unbind()
    if losses.isfinite().all():
        return losses.mean().item()
    first = int((~losses.isfinite()).nonzero()[0])
    raise _diverged(run, training.step - len(losses) + first, f"the loss is {losses[first].item()}")


def _save(run: Run, training: Training) -> None:
    """Write a checkpoint on rank 0. Raises InputError as `_mean_loss`, also if a weight is NaN or infinite."""
    if training.losses:
        _mean_loss(run, training)
    if not training.finite():
        raise _diverged(run, training.step - 1, "a weight is NaN or infinite")
    if run.group.first:
        save_checkpoint(run.folder, training, run.config, run.digests)


def _diverged(run: Run, step: int, what: str) -> InputError:
    """Return the error for a step (from 0) after which the state is invalid. The samples of its batch are written to
    a file."""
    samples = batch_samples(step, run.config, run.order)
    if run.group.first:
        keys = [key_of(run.sets, int(sample)) for sample in samples]
        write_atomically(run.folder / BAD_BATCH, json.dumps({"step": step + 1, "keys": keys}, indent=1).encode())
    saved = checkpoints(run.folder)
    return InputError(
        f"{what} at step {step + 1}, on {key_of(run.sets, int(samples[0]))} and {len(samples) - 1} other samples, "
        f"listed in {run.folder / BAD_BATCH}. The last valid checkpoint is {saved[-1] if saved else 'none'}. "
        "Train to another --out with a lower base_lr or with precision=float32"
    )


def _draw_pictures(run: Run, training: Training) -> None:
    folder = run.folder / "reconstructions"
    folder.mkdir(exist_ok=True)
    samples = np.linspace(0, sum(map(len, run.sets)) - 1, min(PICTURES, run.config.batch_size), dtype=np.int64)
    images = read_channels(run.channels, samples, np.zeros(len(samples)))
    noise = mask_noise(run.config, step=0)[: len(samples)]
    training.model.eval()
    sheet = reconstructions(training.model, images, noise, run.config.normalise, run.mean, run.std)
    training.model.train()
    write_atomically(folder / f"step-{training.step:09d}.png", encode_png(sheet))
