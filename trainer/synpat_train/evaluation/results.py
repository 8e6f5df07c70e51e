"""Results as a file for programs and as a table for people."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synpat_shards import write_whole

from .evaluate import ENCODER, RANDOM_INIT, RANDOM_SEEDS, Result, Score
from .intervals import Interval, paired_difference
from .protocols import DEFAULT, PROTOCOLS

RESULTS = "results.json"
SCHEMA = 1
PACKAGES = ("synpat", "torch", "timm", "scikit-learn", "soundfile", "soxr")


def read_results(folder: Path) -> dict[str, Any]:
    """What earlier evaluations have left in the folder, or an empty one; ValueError if the file is not ours."""
    path = folder / RESULTS
    if not path.exists():
        return {"schema": SCHEMA, "tasks": {}}
    try:
        results = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Move it away, or choose another --out.") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} was not written by this version of synpat-eval. Move it away, or choose another --out."
        )
    return results


def add_result(folder: Path, result: Result, encoder: Path) -> None:
    """Put one task's result into the folder's results.json, in place of an earlier one of the same task.

    encoder: the folder with its model.safetensors. A reader sees the old file or the new one, never a half.
    """
    results = read_results(folder)
    results["tasks"][title(result)] = record(result, encoder)
    write_whole(folder / RESULTS, json.dumps(results, indent=2).encode() + b"\n")


def title(result: Result) -> str:
    """The task's name, and the protocol's where it is not the usual one."""
    protocol = next(name for name, protocol in PROTOCOLS.items() if protocol == result.protocol)
    return result.task.name if protocol == DEFAULT else f"{result.task.name} ({protocol})"


def record(result: Result, encoder: Path) -> dict[str, Any]:
    """Everything about one task's result, ready for JSON. Accuracies are shares between 0 and 1."""
    task = result.task
    return {
        "protocol": result.protocol.description,
        "encoder": str(encoder),
        "encoder_sha256": hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest(),
        "clips": len(task.recordings),
        "classes": len(set(task.labels.tolist())),
        "folds": [{"name": split.name, "train": len(split.train), "test": len(split.test)} for split in task.splits],
        "tested": sum(len(split.test) for split in task.splits),
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


def table(results: Sequence[Result]) -> str:
    """A Markdown table, a row for each task and contestant; accuracies and differences in percent."""
    head = ("task", "encoder", "accuracy", "95 % interval", "n", "folds", "encoder minus this")
    rows = [_row(result, name, score) for result in results for name, score in result.scores.items()]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, rule, *rows)
    ]
    return "\n".join(lines)


def _row(result: Result, name: str, score: Score) -> tuple[str, ...]:
    difference = ""
    if name != ENCODER:
        mean, interval = paired_difference(result.scores[ENCODER].all_right, score.all_right, score.by_seed)
        difference = f"{100 * mean:+.1f} ({_percent(interval, '+.1f')})"
    seeds = f" ({len(RANDOM_SEEDS)} seeds)" if name == RANDOM_INIT else ""
    return (
        title(result),
        name + seeds,
        f"{100 * score.accuracy:.1f}",
        _percent(score.interval, ".1f"),
        str(len(score.all_right)),
        str(len(score.right)),
        difference,
    )


def _percent(interval: Interval, form: str) -> str:
    return " to ".join(format(100 * bound, form) for bound in interval)


def _score(score: Score, encoder: Score) -> dict[str, Any]:
    difference, interval = paired_difference(encoder.all_right, score.all_right, score.by_seed)
    return {
        "accuracy": score.accuracy,
        "interval95": list(score.interval),
        "fold_accuracies": [float(fold.mean()) for fold in score.right],
        "seed_accuracies": list(score.by_seed),
        "encoder_minus_this": {"difference": difference, "interval95": list(interval)},
    }
