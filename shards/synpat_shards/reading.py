"""Reading of sets in folders or at URLs: complete shards in one pass, or single images by position."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .manifest import Manifest, ShardRecord
from .png import decode_png
from .sidecars import index_name
from .store import Store
from .tar import LARGEST_MEMBER, Member, scan


class Stream:
    """A file that is read forwards in pieces, with a running checksum."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.sha256, self.position = pieces, hashlib.sha256(), 0
        self._piece, self._used = b"", 0

    def read(self, size: int, /) -> bytes:
        parts, missing = [], size
        while missing:
            if self._used == len(self._piece) and not self._next():
                break
            part = self._piece[self._used : self._used + missing]
            parts.append(part)
            missing -= len(part)
            self._used += len(part)
        self.position += size - missing
        return b"".join(parts)

    def seek(self, position: int, /) -> None:
        """Move forward. The skipped bytes are included in the checksum."""
        while self.position < position:
            if self._used == len(self._piece) and not self._next():
                return
            step = min(position - self.position, len(self._piece) - self._used)
            self._used += step
            self.position += step

    def digest(self) -> str:
        """Read the rest of the file and return the SHA-256 of the complete file."""
        while self._next():
            pass
        return self.sha256.hexdigest()

    def _next(self) -> bool:
        self._piece, self._used = next(self.pieces, b""), 0
        self.sha256.update(self._piece)
        return bool(self._piece)


def shard_members(store: Store, shard: ShardRecord) -> Iterator[tuple[Member, bytes]]:
    """Yield every member of a shard with its data, in one pass. Raises the same errors as `scan`."""
    stream = Stream(store.chunks(shard.file))
    for member in scan(stream, store.name(shard.file), shard.bytes):
        yield member, stream.read(member.size)


def read_images(store: Store, manifest: Manifest, indices: Sequence[int]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield the images at increasing indices, each with the size of its file in bytes. Only these images are read.

    Raises InputError, with the name of the file, if an index file or an image is not valid.
    """
    for shard in manifest.shards:
        selected = [index for index in indices if shard.first_index <= index < shard.first_index + shard.count]
        lines = store.read(index_name(shard.file)).decode("ascii", "replace").splitlines() if selected else []
        for index in selected:
            yield _image(store, shard, index, lines[1 + index - shard.first_index : 2 + index - shard.first_index])


def _image(store: Store, shard: ShardRecord, index: int, line: list[str]) -> tuple[NDArray[np.uint8], int]:
    words = line[0].split() if line else []
    fits = words[:1] == ["png"] and words[3:4] == [f"{index:010d}.png"] and all(map(str.isdecimal, words[1:3]))
    if not fits or int(words[2]) > LARGEST_MEMBER:
        raise InputError(
            f"{store.name(index_name(shard.file))} is corrupt: it has no valid line for sample {index}. Render the "
            "shard again"
        )
    try:
        return decode_png(store.read_part(shard.file, int(words[1]), int(words[2]))), int(words[2])
    except InputError as fault:
        raise InputError(f"{store.name(shard.file)}, sample {index}: {fault}") from None
