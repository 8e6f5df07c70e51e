"""Slices of a rendering, for schedulers that start the same command many times with different numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from synpat_shards import InputError

Task = TypeVar("Task")

SLURM = "SLURM_ARRAY_TASK_ID"
KUBERNETES = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True)
class Slice:
    """Every `count`-th task, starting with task `index`."""

    index: int
    """First task, 0 to count - 1."""
    count: int
    """Number of slices."""

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> Self:
        """Parse "2/8", "auto" or "auto/8". With auto, missing values are read from variables of Slurm or Kubernetes.

        Raises InputError for other texts, and if these variables are missing or inconsistent.
        """
        index, _, count = text.partition("/")
        if index == "auto":
            task, tasks = _of_scheduler(environment)
            index, count = str(task), count or str(tasks or "")
            if not count:
                raise InputError("the scheduler does not provide the number of slices: write --slice auto/COUNT")
        if not all(number.isascii() and number.isdigit() for number in (index, count)):
            raise InputError(f"{text!r} is not a valid slice: write INDEX/COUNT such as 0/8, or auto, or auto/8")
        if int(index) >= int(count):
            raise InputError(f"slice {index}/{count} is out of range: the index starts at 0 and must be below {count}")
        return cls(int(index), int(count))

    def of(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return tasks[self.index :: self.count]


FULL_SLICE = Slice(0, 1)


def _of_scheduler(environment: Mapping[str, str]) -> tuple[int, int | None]:
    """Return the index of this process, from 0, and the number of processes or None if the scheduler has none."""
    environment = {name: value for name, value in environment.items() if value}  # empty means not set
    if SLURM in environment:
        # An array can start at any number and have any step: --array=1-15:2 has eight tasks.
        first, step = (_number(environment, f"SLURM_ARRAY_TASK_{name}", one) for name, one in (("MIN", 0), ("STEP", 1)))
        count = _number(environment, "SLURM_ARRAY_TASK_COUNT", 0)
        return (_number(environment, SLURM) - first) // max(step, 1), count or None
    if KUBERNETES in environment:
        return _number(environment, KUBERNETES), None
    raise InputError(f"--slice auto needs {SLURM} or {KUBERNETES} in the environment: write --slice INDEX/COUNT")


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{name} must be a number, got {text!r}: write --slice INDEX/COUNT")
    return int(text)
