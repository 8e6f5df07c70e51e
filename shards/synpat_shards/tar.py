"""Tar files in the layout of WebDataset: the members of a sample are adjacent and have the same key.

Headers are plain ustar with fixed owner, mode and time, so that the same samples always give the same bytes. The reader
is safe for untrusted files: it accepts only regular files with known extensions, and it never writes a file.
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
"""Possible members of a sample, in this order. A tar file with other members is rejected."""
LARGEST_MEMBER = 64 << 20
"""Maximum size of a member in bytes. Larger sizes in a header are rejected before data are read."""
LARGEST_END = 64 << 10
"""Maximum number of zero bytes at the end of a tar file. GNU tar pads to 10 kB."""


class Writable(Protocol):
    """An output file for `write_sample` and `write_end`."""

    def write(self, data: bytes, /) -> object: ...


class Readable(Protocol):
    """An input file for `scan`, which reads it only forwards."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> object: ...


@dataclass(frozen=True)
class Member:
    """Name and position of a member of a tar file."""

    key: str
    """Key of the sample."""
    extension: str
    """Extension, one of EXTENSIONS."""
    offset: int
    """Position of the first byte of the data, in bytes."""
    size: int
    """Size of the data in bytes."""


def write_sample(file: Writable, key: str, parts: Mapping[str, bytes]) -> None:
    """Append one sample: a member `key.extension` for each part, in the given order. Keys must be increasing."""
    blocks = []
    for extension, data in parts.items():
        blocks += (_header(f"{key}.{extension}", len(data)), data, bytes(-len(data) % BLOCK))
    file.write(b"".join(blocks))


def write_end(file: Writable) -> None:
    """Append the end of a tar file."""
    file.write(END_OF_ARCHIVE)


def _header(name: str, size: int) -> bytes:
    """Return a ustar header: name, mode, owner, group, size, time, checksum, type, link and magic; numbers in octal."""
    file_name, length = name.encode(), b"%011o\0" % size
    checksum = b"%06o\0 " % (_OTHER_BYTES + sum(file_name) + sum(length))
    return b"".join((file_name.ljust(100, b"\0"), _MODE_AND_OWNER, length, _TIME, checksum, _REST))


_MODE_AND_OWNER, _TIME = b"0000444\0" + 2 * b"0000000\0", b"00000000000\0"
_REST = (b"0" + bytes(100) + b"ustar\0" + b"00").ljust(BLOCK - 156, b"\0")
_OTHER_BYTES = sum(_MODE_AND_OWNER) + sum(_TIME) + sum(b" " * 8) + sum(_REST)
"""Sum of the constant bytes of a header, for its checksum. The bytes of the checksum itself count as spaces."""


def read_members(path: Path) -> Iterator[Member]:
    """Yield the members of a tar file in their order, from its headers alone. Raises the same errors as `scan`."""
    with path.open("rb", buffering=0) as file:
        yield from scan(file, str(path), os.fstat(file.fileno()).st_size)


def scan(file: Readable, name: str, size: int) -> Iterator[Member]:
    """Yield the members of a tar file of `size` bytes. The caller may read the data of a member before the next one.

    Raises InputError, with the name of the file, if it is truncated or not a valid shard. All members of a shard are
    regular files of at most LARGEST_MEMBER bytes, named `key.extension`. Keys are increasing, and all samples have the
    same extensions.
    """
    samples, position = _Samples(name), 0
    while (header := file.read(BLOCK)) != _ZEROS:
        if len(header) < BLOCK:
            raise InputError(f"{name} is truncated: the two zero blocks at the end are missing")
        member = _member(header, position + BLOCK, name)
        position = member.offset + member.size + -member.size % BLOCK
        if position > size:
            raise InputError(f"{name} is truncated: {member.key}.{member.extension} extends beyond its end")
        samples.take(member)
        yield member
        file.seek(position)
    samples.finish()
    rest = size - position - BLOCK
    if not BLOCK <= rest <= LARGEST_END or file.read(rest).strip(b"\0"):
        raise InputError(f"{name} is not a valid shard: it must end with at least two zero blocks, and nothing else")


class _Samples:
    """Check that the members of a tar file form samples. It stores only the current sample."""

    def __init__(self, name: str) -> None:
        self.name, self.key, self.extensions, self.count = name, "", [], 0
        self.first = True

    def take(self, member: Member) -> None:
        if member.key != self.key:
            if member.key < self.key:
                raise InputError(
                    f"{self.name} is not a valid shard: key {member.key} follows {self.key}, keys must be increasing"
                )
            self.finish()
            self.first, self.key, self.count = not self.key, member.key, 0
        if self.first and member.extension not in self.extensions:
            self.extensions.append(member.extension)
        if self.extensions[self.count : self.count + 1] != [member.extension]:
            raise InputError(
                f"{self.name} is not a valid shard: {member.key}.{member.extension} is duplicate or out of order; each "
                f"sample must have {', '.join(self.extensions)}"
            )
        self.count += 1

    def finish(self) -> None:
        if self.count != len(self.extensions):
            raise InputError(
                f"{self.name} is not a valid shard: sample {self.key} has no member {self.extensions[self.count]}"
            )


def _member(header: bytes, offset: int, name: str) -> Member:
    """Parse a header. Raises InputError if it is not that of a member of a sample."""
    size, checksum = _octal(header[124:136]), _octal(header[148:156])
    # Unused numbers must be valid too, because other readers would stop at invalid ones.
    numbers = [size, checksum, *(_octal(header[start:end].strip(b"\0 ") or b"0") for start, end in _UNUSED_NUMBERS)]
    sums_up = checksum == sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if header[257:262] != b"ustar" or not sums_up or size is None or None in numbers:
        raise InputError(f"{name} is not a valid tar file: there is no ustar header at byte {offset - BLOCK}")
    file_name = header[:100].rstrip(b"\0")
    if header[156:157] not in (b"0", b"\0") or header[345:500].strip(b"\0") or not _NAME.fullmatch(file_name):
        file_name = (header[345:500].rstrip(b"\0") + b"/" + file_name).lstrip(b"/") if header[345] else file_name
        raise InputError(
            f"{name} contains {file_name[:100].decode('latin-1')!a}: a shard may contain only regular files named "
            f"key.extension with an extension of {', '.join(EXTENSIONS)}"
        )
    if size > LARGEST_MEMBER:
        raise InputError(f"{name} contains {file_name.decode()!r} of {size} bytes: the maximum is {LARGEST_MEMBER}")
    key, _, extension = file_name.decode().partition(".")
    return Member(key, extension, offset, size)


def _octal(field: bytes) -> int | None:
    """Parse an octal number of a header. Return None for binary numbers of other formats and for invalid numbers."""
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    return int(digits, 8) if _OCTAL.fullmatch(digits) else None


_ZEROS = bytes(BLOCK)
_NAME = re.compile(rb"[0-9A-Za-z_-]{1,80}\.(?:%s)" % "|".join(EXTENSIONS).encode())
_UNUSED_NUMBERS = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
"""Positions of mode, owner, group, time and device numbers in a header."""
_OCTAL = re.compile(rb"[0-7]{1,12}")
