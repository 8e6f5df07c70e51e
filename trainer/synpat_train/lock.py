"""Locks of folders that several processes write to, such as the cache."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from synpat_shards import locked

from .progress import print_message

SECONDS_BETWEEN_ATTEMPTS = 0.5


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to a folder, and make other processes wait."""
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
        yield
