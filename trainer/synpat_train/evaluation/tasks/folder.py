"""A task from any folder with a metadata.csv: one row for each audio file, with its label and its fold or split."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from synpat_shards import InputError, some

from .listing import TEST, TRAIN, VALID, Listing, task_from_listing
from .task import LoadTask, Source
from .text_files import Table, read_csv


def folder_task(source: Source) -> LoadTask:
    """Read the listing of `source.data`, a folder with metadata.csv.

    The task is named after the folder, and after its columns if they are not the default ones: folder:NAME/COLUMN. A
    column with the values `train` and `test`, or other usual names of these parts, is a split: train on one, test on
    the other, leave out the rest. Any other column holds folds, each of which is tested once. Raises InputError if the
    folder, its columns, its labels or (unless they are skipped) its files cannot be used.
    """
    if source.data is None:
        raise InputError("the task 'folder' needs --data FOLDER, a folder with metadata.csv and audio files")
    folder = source.data
    table = _read_metadata(folder)
    part = source.split or ("fold" if "fold" in table.header else "split")
    rows = table.rows("filename", source.label, part)
    name = "folder:" + "/".join([folder.resolve().name, *_unusual(source.label, part)])
    return task_from_listing(name, folder, _listing(table.path, rows, source.label, part), source)


def _read_metadata(folder: Path) -> Table:
    path = folder / "metadata.csv"
    if not path.is_file():
        raise InputError(
            f"{folder} has no metadata.csv with the columns filename, label, and fold or split. {_contents(folder)}"
        )
    return read_csv(path)


def _listing(path: Path, table: Sequence[dict[str, str]], label: str, part: str) -> Listing:
    """Return the listing of the rows of a metadata.csv. label, part: names of existing columns."""
    rows = [(row["filename"].strip(), row[label].strip(), _part_name(row[part].strip())) for row in table]
    assigned = [row for row in rows if row[1] and row[2]]
    if not assigned:
        raise InputError(f"{path} has no row with a {label} and a {part}")
    duplicates = [file for file, count in Counter(row[0] for row in assigned).items() if count > 1]
    if duplicates:
        raise InputError(f"{path} lists {len(duplicates)} files more than once, the first: {duplicates[0]}")
    return Listing.of(assigned, unassigned=len(rows) - len(assigned))


PARTS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALID,
    "validation": VALID,
    "val": VALID,
    "dev": VALID,
    "development": VALID,
    "test": TEST,
    "testing": TEST,
    "eval": TEST,
    "evaluation": TEST,
}
"""Usual names of the parts of a split. Upper and lower case are equal."""


def _part_name(text: str) -> str:
    """Return train, valid or test for the usual names of these parts, and the name of a fold unchanged."""
    return PARTS.get(text.casefold(), text)


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "It is not a folder." if folder.exists() else "The folder does not exist."
    names = sorted(path.name for path in folder.iterdir())
    return f"It contains {some(names)}" if names else "It is empty."


def _unusual(label: str, part: str) -> list[str]:
    return ([label] if label != "label" else []) + ([part] if part not in ("fold", "split") else [])
