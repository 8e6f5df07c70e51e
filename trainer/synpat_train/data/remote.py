"""Shards behind a URL: downloaded to a local folder when they are needed. The least recently used ones are deleted."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synpat_shards import Store, atomic_file

SPARE = 1 << 30
"""Bytes of disk space that downloaded shards must leave free."""


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
    """Return the least recently used shard of a folder, if there is one. Other threads may delete shards at the same
    time."""
    used: dict[Path, float] = {}
    for path in folder.glob("*.tar"):
        with suppress(FileNotFoundError):
            used[path] = path.stat().st_mtime
    return min(used, key=used.__getitem__, default=None)


def fetch_tars(store: Store, to: Path) -> list[Path]:
    """Download all tars of a folder without a manifest, except those that are already there."""
    to.mkdir(parents=True, exist_ok=True)
    tars = []
    for name, size in store.sizes().items():
        if not name.endswith(".tar") or "/" in name or name.startswith("."):
            continue
        tars.append(to / name)
        if not tars[-1].exists() or tars[-1].stat().st_size != size:
            with atomic_file(tars[-1]) as file:
                for piece in store.chunks(name):
                    file.write(piece)
    return tars
