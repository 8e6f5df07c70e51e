"""Shard sets as one array of images: decoded once into a memory-mapped cache, then read in any order."""

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synpat_shards import Manifest, ShardRecord, decode_png, open_set, read_members

from .progress import track


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of one or many shard sets, one after the other."""

    sets: tuple[NDArray[np.uint8], ...]
    """Each uint8 [n, height, width], memory-mapped."""
    mean: float
    """Of all pixels, in grey levels 0..255."""
    std: float
    """Of all pixels, in grey levels."""
    digests: tuple[str, ...]
    """Of the pixels of each set."""

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at these places, uint8 [len(indices), height, width]."""
        batch = np.empty((len(indices), *self.sets[0].shape[1:]), np.uint8)
        start = 0
        for images in self.sets:
            here = (indices >= start) & (indices < start + len(images))
            batch[here] = images[indices[here] - start]
            start += len(images)
        return batch


def open_images(folders: Sequence[Path], height: int, width: int, cache: Path) -> Images:
    """Open shard sets for training; the first time, each is decoded into the cache folder.

    Raises ValueError, naming the file, for a set that is not whole, and for one of another size.
    """
    manifests = [open_set(folder) for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
        recipe = manifest.recipe
        if (recipe.height, recipe.width, recipe.mode) != (height, width, "L"):
            raise ValueError(
                f"{folder} holds {recipe.height}x{recipe.width} images in mode {recipe.mode}, the model reads "
                f"{height}x{width} in mode L: render with --size {height}x{width}, or --set height and width"
            )
    sets = tuple(_decoded(folder, manifest, cache) for folder, manifest in zip(folders, manifests, strict=True))
    n = sum(manifest.recipe.n for manifest in manifests)
    mean = math.fsum(m.recipe.n * m.mean for m in manifests) / n
    square = math.fsum(m.recipe.n * (m.std**2 + m.mean**2) for m in manifests) / n
    digests = tuple(map(_digest, manifests))
    return Images(sets=sets, mean=mean, std=math.sqrt(square - mean**2), digests=digests)


def _digest(manifest: Manifest) -> str:
    """What tells the pixels of one set from those of any other."""
    return hashlib.sha256("".join(shard.pixels_sha256 for shard in manifest.shards).encode()).hexdigest()


def _decoded(folder: Path, manifest: Manifest, cache: Path) -> NDArray[np.uint8]:
    recipe = manifest.recipe
    path = cache / f"{recipe.family}-{_digest(manifest)[:16]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            images = np.lib.format.open_memmap(partial, "w+", np.uint8, (recipe.n, recipe.height, recipe.width))
            with ThreadPoolExecutor() as threads:
                decoding = [threads.submit(_decode_shard, folder, shard, images) for shard in manifest.shards]
                for shard in track(decoding, len(decoding), f"decoding {folder}, shards"):
                    shard.result()
            images.flush()
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _decode_shard(folder: Path, shard: ShardRecord, images: NDArray[np.uint8]) -> None:
    path = folder / shard.file
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ValueError(f"{path} is damaged: its checksum is not the manifest's. Render or fetch it again")
    members = [member for member in read_members(path) if member.extension == "png"]
    if len(members) != shard.count:
        raise ValueError(f"{path} holds {len(members)} images instead of {shard.count}: render or fetch it again")
    for index, member in enumerate(members, shard.first_index):
        images[index] = decode_png(data[member.offset : member.offset + member.size])


def batch_indices(seed: int, step: int, batch_size: int, n: int) -> NDArray[np.int64]:
    """Which of n samples step `step` learns from: a pure function, so that a resumed run goes on as if never stopped.

    Every epoch is a permutation of its own; what does not fill a batch is left out of it.
    """
    epoch, place = divmod(step, n // batch_size)
    return epoch_order(seed, epoch, n)[place * batch_size : (place + 1) * batch_size]


@lru_cache(maxsize=1)
def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of all n samples in an epoch, a pure function of seed and epoch."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(n)
