"""Shards behind a URL: downloaded to a local folder when they are needed. The least recently used ones are deleted."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synpat_shards import Store, atomic_file

SPARE = 1 << 30
"""Bytes of disk space that downloaded shards must leave free."""
IN_USE = 5
"""Seconds after its last use during which a shard is not deleted, because another thread may be about to open it."""


@dataclass(frozen=True)
class Remote:
    """Source of a shard."""

    store: Store
    name: str
    bytes: int
    sha256: str

    def fetch(self, to: Path) -> None:
        """Download the shard to a path, unless it is already there. Failed requests are repeated.

        Raises OSError if the store cannot be reached, InputError if the checksum of the shard is wrong.
        """
        with suppress(FileNotFoundError):
            os.utime(to)  # the least recently used shard is deleted first
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        while shutil.disk_usage(to.parent).free < self.bytes + SPARE and (unused := _longest_unused(to.parent)):
            unused.unlink(missing_ok=True)
        self.store.fetch(self.name, to, self.bytes, self.sha256)


def _longest_unused(folder: Path) -> Path | None:
    """Return the least recently used shard of a folder, if one is not in use. Other threads may delete shards at the
    same time."""
    used: dict[Path, float] = {}
    for path in folder.glob("*.tar"):
        with suppress(FileNotFoundError):
            used[path] = path.stat().st_mtime
    path = min(used, key=used.__getitem__, default=None)
    return path if path and used[path] < time.time() - IN_USE else None


def fetch_tar(store: Store, name: str, to: Path) -> Path:
    """Download a tar of a folder without a manifest to a path, unless it is already there. Return the path.

    Raises OSError if the tar does not exist.
    """
    size = store.size(name)
    if not to.exists() or to.stat().st_size != size:
        to.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(to) as file:
            for piece in store.chunks(name):
                file.write(piece)
    return to
