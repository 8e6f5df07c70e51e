"""Trials: one training and test for each encoder, fold and seed. Finished trials of a killed evaluation are kept."""

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
    memory: int | None
    """Bytes of memory that it needs; None if it cannot run in parallel with others."""
    scores: Callable[[], np.ndarray]
    """Function that returns the scores of the test clips, float [tested, classes]."""


def run_trials(trials: Sequence[Trial], folder: Path, threads: int, what: str) -> Iterator[np.ndarray]:
    """Yield the scores of every trial in order. They are kept in the folder until `delete_trials` is called."""
    folder.mkdir(parents=True, exist_ok=True)

    def scores(each: Trial) -> np.ndarray:
        file = _file(folder, each)
        if not file.exists():
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
    """Delete the kept scores of these trials, and the folder if it is empty."""
    for each in trials:
        _file(folder, each).unlink(missing_ok=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _file(folder: Path, each: Trial) -> Path:
    return folder / f"{each.key}.npy"
