"""The progress bar of all programs."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

WIDE = 70
"""Number of columns of a terminal from which on there is room for the bar itself."""


def progress_bar(
    console: Console,
    count: type[ProgressColumn] = MofNCompleteColumn,
    *details: ProgressColumn,
    transient: bool = False,
) -> Progress:
    """Return a progress bar with the count and the elapsed and remaining time; disabled if there is no terminal.

    details: columns that a narrow terminal does not show. Its descriptions are wrapped, and numbers stay complete.
    """
    wide, whole = console.width >= WIDE, Column(no_wrap=True)
    columns = [
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=wide)),
        *([BarColumn(bar_width=None)] if wide else []),
        count(table_column=whole),
        *(details if wide else ()),
        *([TextColumn("elapsed")] if wide else []),
        TimeElapsedColumn(table_column=whole),
        *([TextColumn("left")] if wide else []),
        TimeRemainingColumn(table_column=whole),
    ]
    return Progress(*columns, console=console, disable=not console.is_terminal, expand=wide, transient=transient)
