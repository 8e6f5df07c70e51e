"""Progress of rendering and copying: a progress bar on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import DownloadColumn, MofNCompleteColumn, TextColumn, TransferSpeedColumn

from synpat_shards import ShardRecord
from synpat_shards.command_line import SECONDS_BETWEEN_LINES
from synpat_shards.progress_bar import progress_bar


class RenderProgress:
    """Progress of rendering one or several sets. Use it as a context manager and call it with each shard."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.present, self.rendered, self.bytes = 0, 0, 0
        self.started = self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.bar = progress_bar(self.console, MofNCompleteColumn, TextColumn("{task.fields[rate]}"))
        self.task = self.bar.add_task(name, total=total, rate="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def preparing(self, family: str) -> Iterator[None]:
        """Mark the time in which the first sample of a family is painted and its kernels are compiled.

        This time does not count towards the rate.
        """
        began = time.monotonic()
        self.bar.update(self.task, description=f"{self.name}: preparing {family}")
        yield
        self.started = time.monotonic()
        self.bar.update(self.task, description=self.name)
        if self.bar.disable and (seconds := self.started - began) > SECONDS_BETWEEN_LINES:
            self.message(f"{family}: compiled in {seconds:.0f} s")

    def __call__(self, record: ShardRecord, was_present: bool) -> None:
        if was_present:
            self.present += record.count
        else:
            self.rendered += record.count
            self.bytes += record.bytes
        self.bar.update(
            self.task, completed=self.present + self.rendered, rate=f"{self.rendered / self.seconds():,.0f} images/s"
        )
        if self.bar.disable and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.message(f"{self.name}: {self.present + self.rendered}/{self.total} images, {self.rate()}")

    def rate(self) -> str:
        """Return images and megabytes per second since the start, as text."""
        return f"{self.rendered / self.seconds():,.0f} images/s, {self.bytes / self.seconds() / 1e6:.1f} MB/s"

    def seconds(self) -> float:
        """Return the seconds since the start of painting."""
        return max(time.monotonic() - self.started, 1e-9)


class CopyProgress:
    """Progress of reading or sending shards, in bytes. Use it as a context manager."""

    def __init__(self, name: str) -> None:
        self.name, self.total, self.done = name, 0, 0
        self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.bar = progress_bar(self.console, DownloadColumn, TransferSpeedColumn(), transient=True)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def begin(self, total: int) -> None:
        """Set the total number of bytes."""
        self.total, self.task = total, self.bar.add_task(self.name, total=total)

    def add(self, count: int) -> None:
        """Add a number of bytes to those that are done."""
        self.done += count
        self.bar.update(self.task, completed=self.done)
        if self.bar.disable and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            line = f"{self.name}: {self.done / 1e6:,.1f} of {self.total / 1e6:,.1f} MB"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
