"""What a task is: recordings, a label for each, and which of them are learnt from and which are tested."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from synpat_shards import InputError
from synpat_train.audio.read import UnreadableAudio

from .recordings import Recordings


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a task finds its audio, and how it reads it."""

    data: Path | None = None
    """The user's folder; None for the tasks that bring their own audio."""
    label: str = "label"
    """Column of metadata.csv with the label."""
    split: str | None = None
    """Column of metadata.csv with the fold or the split; None takes `fold` if there is one, else `split`."""
    cache: Path
    """Folder for rendered and decoded audio."""
    skip_unreadable: bool = False
    """Whether clips that cannot be read are left out; otherwise they end the evaluation."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One round of learning and testing."""

    name: str
    train: np.ndarray
    """Indices of clips, int64."""
    test: np.ndarray
    """Indices of clips, int64; none of them in `train`."""
    valid: np.ndarray = field(default_factory=lambda: np.array([], np.int64))
    """Indices of clips to choose by, int64; empty where the data set has none for that."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Recordings to be told apart."""

    name: str
    files: np.ndarray
    """What each clip is called: str [clips], no name twice."""
    recordings: Recordings
    """The clips as they are tested, cut to the unit."""
    whole: Recordings
    """The same clips in their full length, for whoever cuts them anew each time."""
    labels: np.ndarray
    """Of each clip, several with commas between them if `multi_label`: str [clips]."""
    splits: Sequence[Split]
    multi_label: bool = False
    """Whether a clip can have several labels, or one; such a task is scored by mAP."""
    unreadable: Sequence[UnreadableAudio] = ()
    """Files that were left out."""
    unit: int = 0
    """Samples that shorter clips are filled up to once they are normalised; 0 leaves every clip its own length."""
    benchmark: str = ""
    """Name in the table of benchmarks, which selects the recipe of fine-tuning; empty for any other task."""
    unassigned: int = 0
    """How many clips were left out because they have no label or belong to no fold."""

    @property
    def training_clips(self) -> np.ndarray:
        """The clips that at least one split trains on, in order."""
        return np.unique(np.concatenate([split.train for split in self.splits]))

    @cached_property
    def classes(self) -> list[str]:
        """All labels, in order."""
        return sorted({name for labels in self.labels.tolist() for name in label_names(labels, self.multi_label)})

    @cached_property
    def targets(self) -> np.ndarray:
        """What is to be learnt: the class of each clip, int64 [clips], or if `multi_label` whether it has each class,
        bool [clips, classes]."""
        number = {name: place for place, name in enumerate(self.classes)}
        if not self.multi_label:
            return np.array([number[label] for label in self.labels.tolist()], np.int64)
        targets = np.zeros((len(self.labels), len(number)), bool)
        for clip, labels in enumerate(self.labels.tolist()):
            targets[clip, [number[label] for label in label_names(labels, self.multi_label)]] = True
        return targets


LoadTask = Callable[[], Task]
"""Decodes the audio of a task whose files and labels have been checked."""


def label_names(labels: str, multi_label: bool) -> list[str]:
    """The labels of a clip."""
    return labels.split(",") if multi_label else [labels]


def leave_one_fold_out(folds: np.ndarray) -> list[Split]:
    """Each fold is tested once by what was learnt from all others; folds: str [clips], at least two different."""
    names = sorted(set(folds.tolist()), key=lambda name: (len(name), name))  # fold 10 after fold 9
    if len(names) < 2:
        raise InputError(f"at least two folds are needed, got only {names}")
    return [Split(name=name, train=np.flatnonzero(folds != name), test=np.flatnonzero(folds == name)) for name in names]


def require_learnable(name: str, labels: np.ndarray, splits: Sequence[Split], multi_label: bool = False) -> None:
    """Refuse a task in which a label cannot be learnt and tested, naming the label.

    Of several labels a clip, some may be missing in a part: mAP is then that of the others.
    """
    counts = Counter(name for each in labels.tolist() for name in label_names(each, multi_label))
    if len(counts) < 2:
        raise InputError(f"{name}: at least two labels are needed, got {sorted(counts)}")
    if multi_label:
        return
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        raise InputError(
            f"{name}: one clip is not enough to learn a label and to test it; labels with one clip: {_some(single)}"
            + (". Several labels in one cell are taken for one" if any("," in label for label in single) else "")
        )
    for split in splits:
        unlearnt = sorted(set(labels[split.test].tolist()) - set(labels[split.train].tolist()))
        if unlearnt:
            raise InputError(
                f"{name}: split {split.name} tests labels that its training part does not have: {_some(unlearnt)}"
            )


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
