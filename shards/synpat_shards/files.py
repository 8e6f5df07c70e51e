"""Files that appear under their name only when they are whole, and folders that one process at a time writes to."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    raise SystemExit("Error: synpat runs on Linux and macOS. On Windows, use WSL.") from None

PARTIAL = ".*.partial"
"""What a file that is still being written is called, as a pattern; a killed process leaves one behind."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What writing ends in where there is no room: the system does not say for which file."""
BUFFER = 1 << 20
"""Bytes that are gathered before they are written: a shard comes in pieces of some kilobytes."""


def partial_name(name: str) -> str:
    """What a file is called while it is written: like no other process, thread or machine would call it."""
    return f".{name}.{secrets.token_hex(6)}.partial"


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write, renamed to `path` once it is whole and on the disk; removed if an error comes first.

    Raises FileExistsError, once it is written, if `path` is there and must not be overwritten.
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
            os.link(partial, path)
    except OSError as fault:
        if fault.errno in FULL and fault.filename is None:
            fault.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file in one go; an earlier one under that name stays until the new one is whole."""
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def sole_process(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file, or raise InputError with the text `refusal` if another process holds it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except BlockingIOError:
            raise InputError(refusal) from None
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file. The kernel releases it when the process ends for any reason.

    Raises BlockingIOError if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError  # whoever held it has just finished, and taken the file away
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
