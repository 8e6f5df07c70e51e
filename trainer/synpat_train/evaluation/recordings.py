"""Waveforms at 16 kHz, decoded once and laid end to end in one array that need not fit into memory."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..progress import track
from .audio import UnreadableAudio, read_audio


# Two tasks over the same object share its embeddings, hence equality by identity.
@dataclass(frozen=True, eq=False)
class Recordings:
    """Clips in a fixed order."""

    samples: np.ndarray
    """All clips, one after the other: int16 or float32 [samples]."""
    starts: np.ndarray
    """Where each clip starts, and where the last one ends: int64 [clips + 1]."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Samples of each clip: int64 [clips]."""
        return np.diff(self.starts)

    def waveform(self, index: int) -> np.ndarray:
        """One clip: float32 [samples], nominally within -1 and 1."""
        samples = self.samples[self.starts[index] : self.starts[index + 1]]
        return samples / np.float32(32768) if samples.dtype == np.int16 else np.array(samples)


def decode(
    paths: Sequence[Path],
    scratch: Path,
    what: str,
    cut: Callable[[int, np.ndarray], np.ndarray] = lambda _, waveform: waveform,
) -> tuple[Recordings, dict[int, UnreadableAudio]]:
    """Read files on all cores into a nameless file in the folder `scratch`.

    cut: gives the part to keep of a file's waveform, of which it is told the index among the paths.
    Returns the recordings of the readable files, in order, and the others by their index among the paths. Raises
    ValueError if none is readable.
    """
    lengths: list[int] = []
    unreadable: dict[int, UnreadableAudio] = {}
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        for index, sound in enumerate(track(_read_all(paths), len(paths), what)):
            if isinstance(sound, UnreadableAudio):
                unreadable[index] = sound
            else:
                kept = cut(index, sound)
                file.write(kept.tobytes())
                lengths.append(len(kept))
        if not lengths:
            raise ValueError(f"none of {len(paths)} files is readable; the first one: {unreadable[0]}")
        file.flush()
        samples = np.memmap(file, np.float32, mode="r")
    return Recordings(samples, np.cumsum([0, *lengths])), unreadable


def _read_all(paths: Sequence[Path]) -> Iterator[np.ndarray | UnreadableAudio]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # In pieces, so that what is decoded but not yet written stays small.
        for start in range(0, len(paths), 256):
            yield from pool.map(_read_or_reason, paths[start : start + 256])


def _read_or_reason(path: Path) -> np.ndarray | UnreadableAudio:
    try:
        return read_audio(path)
    except UnreadableAudio as reason:
        return reason
