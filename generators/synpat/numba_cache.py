"""The folder in which numba stores compiled code, and other settings of numba in the environment."""

import os
from pathlib import Path

from synpat_shards import is_writable, private_folder, user_cache


def drop_empty_variables() -> None:
    """Remove variables of numba that are set to nothing, which numba reports with a traceback."""
    for name in [name for name, value in os.environ.items() if name.startswith("NUMBA_") and not value]:
        del os.environ[name]


def use_writable_folder() -> None:
    """Set NUMBA_CACHE_DIR if numba cannot write next to this package.

    This happens with a read-only installation, and in containers also with an unwritable home folder, where numba would
    refuse to start. It must be called before numba is imported. Cached code is executed, so that a folder for temporary
    files must be private.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or is_writable(Path(__file__).parent):
        return
    folder = user_cache() / "numba"
    if not is_writable(folder):
        folder = private_folder(f"synpat-numba-{os.getuid()}")
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
