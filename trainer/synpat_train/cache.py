"""The cache folder of the trainer: decoded shard sets, decoded audio and embeddings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synpat_shards import InputError, user_cache


def default_cache() -> Path:
    """Return the folder `synpat` in the user's cache."""
    return user_cache() / "synpat"


@contextmanager
def cache_errors(cache: Path) -> Iterator[None]:
    """Raise InputError that names --cache if a file in the cache folder cannot be written."""
    try:
        yield
    except OSError as fault:
        path = Path(os.fsdecode(fault.filename or "")).absolute()
        if not (path.is_relative_to(cache.absolute()) or (fault.filename and cache.absolute().is_relative_to(path))):
            raise
        raise InputError(
            f"{fault.filename}: {fault.strerror}. The cache cannot be written there: choose another folder with --cache"
        ) from fault
