"""Work spread over a Dask cluster that the user has: any number of machines, which may come and go meanwhile.

Nothing is kept on the cluster. A task answers with the record of a shard that lies in the shared folder or store, and
whoever lost the scheduler runs the same command again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from synpat_shards import InputError, MissingDependencyError, describe_differences

from .local_engine import Engine

IN_FLIGHT = 2
"""Tasks at the scheduler for each thread of the cluster: one at work, one at hand."""
ANSWER, WORKERS = 10, 60
"""Seconds to wait for the scheduler, and then for its first worker."""
RETRIES = 2
"""For a task that raised, such as over a store that did not answer. Deaths of workers count apart (the scheduler's
`allowed-failures`)."""

_one_at_a_time = Lock()


@contextmanager
def dask_engine(scheduler: str | Path, versions: Callable[[], Mapping[str, str]]) -> Iterator[Engine]:
    """An engine that runs tasks on a Dask cluster.

    scheduler: its address, such as tcp://host:8786, or the path of a scheduler file. versions: of what the outcome
    depends on; a worker where it gives something else than here is refused.
    Raises MissingDependencyError without distributed, OSError if the cluster does not answer or has no workers.
    """
    try:
        import dask.config

        # What goes wrong is said here, in a line; distributed reads this when it is imported.
        noisy = "asyncio", "distributed", "distributed.client", "tornado.application"
        dask.config.set({"logging": dict.fromkeys(noisy, "critical")})
        from dask.distributed import Client
    except ImportError:
        raise MissingDependencyError(
            "--dask needs a library that is not installed: pip install 'synpat[dask]'"
        ) from None
    try:
        file, address = (str(scheduler), None) if isinstance(scheduler, Path) else (None, scheduler)
        client = Client(address, scheduler_file=file, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as fault:
        raise OSError(f"no Dask scheduler answers at {scheduler}: {fault}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS)
        except TimeoutError:
            raise OSError(f"the Dask cluster at {scheduler} has no workers: start some, or use --workers") from None
        yield partial(_run_tasks, client, str(scheduler), dict(versions()), versions)


def _run_tasks(
    client: Any,
    scheduler: str,
    expected: Mapping[str, str],
    versions: Callable[[], Mapping[str, str]],
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
) -> Iterator[Any]:
    """Yield work(task) for every task, in the order of completion. Raises what a task raises in the end."""
    from dask.distributed import as_completed

    gone = f"the Dask scheduler at {scheduler} is gone: run the same command again, it goes on"
    run, waiting = uuid4().hex, list(enumerate(tasks))[::-1]
    futures = as_completed(loop=client.loop, with_results=True, raise_errors=False)
    outstanding = 0
    while waiting or outstanding:
        while waiting and outstanding < max(IN_FLIGHT * _threads(client, gone), 1):
            number, task = waiting.pop()
            # Keys are the cluster's, not the run's: those of two runs must differ.
            key = f"synpat-{run}-{number}"
            futures.add(client.submit(_answer, versions, expected, work, task, key=key, pure=False, retries=RETRIES))
            outstanding += 1
        future, outcome = next(futures)
        outstanding -= 1
        if future.status == "cancelled":
            raise OSError(gone)
        if future.status == "error":
            raise outcome[1] if isinstance(outcome, tuple) else outcome
        yield outcome
        future.release()  # a finished task that is held would be done again when its worker dies


def _threads(client: Any, gone: str) -> int:
    """Threads of the cluster, counted each time, as workers join and leave; OSError says that it is gone."""
    try:
        return sum(client.nthreads().values())
    except OSError:
        raise OSError(gone) from None


def _answer(
    versions: Callable[[], Mapping[str, str]], expected: Mapping[str, str], work: Callable[[Any], Any], task: Any
) -> Any:
    """What a thread of a worker does. Families keep buffers, so that one process works on one task at a time."""
    if there := describe_differences(versions(), expected):
        raise InputError(f"a worker has other programs, which may paint other pixels: {there}. Install the same")
    with _one_at_a_time:
        return work(task)
