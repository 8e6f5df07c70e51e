"""The cache folder of a user: decoded shard sets, decoded audio and embeddings."""

import os
import tempfile
from pathlib import Path


def default_cache() -> Path:
    """Return $XDG_CACHE_HOME/synpat, else ~/.cache/synpat, else a folder for temporary files if there is no home."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "synpat"
    try:
        return Path.home() / ".cache" / "synpat"
    except RuntimeError:  # HOME is not set and the user has no entry in the password database
        return Path(tempfile.gettempdir()) / f"synpat-{os.getuid()}"
