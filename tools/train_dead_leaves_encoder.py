#!/usr/bin/env python3
"""Train the encoder of feature-vis-dead-leaves: a ResNet-50 trained by instance discrimination on dead-leaves images.

The loss is contrastive within a batch (Chen et al., "A simple framework for contrastive learning", 2020). The published
encoder was trained with MoCo v2, but its weights are not available.
"""

import os
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nn

from synpat.families.feature_vis import DEVIATION, MEAN, encoder_digest, pooled_features, random_weights
from synpat.painting.image import convert_mode
from synpat_shards import decode_png, open_set, read_members

FEATURES = 128
"""Number of outputs of the projection head, which is discarded after training."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--steps", default=20_000, show_default=True, help="Number of batches.")
@click.option("--batch-size", default=256, show_default=True, help="Images per batch; each gives two views.")
@click.option("--side", default=112, show_default=True, help="Side of the random crops in pixels.")
@click.option("--width", default=64, show_default=True, help="Channels of the first layer; 64 is ResNet-50.")
@click.option("--lr", default=1e-3, show_default=True, help="Initial learning rate; cosine decay to 0.")
@click.option("--temperature", default=0.2, show_default=True, help="Temperature of the softmax over a batch.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights, batches and crops.")
@click.option(
    "--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True, help="Device of torch."
)
def main(
    folder: Path,
    out: Path,
    steps: int,
    batch_size: int,
    side: int,
    width: int,
    lr: float,
    temperature: float,
    seed: int,
    device: str,
) -> None:
    """Train on the shard set in FOLDER and write the weights to OUT.

    \b
    Example:
      synpat render --family dead-leaves-shapes --n 100000 --size 128x128 --mode RGB --out sets/leaves
      tools/train_dead_leaves_encoder.py sets/leaves encoder.pt
      synpat render --family feature-vis-dead-leaves --param encoder=encoder.pt --n 1000 --out sets/feature-vis
    """
    images = _images(folder)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    weights = {name: torch.tensor(value, device=device) for name, value in random_weights(width).items()}
    head = torch.nn.Sequential(
        torch.nn.Linear(32 * width, 32 * width), torch.nn.ReLU(), torch.nn.Linear(32 * width, FEATURES)
    ).to(device)
    learnt = [value.requires_grad_() for name, value in weights.items() if "running" not in name]
    optimiser = torch.optim.AdamW([*learnt, *head.parameters()], lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    for step in range(steps):
        batch = images[rng.choice(len(images), min(batch_size, len(images)), replace=False)]
        views = torch.tensor(np.concatenate([_views(rng, batch, side), _views(rng, batch, side)]), device=device)
        views = (views.permute(0, 3, 1, 2).float() / 255 - mean) / deviation
        features = nn.normalize(head(pooled_features(weights, views, training=True)), dim=1)
        loss = contrast(features, temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            click.echo(f"step {step + 1} of {steps}, loss {loss.item():.4f}", err=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    torch.save({name: value.detach().cpu() for name, value in weights.items()}, partial)
    os.replace(partial, out)
    click.echo(f"{out} sha256 {encoder_digest(str(out))}")


def contrast(features: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of features [2 n, d]: rows i and n + i are the two views of image i."""
    similarity = features @ features.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    other = torch.arange(len(features), device=features.device).roll(len(features) // 2)
    return nn.cross_entropy(similarity, other)


def _images(folder: Path) -> NDArray[np.uint8]:
    """Return all images of a set: uint8 [n, height, width, 3]."""
    images = []
    for shard in open_set(folder).shards:
        data = (folder / shard.file).read_bytes()
        for member in read_members(folder / shard.file):
            if member.extension == "png":
                images.append(convert_mode(decode_png(data[member.offset : member.offset + member.size]), "RGB"))
    return np.stack(images)


def _views(rng: np.random.Generator, batch: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a random crop of each image, randomly flipped and with permuted colours: uint8 [n, side, side, 3]."""
    _, height, width, _ = batch.shape
    views = []
    for image in batch:
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        view = image[top : top + side, left : left + side]
        view = view[:: rng.choice([-1, 1]), :: rng.choice([-1, 1]), rng.permutation(3)]
        views.append(view)
    return np.stack(views)


if __name__ == "__main__":
    main()
