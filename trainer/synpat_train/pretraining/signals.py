"""Handling of signals: the run stops after the current step and writes a checkpoint."""

import signal
import threading
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
"""Signals that stop a run. Slurm sends SIGUSR1 with --signal=USR1, and a closed terminal sends SIGHUP."""


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal, after it wrote a checkpoint.

    It is a KeyboardInterrupt, which most programs do not catch, because the work is not finished.
    """

    def __init__(self, number: int, message: str) -> None:
        """number: of the signal."""
        super().__init__(message)
        self.number = number


class StopSignals:
    """Context that records the signals in SIGNALS. A second SIGINT has its default effect.

    Further SIGTERMs are ignored: a scheduler sends one to every process of a job, and torchrun forwards its own.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.previous_handlers = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
            # nohup ignores SIGHUP.
            handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self.previous_handlers = {number: signal.signal(number, self._record) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """True if the run should stop."""
        return self.received is not None

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self.previous_handlers[signal.SIGINT])
