"""A data set on disk as a list: its files, the label of each, and the part or fold that each belongs to."""

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
    """Relative to the folder: str [clips]."""
    labels: np.ndarray
    """One label, or several with commas between them: str [clips]."""
    parts: np.ndarray
    """Name of the fold, or train, valid or test: str [clips]."""
    unassigned: int = 0
    """Clips without a label or a part, which are not among the above."""
    own_split: bool = False
    """Whether the parts are of our own making, so that figures are not comparable with published ones."""

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str]], *, unassigned: int = 0, own_split: bool = False) -> "Listing":
        """A listing of (file, label, part)."""
        files, labels, parts = (np.array(column, dtype=str) for column in zip(*rows, strict=True))
        return cls(files=files, labels=labels, parts=parts, unassigned=unassigned, own_split=own_split)

    def only(self, kept: np.ndarray) -> "Listing":
        """The same without the clips outside `kept`, indices."""
        return Listing(
            files=self.files[kept],
            labels=self.labels[kept],
            parts=self.parts[kept],
            unassigned=self.unassigned,
            own_split=self.own_split,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Clips of each part."""
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

    seconds: what longer clips are cut to, from their start if they are tested or in a fold, else from a place drawn by
    the name of the file (Niizumi et al., "BYOL for Audio", 2023); 0 leaves them whole. multi_label: whether labels are
    several, with commas between them.
    Raises InputError where the labels, the parts or (unless they are skipped) the files do not serve.
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
    whole, unreadable = decode(folder, listing.files.tolist(), source.cache, name)
    if unreadable:
        _report(list(unreadable.values()), len(listing.files), source.skip_unreadable)
        listing = listing.only(np.setdiff1d(np.arange(len(listing.files)), list(unreadable)))
    splits = splits_of(listing.parts)
    require_learnable(name, listing.labels, splits, multi_label)
    return Task(
        name=name,
        files=listing.files,
        recordings=whole.cut(_offsets(listing, whole.lengths, unit), unit) if unit else whole,
        whole=whole,
        labels=listing.labels,
        splits=splits,
        multi_label=multi_label,
        unit=unit,
        unreadable=list(unreadable.values()),
        benchmark=benchmark,
        unassigned=listing.unassigned,
    )


def _offsets(listing: Listing, lengths: np.ndarray, unit: int) -> np.ndarray:
    """Where each clip is cut: int64 [clips]."""
    offsets = np.zeros(len(lengths), np.int64)
    for clip in np.flatnonzero(np.isin(listing.parts, (TRAIN, VALID)) & (lengths > unit)):
        dice = np.random.default_rng(list(listing.files[clip].encode()))
        offsets[clip] = dice.integers(lengths[clip] - unit + 1)
    return offsets


def splits_of(parts: np.ndarray) -> list[Split]:
    """An official split if the parts include `train` and `test` (and perhaps `valid`), else one for each fold."""
    names = set(parts.tolist())
    if {TRAIN, TEST} <= names:
        train, valid, test = (np.flatnonzero(parts == part) for part in (TRAIN, VALID, TEST))
        return [Split(name=TEST, train=train, valid=valid, test=test)]
    if {TRAIN, TEST} & names:
        raise InputError(f"a split needs both {TRAIN} and {TEST}, got {sorted(names)}")
    return leave_one_fold_out(parts)


def _report(unreadable: list[UnreadableAudio], total: int, skip: bool) -> None:
    """Name the files that cannot be read: a line each where they are skipped, the first few in the error if not."""
    if skip:
        for reason in unreadable:
            print_message(f"left out: {reason}")
        return
    first = "; ".join(map(str, unreadable[:3])) + ("; ..." if len(unreadable) > 3 else "")
    raise InputError(
        f"{len(unreadable)} of {total} files cannot be used: {first}. Pass --unreadable skip to leave them out."
    )
