"""Shards behind a URL: fetched into a local folder when they are needed, the longest unused ones dropped for room."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synpat_shards import Store, atomic_file

SPARE = 1 << 30
"""Bytes that fetched shards must leave free on the disk."""


@dataclass(frozen=True)
class Remote:
    """Where a shard comes from."""

    store: Store
    name: str
    bytes: int
    sha256: str

    def fetch(self, to: Path) -> None:
        """Bring the shard to a path, unless it is there already; the store is asked again and again before it counts
        as unreachable.

        Raises OSError for a store that cannot be reached, InputError for a shard that is not what it should be.
        """
        with suppress(FileNotFoundError):
            os.utime(to)  # the longest unused goes first
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        while shutil.disk_usage(to.parent).free < self.bytes + SPARE and (unused := _longest_unused(to.parent)):
            unused.unlink(missing_ok=True)
        self.store.fetch(self.name, to, self.bytes, self.sha256)


def _longest_unused(folder: Path) -> Path | None:
    """A shard of the folder, if there is one; other threads take shards away meanwhile."""
    used: dict[Path, float] = {}
    for path in folder.glob("*.tar"):
        with suppress(FileNotFoundError):
            used[path] = path.stat().st_mtime
    return min(used, key=used.__getitem__, default=None)


def fetch_tars(store: Store, to: Path) -> list[Path]:
    """All tars of a folder behind a URL that has no manifest, as local files; those that are there are kept."""
    to.mkdir(parents=True, exist_ok=True)
    tars = []
    for name, size in store.sizes().items():
        if not name.endswith(".tar") or "/" in name:
            continue
        tars.append(to / name)
        if not tars[-1].exists() or tars[-1].stat().st_size != size:
            with atomic_file(tars[-1]) as file:
                for piece in store.chunks(name):
                    file.write(piece)
    return tars
