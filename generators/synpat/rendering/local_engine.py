"""Execution of tasks in processes of this machine. Tasks of terminated processes are repeated."""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from synpat_shards import available_cores

ATTEMPTS = 5
"""Number of times that the process of a task may terminate before the run stops."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""Environment variables of workers: each process uses one core, and threads of libraries would compete for it."""

Engine = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""A function of `work` and a sequence of tasks that returns work(task) for every task, in any order."""

# Each worker is a new interpreter: a forked process would inherit the state of threads and locks of numba and OpenCV.
_processes = multiprocessing.get_context("spawn")


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Any = None


@contextmanager
def local_engine(workers: int | None = None) -> Iterator[Engine]:
    """Yield an engine that runs tasks in `workers` processes of this machine; default: the number of available cores.

    With one worker the tasks run in this process.
    """
    workers = workers or available_cores()
    yield map if workers == 1 else partial(run_tasks, workers=workers)


def run_tasks(work: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yield work(task) for every task, in the order of completion. A task whose process terminates is repeated.

    Raises the errors of `work`, and ChildProcessError if the process of a task terminates ATTEMPTS times.
    """
    waiting, deaths = deque(tasks), Counter[Any]()
    team = [_hire(work) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.task is not None for worker in team):
            for worker in team:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    with suppress(OSError):  # the process has terminated; recv below raises EOFError
                        worker.connection.send(worker.task)
            ready = wait([worker.connection for worker in team])
            for worker in [worker for worker in team if worker.connection in ready]:
                try:
                    outcome = worker.connection.recv()
                except (EOFError, OSError):
                    team.remove(worker)
                    if worker.task is None:
                        continue
                    deaths[worker.task] += 1
                    if deaths[worker.task] == ATTEMPTS:
                        raise ChildProcessError(
                            f"the process of task {worker.task} terminated {ATTEMPTS} times"
                        ) from None
                    waiting.append(worker.task)  # last, so that repeated random terminations hit different tasks
                    team.append(_hire(work))
                    continue
                worker.task = None
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
    finally:
        for worker in team:
            worker.process.kill()
            worker.process.join()


def _hire(work: Callable[[Any], Any]) -> _Worker:
    connection, remote = _processes.Pipe()
    process = _processes.Process(target=_serve, args=(work, remote), daemon=True)
    # The process inherits the mask: Ctrl-C is handled here, also while the process loads its libraries.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _environment(ONE_THREAD):
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    remote.close()
    return _Worker(process, connection)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes started in this context. They are read before anything is imported."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """Run tasks from a connection in a worker process until its parent terminates."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        task = connection.recv()
        try:
            outcome = work(task)
        except Exception as error:
            outcome = error
        connection.send(outcome)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
