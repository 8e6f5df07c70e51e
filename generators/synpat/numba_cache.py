"""The folder in which numba stores compiled code."""

import os
import tempfile
from pathlib import Path


def use_writable_folder() -> None:
    """Set NUMBA_CACHE_DIR if numba could write neither next to this package nor into the user's cache folder.

    This happens in containers with a read-only installation and an unwritable home folder. numba would refuse to start.
    It must be called before numba is imported.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or _is_writable(Path(__file__).parent) or _is_writable(_user_cache()):
        return
    os.environ["NUMBA_CACHE_DIR"] = str(_private_folder(Path(tempfile.gettempdir(), f"synpat-numba-{os.getuid()}")))


def _user_cache() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # HOME is not set and the user has no entry in the password database
        return None


def _is_writable(folder: Path | None) -> bool:
    """Return True if files can be created in a folder, or in the folder in which it would be created."""
    while folder is not None and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder is not None and folder.is_dir() and os.access(folder, os.W_OK)


def _private_folder(folder: Path) -> Path:
    """Return the folder if only this user can write to it, else a new one: cached code is executed."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_dir() and not folder.is_symlink() and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="synpat-numba-"))
