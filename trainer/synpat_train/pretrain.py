"""Pre-training, from shard sets to an encoder: one loop that reads straight down."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synpat_shards import encode_png, write_whole

from .checkpoint import load_checkpoint, save_checkpoint
from .config import Config, make_config, read_settings, to_yaml
from .data import Images, batch_indices, open_images
from .export import export_encoder
from .log import RunLog
from .mae import MaskedAutoencoder
from .pictures import reconstructions
from .schedule import learning_rate
from .timm_door import param_groups_weight_decay

CONFIG, SETS = "config.yaml", "sets.json"
"""The files of a run folder that say what the run is: its configuration, and the digests of its shard sets."""
PICTURES = 8
"""Samples on a sheet of reconstructions."""


def pretrain(run: Path, shards: Sequence[Path], config: Config, cache: Path) -> None:
    """Train a masked autoencoder on shard sets; a run that was stopped goes on from its last checkpoint.

    Raises ValueError for a set that cannot be trained on, and for a run folder of another configuration.
    """
    images = open_images(shards, config.height, config.width, cache)
    steps_per_epoch = len(images) // config.batch_size
    if not steps_per_epoch:
        raise ValueError(f"the sets hold {len(images)} samples, less than one batch of {config.batch_size}")
    _claim(run, config, images)
    total = config.steps or (config.epochs or 0) * steps_per_epoch
    warmup, peak = config.warmup * total, config.base_lr * config.batch_size / config.lr_batch

    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = MaskedAutoencoder(config).to(device)
    groups = param_groups_weight_decay(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=config.betas, fused=True)
    start = load_checkpoint(run, model, optimizer)
    low_precision = uses_bfloat16(config.precision, device)

    with RunLog(run, start, total) as log:
        log.say(
            f"{run}: {len(images)} samples, steps {start} to {total} on {device}, "
            + ("bfloat16" if low_precision else "float32")
        )
        losses, waited, since = [], 0.0, time.monotonic()
        for step in range(start, total):
            asked = time.monotonic()
            batch = images.batch(batch_indices(config.seed, step, config.batch_size, len(images)))
            waited += time.monotonic() - asked
            inputs = (torch.from_numpy(batch).to(device).unsqueeze(1).float() - images.mean) / images.std
            with torch.autocast(device.type, torch.bfloat16, enabled=low_precision):
                loss = model(inputs, mask_noise(config, step).to(device))
            loss.backward()
            if config.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            lr = learning_rate(step, peak=peak, warmup=warmup, total=total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())

            done = step + 1
            if done % config.log_every == 0 or done == total:
                mean_loss = torch.stack(losses).mean().item()
                if not math.isfinite(mean_loss):
                    raise ValueError(f"the loss is {mean_loss} by step {done}: lower base_lr, or set precision=float32")
                seconds = time.monotonic() - since
                rate = len(losses) * config.batch_size / seconds
                log.numbers(done, loss=mean_loss, lr=lr, samples_per_s=rate, data_wait=waited / seconds)
                losses, waited, since = [], 0.0, time.monotonic()
            if done % config.pictures_every == 0 or done == total:
                _draw_pictures(run, done, model, images, config)
            if done % config.checkpoint_every == 0 or done == total:
                save_checkpoint(run, done, model, optimizer, config.keep_checkpoints)
    export_encoder(run / "encoder", model.encoder, config, images.mean / 255, images.std / 255)


def mask_noise(config: Config, step: int) -> Tensor:
    """Which patches step `step` hides: uniform [batch, patches], a pure function of seed and step on every device."""
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    return torch.rand(config.batch_size, config.patches, generator=generator)


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: as asked, or where the hardware multiplies it faster than float32."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _claim(run: Path, config: Config, images: Images) -> None:
    """Make the run folder ours; one that is there already must have the same configuration and the same images."""
    if (run / CONFIG).exists():
        there, here = asdict(make_config("msm-mae", read_settings(run / CONFIG))), asdict(config)
        differences = [
            f"{name} is {there[name]} there and {here[name]} here" for name in here if there[name] != here[name]
        ]
        if json.loads((run / SETS).read_bytes()) != list(images.digests):
            differences.append("it learned from other shard sets, or from the same in another order")
        if differences:
            raise ValueError(f"{run} holds another run: {', '.join(differences)}. Choose another --out")
        return
    if run.exists() and any(path.name != SETS for path in run.iterdir()):
        raise ValueError(f"{run} is not empty and holds no run of synpat-train: choose another --out")
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / SETS, json.dumps(images.digests).encode())
    write_whole(run / CONFIG, to_yaml(config).encode())


def _draw_pictures(run: Path, step: int, model: MaskedAutoencoder, images: Images, config: Config) -> None:
    folder = run / "reconstructions"
    folder.mkdir(exist_ok=True)
    few = images.batch(np.linspace(0, len(images) - 1, min(PICTURES, config.batch_size), dtype=np.int64))
    noise = mask_noise(config, step=0)[: len(few)]
    model.eval()
    sheet = reconstructions(model, few, noise, images.mean, images.std)
    model.train()
    write_whole(folder / f"step-{step:09d}.png", encode_png(sheet))
