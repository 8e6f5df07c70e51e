"""Progress of rendering and copying: a progress bar on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from synpat_shards import ShardRecord

SECONDS_BETWEEN_LINES = 5.0


class RenderProgress:
    """Progress of rendering one or several sets. Use it as a context manager and call it with each shard."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.present, self.rendered, self.bytes = 0, 0, 0
        self.started = self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )
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
        self.bar.update(self.task, completed=self.present + self.rendered, rate=self.rate())
        if self.bar.disable and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.message(f"{self.name}: {self.present + self.rendered}/{self.total} images, {self.rate()}")

    def rate(self) -> str:
        """Return images and megabytes per second since the start, as text."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        return f"{self.rendered / seconds:,.0f} images/s, {self.bytes / seconds / 1e6:.1f} MB/s"


class CopyProgress:
    """Progress of reading or sending shards, in bytes. Use it as a context manager."""

    def __init__(self, name: str) -> None:
        self.name, self.total, self.done = name, 0, 0
        self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.bar = Progress(
            *columns, TimeRemainingColumn(), console=self.console, disable=not self.console.is_terminal, transient=True
        )

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
