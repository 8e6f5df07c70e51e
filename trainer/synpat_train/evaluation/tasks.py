"""The table of tasks: a name, and the function that makes the task from its source."""

from collections.abc import Callable, Mapping

from .folder import folder_task
from .general_midi import instrument_task, pitch_task
from .task import Source, Task

TASKS: Mapping[str, Callable[[Source], Task]] = {
    "folder": folder_task,
    "gm-instrument": instrument_task,
    "gm-pitch": pitch_task,
}
