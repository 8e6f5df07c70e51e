"""Atomic writing of files, and locks that allow one process at a time to write to a folder."""

import errno
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    raise SystemExit("Error: synpat runs on Linux and macOS. On Windows, use WSL.") from None

log = logging.getLogger(__name__)

PARTIAL = ".*.partial"
"""Pattern of the temporary names of files that are being written. A killed process can leave such files."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, which the system reports without the name of the file."""
NOT_SUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of file systems without locks or hard links, such as some network file systems."""
BUFFER = 1 << 20
"""Size of the write buffer in bytes. Shards are written in pieces of a few kilobytes."""


OWN_FOLDERS = {".synpat"}
"""Hidden folders of our own."""
LOGS = ("log", "log.txt", "*.log", "*.out", "*.err", "*.[oe][0-9]*", "stdout*", "stderr*")
"""Names of files in which shells and schedulers store the output of a command, such as nohup.out and slurm-1.out."""
SYSTEM_FILES = {
    "lost+found", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini",
}  # fmt: skip
"""Names of files and folders that systems put into folders, besides hidden ones."""


def is_system_file(name: str) -> bool:
    """Return True for a hidden file, such as ._a.wav, .DS_Store or .gitattributes, and for other files that systems and
    tools put into folders."""
    return name.startswith(".") or name in SYSTEM_FILES


def is_unrelated(name: str) -> bool:
    """Return True for a file that cannot be confused with those of a set: logs, and files of systems and tools, such as
    .gitattributes and .cache/huggingface/ of the Hugging Face Hub.

    name: relative to the folder, with forward slashes.
    """
    parts = name.split("/")
    if parts[0] in OWN_FOLDERS or fnmatch(parts[-1], PARTIAL):
        return False
    return any(map(is_system_file, parts)) or any(fnmatch(name, pattern) for pattern in LOGS)


def is_own_output(path: Path) -> bool:
    """Return True for the file that standard output or error of this process is redirected to."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return True
    return False


def walk_files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield all files below a folder, in order. Links to folders are followed, except those to a folder that contains
    the link. A link to nothing is yielded as a file.

    Raises OSError that names a folder which cannot be read.
    """
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = folder / entry.name
        if not (path.is_dir() if entry.is_symlink() else entry.is_dir()):
            yield path
        elif os.path.realpath(path) not in above:
            yield from walk_files(path, above)


def partial_name(name: str) -> str:
    """Return a temporary name for a file that is being written, unique among processes, threads and machines."""
    return f".{name}.{secrets.token_hex(6)}.partial"


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file for writing. It is renamed to `path` when it is complete, and removed after an error.

    Raises FileExistsError, after writing, if `path` exists and `overwrite` is False.
    """
    partial = path.with_name(partial_name(path.name))
    try:
        with partial.open("wb", BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(partial, path)
        else:
            _move_unless_present(partial, path)
    except OSError as fault:
        if fault.errno in FULL and fault.filename is None:
            fault.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _move_unless_present(partial: Path, path: Path) -> None:
    """Rename a file. Raises FileExistsError if the target exists."""
    try:
        os.link(partial, path)
    except OSError as fault:
        if fault.errno not in NOT_SUPPORTED | {errno.EPERM}:
            raise
        path.open("xb").close()  # the file system has no hard links
        os.replace(partial, path)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file. An existing file of that name is replaced when the new one is complete."""
    with atomic_file(path) as file:
        file.write(data)


class NoLocksError(InputError):
    """The file system of a folder does not support locks."""


@contextmanager
def sole_process(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file. Raises InputError with `message` if another process holds it.

    If the file system does not support locks, a warning is printed instead. The caller must write files atomically.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except BlockingIOError:
            raise InputError(message) from None
        except NoLocksError as fault:
            log.warning("%s: make sure that no other process writes to this folder", fault)
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file. The kernel releases it when the process ends for any reason.

    Raises BlockingIOError if another process holds it, and NoLocksError if the file system does not support locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            if fault.errno not in NOT_SUPPORTED:
                raise
            path.unlink(missing_ok=True)
            raise NoLocksError(f"{path.parent} is on a file system without locks ({fault.strerror})") from None
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError  # another process has just finished and removed the file
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
