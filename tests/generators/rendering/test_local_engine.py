"""The local engine: every task is completed, even if processes terminate."""

import os
import signal
import time
from pathlib import Path

import pytest

from synpat.rendering.local_engine import run_tasks


@pytest.fixture(autouse=True)
def _tests_can_be_imported_by_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3])


def square(n: int) -> int:
    return n * n


def die_once(task: tuple[str, int]) -> int:
    """Kill this process the first time that the task runs."""
    folder, n = task
    mark = Path(folder) / str(n)
    if n % 3 == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def always_die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(n: int) -> int:
    raise ValueError(f"{n} is not valid")


def pid_then_sleep(_: int) -> int:
    time.sleep(0.2)
    return os.getpid()


def test_every_task_gives_one_result():
    assert sorted(run_tasks(square, range(20), workers=3)) == [n * n for n in range(20)]


def test_tasks_of_killed_processes_are_repeated(tmp_path: Path):
    tasks = [(str(tmp_path), n) for n in range(10)]
    assert sorted(run_tasks(die_once, tasks, workers=2)) == list(range(10))


def test_a_task_that_always_kills_its_process_stops_the_run():
    with pytest.raises(ChildProcessError, match="the process of task 7 terminated 5 times"):
        list(run_tasks(always_die, [7], workers=1))


def test_an_error_of_a_task_is_raised_in_the_caller():
    with pytest.raises(ValueError, match="5 is not valid"):
        list(run_tasks(refuse, [5], workers=1))


def test_no_process_outlives_the_run():
    pids = set(run_tasks(pid_then_sleep, range(4), workers=2))
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
