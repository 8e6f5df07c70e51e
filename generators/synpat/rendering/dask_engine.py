"""Execution of tasks on an existing Dask cluster. Machines may join and leave the cluster at any time.

No state is kept on the cluster. A task writes a shard to the shared folder or store and returns the shard's record. If
the scheduler is lost, the same command continues the work.
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
"""Tasks at the scheduler per thread of the cluster: one running, one waiting."""
ANSWER, WORKERS = 10, 60
"""Seconds to wait for the scheduler, and then for its first worker."""
RETRIES = 2
"""Retries of a task that raised an error, for example because a store did not respond. Terminated workers are counted
separately (`allowed-failures` of the scheduler)."""

_one_at_a_time = Lock()


@contextmanager
def dask_engine(scheduler: str | Path, versions: Callable[[], Mapping[str, str]]) -> Iterator[Engine]:
    """Yield an engine that runs tasks on a Dask cluster.

    scheduler: address, such as tcp://host:8786, or path of a scheduler file. versions: returns the versions of the
    programs that the result depends on; tasks fail on workers with other versions.
    Raises MissingDependencyError without distributed, OSError if the cluster does not respond or has no workers.
    """
    try:
        import dask.config

        # Errors are reported by this module in one line. distributed reads this setting when it is imported.
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
        raise OSError(f"no Dask scheduler responds at {scheduler}: {fault}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS)
        except TimeoutError:
            raise OSError(f"the Dask cluster at {scheduler} has no workers: start workers, or use --workers") from None
        yield partial(_run_tasks, client, str(scheduler), dict(versions()), versions)


def _run_tasks(
    client: Any,
    scheduler: str,
    expected: Mapping[str, str],
    versions: Callable[[], Mapping[str, str]],
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
) -> Iterator[Any]:
    """Yield work(task) for every task, in the order of completion. Raises the error of a task after its last retry."""
    from dask.distributed import as_completed

    lost = f"the connection to the Dask scheduler at {scheduler} was lost: run the same command again to continue"
    run, waiting = uuid4().hex, list(enumerate(tasks))[::-1]
    futures = as_completed(loop=client.loop, with_results=True, raise_errors=False)
    outstanding = 0
    while waiting or outstanding:
        while waiting and outstanding < max(IN_FLIGHT * _threads(client, lost), 1):
            number, task = waiting.pop()
            # Keys are shared by all users of the cluster, so the keys of two runs must differ.
            key = f"synpat-{run}-{number}"
            futures.add(client.submit(_answer, versions, expected, work, task, key=key, pure=False, retries=RETRIES))
            outstanding += 1
        future, outcome = next(futures)
        outstanding -= 1
        if future.status == "cancelled":
            raise OSError(lost)
        if future.status == "error":
            raise outcome[1] if isinstance(outcome, tuple) else outcome
        yield outcome
        future.release()  # otherwise a finished task would run again when its worker terminates


def _threads(client: Any, lost: str) -> int:
    """Return the current number of threads of the cluster. Raises OSError(lost) if the connection is lost."""
    try:
        return sum(client.nthreads().values())
    except OSError:
        raise OSError(lost) from None


def _answer(
    versions: Callable[[], Mapping[str, str]], expected: Mapping[str, str], work: Callable[[Any], Any], task: Any
) -> Any:
    """Run one task on a worker. Families have buffers, so a process runs only one task at a time."""
    if differences := describe_differences(versions(), expected):
        raise InputError(
            f"a worker has other versions, which may paint other pixels: {differences}. Install the same versions"
        )
    with _one_at_a_time:
        return work(task)
