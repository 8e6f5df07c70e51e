"""Shard sets as training data: sets of synpat, described by a manifest, and any other WebDataset of images."""

import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from synpat_shards import (
    FOLDER,
    MANIFEST,
    InputError,
    Manifest,
    is_system_file,
    is_url,
    missing_set,
    open_set,
    open_store,
    read_manifest,
    some,
)
from synpat_train.progress import print_message

from .audio_folder import RECORDINGS, audio_files, spectrogram_tar
from .grey import decode_grey, image_size, resized, width_at
from .remote import Remote, fetch_tar
from .sources import Source, resolve
from .tar_index import TarImage, first_images, tar_images

HEADER = 4096
"""Number of bytes of an image file that are read first to find its size."""
STATISTICS_IMAGES = 1000
"""Maximum number of images from which mean and standard deviation of a set without a manifest are estimated."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar of images."""

    path: Path
    """Local path."""
    count: int
    """Number of images."""
    sha256: str | None
    """SHA-256 of the file; None if it is unknown."""
    remote: Remote | None = None
    """Where the shard is downloaded from; None for a local shard."""

    def present(self) -> Path:
        """Return the path, after downloading the shard if necessary. Raises as `Remote.fetch`."""
        if self.remote is not None:
            self.remote.fetch(self.path)
        return self.path


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """A shard set as the trainer uses it: grey images of one height."""

    name: str
    """Path or URL as given by the user."""
    family: str | None
    """Family of a set of synpat; RECORDINGS for a folder of audio files; None for any other set."""
    seed: int | None = None
    """Seed of a set of synpat."""
    weight: float
    """How often an epoch contains each sample."""
    digest: str
    """Digest that identifies the set: of all pixels if there is a manifest, else of the names, positions and sizes
    of the images."""
    height: int
    widths: NDArray[np.integer] = field(repr=False)
    """Width of each image at this height: int [images]. It is 0 for an image of another tool that cannot be read, or
    that is too narrow or too wide, which is reported when it is decoded."""
    resized: bool
    """True if images of another size are resized instead of refused."""
    shards: tuple[Shard, ...]
    mean: float
    """Mean of all pixels in grey levels 0..255."""
    std: float
    """Standard deviation of all pixels in grey levels."""

    def __len__(self) -> int:
        return sum(shard.count for shard in self.shards)

    @cached_property
    def width(self) -> int | None:
        """Width of all images; None if they differ."""
        return int(self.widths[0]) if (self.widths == self.widths[0]).all() else None

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Decode an image file of the set to uint8 [height, width].

        Raises InputError if the file is corrupt or has a size that the set does not allow.
        """
        image = decode_grey(data)
        if self.resized:
            return resized(image, self.height)
        if image.shape != (self.height, self.width):
            raise InputError(f"{image.shape[0]}x{image.shape[1]} pixels instead of {self.height}x{self.width}")
        return image


def open_sets(given: Iterable[str], height: int, cache: Path, skip_damaged: bool = False) -> tuple[ShardSet, ...]:
    """Open the sets of `--shards` for a model with this input height.

    given: as for `resolve`. A folder or a URL contains a set of synpat or any tars of images, a folder may contain
    audio files instead. cache: folder for shards
    behind a URL. skip_damaged: also open sets of synpat with missing shards.
    Raises InputError, naming the path or file, if a set is incomplete, has another height or colour images, or if a
    weight is not a positive number; OSError if a store cannot be reached.
    """
    return tuple(_open(source, height, cache / "shards", skip_damaged) for source in resolve(given))


def _open(source: Source, height: int, cache: Path, skip_damaged: bool) -> ShardSet:
    if source.tars:
        return _open_foreign_set(source, [_local_tar(tar, cache) for tar in source.tars], height, skip_damaged)
    store = open_store(source.name)
    if re.search(r"\.(tgz|tar\.\w+)$", source.name):
        raise InputError(f"{source.name} is not a .tar: decompress it first")
    if store.exists(MANIFEST):
        manifest = (read_manifest if skip_damaged else open_set)(store)
        folder = _fetched(store.url, cache) if is_url(source.name) else Path(source.name)
        return _open_synpat_set(source, manifest, height, folder)
    entries = store.entries() or {}
    tars = sorted(
        name for name, is_folder in entries.items() if name.endswith(".tar") and not (is_folder or is_system_file(name))
    )
    if not tars and FOLDER not in entries and store.is_local and (files := audio_files(Path(store.root))):
        tar = spectrogram_tar(Path(source.name), files, height, cache, skip_damaged)
        return replace(_open_foreign_set(source, [tar], height, skip_damaged), family=RECORDINGS)
    if not tars or FOLDER in entries:
        raise missing_set(store)
    return _open_foreign_set(source, [_local_tar(f"{source.name}/{tar}", cache) for tar in tars], height, skip_damaged)


def _local_tar(location: str, cache: Path) -> Path:
    """Return the path of a tar, after downloading it if it is behind a URL.

    Raises InputError if there is no such file.
    """
    if is_url(location):
        folder, _, name = location.rpartition("/")
        return fetch_tar(open_store(folder), name, _fetched(folder, cache) / name)
    path = Path(location)
    if not path.is_file():
        present = sorted(tar.name for tar in path.parent.glob("*.tar"))
        tars = f"the tars {some(present)}" if present else "no tars"
        raise InputError(f"{location} does not exist, or is not a file: {path.parent} contains {tars}")
    return path


def _fetched(url: str, cache: Path) -> Path:
    """Return the folder for the shards of a URL."""
    return cache / hashlib.sha256(url.encode()).hexdigest()[:16]


def _open_synpat_set(source: Source, manifest: Manifest, height: int, folder: Path) -> ShardSet:
    """Open a set with a manifest. folder: where the shards are, or will be downloaded to."""
    spec, location, store = manifest.spec, source.name, open_store(source.name)
    if spec.mode != "L":
        raise InputError(
            f"{location} contains images in mode {spec.mode}, but the model needs grey images: render with --mode L"
        )
    if spec.height != height:
        raise InputError(
            f"{location} contains images of {spec.height}x{spec.width}, but the model needs a height of {height}: "
            f"render with --size {height}x{spec.width}, or train with --set height={spec.height}"
        )
    return ShardSet(
        name=store.url if is_url(location) else location,
        family=spec.family,
        seed=spec.seed,
        weight=source.weight,
        digest=hashlib.sha256("".join(shard.pixels_sha256 for shard in manifest.shards).encode()).hexdigest(),
        height=spec.height,
        widths=np.broadcast_to(np.int32(spec.width), spec.n),
        resized=False,
        shards=tuple(
            Shard(
                path=folder / shard.file,
                count=shard.count,
                sha256=shard.sha256,
                remote=Remote(store, shard.file, shard.bytes, shard.sha256) if is_url(location) else None,
            )
            for shard in manifest.shards
        ),
        mean=manifest.mean,
        std=manifest.std,
    )


def _open_foreign_set(source: Source, tars: Sequence[Path], height: int, skip_damaged: bool) -> ShardSet:
    """Open a set without a manifest.

    Each image is resized to the height of the model with its own proportions. Corrupt images are skipped here and
    reported when they are read.
    """
    images = {tar: _images_of(tar, skip_damaged) for tar in tars}
    entries = [(tar, entry) for tar in tars for entry in images[tar]]
    if not entries:
        raise InputError(
            f"{source.name} contains no images: its tars have no members with the extension .png, .jpg, .jpeg or .webp"
        )
    sampled = [entries[i] for i in np.linspace(0, len(entries) - 1, min(len(entries), STATISTICS_IMAGES), dtype=int)]
    levels = np.zeros(256, np.int64)  # a histogram, because the images may be large
    for tar, entry in sampled:
        if (image := _decode_or_none(tar, entry)) is not None:
            levels += np.bincount(image.ravel(), minlength=256)
    widths = np.array([width for tar in tars for width in _widths(tar, images[tar], height)], np.int32)
    if not levels.any() or not widths.any():
        tar, entry = sampled[0]
        reason = _fault(tar, entry, height)
        raise InputError(f"{source.name} contains no usable image: the first, {tar} at {entry.key!r}, is {reason}")
    mean = float(np.average(np.arange(256), weights=levels))
    std = math.sqrt(np.average((np.arange(256) - mean) ** 2, weights=levels))
    identity = "".join(f"{tar.name}/{entry.key} {entry.offset} {entry.size}\n" for tar, entry in entries)
    return ShardSet(
        name=source.name,
        family=None,
        weight=source.weight,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        height=height,
        widths=widths,
        resized=True,
        shards=tuple(Shard(path=tar, count=len(images[tar]), sha256=None) for tar in tars if images[tar]),
        mean=mean,
        std=std or 1.0,
    )


def _images_of(tar: Path, skip_damaged: bool) -> list[TarImage]:
    """Return the images of a tar, and report those that are left out because a sample has several.

    skip_damaged: report a corrupt tar, and return no images.
    """
    try:
        images = tar_images(tar)
        first = first_images(images)
        if others := len(images) - len(first):
            print_message(f"{tar}: {others:,} of {len(images):,} images are left out, as further images of a sample")
        return first
    except InputError as error:
        if not skip_damaged:
            raise
        print_message(f"skipped: {error}")
        return []


def _decode_or_none(tar: Path, entry: TarImage) -> NDArray[np.uint8] | None:
    """Return an image, or None if it is corrupt."""
    with tar.open("rb") as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
    try:
        return decode_grey(data)
    except InputError:
        return None


def _fault(tar: Path, entry: TarImage, height: int) -> str:
    """Return the reason for which an image cannot be used."""
    with tar.open("rb") as file:
        data = os.pread(file.fileno(), entry.size, entry.offset)
    try:
        return f"resized to {resized(decode_grey(data), height).shape}"
    except InputError as fault:
        return str(fault)


def _widths(tar: Path, images: Sequence[TarImage], height: int) -> Iterator[int]:
    """Yield the width of each image after it has been resized to a height, read from its header; 0 if it is not
    valid."""
    with tar.open("rb") as file:
        for entry in images:
            yield _width(file, entry, height)


def _width(file: BinaryIO, entry: TarImage, height: int) -> int:
    for most in (HEADER, entry.size):  # a JPEG may have a preview before its header, WebP is read completely
        with suppress(InputError):
            return width_at(height, image_size(os.pread(file.fileno(), min(most, entry.size), entry.offset)))
    return 0
