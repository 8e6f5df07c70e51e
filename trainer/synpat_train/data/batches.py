"""The images and the masks of a step, as a function of configuration, shard sets and step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synpat_train.config import Config
from synpat_train.distributed import ProcessGroup

from .images import Images, read_channels
from .shuffle import SampleOrder


@dataclass(frozen=True)
class Batch:
    """This rank's share of a batch."""

    images: Tensor
    """uint8 [batch, 1 or 2, height, width]: the images, and their targets if they have any."""
    noise: Tensor
    """Uniform [batch, patches]. The patches with the lowest noise are visible."""


def make_batch(step: int, config: Config, order: SampleOrder, channels: Sequence[Images], group: ProcessGroup) -> Batch:
    """Return this rank's share of the batch of a step. On a GPU it is in pinned memory.

    The ranks split the same batch into equal shares. channels: the images, and their targets if they have any.
    """
    share = config.batch_size // group.count
    own = slice(group.rank * share, (group.rank + 1) * share)
    for images in channels:
        images.prepare(batch_samples(step + config.window // config.batch_size, config, order))
    shifts, samples = _shifts(config, step)[own], batch_samples(step, config, order)[own]
    pixels = torch.from_numpy(read_channels(channels, samples, shifts))
    noise = mask_noise(config, step)[own]
    if group.device.type == "cuda":
        torch.cuda.set_device(group.device)  # for this thread
        return Batch(pixels.pin_memory(), noise.pin_memory())
    return Batch(pixels, noise)


def batch_samples(step: int, config: Config, order: SampleOrder) -> NDArray[np.int64]:
    """Return the indices of the samples of a step, over all ranks. An incomplete batch at the end of an epoch is
    dropped."""
    epoch, number = divmod(step, len(order) // config.batch_size)
    return order.samples(epoch, number * config.batch_size, (number + 1) * config.batch_size)


def mask_noise(config: Config, step: int) -> Tensor:
    """Return the noise that selects the masked patches of a step: uniform [batch, patches], the same for every
    device and number of ranks."""
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    return torch.rand(config.batch_size, config.patches, generator=generator)


def _shifts(config: Config, step: int) -> NDArray[np.float64]:
    """Return the relative position in time at which the images of a step are cropped or padded: 0 <= shift < 1,
    [batch]."""
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(step,))).random(config.batch_size)
