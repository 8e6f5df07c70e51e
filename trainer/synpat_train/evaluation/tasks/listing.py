"""Listing of a data set on disk: its files, with the label and the part or fold of each."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from synpat_shards import InputError
from synpat_train.audio import SAMPLE_RATE
from synpat_train.audio.read import UnreadableAudio
from synpat_train.progress import print_message

from .recordings import decode
from .task import LoadTask, Source, Split, Task, leave_one_fold_out, require_learnable

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The clips of a data set that have a label and a part."""

    files: np.ndarray
    """Paths relative to the folder: str [clips]."""
    labels: np.ndarray
    """One label, or several separated by commas: str [clips]."""
    parts: np.ndarray
    """Name of the fold, or train, valid or test: str [clips]."""
    unassigned: int = 0
    """Number of clips without a label or a part, which are left out."""
    own_split: bool = False
    """True if the split is synpat's own, so that results are not comparable with published ones."""

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str]], *, unassigned: int = 0, own_split: bool = False) -> "Listing":
        """Return the listing of rows (file, label, part)."""
        files, labels, parts = (np.array(column, dtype=str) for column in zip(*rows, strict=True))
        return cls(files=files, labels=labels, parts=parts, unassigned=unassigned, own_split=own_split)

    def only(self, kept: np.ndarray) -> "Listing":
        """Return the listing of the clips with these indices."""
        return Listing(
            files=self.files[kept],
            labels=self.labels[kept],
            parts=self.parts[kept],
            unassigned=self.unassigned,
            own_split=self.own_split,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips of each part."""
        return dict(sorted(Counter(self.parts.tolist()).items(), key=lambda item: (len(item[0]), item[0])))


def task_from_listing(
    name: str,
    folder: Path,
    listing: Listing,
    source: Source,
    *,
    seconds: float = 0,
    multi_label: bool = False,
    benchmark: str = "",
) -> LoadTask:
    """Check a listing, and return a function that decodes its files.

    seconds: length to which clips are cropped: at the start for test clips and folds, else at a position drawn from the
    file name (Niizumi et al., "BYOL for Audio", 2023); 0 for no cropping. multi_label: labels are separated by commas.
    benchmark: as in `Task`. Raises InputError if the labels, the parts or (unless they are skipped) the files cannot be
    used.
    """
    require_learnable(name, listing.labels, splits_of(listing.parts), multi_label)
    unit = round(seconds * SAMPLE_RATE)
    return partial(_decode_task, name, folder, listing, source, unit, multi_label, benchmark)


def _decode_task(
    name: str,
    folder: Path,
    listing: Listing,
    source: Source,
    unit: int,
    multi_label: bool,
    benchmark: str,
) -> Task:
    recordings, unreadable = decode(folder, listing.files.tolist(), source.cache, name)
    if unreadable:
        _report(list(unreadable.values()), len(listing.files), source.skip_unreadable)
        listing = listing.only(np.setdiff1d(np.arange(len(listing.files)), list(unreadable)))
    splits = splits_of(listing.parts)
    require_learnable(name, listing.labels, splits, multi_label)
    return Task(
        name=name,
        files=listing.files,
        recordings=recordings.cut(_offsets(listing, recordings.lengths, unit), unit) if unit else recordings,
        full_recordings=recordings,
        labels=listing.labels,
        splits=splits,
        multi_label=multi_label,
        unit=unit,
        unreadable=list(unreadable.values()),
        benchmark=benchmark,
        unassigned=listing.unassigned,
    )


def _offsets(listing: Listing, lengths: np.ndarray, unit: int) -> np.ndarray:
    """Return the position at which each clip is cropped, int64 [clips]."""
    offsets = np.zeros(len(lengths), np.int64)
    for clip in np.flatnonzero(np.isin(listing.parts, (TRAIN, VALID)) & (lengths > unit)):
        rng = np.random.default_rng(list(os.fsencode(listing.files[clip])))
        offsets[clip] = rng.integers(lengths[clip] - unit + 1)
    return offsets


def splits_of(parts: np.ndarray) -> list[Split]:
    """Return the official split if the parts include `train` and `test` (and perhaps `valid`), else one split for
    each fold."""
    names = set(parts.tolist())
    if {TRAIN, TEST} <= names:
        train, valid, test = (np.flatnonzero(parts == part) for part in (TRAIN, VALID, TEST))
        return [Split(name=TEST, train=train, valid=valid, test=test)]
    if {TRAIN, TEST} & names:
        raise InputError(f"a split needs both {TRAIN} and {TEST}, got {sorted(names)}")
    return leave_one_fold_out(parts)


def _report(unreadable: list[UnreadableAudio], total: int, skip: bool) -> None:
    """Report unreadable files: one line each if they are skipped, else the first few in an error."""
    if skip:
        for reason in unreadable:
            print_message(f"left out: {reason}")
        return
    first = "; ".join(map(str, unreadable[:3])) + ("; ..." if len(unreadable) > 3 else "")
    raise InputError(
        f"{len(unreadable)} of {total} files cannot be used: {first}. Pass --unreadable skip to leave them out."
    )
