"""Reading a set wherever it lies: shards from end to end in one pass, or single images by their place."""

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
    """A file read forwards in pieces, as a tar is, that knows the checksum of what has passed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.sha256, self.position = pieces, hashlib.sha256(), 0
        self._piece, self._used = b"", 0

    def read(self, size: int, /) -> bytes:
        parts, wanted = [], size
        while wanted:
            if self._used == len(self._piece) and not self._next():
                break
            part = self._piece[self._used : self._used + wanted]
            parts.append(part)
            wanted -= len(part)
            self._used += len(part)
        self.position += size - wanted
        return b"".join(parts)

    def seek(self, position: int, /) -> None:
        """Go forward; what is passed over is hashed but not kept."""
        while self.position < position:
            if self._used == len(self._piece) and not self._next():
                return
            step = min(position - self.position, len(self._piece) - self._used)
            self._used += step
            self.position += step

    def digest(self) -> str:
        """The checksum of the whole file, whose rest is read for it."""
        while self._next():
            pass
        return self.sha256.hexdigest()

    def _next(self) -> bool:
        self._piece, self._used = next(self.pieces, b""), 0
        self.sha256.update(self._piece)
        return bool(self._piece)


def shard_members(store: Store, shard: ShardRecord) -> Iterator[tuple[Member, bytes]]:
    """Every member of a shard with its data, in one pass over the file. Raises InputError as `scan` does."""
    stream = Stream(store.chunks(shard.file))
    for member in scan(stream, store.name(shard.file), shard.bytes):
        yield member, stream.read(member.size)


def read_images(store: Store, manifest: Manifest, indices: Sequence[int]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """The images at these indices, which must rise, each with the bytes of its file; nothing else is read of a shard.

    Raises InputError, naming the file, if an index or an image is not what it should be.
    """
    for shard in manifest.shards:
        here = [index for index in indices if shard.first_index <= index < shard.first_index + shard.count]
        lines = store.read(index_name(shard.file)).decode("ascii", "replace").splitlines() if here else []
        for index in here:
            yield _image(store, shard, index, lines[1 + index - shard.first_index : 2 + index - shard.first_index])


def _image(store: Store, shard: ShardRecord, index: int, line: list[str]) -> tuple[NDArray[np.uint8], int]:
    words = line[0].split() if line else []
    fits = words[:1] == ["png"] and words[3:4] == [f"{index:010d}.png"] and all(map(str.isdecimal, words[1:3]))
    if not fits or int(words[2]) > LARGEST_MEMBER:
        raise InputError(f"{store.name(index_name(shard.file))} is damaged: it does not say where sample {index} lies")
    try:
        return decode_png(store.read_part(shard.file, int(words[1]), int(words[2]))), int(words[2])
    except InputError as fault:
        raise InputError(f"{store.name(shard.file)}, sample {index}: {fault}") from None
