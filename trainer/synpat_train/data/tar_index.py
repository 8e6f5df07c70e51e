"""Index of the images in a WebDataset shard, read from the tar headers only."""

import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from synpat_shards import BLOCK, InputError, ustar_size

IMAGES = ("png", "jpg", "jpeg", "webp")
"""Extensions of images, in any case. All other members are skipped."""
LARGEST = 64 << 20
"""Maximum size of an image in bytes. A larger one is refused before it is read."""

COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""Programs that decompress files, by the first bytes of the files."""
_PLAIN = (b"0", b"\0")
"""Types of a regular file in a ustar header. A tar with any other type is read by the standard library."""


@dataclass(frozen=True, slots=True)
class TarImage:
    """An image in a tar file."""

    key: str
    """Key of its sample."""
    offset: int
    """Position of its first byte."""
    size: int
    """Size in bytes."""


def index_shard(path: Path) -> list[TarImage]:
    """Return the first image of each sample of a tar file, in order. Raises as `tar_images`."""
    return first_images(tar_images(path))


def first_images(images: Iterable[TarImage]) -> list[TarImage]:
    """Return the first image of each sample."""
    first: dict[str, TarImage] = {}
    for image in images:
        first.setdefault(image.key, image)
    return list(first.values())


def tar_images(path: Path) -> list[TarImage]:
    """Return all images of a tar file, in order.

    Raises InputError, naming the file, if the tar is truncated or has an image larger than LARGEST, and OSError if it
    cannot be read.
    """
    end = path.stat().st_size
    images: list[TarImage] = []
    try:
        with path.open("rb") as file:
            for name, offset, size in _members(file):
                folder, slash, base = name.rpartition("/")
                key, _, extension = base.partition(".")  # as in WebDataset
                if extension.lower() not in IMAGES:
                    continue
                if size > LARGEST:
                    raise InputError(f"{path} has a member {name!r} of {size} bytes: the maximum is {LARGEST}")
                if offset + size > end:
                    raise InputError(f"{path} is truncated: {name!r} extends beyond its end")
                images.append(TarImage(folder + slash + key, offset, size))
    except tarfile.TarError as fault:
        if program := _compressed_with(path):
            raise InputError(f"{path} is compressed: decompress it first with {program}") from None
        raise InputError(f"{path} is not a valid tar file: {fault}") from None
    return images


def _compressed_with(path: Path) -> str | None:
    """Return the program that decompresses a file, from its first bytes; None if it is not compressed."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((program for signature, program in COMPRESSED.items() if start.startswith(signature)), None)


def _members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each regular file."""
    plain = _plain_members(file)
    if plain is not None:
        yield from plain
        return
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        yield from ((member.name, member.offset_data, member.size) for member in tar if member.isreg())
        if not os.pread(file.fileno(), BLOCK, tar.offset):  # not checked by the standard library
            raise tarfile.ReadError("it has no end marker")


def _plain_members(file: BinaryIO) -> list[tuple[str, int, int]] | None:
    """Return the members of a tar that has only regular files with short names, many times faster than the standard
    library.

    Return None for any other tar and for a corrupt one, for which the standard library reports the error.
    """
    members, offset = [], 0
    while (header := os.pread(file.fileno(), BLOCK, offset)).strip(b"\0"):
        if len(header) < BLOCK or header[156:157] not in _PLAIN or header[345]:
            return None
        if (size := ustar_size(header)) is None:
            return None
        members.append((header[:100].rstrip(b"\0").decode("utf-8", "replace"), offset + BLOCK, size))
        offset += BLOCK + -(-size // BLOCK) * BLOCK
    return members if header else None  # truncated if there is no end marker
