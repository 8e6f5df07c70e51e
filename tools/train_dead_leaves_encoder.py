"""Train the encoder of feature-vis-dead-leaves: a ResNet-50 that tells each dead-leaves image from all others.

Instance discrimination by contrast within a batch (Chen et al., "A simple framework for contrastive learning", 2020),
in place of the published MoCo v2, whose weights cannot be fetched.

Example:
    synpat render --family dead-leaves-shapes --n 100000 --size 128x128 --mode RGB --out sets/leaves
    python tools/train_dead_leaves_encoder.py sets/leaves encoder.pt
    synpat render --family feature-vis-dead-leaves --param encoder=encoder.pt --n 1000 --out sets/feature-vis
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
"""Of the head in which images are compared; it is thrown away."""


@click.command(epilog="Example: python tools/train_dead_leaves_encoder.py sets/leaves encoder.pt")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--steps", default=20_000, show_default=True, help="Batches to learn from.")
@click.option("--batch-size", default=256, show_default=True, help="Images in a batch, each of which is seen twice.")
@click.option("--side", default=112, show_default=True, help="Pixels along a side of what is cut out of an image.")
@click.option("--width", default=64, show_default=True, help="Channels of the first layer; 64 is ResNet-50.")
@click.option("--lr", default=1e-3, show_default=True, help="Highest learning rate; it falls to 0 as a cosine.")
@click.option("--temperature", default=0.2, show_default=True, help="Of the softmax over the images of a batch.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
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
    """Train on the set in FOLDER, and write the weights to OUT."""
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
    """How badly a view's other view stands out among all views: features [2 n, d], the first n of the same images."""
    similarity = features @ features.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    other = torch.arange(len(features), device=features.device).roll(len(features) // 2)
    return nn.cross_entropy(similarity, other)


def _images(folder: Path) -> NDArray[np.uint8]:
    """All images of a set, [n, height, width, 3]."""
    images = []
    for shard in open_set(folder).shards:
        data = (folder / shard.file).read_bytes()
        for member in read_members(folder / shard.file):
            if member.extension == "png":
                images.append(convert_mode(decode_png(data[member.offset : member.offset + member.size]), "RGB"))
    return np.stack(images)


def _views(rng: np.random.Generator, batch: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A random cut of each image, mirrored or not, its colours in another order: [n, side, side, 3]."""
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
