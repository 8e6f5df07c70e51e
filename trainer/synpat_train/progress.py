"""Progress of long tasks on standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console

from synpat_shards.command_line import SECONDS_BETWEEN_LINES
from synpat_shards.progress_bar import progress_bar

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str, size: Callable[[T], int] = lambda item: 1) -> Iterator[T]:
    """Yield the items and show the progress: a bar on a terminal, a line from time to time otherwise.

    size: how much an item adds to the total; by default 1.
    """
    show = _bar if sys.stderr.isatty() else _lines
    return show(items, total, what, size)


def print_message(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)


def _bar(items: Iterable[T], total: int, what: str, size: Callable[[T], int]) -> Iterator[T]:
    with progress_bar(Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(bar, size(item))


def _lines(items: Iterable[T], total: int, what: str, size: Callable[[T], int]) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES and done < total:
            last = time.monotonic()
            print_message(f"{what}: {done}/{total}")
    print_message(f"{what}: {done}/{total}, {time.monotonic() - start:.0f} s")
