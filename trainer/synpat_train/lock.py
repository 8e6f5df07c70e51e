"""Locks of folders that several processes write to, such as the cache."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from synpat_shards import NoLocksError, locked

from .progress import print_message

SECONDS_BETWEEN_ATTEMPTS = 0.5


@contextmanager
def exclusive_lock(folder: Path, required: bool = True) -> Iterator[None]:
    """Wait until no other process writes to a folder, and make other processes wait.

    required: raise NoLocksError that names --cache if the file system does not support locks; otherwise print a
    warning and continue.
    """
    waited = False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(folder / ".lock"))
                break
            except BlockingIOError:
                if not waited:
                    print_message(f"waiting for another process that writes to {folder}")
                waited = True
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
            except NoLocksError as fault:
                if required:
                    raise NoLocksError(f"{fault}: choose a folder on another disk with --cache") from None
                print_message(f"{fault}: make sure that no other process writes to this folder")
                break
        yield
