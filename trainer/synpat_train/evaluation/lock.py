"""The user's cache: decoded audio and embeddings, dear to make, free to delete. One process at a time adds to it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from synpat_shards import locked
from synpat_train.progress import print_message

SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to this folder, and keep others waiting meanwhile."""
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
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield
