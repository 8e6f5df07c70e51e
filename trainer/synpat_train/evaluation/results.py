"""Results as JSON and as tables."""

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synpat_shards import InputError, atomic_file, valid_content, write_atomically
from synpat_shards.text_table import text_table
from synpat_train.lock import exclusive_lock

from .evaluate import ENCODER, RANDOM_INIT, RANDOM_SEEDS, Result
from .protocols import protocol_name, suffix
from .scoring.score import Score
from .tasks.task import label_names

RESULTS = "results.json"
ANSWERS = "answers"
"""Folder beside results.json with the per-clip data for comparisons of encoders, one file for each task."""
SCHEMA = 2
PACKAGES = ("synpat", "torch", "timm", "scikit-learn", "soundfile", "soxr")


def read_results(folder: Path) -> dict[str, Any]:
    """Read results.json of a folder, or return an empty one. Raises InputError if the file is not valid."""
    path = folder / RESULTS
    if not path.exists():
        return {"schema": SCHEMA, "tasks": {}}
    try:
        results = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). Move it away, or choose another --out.") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA or not isinstance(results.get("tasks"), dict):
        raise InputError(
            f"{path} was not written by this version of synpat-eval. Move it away, or choose another --out."
        )
    return results


def add_result(folder: Path, result: Result, encoder: Path, name: str) -> None:
    """Add the result of a task to results.json, replacing an earlier result of the same task.

    encoder: folder with its weights. name: of the encoder in the file. The file is replaced atomically.
    """
    with exclusive_lock(folder, required=False):  # another process may add a result at the same time
        results = read_results(folder)
        write_answers(folder, title(result), result)
        results["tasks"][title(result)] = record(result, encoder, name)
        write_atomically(folder / RESULTS, json.dumps(results, indent=2).encode() + b"\n")


def title(result: Result) -> str:
    """Return the name of the task, with the protocol if it is not the default one."""
    return result.task.name + suffix(result.protocol)


def record(result: Result, encoder: Path, name: str) -> dict[str, Any]:
    """Return a result as JSON data. Scores are between 0 and 1."""
    task = result.task
    return {
        "protocol": protocol_name(result.protocol, task.benchmark),
        "encoder": name,
        "encoder_sha256": hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest(),
        "metric": result.scores[ENCODER].metric,
        "clips": len(task.recordings),
        "classes": len(task.classes),
        "folds": [
            {"name": split.name, "train": len(split.train), "valid": len(split.valid), "test": len(split.test)}
            for split in task.splits
        ],
        "tested": sum(len(split.test) for split in task.splits),
        "classes_without_test": classes_without_test_clip(result),
        "unassigned": task.unassigned,
        "unreadable": [{"file": str(each.path), "reason": each.reason} for each in task.unreadable],
        "normalisation": {"mean": result.normalisation.mean, "std": result.normalisation.std},
        "random_init_seeds": list(RANDOM_SEEDS),
        "scores": {name: _score(score, result.scores[ENCODER]) for name, score in result.scores.items()},
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
    }


def classes_without_test_clip(result: Result) -> list[str]:
    """Return the classes without a test clip. They are left out of the mAP."""
    task = result.task
    tested = np.concatenate([split.test for split in task.splits])
    present = {name for labels in task.labels[tested].tolist() for name in label_names(labels, task.multi_label)}
    return [name for name in task.classes if name not in present]


def write_answers(folder: Path, name: str, result: Result) -> None:
    """Write the names of the test clips and the parts of each contestant's score, by which encoders are compared."""
    arrays: dict[str, np.ndarray] = {}
    for fold, split in enumerate(result.task.splits):
        arrays[f"clips/{fold}"] = result.task.files[split.test]
        for contestant, score in result.scores.items():
            arrays[f"{contestant}/{fold}"] = score.parts[fold]
    path = answers_path(folder, name)
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_score(folder: Path, name: str, task: dict[str, Any], contestant: str) -> tuple[Score, list[np.ndarray]]:
    """Return a contestant's score on a task and the names of the test clips of each fold. task: its entry in
    results.json."""
    remedy = f"Evaluate {name} again"
    try:
        with valid_content(answers_path(folder, name), remedy), np.load(answers_path(folder, name)) as arrays:
            clips = [arrays[f"clips/{fold}"] for fold in range(len(task["folds"]))]
            parts = [arrays[f"{contestant}/{fold}"] for fold in range(len(task["folds"]))]
    except OSError as fault:
        raise InputError(f"{answers_path(folder, name)} cannot be read ({fault}): evaluate {name} again") from None
    with valid_content(folder / RESULTS, remedy):
        score = Score(
            metric=task["metric"],
            parts=parts,
            tested=[fold["test"] for fold in task["folds"]],
            by_seed=task["scores"][contestant]["by_seed"],
        )
    return score, clips


def answers_path(folder: Path, name: str) -> Path:
    """Return the path of the per-clip data of a task."""
    return folder / ANSWERS / f"{re.sub(r'[^A-Za-z0-9=.-]+', '-', name).strip('-')}.npz"


def table(results: Sequence[Result]) -> str:
    """Return a table, one row for each task and contestant. Scores and differences are in percent."""
    head = ("task", "metric", "encoder", "%", "95 % interval", "n", "folds", "encoder minus this")
    rows = [_row(result, name, score) for result in results for name, score in result.scores.items()]
    return printed_table(head, rows, optional=("folds", "n", "metric"))


def printed_table(head: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str] = ()) -> str:
    """Return a table for standard output: one that fits the terminal, and Markdown if there is no terminal.

    optional: headings of columns that a narrow terminal does not show.
    """
    return text_table(head, rows, optional=optional) if sys.stdout.isatty() else markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, rule, *rows)
    )


def _row(result: Result, name: str, score: Score) -> tuple[str, ...]:
    difference = ""
    if name != ENCODER:
        difference = points(*result.scores[ENCODER].minus(score))
    seeds = f" ({len(RANDOM_SEEDS)} seeds)" if name == RANDOM_INIT else ""
    return (
        title(result),
        score.metric,
        name + seeds,
        f"{100 * score.value:.1f}",
        percent(score.interval, ".1f"),
        str(sum(score.tested)),
        str(len(score.parts)),
        difference,
    )


def percent(interval: Sequence[float], form: str) -> str:
    """Return both bounds of an interval in percent."""
    return " to ".join(format(100 * bound, form) for bound in interval)


def points(difference: float, interval: Sequence[float]) -> str:
    """Return a difference in percentage points, with the bounds of its interval."""
    return f"{100 * difference:+.1f} ({percent(interval, '+.1f')})"


def _score(score: Score, encoder: Score) -> dict[str, Any]:
    difference, interval = encoder.minus(score)
    return {
        "value": score.value,
        "interval95": list(score.interval),
        "by_fold": score.by_fold,
        "by_seed": list(score.by_seed),
        "encoder_minus_this": {"difference": difference, "interval95": list(interval)},
    }
