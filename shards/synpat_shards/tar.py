"""Tar files in the layout of WebDataset: the members of a sample stand side by side and share a key.

Headers are plain ustar with fixed owner, mode and time, so that the same samples always give the same bytes. The
reader trusts nothing: it takes regular files alone, in the extensions it knows, and never writes a file.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import InputError

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
EXTENSIONS = ("png", "cls", "json")
"""The members that a sample may have, in this order; a tar with any other is refused."""
LARGEST_MEMBER = 64 << 20
"""Bytes. A header that promises more is refused before anything is read."""
LARGEST_END = 64 << 10
"""Bytes of zeros that a tar may close with; GNU tar fills up to 10 kB."""


class Writable(Protocol):
    """What a tar is written to."""

    def write(self, data: bytes, /) -> object: ...


class Readable(Protocol):
    """What a tar is read from, never backwards."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> object: ...


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
    """Append one sample: a member `key.extension` for each part, in the order given. Keys must rise in a tar."""
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

    Raises InputError, naming the file, for anything that `scan` refuses.
    """
    with path.open("rb", buffering=0) as file:
        yield from scan(file, str(path), os.fstat(file.fileno()).st_size)


def scan(file: Readable, name: str, size: int) -> Iterator[Member]:
    """The members of a tar of `size` bytes, header by header; the data of one may be read before the next is asked for.

    Raises InputError, naming the tar, if it is torn or anything but samples of one kind: regular files with a plain
    `key.extension` for a name, keys that rise, the same extensions in each, none beyond LARGEST_MEMBER.
    """
    samples, position = _Samples(name), 0
    while (header := file.read(BLOCK)) != _ZEROS:
        if len(header) < BLOCK:
            raise InputError(f"{name} is torn: it ends without the blocks that close a tar")
        member = _member(header, position + BLOCK, name)
        position = member.offset + member.size + -member.size % BLOCK
        if position > size:
            raise InputError(f"{name} is torn: {member.key}.{member.extension} reaches beyond its end")
        samples.take(member)
        yield member
        file.seek(position)
    samples.finish()
    rest = size - position - BLOCK
    if not BLOCK <= rest <= LARGEST_END or file.read(rest).strip(b"\0"):
        raise InputError(f"{name} is refused: a tar closes with two empty blocks and nothing behind them")


class _Samples:
    """What the members of a tar make up: it remembers only the sample that it is in."""

    def __init__(self, name: str) -> None:
        self.name, self.key, self.kind, self.found = name, "", [], 0
        self.first = True

    def take(self, member: Member) -> None:
        if member.key != self.key:
            if member.key < self.key:
                raise InputError(f"{self.name} is refused: key {member.key} comes after {self.key}, keys must rise")
            self.finish()
            self.first, self.key, self.found = not self.key, member.key, 0
        if self.first and member.extension not in self.kind:
            self.kind.append(member.extension)
        if self.kind[self.found : self.found + 1] != [member.extension]:
            raise InputError(
                f"{self.name} is refused: {member.key}.{member.extension} is there twice or out of order; each sample "
                f"has {', '.join(self.kind)}"
            )
        self.found += 1

    def finish(self) -> None:
        if self.found != len(self.kind):
            raise InputError(f"{self.name} is refused: sample {self.key} lacks {self.kind[self.found]}")


def _member(header: bytes, offset: int, name: str) -> Member:
    """What a header says, if it is that of a sample's member."""
    size, checksum = _octal(header[124:136]), _octal(header[148:156])
    # The numbers that we do not need must be numbers too: other readers stop where they are not.
    numbers = [size, checksum, *(_octal(header[start:end].strip(b"\0 ") or b"0") for start, end in _UNUSED_NUMBERS)]
    sums_up = checksum == sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if header[257:262] != b"ustar" or not sums_up or size is None or None in numbers:
        raise InputError(f"{name} is no whole tar file: byte {offset - BLOCK} should begin a ustar header")
    called = header[:100].rstrip(b"\0")
    if header[156:157] not in (b"0", b"\0") or header[345:500].strip(b"\0") or not _NAME.fullmatch(called):
        called = (header[345:500].rstrip(b"\0") + b"/" + called).lstrip(b"/") if header[345] else called
        raise InputError(
            f"{name} holds {called[:100].decode('latin-1')!a}: only regular files named key.extension "
            f"belong there, with an extension of {', '.join(EXTENSIONS)}"
        )
    if size > LARGEST_MEMBER:
        raise InputError(f"{name} holds {called.decode()!r} of {size} bytes; {LARGEST_MEMBER} is the most")
    key, _, extension = called.decode().partition(".")
    return Member(key, extension, offset, size)


def _octal(field: bytes) -> int | None:
    """A number of a header; None for the binary ones of other formats, and for what is none."""
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    return int(digits, 8) if _OCTAL.fullmatch(digits) else None


_ZEROS = bytes(BLOCK)
_NAME = re.compile(rb"[0-9A-Za-z_-]{1,80}\.(?:%s)" % "|".join(EXTENSIONS).encode())
_UNUSED_NUMBERS = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
"""Where mode, owner, group, time and device lie in a header."""
_OCTAL = re.compile(rb"[0-7]{1,12}")
