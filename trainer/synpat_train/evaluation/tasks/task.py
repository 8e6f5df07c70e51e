"""A task: recordings, a label for each, and the splits into training and test clips."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from synpat_shards import InputError, some
from synpat_train.audio.read import UnreadableAudio

from .recordings import Recordings


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the audio of a task is, and how it is read."""

    data: Path | None = None
    """Folder of the user; None for tasks with embedded audio."""
    label: str = "label"
    """Column of metadata.csv with the label."""
    split: str | None = None
    """Column of metadata.csv with the fold or the split; None selects `fold` if it exists, else `split`."""
    cache: Path
    """Folder for rendered and decoded audio."""
    skip_unreadable: bool = False
    """Leave out clips that cannot be read, instead of stopping."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """A division into training, validation and test clips."""

    name: str
    train: np.ndarray
    """Indices of clips, int64."""
    test: np.ndarray
    """Indices of clips, int64. None of them is in `train`."""
    valid: np.ndarray = field(default_factory=lambda: np.array([], np.int64))
    """Indices of the validation clips, int64; empty if the data set has no validation part."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A classification task."""

    name: str
    files: np.ndarray
    """Unique name of each clip: str [clips]."""
    recordings: Recordings
    """The clips, cropped to the unit, as they are tested."""
    full_recordings: Recordings
    """The clips in full length, for random crops."""
    labels: np.ndarray
    """Label of each clip, or several separated by commas if `multi_label`: str [clips]."""
    splits: Sequence[Split]
    multi_label: bool = False
    """True if a clip can have several labels. The metric is then mAP."""
    unreadable: Sequence[UnreadableAudio] = ()
    """Files that were left out."""
    unit: int = 0
    """Number of samples to which shorter clips are padded after normalisation; 0 for no padding."""
    benchmark: str = ""
    """Name in the table of benchmarks, which selects the recipe of fine-tuning; empty for any other task."""
    unassigned: int = 0
    """Number of clips that were left out because they have no label or no fold."""

    @property
    def training_clips(self) -> np.ndarray:
        """Clips that at least one split trains on, in order."""
        return np.unique(np.concatenate([split.train for split in self.splits]))

    @cached_property
    def classes(self) -> list[str]:
        """All labels, in order."""
        return sorted({name for labels in self.labels.tolist() for name in label_names(labels, self.multi_label)})

    @cached_property
    def targets(self) -> np.ndarray:
        """Class of each clip, int64 [clips], or if `multi_label` whether it has each class, bool [clips, classes]."""
        index_of = {name: index for index, name in enumerate(self.classes)}
        if not self.multi_label:
            return np.array([index_of[label] for label in self.labels.tolist()], np.int64)
        targets = np.zeros((len(self.labels), len(index_of)), bool)
        for clip, labels in enumerate(self.labels.tolist()):
            targets[clip, [index_of[label] for label in label_names(labels, self.multi_label)]] = True
        return targets


LoadTask = Callable[[], Task]
"""Function that decodes the audio of a task whose files and labels have been checked."""


def label_names(labels: str, multi_label: bool) -> list[str]:
    """Return the labels of a clip."""
    return labels.split(",") if multi_label else [labels]


def leave_one_fold_out(folds: np.ndarray) -> list[Split]:
    """Return a split for each fold, which is tested with all others as training part. folds: str [clips], at least
    two."""
    names = sorted(set(folds.tolist()), key=lambda name: (len(name), name))  # fold 10 after fold 9
    if len(names) < 2:
        raise InputError(f"at least two folds are needed, got only {names}")
    return [Split(name=name, train=np.flatnonzero(folds != name), test=np.flatnonzero(folds == name)) for name in names]


def require_learnable(name: str, labels: np.ndarray, splits: Sequence[Split], multi_label: bool = False) -> None:
    """Raise InputError if a label is missing in a training or test part, naming the label.

    With several labels per clip, labels may be missing in a part. They are then left out of the mAP.
    """
    counts = Counter(name for each in labels.tolist() for name in label_names(each, multi_label))
    if len(counts) < 2:
        raise InputError(f"{name}: at least two labels are needed, got {sorted(counts)}")
    if multi_label:
        return
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        raise InputError(
            f"{name}: every label needs at least two clips; labels with one clip: {some(single)}"
            + (". Several labels in one cell count as one label" if any("," in label for label in single) else "")
        )
    for split in splits:
        untrained = sorted(set(labels[split.test].tolist()) - set(labels[split.train].tolist()))
        if untrained:
            raise InputError(f"{name}: split {split.name} has test labels without training clips: {some(untrained)}")
