"""Where the images of a WebDataset shard lie inside its tar: found from the headers alone, nothing is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from synpat_shards import InputError

BLOCK = 512
IMAGES = ("png", "jpg", "jpeg", "webp")
"""Extensions that are read, in any case; all other members are passed over."""
LARGEST = 64 << 20
"""Bytes of an image. A header that promises more is refused before anything is read."""

_PLAIN = (b"0", b"\0")
"""Types of a regular file in a ustar header; a tar with any other type goes to the standard library."""


@dataclass(frozen=True, slots=True)
class TarImage:
    """One image inside a tar."""

    key: str
    """What its sample is called."""
    offset: int
    """Position of its first byte."""
    size: int
    """Bytes."""


def index_shard(path: Path) -> list[TarImage]:
    """The images of a tar in their order, the first of each sample.

    Raises InputError, naming the file, for a tar that is torn or promises an image beyond LARGEST, and OSError if it
    cannot be read.
    """
    end = path.stat().st_size
    places: dict[str, TarImage] = {}
    try:
        with path.open("rb") as file:
            for name, offset, size in _members(file):
                folder, slash, base = name.rpartition("/")
                key, _, extension = base.partition(".")  # as WebDataset splits a name
                if extension.lower() not in IMAGES:
                    continue
                if size > LARGEST:
                    raise InputError(f"{path} holds {name!r} of {size} bytes; {LARGEST} is the most")
                if offset + size > end:
                    raise InputError(f"{path} is torn: {name!r} reaches beyond its end")
                places.setdefault(folder + slash + key, TarImage(folder + slash + key, offset, size))
    except tarfile.TarError as torn:
        raise InputError(f"{path} is no whole tar file: {torn}") from None
    return list(places.values())


def _members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each regular file."""
    plain = _plain_members(file)
    if plain is not None:
        yield from plain
        return
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        yield from ((member.name, member.offset_data, member.size) for member in tar if member.isreg())
        if not os.pread(file.fileno(), BLOCK, tar.offset):  # the standard library does not miss them
            raise tarfile.ReadError("its closing zeros are missing")


def _plain_members(file: BinaryIO) -> list[tuple[str, int, int]] | None:
    """The same, many times faster than the standard library, for a tar of nothing but short names of regular files.

    None for any other, and for one that is broken: the standard library then says how.
    """
    members, offset = [], 0
    while (header := os.pread(file.fileno(), BLOCK, offset)).strip(b"\0"):
        if len(header) < BLOCK or header[156:157] not in _PLAIN or header[257:262] != b"ustar" or header[345]:
            return None
        try:
            checksum, size = int(header[148:156].rstrip(b" \0"), 8), int(header[124:136].rstrip(b" \0"), 8)
        except ValueError:  # a size in binary, or no header at all
            return None
        if checksum != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            return None
        members.append((header[:100].rstrip(b"\0").decode("utf-8", "replace"), offset + BLOCK, size))
        offset += BLOCK + -(-size // BLOCK) * BLOCK
    return members if header else None  # without its closing zeros it is torn
