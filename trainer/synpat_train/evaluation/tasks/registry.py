"""The table of tasks: a name, and the function that prepares the task."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence

from synpat_shards import InputError
from synpat_shards.text_table import text_table

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
    """Return the content, the size, the metric, the licence and the source of all tasks as text."""
    rows = [
        (name, b.measures, f"{b.classes:,}", f"{b.clips:,}", f"{b.seconds:g}", b.metric, b.licence, b.where)
        for name, b in BENCHMARKS.items()
    ]
    head = ("task", "content", "classes", "clips", "seconds", "metric", "licence", "source")
    own = text_table(("task", "content"), list(OWN.items()))
    return f"{text_table(head, rows, optional=('source', 'licence'))}\n\n{own}"


def tasks_json() -> str:
    """Return all that is known about the tasks as JSON: also the clips of each part, the split, the protocols of the
    paper, and the file and the usual names of the folder by which a copy is found."""
    benchmarks = {
        name: {
            "content": b.measures,
            "classes": b.classes,
            "clips": dict(b.counts),
            "seconds": b.seconds,
            "metric": b.metric,
            "split": b.split,
            "licence": b.licence,
            "source": b.where,
            "protocols": list(b.protocols),
            "marker": b.marker,
            "folders": list(b.names),
        }
        for name, b in BENCHMARKS.items()
    }
    return json.dumps(benchmarks | {name: {"content": words} for name, words in OWN.items()})
