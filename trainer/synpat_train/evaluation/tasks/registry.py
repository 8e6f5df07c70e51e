"""The table of tasks: a name, and the function that prepares the task."""

import difflib
from collections.abc import Callable, Mapping, Sequence

from synpat_shards import InputError

from .benchmarks import BENCHMARK_TASKS, BENCHMARKS
from .folder import folder_task
from .general_midi import instrument_task, pitch_task
from .task import LoadTask, Source

TASKS: Mapping[str, Callable[[Source], LoadTask]] = {
    **BENCHMARK_TASKS,
    "folder": folder_task,
    "gm-instrument": instrument_task,
    "gm-pitch": pitch_task,
}

OWN = {
    "folder": "any folder with audio files and a metadata.csv with columns filename, label, and fold or split",
    "gm-instrument": "instrument families of a soundfont in the demo extra; needs no data",
    "gm-pitch": "pitches of the same notes; needs no data",
}
"""Descriptions of the tasks that are not public benchmarks."""


def check_tasks(names: Sequence[str], has_data: bool) -> None:
    """Raise InputError for an unknown task, and if data is given for a task with embedded audio or missing for another.

    has_data: True if a data folder is given.
    """
    for name in names:
        if name not in TASKS:
            similar = "".join(f" Did you mean {other!r}?" for other in difflib.get_close_matches(name, TASKS, n=1))
            raise InputError(f"{name!r} is not a task.{similar} `synpat-eval tasks` lists all tasks")
    if any(name == "folder" or name in BENCHMARKS for name in names) != has_data:
        raise InputError(
            "a data folder (--data) is required for tasks without embedded audio, and not allowed for others"
        )


def tasks_table() -> str:
    """Return a description of all tasks as text: content, size, split, licence and source."""
    lines = []
    for name, b in BENCHMARKS.items():
        counts = " / ".join(f"{count:,}" for count in b.counts.values())
        used = f"; in the paper: {' and '.join(b.protocols)}" if b.protocols else ""
        lines += [
            f"{name}: {b.measures}, {b.classes:,} classes, {counts} clips of {b.seconds:g} s, {b.metric}{used}",
            f"    split: {b.split}",
            f"    licence: {b.licence}; from: {b.where}",
            f"    identified by: {b.marker}{f' in the given folder or in {_or(b.names)}' if b.names else ''}",
        ]
    return "\n".join([*lines, *(f"{name}: {words}" for name, words in OWN.items())])


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
