"""Tar files in the layout of WebDataset: the members of a sample stand side by side and share a key.

Headers are plain ustar with fixed owner, mode and time, so that the same samples always give the same bytes. The
reader trusts nothing: it looks at regular files alone, in the extensions it was told, and never writes a file.
"""

import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
LARGEST_MEMBER = 64 << 20
"""Bytes. A header that promises more is refused before anything is read."""


class Writable(Protocol):
    """What a tar is written to."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Member:
    """Where a file of a sample lies inside a tar."""

    key: str
    extension: str
    offset: int
    """Position of the first byte of the data, in bytes."""
    size: int
    """Bytes."""


def write_sample(file: Writable, key: str, parts: Mapping[str, bytes]) -> None:
    """Append one sample: a member `key.extension` for each part, in the order given."""
    blocks = []
    for extension, data in parts.items():
        blocks += (_header(f"{key}.{extension}", len(data)), data, bytes(-len(data) % BLOCK))
    file.write(b"".join(blocks))


def write_end(file: Writable) -> None:
    """Append what closes a tar."""
    file.write(END_OF_ARCHIVE)


def _header(name: str, size: int) -> bytes:
    """A ustar header: name, mode, owner, group, size, time, checksum, type, link and magic; numbers in octal."""
    named, length = name.encode(), b"%011o\0" % size
    checksum = b"%06o\0 " % (_OTHER_BYTES + sum(named) + sum(length))
    return b"".join((named.ljust(100, b"\0"), _MODE_AND_OWNER, length, _TIME, checksum, _REST))


_MODE_AND_OWNER, _TIME = b"0000444\0" + 2 * b"0000000\0", b"00000000000\0"
_REST = (b"0" + bytes(100) + b"ustar\0" + b"00").ljust(BLOCK - 156, b"\0")
_OTHER_BYTES = sum(_MODE_AND_OWNER) + sum(_TIME) + sum(b" " * 8) + sum(_REST)
"""Their part of a header's checksum, which is taken with spaces in its own place: adding up all 512 costs the most."""


def read_members(path: Path) -> Iterator[Member]:
    """The members of a tar in their order, from its headers alone.

    Raises ValueError, naming the file, for one that is torn, holds anything but regular files, names a path, or
    promises a member beyond LARGEST_MEMBER.
    """
    size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                if not entry.isreg() or "/" in entry.name or "\\" in entry.name or "." not in entry.name[1:]:
                    raise ValueError(
                        f"{path} holds {entry.name!r}: only regular files named key.extension belong there"
                    )
                if entry.size > LARGEST_MEMBER:
                    raise ValueError(f"{path} holds {entry.name!r} of {entry.size} bytes; {LARGEST_MEMBER} is the most")
                if entry.offset_data + entry.size > size:
                    raise ValueError(f"{path} is torn: {entry.name!r} reaches beyond its end")
                key, _, extension = entry.name.partition(".")
                yield Member(key, extension, entry.offset_data, entry.size)
    except tarfile.TarError as torn:
        raise ValueError(f"{path} is no whole tar file: {torn}") from None
