"""The folder for caches of the user, and whether it can be used."""

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """Return $XDG_CACHE_HOME, else ~/.cache, else a folder for temporary files if the user has no home.

    Relative paths are not valid and ignored, as in the XDG Base Directory Specification.
    """
    for folder in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(folder):  # without HOME and an entry in the password database, "~" remains
            return Path(folder)
    return private_folder(f"synpat-{os.getuid()}")


def is_writable(folder: Path) -> bool:
    """Return True if files can be created in a folder, or in the folder in which it would be created."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def private_folder(name: str) -> Path:
    """Return a folder of this name for temporary files if only this user can write to it, else a new one."""
    folder = Path(tempfile.gettempdir(), name)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_dir() and not folder.is_symlink() and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))
