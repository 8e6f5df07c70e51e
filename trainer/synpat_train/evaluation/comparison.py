"""Comparison of encoders over tasks, as a table and as a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from synpat_shards import PLOT_STYLE, InputError, atomic_file

from .evaluate import ENCODER, LOG_MEL, RANDOM_INIT
from .reference_results import ReferenceResults
from .results import RESULTS, percent, points, printed_table, read_results, read_score
from .scoring.score import Score


@dataclass(frozen=True)
class Evaluated:
    """An encoder and its results."""

    name: str
    folder: Path
    """Folder of results.json."""
    tasks: dict[str, Any]

    def score(self, task: str, contestant: str = ENCODER) -> Score:
        """Return a contestant's score on a task."""
        return read_score(self.folder, task, self.tasks[task], contestant)[0]

    def clips(self, task: str) -> list[np.ndarray]:
        """Return the names of the test clips of each fold."""
        return read_score(self.folder, task, self.tasks[task], ENCODER)[1]


def read_evaluated(path: Path) -> Evaluated:
    """Read the results in a run folder or in a folder with results.json.

    Raises InputError if there are none.
    """
    for folder in (path / "evaluation", path):
        if (folder / RESULTS).is_file():
            return Evaluated(path.name, folder, read_results(folder)["tasks"])
    raise InputError(
        f"{path} contains no {RESULTS}, and neither does {path / 'evaluation'}: run synpat-eval --encoder {path}"
    )


def comparison(encoders: Sequence[Evaluated], reference: ReferenceResults | None) -> str:
    """Return a table, one row for each task and encoder, in percent.

    Differences are to the first encoder, over the same test clips. The share of the gap is the position of an encoder
    between random-init (0 %) and the reference (100 %).
    """
    head = (
        "task",
        "encoder",
        "%",
        "95 % interval",
        "minus random-init",
        f"minus {encoders[0].name}",
        "share of the gap",
    )
    rows = [row for task in tasks_of(encoders) for row in _rows(task, encoders, reference)]
    if reference:
        return f"{printed_table(head, rows)}\n\nPublished results are those of their authors: {reference.source}."
    return printed_table(head[:-1], [row[:-1] for row in rows])


def _rows(task: str, encoders: Sequence[Evaluated], reference: ReferenceResults | None) -> list[tuple[str, ...]]:
    evaluated = [each for each in encoders if task in each.tasks]
    published = reference.figures.get(task) if reference else None
    rows = []
    for each in evaluated:
        score, untrained = each.score(task), each.score(task, RANDOM_INIT)
        paired = _paired(task, each, encoders[0]) if each is not encoders[0] else ""
        rows.append(
            (
                task,
                each.name,
                *_figures(score),
                points(*score.minus(untrained)),
                paired,
                _gap(score, untrained, published),
            )
        )
    for baseline in (RANDOM_INIT, LOG_MEL):
        rows.append((task, baseline, *_figures(evaluated[0].score(task, baseline)), "", "", ""))
    if reference and published is not None:
        rows.append((task, f"published: {reference.encoder}", f"{published:.1f}", "", "", "", ""))
    return rows


def tasks_of(encoders: Sequence[Evaluated]) -> list[str]:
    """Return all tasks of at least one encoder, in order of appearance."""
    return list(dict.fromkeys(task for each in encoders for task in each.tasks))


@rc_context(PLOT_STYLE)
def draw_comparison(encoders: Sequence[Evaluated], reference: ReferenceResults | None, path: Path) -> None:
    """Plot the scores and intervals of all encoders, of random-init and of log-mel statistics by task."""
    tasks, names = tasks_of(encoders), [*(each.name for each in encoders), RANDOM_INIT, LOG_MEL]
    figure = Figure(figsize=(8, 1.2 + 0.2 * len(tasks) * (len(names) + 1)))
    axes = figure.subplots()
    tops = {task: -number * (len(names) + 1) for number, task in enumerate(tasks)}
    for line, name in enumerate(names):
        encoder = encoders[line] if line < len(encoders) else None
        scores = {
            task: encoder.score(task) if encoder else _first(encoders, task).score(task, name)
            for task in tasks
            if encoder is None or task in encoder.tasks
        }
        values = np.array([100 * score.value for score in scores.values()])
        bounds = np.array([[100 * bound for bound in score.interval] for score in scores.values()]).T
        colour = {RANDOM_INIT: "0.45", LOG_MEL: "0.7"}.get(name, f"C{line}")
        heights = [tops[task] - line for task in scores]
        axes.errorbar(values, heights, xerr=np.abs(bounds - values), fmt="o", markersize=4, color=colour, label=name)
    middles = {task: top - (len(names) - 1) / 2 for task, top in tops.items()}
    if reference and (marks := {task: reference.figures[task] for task in tasks if task in reference.figures}):
        heights = [middles[task] for task in marks]
        label = f"published: {reference.encoder}"
        axes.plot(list(marks.values()), heights, "kD", fillstyle="none", label=label)
    axes.set_yticks(list(middles.values()), list(middles))
    axes.margins(y=0.08)
    axes.set_xlim(left=max(axes.get_xlim()[0], 0))
    axes.set(xlabel=f"%, with 95 % intervals; the axis starts at {axes.get_xlim()[0]:.0f} %")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _first(encoders: Sequence[Evaluated], task: str) -> Evaluated:
    return next(each for each in encoders if task in each.tasks)


def _figures(score: Score) -> tuple[str, str]:
    return f"{100 * score.value:.1f}", percent(score.interval, ".1f")


def _paired(task: str, each: Evaluated, first: Evaluated) -> str:
    """Return the difference to the first encoder as text. Scores on different clips are not compared."""
    if task not in first.tasks:
        return ""
    clips, first_clips = each.clips(task), first.clips(task)
    if len(clips) != len(first_clips) or any(not np.array_equal(a, b) for a, b in zip(clips, first_clips, strict=True)):
        return "other clips"
    return points(*each.score(task).minus(first.score(task)))


def _gap(score: Score, untrained: Score, published: float | None) -> str:
    if published is None:
        return ""
    gap = published / 100 - untrained.value
    return f"{100 * (score.value - untrained.value) / gap:.0f} %" if gap > 0 else "random-init is better"
