"""The log of a run: log.jsonl for programs, TensorBoard events, and progress on standard error."""

import errno
import io
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]  (generated)
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]  (generated)
from tensorboard.summary.writer.record_writer import RecordWriter

from synpat_shards import InputError, write_atomically
from synpat_shards.command_line import SECONDS_BETWEEN_LINES
from synpat_shards.progress_bar import progress_bar

LOG = "log.jsonl"
NUMBERS = {"step", "loss", "lr", "samples_per_s", "mfu", "data_wait", "memory_gb"}
"""Keys that every line of the log has."""


def read_log(run: Path) -> list[dict[str, float]]:
    """Return the lines of a run's log: the step and the metrics of each.

    Raises InputError that names a corrupt line.
    """
    lines = (run / LOG).read_bytes().splitlines(keepends=True) if (run / LOG).exists() else []
    # A killed run may have left an incomplete last line, which has no newline.
    return [_numbers(run, number, line) for number, line in enumerate(lines, 1) if line.endswith(b"\n")]


def _numbers(run: Path, number: int, line: bytes) -> dict[str, float]:
    with suppress(ValueError):  # not JSON, or not text
        metrics = json.loads(line)
        if isinstance(metrics, dict) and metrics.keys() >= NUMBERS:
            return metrics
    raise InputError(f"{run / LOG} is corrupt at line {number}: remove that line, which is not needed to resume")


class RunLog:
    """Writer of the metrics of a run from one step on. Lines that an earlier, killed process wrote after that step are
    dropped."""

    def __init__(self, run: Path, start: int, total: int) -> None:
        path = run / LOG
        kept = [json.dumps(line) + "\n" for line in read_log(run) if line["step"] <= start]
        write_atomically(path, "".join(kept).encode())
        self.file, self.board = _AtomicAppend(str(path), "a"), _Board(run / "tensorboard", start)
        self.console = Console(stderr=True)
        self.bar = progress_bar(self.console, MofNCompleteColumn, TextColumn("{task.fields[rate]}"))
        self.task = self.bar.add_task("pre-training", total=total, completed=start, rate="")
        self.total, self.last_line = total, -SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()
        self.file.close()
        self.board.close()

    def message(self, text: str) -> None:
        """Print a line on standard error."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Move the progress bar to a step."""
        self.bar.update(self.task, completed=step)

    def metrics(self, step: int, **metrics: float) -> None:
        """Record the metrics of a step. If the disk is full, a message is printed and training continues."""
        with log_disk_errors(self, f"step {step} is not in the log"):
            self.file.write(json.dumps({"step": step} | metrics).encode() + b"\n")
            self.board.put(step, metrics)
        loss, rate = f"loss {metrics['loss']:.4f}", f"{metrics['samples_per_s']:,.0f} samples/s"
        self.bar.update(self.task, completed=step, description=loss, rate=rate)
        if self.bar.disable and (time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES or step == self.total):
            self.last_line = time.monotonic()
            self.message(
                f"step {step}/{self.total}: {loss}, {rate}, lr {metrics['lr']:.2e}, MFU {metrics['mfu']:.1%}, "
                f"{metrics['data_wait']:.1%} of the time waiting for data, {metrics['memory_gb']:.1f} GB"
                + (f", {metrics['skipped']} corrupt samples skipped" if metrics["skipped"] else "")
            )


class _AtomicAppend(io.FileIO):
    """A file to which each write succeeds completely or, if the disk is full, changes nothing."""

    def write(self, data: Any, /) -> int:
        end = self.seek(0, os.SEEK_END)
        try:
            if super().write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        except OSError:
            self.truncate(end)
            raise
        return len(data)


class _Board:
    """TensorBoard events. TensorBoard's own writer uses a thread, which ends in a traceback when the disk is full."""

    def __init__(self, folder: Path, start: int) -> None:
        """start: step after which events of an earlier, killed process are hidden."""
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.events = RecordWriter(_AtomicAppend(str(folder / name), "a"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def put(self, step: int, metrics: dict[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=number) for name, number in metrics.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.events.write(event.SerializeToString())

    def close(self) -> None:
        self.events.close()


class NullLog:
    """The log of ranks other than 0."""

    def message(self, text: str) -> None:
        """No-op on ranks other than 0."""

    def advance(self, step: int) -> None:
        """No-op on ranks other than 0."""

    def metrics(self, step: int, **metrics: float) -> None:
        """No-op on ranks other than 0."""


@contextmanager
def log_disk_errors(log: RunLog | NullLog, what: str) -> Iterator[None]:
    """Continue after an OSError, and log it. what: message about what was not written."""
    try:
        yield
    except OSError as fault:
        log.message(f"{what}, training continues: {fault}")


def open_log(run: Path, start: int, total: int, write: bool) -> AbstractContextManager[RunLog | NullLog]:
    """Open the log of a run. write: True for the one process that writes it."""
    return RunLog(run, start, total) if write else nullcontext(NullLog())
