"""A task from any folder with a metadata.csv: one row for each audio file, with its label and its fold or split."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..progress import say
from .audio import UnreadableAudio
from .recordings import decode
from .task import Source, Split, Task, leave_one_fold_out, require_learnable

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The rows of a metadata.csv that have a label and a part."""

    files: np.ndarray
    """Relative to the folder: str [clips]."""
    labels: np.ndarray
    """str [clips]."""
    parts: np.ndarray
    """Name of the fold, or of the part of an official split: str [clips]."""
    unassigned: int
    """Rows with an empty label or part, which are not among the above."""

    def only(self, kept: np.ndarray) -> "Metadata":
        """The same without the rows outside `kept`, indices."""
        return Metadata(
            files=self.files[kept],
            labels=self.labels[kept],
            parts=self.parts[kept],
            unassigned=self.unassigned,
        )


def folder_task(source: Source) -> Task:
    """The task of `source.data`, named after the folder and after its columns where they are not the usual ones.

    A column whose values include `train` and `test` is a split: learn from the one, test the other, leave out the
    rest. Every other column holds folds, each of which is tested once. Raises ValueError where the folder, its
    columns, its labels or (unless they are skipped) its files do not serve.
    """
    if source.data is None:
        raise ValueError("the task 'folder' needs --data, a folder with metadata.csv and audio files")
    folder = source.data
    columns = _columns(folder)
    part = source.split or ("fold" if "fold" in columns else "split")
    _require_columns(folder, columns, ["filename", source.label, part])
    name = "/".join([folder.resolve().name, *_unusual(source.label, part)])

    metadata = read_metadata(folder, source.label, part)
    # Before the slow part, and again once the unreadable files are gone.
    require_learnable(name, metadata.labels, splits_of(metadata.parts))
    recordings, unreadable = decode([folder / file for file in metadata.files], source.cache, f"{name}: decode")
    if unreadable:
        _report(list(unreadable.values()), len(metadata.files), source.skip_unreadable)
        metadata = metadata.only(np.setdiff1d(np.arange(len(metadata.files)), list(unreadable)))
    splits = splits_of(metadata.parts)
    require_learnable(name, metadata.labels, splits)
    return Task(
        name=name,
        recordings=recordings,
        labels=metadata.labels,
        splits=splits,
        unreadable=list(unreadable.values()),
        unassigned=metadata.unassigned,
    )


def read_metadata(folder: Path, label: str, part: str) -> Metadata:
    """The rows of `folder/metadata.csv`; label and part are names of columns that exist."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [[(row[column] or "").strip() for column in ("filename", label, part)] for row in csv.DictReader(file)]
    assigned = [row for row in rows if row[1] and row[2]]
    if not assigned:
        raise ValueError(f"{folder / 'metadata.csv'} has no row with a {label} and a {part}")
    files, labels, parts = (np.array(column) for column in zip(*assigned, strict=True))
    twice = [file for file, count in Counter(files.tolist()).items() if count > 1]
    if twice:
        raise ValueError(f"{folder / 'metadata.csv'} lists {len(twice)} files more than once, the first: {twice[0]}")
    return Metadata(files=files, labels=labels, parts=parts, unassigned=len(rows) - len(assigned))


def splits_of(parts: np.ndarray) -> list[Split]:
    """An official split if the parts include `train` and `test`, else one split for each fold."""
    names = set(parts.tolist())
    if {TRAIN, TEST} <= names:
        return [Split(name=TEST, train=np.flatnonzero(parts == TRAIN), test=np.flatnonzero(parts == TEST))]
    if {TRAIN, TEST} & names:
        raise ValueError(f"a split needs both {TRAIN} and {TEST}, got {sorted(names)}")
    return leave_one_fold_out(parts)


def _columns(folder: Path) -> list[str]:
    if not (folder / "metadata.csv").is_file():
        raise ValueError(
            f"{folder} has no metadata.csv with the columns filename, label, and fold or split. {_contents(folder)}"
        )
    with (folder / "metadata.csv").open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "There is no such folder."
    names = sorted(path.name for path in folder.iterdir())
    return f"It holds {len(names)} entries: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _require_columns(folder: Path, columns: list[str], needed: list[str]) -> None:
    missing = [column for column in needed if column not in columns]
    if missing:
        raise ValueError(
            f"{folder / 'metadata.csv'} has no column {' and no column '.join(missing)}; it has {', '.join(columns)}. "
            "Name the columns with --label and --split."
        )


def _unusual(label: str, part: str) -> list[str]:
    return ([label] if label != "label" else []) + ([part] if part not in ("fold", "split") else [])


def _report(unreadable: list[UnreadableAudio], total: int, skip: bool) -> None:
    """Name the files that cannot be read: a line each where they are skipped, the first few in the error if not."""
    if skip:
        for reason in unreadable:
            say(f"left out: {reason}")
        return
    first = "; ".join(map(str, unreadable[:3])) + ("; ..." if len(unreadable) > 3 else "")
    raise ValueError(
        f"{len(unreadable)} of {total} files cannot be used: {first}. Pass --unreadable skip to leave them out."
    )
