"""Work spread over processes of this machine, by a supervisor that survives the death of any of them."""

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
"""How often a task may take its process down with it before the run stops."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""What a worker finds in its environment: a process is a core, and threads of libraries would only fight for it."""

Engine = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Something that gives work(task) for every task, in any order."""

# A fresh interpreter each: a fork would inherit threads and locks of numba and OpenCV in the middle of their work.
_processes = multiprocessing.get_context("spawn")


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Any = None


@contextmanager
def local_engine(workers: int | None = None) -> Iterator[Engine]:
    """An engine of so many processes of this machine, as many as there are cores at hand if not told.

    A single worker is this process itself.
    """
    workers = workers or available_cores()
    yield map if workers == 1 else partial(run_tasks, workers=workers)


def run_tasks(work: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yield work(task) for every task, in the order of completion; a task whose process died is done again.

    Raises whatever `work` raises, and ChildProcessError for a task that kills its process so often.
    """
    waiting, deaths = deque(tasks), Counter[Any]()
    team = [_hire(work) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.task is not None for worker in team):
            for worker in team:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    with suppress(OSError):  # it is dead already: its end of the pipe says so below
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
                        raise ChildProcessError(f"task {worker.task} took its process down {ATTEMPTS} times") from None
                    waiting.append(worker.task)  # behind the others: whoever kills at random should not hit it again
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
    here, there = _processes.Pipe()
    process = _processes.Process(target=_serve, args=(work, there), daemon=True)
    with _environment(ONE_THREAD):
        process.start()
    there.close()
    return _Worker(process, here)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started inside; a spawned one reads them before it imports anything."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """What a worker does: answer each task, until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business
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
