"""Trials: one training and test for each encoder, fold and seed. Their scores are kept in files.

Those of the encoder are deleted at the end of an evaluation, and those of the baselines serve the next one.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from synpat_shards import atomic_file, valid_content
from synpat_train.progress import track


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Training and test of one contestant on one split with one seed."""

    name: str
    """Name of the contestant."""
    member: int
    """Index among the contestants of this name, which differ only in their seed."""
    fold: int
    key: str
    """Digest of everything that determines the scores."""
    folder: Path
    """Folder where the scores are kept."""
    memory: int | None
    """Bytes of memory that it needs; None if it cannot run in parallel with others."""
    scores: Callable[[], np.ndarray]
    """Function that returns the scores of the test clips, float [tested, classes]."""


def run_trials(trials: Sequence[Trial], threads: int, what: str) -> Iterator[np.ndarray]:
    """Yield the scores of every trial in order."""

    def scores(each: Trial) -> np.ndarray:
        file = _file(each)
        if not file.exists():
            each.folder.mkdir(parents=True, exist_ok=True)
            computed = each.scores().astype(np.float32)
            with atomic_file(file) as opened:
                np.save(opened, computed)
        with valid_content(file, "Remove it to compute it again"):
            return np.load(file)

    if threads == 1:
        yield from track(map(scores, trials), len(trials), what)
        return
    # One trial per core: the solvers take many small steps, in which synchronising threads costs more than they
    # save, ten times as much if the cores are shared.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        try:
            yield from track(pool.map(scores, trials), len(trials), what)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def delete_trials(trials: Sequence[Trial], folder: Path) -> None:
    """Delete the scores that are kept in this folder, and the folder if it is empty."""
    for each in trials:
        if each.folder == folder:
            _file(each).unlink(missing_ok=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _file(each: Trial) -> Path:
    return each.folder / f"{each.key}.npy"
